"""A program of one's own, for every target that has no executor here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import Field

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._program import run
from afdp_exporter.settings import STRICT, Duration

_REFUSED = 3  # the exit status by which a program says that it has changed nothing


@dataclass(frozen=True, kw_only=True)
class Command:
    """Programs with their arguments, run without a shell; each argument may hold `$service`, `$version` and so on.

    `check_first` exits with 0 where the way back is open. `run` exits with 0 once it is taken, and with 3 where it has
    surely changed nothing; anything else leaves unknown what was done. `verify_after` exits with 0 when it is back, and
    with 3 when not.
    """

    __pydantic_config__: ClassVar = STRICT

    run: Annotated[tuple[str, ...], Field(min_length=1)]
    check_first: tuple[str, ...] = ()
    verify_after: tuple[str, ...] = ()
    timeout: Duration = timedelta(minutes=5)

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        if self.check_first:
            done = await run(self._filled(self.check_first, order), seconds=self.timeout.total_seconds())
            if done.status != 0:
                raise ActionRefused(f"{self.check_first[0]} ended with {done.status}: {done.error.strip()}")
        command = self._filled(self.run, order)
        return Plan(order=order, sentence=f"run {' '.join(command)}", request={"command": command})

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`."""
        done = await run(plan.request["command"], seconds=self.timeout.total_seconds())
        if done.status == _REFUSED:
            raise ActionRefused(f"it changed nothing: {done.error.strip() or done.output.strip()}")
        if done.status != 0:
            raise ActionUnknown(f"it ended with {done.status}, and may have changed something: {done.error.strip()}")
        return {"output": done.output.strip()[:300]}

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`; without a program for it the metrics alone show it."""
        if not self.verify_after:
            raise ActionUnknown("no program is configured that could say whether it was done")
        done = await run(self._filled(self.verify_after, plan.order), seconds=self.timeout.total_seconds())
        return {0: True, _REFUSED: False}.get(done.status)

    def _filled(self, command: tuple[str, ...], order: Order) -> list[str]:
        return [order.fill(part) for part in command]


PLUGIN = Command
