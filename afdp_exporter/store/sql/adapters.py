"""The ports over a database: each operation is one function of a connection, run by what writes or what reads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from typing import Concatenate, ParamSpec, TypeVar

from afdp_exporter.model import (
    Annotation,
    Announcement,
    CommitChange,
    Deployment,
    Event,
    Impact,
    Look,
    MeasuredDeployment,
    MeasuredSummary,
    Outcome,
    Prediction,
    ScoredPrediction,
    Trajectory,
)
from afdp_exporter.store import (
    Amendment,
    Announced,
    Assemble,
    Backlog,
    Job,
    NewJob,
    Overview,
    Page,
    Recorded,
    StoredChange,
)
from afdp_exporter.store.fencing import Fence
from afdp_exporter.store.sql import (
    annotations,
    announcements,
    changes,
    commit_changes,
    courses,
    cursors,
    deployments,
    events,
    impacts,
    jobs,
    looks,
    notices,
    predictions,
)
from afdp_exporter.store.sql.connection import Connection, Reading, Writing
from afdp_exporter.store.sql.recent import RecentChanges
from afdp_exporter.store.sql.rows import deployment_values

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


_FEW = 4  # reports that are looked up where they are asked for


class Adapter:
    """Runs functions of a connection: writes in the writer's transaction, reads beside it."""

    def __init__(self, writer: Writing, readers: Reading) -> None:
        self._writer = writer
        self._readers = readers

    async def _write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **words: P.kwargs) -> T:
        return await self._writer.write(lambda connection: work(connection, *args, **words))

    async def _read(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **words: P.kwargs) -> T:
        return await self._readers.read(lambda connection: query(connection, *args, **words))

    async def _look_up(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **words: P.kwargs) -> T:
        return await self._readers.look_up(lambda connection: query(connection, *args, **words))


class FencedWriter:
    """Writes for the job that is worked on, as long as its claim holds; outside of any job as the writer does."""

    def __init__(self, writer: Writing, fence: Fence) -> None:
        self._writer = writer
        self._fence = fence

    async def write(self, work: Callable[[Connection], T], /, *, synced: bool = True) -> T:
        """As the protocol has it. Raises LeaseLost, and nothing is kept then."""
        job = self._fence.job
        if job is None:
            return await self._writer.write(work, synced=synced)

        def fenced(connection: Connection) -> T:
            result = work(connection)
            jobs.check_held(connection, job)  # last, so that rows are locked in the order of any other write
            return result

        return await self._writer.write(fenced, synced=synced)

    async def write_together(self, work: Callable[[Connection, Sequence[S]], Sequence[T]], item: S, /) -> T:
        """As the protocol has it, and for a job by itself."""
        if self._fence.job is None:
            return await self._writer.write_together(work, item)
        return await self.write(lambda connection: work(connection, [item])[0])


class SQLDeployments(Adapter):
    """A `DeploymentStore`."""

    async def record(self, deployment: Deployment, looks: tuple[Look, ...], *, key: str | None = None) -> Recorded:
        report = deployments.Report(deployment, deployment_values(deployment), looks, key)
        return await self._writer.write_together(deployments.record, report)

    async def amend(self, deployment_id: str, change: Callable[[Deployment], Amendment]) -> Deployment:
        return await self._write(deployments.amend, deployment_id, change)

    async def apply_announcement(
        self, thread: str, announcement: Announcement, received_at: datetime, assemble: Assemble
    ) -> Announced:
        return await self._write(announcements.apply_announcement, thread, announcement, received_at, assemble)

    async def save_commit_change(self, change: CommitChange) -> list[Deployment]:
        return await self._write(commit_changes.save, change)

    async def find(self, deployment_id: str) -> Deployment:
        return await self._look_up(deployments.find, deployment_id)

    async def page(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        return await self._read(
            deployments.page, service=service, environment=environment, since=since, cursor=cursor, limit=limit
        )

    async def overlapping(self, start: datetime, end: datetime) -> list[Deployment]:
        return await self._read(deployments.overlapping, start, end)

    async def nearest(
        self, start: datetime, end: datetime, *, at: datetime, limit: int, target: tuple[str, str] | None = None
    ) -> list[Deployment]:
        return await self._look_up(deployments.nearest, start, end, at=at, limit=limit, target=target)

    async def service_environments(self) -> list[tuple[str, str]]:
        return await self._read(deployments.service_environments)


class SQLHistory(Adapter):
    """A `HistoryStore`."""

    async def overview(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        outcome: Outcome | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Overview:
        return await self._read(
            deployments.overview, service=service, environment=environment, outcome=outcome, cursor=cursor, limit=limit
        )

    async def measured(
        self, *, before: datetime, service: str | None = None, limit: int = 1000
    ) -> list[MeasuredDeployment]:
        return await self._read(deployments.history, before, service, limit)

    async def index(self, *, before: datetime, limit: int) -> list[MeasuredSummary]:
        return await self._read(deployments.history_index, before, limit)

    async def of(self, deployment_ids: Sequence[str]) -> list[MeasuredDeployment]:
        ask = self._look_up if len(deployment_ids) <= _FEW else self._read
        return await ask(deployments.of, deployment_ids)

    async def recent(self, per_service: int, outcomes: Collection[Outcome] | None = None) -> list[MeasuredDeployment]:
        return await self._read(deployments.recent, per_service, outcomes)

    async def under_way(self, at: datetime, since: datetime, *, limit: int) -> int:
        return await self._look_up(deployments.under_way, at, since, limit)

    async def scored_predictions(self, service: str, limit: int = 200) -> list[ScoredPrediction]:
        return await self._read(predictions.scored, service, limit)


class SQLResults(Adapter):
    """A `ResultStore`."""

    async def impact(self, deployment_id: str) -> Impact | None:
        return await self._look_up(impacts.find, deployment_id)

    async def impacts(self, deployment_ids: Sequence[str]) -> dict[str, Impact]:
        return await self._read(impacts.of_several, deployment_ids)

    async def trajectories(self, deployment_id: str) -> tuple[Trajectory, ...]:
        return await self._read(courses.of_deployment, deployment_id)

    async def trajectories_of(self, metrics: Mapping[str, str]) -> dict[str, Trajectory]:
        return await self._read(courses.of_metrics, metrics)

    async def forget_courses(self, before: datetime) -> int:
        return await self._write(courses.forget, before)

    async def predictions(self, deployment_ids: Sequence[str]) -> dict[str, Prediction]:
        return await self._read(predictions.of_several, deployment_ids)

    async def save_prediction(self, prediction: Prediction) -> None:
        await self._write(predictions.save, prediction)


class SQLChanges(Adapter):
    """A `ChangeStore`; `written` gives the event that announces the next change, `poll` is how long to wait for it."""

    def __init__(
        self,
        writer: Writing,
        readers: Reading,
        written: Callable[[], asyncio.Event],
        poll: float | None,
        recent: Callable[[], RecentChanges | None],
    ) -> None:
        super().__init__(writer, readers)
        self._written = written
        self._poll = poll
        self._recent = recent

    async def last(self) -> int:
        recent = self._recent()
        if recent is not None:
            return recent.newest
        return await self._readers.read(lambda connection: connection.last_change())

    async def since(self, seq: int, limit: int = 1000) -> list[StoredChange]:
        return await self._read(changes.since, seq, limit)

    async def follow(self, seq: int) -> AsyncIterator[list[StoredChange]]:
        while True:
            written = self._written()
            recent = self._recent()
            known = recent.since(seq) if recent is not None else None
            found = known if known is not None else await self.since(seq)
            if found:
                seq = found[-1].seq
                yield found
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll):
                        await written.wait()

    async def prune(self, keep: int) -> None:
        await self._write(changes.prune, keep)


class SQLJobs(Adapter):
    """A `JobStore`. A power cut may undo who works on what, and that it is done: then it is done again."""

    def __init__(self, writer: Writing, readers: Reading, fence: Fence) -> None:
        super().__init__(writer, readers)
        self._fenced = FencedWriter(writer, fence)
        self._fence = fence

    async def _write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **words: P.kwargs) -> T:
        return await self._writer.write(lambda connection: work(connection, *args, **words), synced=False)

    async def enqueue(self, *new: NewJob) -> None:
        await self._fenced.write(lambda connection: jobs.enqueue(connection, new))

    def holding(self, job: Job) -> AbstractContextManager[None]:
        return self._fence.holding(job)

    async def check_held(self) -> None:
        job = self._fence.job
        if job is not None:
            await self._write(jobs.check_held, job)

    async def claim(
        self,
        kind: str,
        now: datetime,
        *,
        owner: str,
        limit: int,
        lease: timedelta,
        per_lane: int | None = None,
        in_turns: bool = False,
        lanes: Collection[str] | None = None,
    ) -> list[Job]:
        return await self._write(
            jobs.claim,
            kind,
            now + await self._ahead(),
            owner=owner,
            limit=limit,
            lease=lease,
            per_lane=per_lane,
            in_turns=in_turns,
            lanes=lanes,
        )

    async def heartbeat(self, held: Sequence[Job], until: datetime) -> int:
        return await self._write(jobs.heartbeat, held, until + await self._ahead())

    async def finish(self, job: Job, again: datetime | None = None) -> bool:
        return await self._write(jobs.finish, job, again)

    async def postpone(self, job: Job, until: datetime, reason: str, *, whole_lane: bool = False) -> bool:
        return await self._write(jobs.postpone, job, until + await self._ahead(), reason, whole_lane)

    async def release(self, owner: str, kind: str | None = None) -> None:
        await self._write(jobs.release, owner, kind)

    async def next_at(
        self, kinds: Collection[str], lanes: Mapping[str, Collection[str]] | None = None
    ) -> dict[str, datetime]:
        ahead = await self._ahead()
        return {kind: at - ahead for kind, at in (await self._look_up(jobs.next_at, kinds, lanes or {})).items()}

    async def _ahead(self) -> timedelta:
        """By how much the store's clock is ahead of ours: what one process alone keeps goes by ours."""
        return timedelta()


class SQLLooks(Adapter):
    """A `LookStore`."""

    async def of_deployment(self, deployment_id: str) -> tuple[Look, ...]:
        return await self._read(looks.of_deployment, deployment_id)

    async def of_job(self, job: Job) -> Look | None:
        return await self._look_up(looks.of_job, job)

    async def finish(
        self,
        look: Look,
        impact: Impact | None,
        drawn: Sequence[Trajectory] = (),
        again: Sequence[Look] = (),
        *,
        job: Job | None = None,
    ) -> bool:
        def finish(connection: Connection) -> bool:
            if not looks.finish(connection, look, job):
                return False
            looks.add(connection, again)
            _save(connection, impact, drawn)
            return True

        return await self._write(finish)

    async def postpone(
        self,
        look: Look,
        until: datetime,
        reason: str,
        impact: Impact | None = None,
        drawn: Sequence[Trajectory] = (),
        *,
        job: Job | None = None,
    ) -> bool:
        def postpone(connection: Connection) -> bool:
            if not looks.postpone(connection, look, until, reason, job):
                return False
            _save(connection, impact, drawn)
            return True

        return await self._write(postpone)

    async def backlog(self, now: datetime, services: Collection[str] | None = None) -> Backlog:
        return await self._read(looks.backlog, now, services)


class SQLNotices(Adapter):
    """A `NoticeStore`."""

    async def set_receivers(self, names: Collection[str]) -> None:
        await self._write(notices.set_receivers, names)

    async def last_sent(self, receiver: str, deployment_id: str) -> str | None:
        return await self._read(notices.last_sent, receiver, deployment_id)

    async def begin(self, job: Job) -> None:
        await self._write(notices.begin, job)

    async def restore(self, job: Job, sent: str) -> None:
        await self._write(notices.restore, job, sent)

    async def finish(self, job: Job, *, sent: str | None, reason: str | None = None) -> None:
        await self._write(notices.finish, job, sent, reason)

    async def pending(self) -> dict[str, int]:
        return await self._read(notices.pending)


class SQLAnnotations(Adapter):
    """An `AnnotationStore`."""

    async def add(self, annotation: Annotation) -> Annotation:
        return await self._write(annotations.add, annotation)

    async def find(self, annotation_id: int) -> Annotation:
        return await self._read(annotations.find, annotation_id)

    async def search(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Sequence[str] = (),
        dashboard_uid: str | None = None,
        panel_id: int | None = None,
        limit: int = 100,
    ) -> list[Annotation]:
        wanted = annotations.Wanted(
            since=since, until=until, tags=tags, dashboard_uid=dashboard_uid, panel_id=panel_id, limit=limit
        )
        return await self._read(annotations.search, wanted)

    async def change(self, annotation_id: int, made: Callable[[Annotation], Annotation]) -> Annotation:
        return await self._write(annotations.change, annotation_id, made)

    async def remove(self, annotation_id: int) -> None:
        await self._write(annotations.remove, annotation_id)


class SQLEvents(Adapter):
    """An `EventStore`."""

    async def save(self, event: Event) -> tuple[Event, bool]:
        return await self._write(events.save, event)

    async def of(self, event_ids: Sequence[str]) -> list[Event]:
        return await self._read(events.of, event_ids)

    async def overlapping(self, start: datetime, end: datetime) -> list[Event]:
        return await self._read(events.overlapping, start, end)


class SQLCursors(Adapter):
    """A `CursorStore`."""

    async def find(self, feed: str) -> str | None:
        return await self._look_up(cursors.find, feed)

    async def save(self, feed: str, cursor: str) -> None:
        await self._write(cursors.save, feed, cursor)


def _save(connection: Connection, impact: Impact | None, drawn: Sequence[Trajectory]) -> None:
    if impact is not None and impacts.save(connection, impact):
        courses.save(connection, impact.deployment_id, drawn)
