"""The store in one SQLite file: a writer thread with group commit, and a few readers beside it."""

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from afdp_exporter.errors import StoreError
from afdp_exporter.model import (
    Annotation,
    Announcement,
    Change,
    Course,
    Deployment,
    DueNotice,
    Event,
    Foretold,
    Impact,
    Look,
    Measured,
    Outcome,
    Outline,
    Prediction,
)
from afdp_exporter.store import (
    Amendment,
    Announced,
    Assemble,
    Backlog,
    Overview,
    Page,
    Recorded,
    annotations,
    announcements,
    changes,
    courses,
    cursors,
    deployments,
    events,
    impacts,
    looks,
    notices,
    predictions,
)
from afdp_exporter.store.automation import SQLiteAutomation
from afdp_exporter.store.connection import (
    Connection,
    check_version,
    is_current,
    lock,
    make_private,
    open_reader,
    open_writer,
    size_on_disk,
    translated,
    why_not_written,
)
from afdp_exporter.store.readers import Readers
from afdp_exporter.store.rows import deployment_values
from afdp_exporter.store.salt import salt
from afdp_exporter.store.writer import LateWriter, Writer

log = structlog.get_logger(__name__)


class SQLiteStore:
    """A `Store` in a file. One process holds it; every operation that has answered survives a crash and a power cut."""

    def __init__(self, path: Path, lock_descriptor: int, writer: Writer | LateWriter, readers: Readers) -> None:
        self._path = path
        self._file = path.stat().st_ino
        self._lock = lock_descriptor
        self._writer = writer
        self._readers = readers
        self.automation = SQLiteAutomation(writer, readers)

    @classmethod
    async def open(cls, path: Path, *, folder: bool = False) -> "SQLiteStore":
        """Make or open the file, bring its schema up to date, give back looks that an ended process had taken.

        With `folder` its folder is made, too.

        On a disk that is full or can only be read, a store that is there is read; what would be written is refused
        until it can be. Raises StoreError where the file cannot be used or is in use, StoreDamaged where it is broken
        or not ours.
        """
        held, connection, readers = await asyncio.to_thread(_open, path, folder)
        if isinstance(connection, StoreError):
            log.error("the store is only read", error=str(connection))
            late = LateWriter(connection, lambda: _open_writer(path), readers.renew)
            return cls(path, held, late, readers)
        return cls(path, held, Writer(connection), readers)

    @property
    def writable(self) -> bool:
        """Whether it takes in anything now."""
        return self._writer.writes

    @property
    def healthy(self) -> bool:
        """Whether it can still take in anything, and its file is where it was."""
        try:
            return self._writer.alive and self._path.stat().st_ino == self._file
        except OSError:
            return False

    async def record(self, deployment: Deployment, looks: tuple[Look, ...], *, key: str | None = None) -> Recorded:
        """Keep a deployment, its looks and its idempotency key in one transaction; an id or key is taken once."""
        values = deployment_values(deployment)
        return await self._writer.write(lambda connection: deployments.record(connection, values, looks, key))

    async def amend(self, deployment_id: str, change: Callable[[Deployment], Amendment]) -> Deployment:
        """Read, change and keep a deployment in one transaction; `change` runs in the writer's thread."""
        return await self._writer.write(lambda connection: deployments.amend(connection, deployment_id, change))

    async def announce(
        self, thread: str, announcement: Announcement, received_at: datetime, assemble: Assemble
    ) -> Announced:
        """Keep an announcement and what its thread becomes by it, in one transaction; an event is taken once."""
        return await self._writer.write(
            lambda connection: announcements.announce(connection, thread, announcement, received_at, assemble)
        )

    async def describe(self, change: Change) -> list[Deployment]:
        """Keep what a commit changed; the deployments that bring it, now or later, have its traits beside their own."""
        return await self._writer.write(lambda connection: changes.describe(connection, change))

    async def tell(self, event: Event) -> tuple[Event, bool]:
        """Keep an event that is no deployment, or what is new of it, and whether it was not there before."""
        return await self._writer.write(lambda connection: events.tell(connection, event))

    async def events(self, start: datetime, end: datetime) -> list[Event]:
        """The events that touch a window, oldest first; one without end counts until a day after it was told last."""
        return await self._readers.read(lambda connection: events.between(connection, start, end))

    async def deployment(self, deployment_id: str) -> Deployment:
        """One deployment. Raises NotFound."""
        return await self._readers.read(lambda connection: deployments.find(connection, deployment_id))

    async def deployments(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """A page of deployments by their start, newest first. Raises BadInput for a cursor that is none of ours."""
        return await self._readers.read(
            lambda connection: deployments.page(
                connection, service=service, environment=environment, since=since, cursor=cursor, limit=limit
            )
        )

    async def overview(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        outcome: Outcome | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Overview:
        """A page of deployments with what they did, newest first; `outcome` is the measured one."""
        return await self._readers.read(
            lambda connection: deployments.overview(
                connection, service=service, environment=environment, outcome=outcome, cursor=cursor, limit=limit
            )
        )

    async def between(self, start: datetime, end: datetime) -> list[Deployment]:
        """Every deployment, planned ones left out, whose rollout touches the window; oldest first."""
        return await self._readers.read(lambda connection: deployments.between(connection, start, end))

    async def history(self, *, before: datetime, service: str | None = None, limit: int = 1000) -> list[Measured]:
        """The newest measured deployments that ended before an instant, oldest first."""
        return await self._readers.read(lambda connection: deployments.history(connection, before, service, limit))

    async def outlines(self, *, before: datetime, limit: int) -> list[Outline]:
        """The same deployments as those of the history, in short."""
        return await self._readers.read(lambda connection: deployments.outlines(connection, before, limit))

    async def recent(self, per_service: int) -> list[Measured]:
        """The newest deployments of each service and environment."""
        return await self._readers.read(lambda connection: deployments.recent(connection, per_service))

    async def places(self) -> list[tuple[str, str]]:
        """Each service and environment of which a deployment is known."""
        return await self._readers.read(deployments.places)

    async def impact(self, deployment_id: str) -> Impact | None:
        """What is known of a deployment's impact by now."""
        return await self._readers.read(lambda connection: impacts.find(connection, deployment_id))

    async def impacts(self, deployment_ids: Sequence[str]) -> dict[str, Impact]:
        """What is known of the impacts of several, by deployment."""
        return await self._readers.read(lambda connection: impacts.of_several(connection, deployment_ids))

    async def courses(self, deployment_id: str) -> tuple[Course, ...]:
        """What each metric did around a deployment, beside what was expected."""
        return await self._readers.read(lambda connection: courses.of_deployment(connection, deployment_id))

    async def chosen_courses(self, metrics: Mapping[str, str]) -> dict[str, Course]:
        """One course for each deployment: that of the metric which is chosen for it, where it is known."""
        return await self._readers.read(lambda connection: courses.of_metrics(connection, metrics))

    async def looks(self, deployment_id: str) -> tuple[Look, ...]:
        """All looks at a deployment in order of time."""
        return await self._readers.read(lambda connection: looks.of_deployment(connection, deployment_id))

    async def claim_looks(self, now: datetime, *, limit: int, lease: timedelta) -> list[Look]:
        """Take looks whose time has come; one that is not finished within its lease is given out again."""
        return await self._writer.write(lambda connection: looks.claim(connection, now, limit, lease))

    async def finish_look(
        self, look: Look, impact: Impact | None, drawn: Sequence[Course] = (), again: Sequence[Look] = ()
    ) -> None:
        """Keep the answer of a look, the impact that it found and the courses that show it, in one transaction."""

        def finish(connection: Connection) -> None:
            if looks.finish(connection, look):
                looks.add(connection, again)
                _keep(connection, impact, drawn)

        await self._writer.write(finish)

    async def postpone_look(
        self, look: Look, until: datetime, reason: str, impact: Impact | None = None, drawn: Sequence[Course] = ()
    ) -> None:
        """Let a look wait for a source that is away, and keep what is known so far."""

        def postpone(connection: Connection) -> None:
            if looks.postpone(connection, look, until, reason):
                _keep(connection, impact, drawn)

        await self._writer.write(postpone)

    async def next_look_at(self) -> datetime | None:
        """When the next look is due, waits for its retry, or loses its lease; None where nothing is left."""
        return await self._readers.read(looks.next_at)

    async def backlog(self, now: datetime) -> Backlog:
        """How many looks are due without an answer, and since when."""
        return await self._readers.read(lambda connection: looks.backlog(connection, now))

    async def foretell(self, prediction: Prediction) -> None:
        """Keep what is expected of a stored deployment; once anything is measured, the earlier word stays."""
        await self._writer.write(lambda connection: predictions.keep(connection, prediction))

    async def came_true(self, service: str, limit: int = 200) -> list[Foretold]:
        """The newest predictions of a service beside what was measured."""
        return await self._readers.read(lambda connection: predictions.came_true(connection, service, limit))

    async def set_receivers(self, names: Collection[str]) -> None:
        """From now on these hear of every change of a deployment; what waits for others is dropped."""
        await self._writer.write(lambda connection: notices.set_receivers(connection, names))

    async def due_notices(self, now: datetime, *, limit: int, without: Collection[str] = ()) -> list[DueNotice]:
        """What receivers are to be told now."""
        return await self._readers.read(lambda connection: notices.due(connection, now, limit, without))

    async def finish_notice(self, notice: DueNotice, *, sent: str | None, reason: str | None = None) -> None:
        """Nothing is left to tell, unless something has changed meanwhile."""
        await self._writer.write(lambda connection: notices.finish(connection, notice, sent, reason))

    async def postpone_notice(self, notice: DueNotice, until: datetime, reason: str) -> None:
        """Count a failure, and let everything that is due for this receiver wait."""
        await self._writer.write(lambda connection: notices.postpone(connection, notice, until, reason))

    async def pending_notices(self) -> dict[str, int]:
        """How many notices wait for each receiver."""
        return await self._readers.read(notices.pending)

    async def add_annotation(self, annotation: Annotation) -> Annotation:
        """Keep an annotation; it comes back with its id, which is never given to another one."""
        return await self._writer.write(lambda connection: annotations.add(connection, annotation))

    async def annotation(self, annotation_id: int) -> Annotation:
        """One annotation. Raises NotFound."""
        return await self._readers.read(lambda connection: annotations.find(connection, annotation_id))

    async def annotations(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Sequence[str] = (),
        dashboard_uid: str | None = None,
        panel_id: int | None = None,
        limit: int = 100,
    ) -> list[Annotation]:
        """Those with all of the tags that touch the time, newest first."""
        wanted = annotations.Wanted(
            since=since, until=until, tags=tags, dashboard_uid=dashboard_uid, panel_id=panel_id, limit=limit
        )
        return await self._readers.read(lambda connection: annotations.search(connection, wanted))

    async def change_annotation(self, annotation_id: int, made: Callable[[Annotation], Annotation]) -> Annotation:
        """Read, change and keep an annotation in one transaction. Raises NotFound."""
        return await self._writer.write(lambda connection: annotations.change(connection, annotation_id, made))

    async def remove_annotation(self, annotation_id: int) -> None:
        """Forget an annotation; the deployment that it told of stays. Raises NotFound."""
        await self._writer.write(lambda connection: annotations.remove(connection, annotation_id))

    async def cursor(self, feed: str) -> str | None:
        """Up to where a feed was read; None where it never was."""
        return await self._readers.read(lambda connection: cursors.find(connection, feed))

    async def keep_cursor(self, feed: str, cursor: str) -> None:
        """Keep up to where a feed was read."""
        await self._writer.write(lambda connection: cursors.keep(connection, feed, cursor))

    async def salt(self) -> bytes:
        """32 random bytes, in the file `salt` beside the database."""
        return await asyncio.to_thread(salt, self._path.parent)

    async def size_bytes(self) -> int:
        """What the store takes on disk."""
        return await asyncio.to_thread(size_on_disk, self._path)

    async def close(self) -> None:
        """Finish what was accepted and let go of the file."""
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._writer.close)
        os.close(self._lock)


def _open(path: Path, folder: bool) -> tuple[int, Connection | StoreError, Readers]:
    check_version()
    make_private(path, folder=folder)
    with ExitStack() as undo:
        held = lock(path)
        undo.callback(os.close, held)
        try:
            connection: Connection | StoreError = _open_writer(path)
        except StoreError as error:
            refusal = why_not_written(path, error)
            if refusal is None or not _readable(path):
                raise
            connection = refusal
        if not isinstance(connection, StoreError):
            undo.callback(connection.close)
        readers = Readers(path)
        undo.pop_all()
    return held, connection, readers


def _open_writer(path: Path) -> Connection:
    connection = open_writer(path)
    try:
        with translated(path):
            looks.release(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _readable(path: Path) -> bool:
    """Whether a store that cannot be written to now can be read as it is."""
    try:
        connection = open_reader(path)
    except StoreError:
        return False
    with closing(connection):
        return is_current(connection)


def _keep(connection: Connection, impact: Impact | None, drawn: Sequence[Course]) -> None:
    if impact is not None and impacts.keep(connection, impact):
        courses.keep(connection, impact.deployment_id, drawn)
