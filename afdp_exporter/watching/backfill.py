"""The use case for what was imported: every look that is due answered once, oldest first, at a bearable pace."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from afdp_exporter.errors import SourceUnavailable
from afdp_exporter.model import Look, Measured, Outcome
from afdp_exporter.sources._frugal import Pace, frugal
from afdp_exporter.store import Store
from afdp_exporter.watching.analysis import Analyst, Weighed
from afdp_exporter.watching.evidence import Watched
from afdp_exporter.watching.watch import Schedule, answered, failed

Tell: TypeAlias = Callable[[Outcome | None], None]
"""Takes what became of each deployment once that is kept; None for a look whose analysis failed for good."""

_PATIENCE = 20  # times the deadline of a live look: the machine may have better things to do
_LEASE = timedelta(days=1)  # nobody else takes looks while the past is measured


def at_a_pace(watched: Watched, until: datetime, pace: Pace) -> Watched:
    """What is watched, asked for the past at a bearable pace; nobody waits for an answer, which may take its time."""
    piece = watched.settings.history
    settings = replace(watched.settings, deadline=_PATIENCE * watched.settings.deadline)
    sources = {name: frugal(each, piece=piece, until=until, pace=pace) for name, each in watched.sources.items()}
    return replace(watched, sources=sources, settings=settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Answers the looks that were due by `until`, each with all earlier ones before it; `at_once` are under way."""

    store: Store
    analyst: Analyst
    schedule: Schedule
    clock: Callable[[], datetime]
    until: datetime
    at_once: int

    async def run(self, told: Tell) -> None:
        """Answer them all, and tell of each.

        An answer is committed before it is told of: whoever ends this loses only what is under way. Raises
        SourceUnavailable when a source stays away; what is left stays due.
        """
        try:
            async with asyncio.TaskGroup() as group:
                await self._all(group, told)
        except* SourceUnavailable as errors:
            raise errors.exceptions[0] from None

    async def _all(self, group: asyncio.TaskGroup, told: Tell) -> None:
        under_way: deque[tuple[Look, asyncio.Task[Weighed | Exception]]] = deque()
        while True:
            free = self.at_once - len(under_way)
            for look in await self.store.claim_looks(self.until, limit=free, lease=_LEASE):
                under_way.append((look, group.create_task(self._weigh(look))))
            if not under_way:
                return
            look, weighing = under_way.popleft()
            weighed = await weighing
            if isinstance(weighed, Weighed):
                answer = await self.analyst.conclude(weighed)
                await answered(look, answer, self.store, schedule=self.schedule, now=self.clock())
                if look.after > max(self.schedule.looks):
                    continue  # it only asked whether harm that was found goes on
                told(Measured(deployment=weighed.case.deployment, impact=answer.impact).decision.outcome)
            elif not await failed(look, weighed, self.store, now=self.clock(), retry_at=self.until):
                told(None)

    async def _weigh(self, look: Look) -> Weighed | Exception:
        try:
            weighed = await self.analyst.weigh(look, self.until)
        except SourceUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - one look that fails must not stop the others
            return error
        for each in weighed.missing:
            if each.away:
                raise SourceUnavailable("away", each.reason)
        return weighed
