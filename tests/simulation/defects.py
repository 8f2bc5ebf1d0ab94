"""Faults that somebody could write any day, planted into what a process is built from: the oracle has to find each."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from afdp_exporter.errors import SourceError, StoreError
from afdp_exporter.feeds import Checkpoint, Feed, PollRequest
from afdp_exporter.handlers.context import AppContext
from afdp_exporter.job_kinds import FEED, _feeding
from afdp_exporter.jobs import Kind, Next, Settled
from afdp_exporter.jobs.follower import Follower
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.model import Deployment, MeasuredDeployment, Notification, Window
from afdp_exporter.sources import Bound, FreshnessAnswer
from afdp_exporter.store import Job, StoredChange
from afdp_exporter.store.follow_ups import AT_ONCE, NOTICE, deployment_of_notice
from afdp_exporter.store.memory.jobs import MemoryJobs, MemoryLooks, MemoryNotices
from afdp_exporter.tracking.feeding import Feeding
from simulation.conditions import Fault
from simulation.disk import MemoryDisk
from simulation.outside import Metrics
from simulation.sqlite_disk import SQLiteDisk
from simulation.world import Builders


class _NoHeartbeat(Runner):
    async def _beat(self) -> None:
        await asyncio.Event().wait()

    async def _hold(self) -> None:
        """It forgets that what is under way has to be held."""


def lease_is_forgotten(builders: Builders) -> None:
    """A runner never holds for longer what is under way."""
    builders.runner, builders.lease = _NoHeartbeat, timedelta(seconds=20)


class _Careless(Runner):
    async def _take(self) -> tuple[timedelta, bool]:
        self._held_until = dict.fromkeys(self._held_until, datetime.max.replace(tzinfo=UTC))
        return await super()._take()


def standing_still_is_forgotten(builders: Builders) -> None:
    """A runner that stood still for longer than its lease takes its own work for abandoned."""
    builders.runner, builders.lease = _Careless, timedelta(minutes=5)


class _Jobs(MemoryJobs):
    """Where a claim does not count."""

    def _held(self, job: Job) -> Any:
        return self._data.jobs.get((job.kind, job.key))


class _Looks(MemoryLooks):
    def _open(self, look: Any, job: Job | None) -> Any:
        return super()._open(look, None)


def finish_asks_for_no_token(builders: Builders) -> None:
    """What becomes of a job is kept, whoever holds it by now."""

    def disk() -> MemoryDisk:
        made = MemoryDisk()
        made.store.jobs = _Jobs(made._data)
        made.store.looks = _Looks(made._data)
        made.store.notices = MemoryNotices(made._data, made.store.jobs)
        return made

    builders.disk = disk


class _Reviving(MemoryJobs):
    async def heartbeat(self, jobs: Sequence[Job], until: datetime) -> int:
        for job in jobs:
            held = self._data.jobs.get((job.kind, job.key))
            if held is not None:
                held.job, held.ready_at = replace(held.job, token=job.token), until
        return len(jobs)


def heartbeat_revives(builders: Builders) -> None:
    """A heartbeat takes back what another has taken over."""

    def disk() -> MemoryDisk:
        made = MemoryDisk()
        made.store.jobs = _Reviving(made._data)
        return made

    builders.disk = disk


def answered_before_the_commit(builders: Builders) -> None:
    """A sender has its answer a moment before its deployment is on disk."""
    builders.answers_first = frozenset({"record", "apply_announcement", "amend"})


class _Unsynced(SQLiteDisk):
    synchronous = "OFF"


def commits_are_not_synced(builders: Builders) -> None:
    """A sender has its answer while its deployment is in the memory of the machine alone."""
    builders.disk = _Unsynced


class _Deaf(Runner):
    def wake(self) -> None:
        """It misses every call."""


def wake_up_is_missed(builders: Builders) -> None:
    """A runner that rests hears of nothing new."""
    builders.runner = _Deaf


def noticed_before_the_row(builders: Builders) -> None:
    """A receiver hears of a deployment before it is stored."""
    builders.notifies_first = True


class _Skipping(Follower):
    async def _hand_on(self, changes: Sequence[StoredChange]) -> None:
        try:
            await super()._hand_on(changes)
        except StoreError:
            self._reached = changes[-1].seq


def follower_skips_on_error(builders: Builders) -> None:
    """What cannot be taken into account while the store is away is never looked at again."""
    builders.follower = _Skipping


class _Hasty(Feeding):
    __slots__ = ()

    async def _walk(self, name: str, feed: Feed) -> None:
        now, cursor = self.clock(), await self.store.cursors.find(name)
        steps = [step async for step in feed.deployments(PollRequest(at=now, now=now, cursor=cursor))]
        for step in steps:
            if isinstance(step, Checkpoint):
                await self.store.cursors.save(name, step.cursor)
        for step in steps:
            if not isinstance(step, Checkpoint):
                await self._take(name, step)


def cursor_is_saved_first(builders: Builders) -> None:
    """The place of a feed is kept before what it reported."""

    def hasty(kinds: Iterable[Kind], state: AppContext) -> Iterable[Kind]:
        right = _feeding(state)
        feeding = _Hasty(
            store=right.store, rules=right.rules, schedule=right.schedule, feeds=right.feeds, audience=right.audience,
            clock=right.clock,
        )  # fmt: skip
        return [replace(kind, run=feeding.poll) if kind.name == FEED else kind for kind in kinds]

    builders.kinds = hasty


class _Impatient(MemoryLooks):
    async def postpone(self, look: Any, until: datetime, reason: str, *rest: Any, **words: Any) -> bool:
        return await super().postpone(look, AT_ONCE, reason, *rest, **words)


def retries_have_no_pause(builders: Builders) -> None:
    """A look whose source is away is made again at once."""

    def disk() -> MemoryDisk:
        made = MemoryDisk()
        made.store.looks = _Impatient(made._data)
        return made

    builders.disk = disk


class _Mute(Metrics):
    __slots__ = ()

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        return [None] * len(asked)


def clock_counts_for_samples(builders: Builders) -> None:
    """A value that is repeated counts as measured when it was asked for."""
    builders.source = _Mute


class _Trusted(Metrics):
    __slots__ = ()

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        found = await super().freshness(asked, window, step)
        return [None if isinstance(each, SourceError) else each for each in found]


def unanswered_counts_as_fresh(builders: Builders) -> None:
    """A source that does not answer how new its samples are counts as one that repeats none."""
    builders.source = _Trusted


def notice_is_kept_before_it_is_sent(builders: Builders) -> None:
    """A notice counts as sent before it is: whoever dies in between has notified nobody."""

    def hasty(kinds: Iterable[Kind], state: AppContext) -> Iterable[Kind]:
        return [replace(kind, run=_kept_first(state)) if kind.name == NOTICE else kind for kind in kinds]

    builders.kinds = hasty


def _kept_first(state: AppContext) -> Callable[[Job], Any]:
    async def notify(job: Job) -> Next:
        deployment_id = deployment_of_notice(job)
        found = await state.store.history.of([deployment_id])
        digest = repr(found)
        if digest == await state.store.notices.last_sent(job.lane, deployment_id):
            return None
        await state.store.notices.finish(job, sent=digest)
        await state.rules.receivers[job.lane].send(notice_of(found[0], state.clock()))
        return Settled.SETTLED

    return notify


def notice_of(measured: MeasuredDeployment, at: datetime) -> Notification:
    """A notice of a deployment as it is."""
    deployment: Deployment = measured.deployment
    return Notification(deployment=deployment, impact=measured.impact, headline=deployment.name, at=at)


_STORE = frozenset({Fault.STORE_FLAKY, Fault.STORE_AWAY})
_TAKEN_OVER = frozenset({Fault.PAUSE, Fault.STORE_SLOW, Fault.CLOCK, Fault.SOURCE_HANGS})

DEFECTS: dict[str, tuple[Callable[[Builders], None], frozenset[Fault]]] = {
    each.__name__: (each, faults)
    for each, faults in (
        (lease_is_forgotten, frozenset({Fault.SOURCE_HANGS, Fault.STORE_SLOW})),
        (standing_still_is_forgotten, frozenset({Fault.PAUSE})),
        (finish_asks_for_no_token, _TAKEN_OVER | {Fault.RECEIVER_HANGS}),
        (answered_before_the_commit, frozenset({Fault.CRASH})),
        (commits_are_not_synced, frozenset({Fault.CRASH})),
        (wake_up_is_missed, frozenset({Fault.STOP})),
        (noticed_before_the_row, frozenset({Fault.CRASH})),
        (follower_skips_on_error, _STORE),
        (heartbeat_revives, _TAKEN_OVER),
        (cursor_is_saved_first, frozenset({Fault.CRASH, *_STORE})),
        (retries_have_no_pause, frozenset({Fault.SOURCE_AWAY})),
        (clock_counts_for_samples, frozenset({Fault.SAMPLES_MISSING, Fault.SOURCE_LATE})),
        (unanswered_counts_as_fresh, frozenset({Fault.SOURCE_PARTIAL, Fault.SAMPLES_MISSING, Fault.SOURCE_LATE})),
        (notice_is_kept_before_it_is_sent, frozenset({Fault.CRASH, Fault.RECEIVER_AWAY})),
    )
}
"""Each with the faults of the world that may show it."""
