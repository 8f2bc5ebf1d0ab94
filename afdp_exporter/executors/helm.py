"""Helm: `helm rollback` to the revision before; hooks and three-way merges are Helm's own matter."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import orjson

from afdp_exporter.errors import ActionRefused, ActionUnknown
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._program import Ran, run
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.versions import spellings


@dataclass(frozen=True, kw_only=True)
class Helm:
    """The release named `release` in `namespace`, by the program `helm`; both names may hold `$service`."""

    __pydantic_config__: ClassVar = STRICT

    release: str = "$service"
    namespace: str = "default"
    program: str = "helm"
    kubeconfig: str | None = None
    timeout: Duration = timedelta(minutes=5)

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        history = await self._history(order)
        current = history[-1]
        if current.get("status") in {"pending-install", "pending-upgrade", "pending-rollback"}:
            raise ActionRefused(f"another operation of the release is under way: {current['status']}")
        if str(current.get("description", "")).startswith("Rollback to"):
            return Plan(
                order=order,
                sentence=f"the release was rolled back already: {current['description']}",
                request={},
                done=True,
            )
        if order.version is not None and not _is_of(current, order.version):
            raise ActionRefused(f"the release does not run {order.version} but {current.get('app_version')}")
        good = [entry for entry in history[:-1] if entry.get("status") in {"superseded", "deployed"}]
        wanted = order.previous_version
        target = next((entry for entry in reversed(good) if wanted is None or _is_of(entry, wanted)), None)
        if target is None:
            raise ActionRefused(f"the release has no earlier revision of {wanted or 'another version'}")
        seconds = int(self.timeout.total_seconds())
        command = [
            self.program, "rollback", order.fill(self.release), str(target["revision"]),
            "--namespace", order.fill(self.namespace), "--wait", "--timeout", f"{seconds}s", "--cleanup-on-fail",
        ]  # fmt: skip
        return Plan(
            order=order,
            sentence=f"release {order.fill(self.release)} back to revision {target['revision']}",
            request={"command": command},
            seen={"revision": current["revision"], "target": target["revision"]},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`: a run that fails may have changed something, so that it is unknown."""
        done = await run(plan.request["command"], seconds=self.timeout.total_seconds() + 30, environment=self._env())
        if done.status != 0:
            raise ActionUnknown(f"helm ended with {done.status}, and may have changed something: {done.error.strip()}")
        return {"output": done.output.strip()[:300]}

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        current = (await self._history(plan.order))[-1]
        if int(current["revision"]) <= int(plan.seen["revision"]):
            return False
        return True if current.get("status") == "deployed" else None

    async def _history(self, order: Order) -> list[dict[str, Any]]:
        command = [
            self.program, "history", order.fill(self.release), "--namespace", order.fill(self.namespace),
            "--output", "json", "--max", "20",
        ]  # fmt: skip
        return _entries(await run(command, seconds=30, environment=self._env()))

    def _env(self) -> dict[str, str]:
        return {} if self.kubeconfig is None else {"KUBECONFIG": self.kubeconfig}


def _entries(done: Ran) -> list[dict[str, Any]]:
    if done.status != 0:
        if "not found" in done.error:
            raise ActionRefused(f"helm: {done.error.strip()}")
        raise ActionUnknown(f"helm history ended with {done.status}: {done.error.strip()}")
    found = orjson.loads(done.output)
    if not found:
        raise ActionRefused("the release has no history")
    return sorted(found, key=lambda entry: int(entry["revision"]))


def _is_of(entry: Mapping[str, Any], version: str) -> bool:
    app, chart = str(entry.get("app_version", "")), str(entry.get("chart", ""))
    return any(app == each or chart.endswith(f"-{each}") for each in spellings(version))


PLUGIN = Helm
