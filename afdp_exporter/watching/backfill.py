"""The use case for what was imported: every look that is due answered once, oldest first, at a bearable pace."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from afdp_exporter.errors import EngineUnavailable, SourceUnavailable
from afdp_exporter.model import Look, MeasuredDeployment, Outcome
from afdp_exporter.source_access import PacingPolicy, paced
from afdp_exporter.store import Job, Store
from afdp_exporter.store.follow_ups import CHECK
from afdp_exporter.watching.analysis import Analyst, PendingAnalysis
from afdp_exporter.watching.evidence import MonitoringConfig
from afdp_exporter.watching.watch import Schedule, record_answer, record_failure

Report: TypeAlias = Callable[[Outcome | None], None]
"""Takes what became of each deployment once that is kept; None for a look whose analysis failed for good."""

_PATIENCE = 20  # times the deadline of a live look: the machine may have better things to do
_LEASE = timedelta(days=1)  # nobody else takes looks while the past is measured
_AHEAD = 3  # times as many are claimed as are measured at once: they wait for the oldest, and no worker does


def rate_limited(watched: MonitoringConfig, until: datetime, pace: PacingPolicy) -> MonitoringConfig:
    """What is watched, asked for the past at a bearable pace; nobody waits for an answer, which may take its time."""
    piece = watched.settings.history
    settings = replace(watched.settings, deadline=_PATIENCE * watched.settings.deadline)
    sources = {name: paced(each, piece=piece, until=until, pace=pace) for name, each in watched.sources.items()}
    return replace(watched, sources=sources, settings=settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Answers the looks that were due by `until`, each with all earlier ones before it; `at_once` are measured at once.

    With `services` only those of these; `owner` names who does it, one at a time, and takes up what it has left.
    """

    store: Store
    analyst: Analyst
    schedule: Schedule
    clock: Callable[[], datetime]
    until: datetime
    at_once: int
    services: Collection[str] | None = None
    owner: str = "backfill"

    async def run(self, report: Report) -> None:
        """Answer them all, and report each.

        An answer is committed before it is reported: whoever ends this loses only what is under way. Raises
        SourceUnavailable when a source stays away, and EngineUnavailable when what judges does; what is left stays due.
        """
        await self.store.jobs.release(self.owner)
        try:
            async with asyncio.TaskGroup() as group:
                await self._all(group, report)
        except* (SourceUnavailable, EngineUnavailable) as errors:
            raise errors.exceptions[0] from None

    async def _all(self, group: asyncio.TaskGroup, report: Report) -> None:
        under_way: deque[tuple[Job, Look, asyncio.Task[PendingAnalysis | Exception]]] = deque()
        slots = asyncio.Semaphore(self.at_once)
        while True:
            jobs = await self._claim(_AHEAD * self.at_once - len(under_way))
            looks = [(job, await self.store.looks.of_job(job)) for job in jobs]
            under_way.extend((job, look, group.create_task(self._weigh(look, slots))) for job, look in looks if look)
            if not under_way:
                return
            job, look, measuring = under_way.popleft()
            pending = await measuring
            if isinstance(pending, PendingAnalysis):
                answer = await self.analyst.conclude(pending)
                await record_answer(look, answer, self.store, schedule=self.schedule, now=self.clock(), job=job)
                if look.after > max(self.schedule.looks):
                    continue  # it only asked whether harm that was found goes on
                report(MeasuredDeployment(deployment=pending.case.deployment, impact=answer.impact).decision.outcome)
            elif not await record_failure(look, pending, self.store, now=self.clock(), retry_at=self.until, job=job):
                report(None)

    async def _claim(self, limit: int) -> list[Job]:
        """The looks that have been due for the longest."""
        return await self.store.jobs.claim(
            CHECK, self.until, owner=self.owner, limit=limit, lease=_LEASE, lanes=self.services
        )

    async def _weigh(self, look: Look, slots: asyncio.Semaphore) -> PendingAnalysis | Exception:
        try:
            async with slots:
                pending = await self.analyst.measure(look, self.until)
        except (SourceUnavailable, EngineUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - one look that fails must not stop the others
            return error
        for each in pending.missing:
            if each.away:
                raise SourceUnavailable("away", each.reason)
        return pending
