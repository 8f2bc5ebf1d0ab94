"""One thread with the one connection that writes: many operations to a commit, each in a savepoint of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from afdp_exporter.errors import StoreError
from afdp_exporter.store import StoredChange
from afdp_exporter.store.sql.recent import RecentChanges
from afdp_exporter.store.sqlite.connection import Connection, SQLError, translate

S = TypeVar("S")
T = TypeVar("T")

_BATCH = 256
_BETWEEN_TRIES = 5.0  # seconds until a file that could not be written to is tried again


@dataclass(frozen=True, slots=True)
class _Job:
    """One operation; one without an item shares its work with no other."""

    work: Callable[..., Any]
    answer: asyncio.Future[Any]
    item: Any = None
    alone: bool = True
    synced: bool = True


@dataclass(frozen=True, slots=True)
class _Answer:
    job: _Job
    result: Any = None
    error: Exception | None = None


class Writer:
    """Runs operations in their order; an operation has its answer once the commit that holds it is on disk."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[list[_Job] | None] = SimpleQueue()
        self._turn: list[_Job] = []
        self._waits = True
        self._ended = False
        self._written = asyncio.Event()
        self.recent = RecentChanges(connection.last_change())
        self._last = self.recent.newest  # of what is committed, which the event loop may not know yet
        self._ending = threading.Lock()  # between taking in a job and ending, so that none is left without an answer
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def writes(self) -> bool:
        """Whether it can write now."""
        return self.alive

    @property
    def alive(self) -> bool:
        """Whether it can still write."""
        return self._thread.is_alive() and not self._ended

    @property
    def written(self) -> asyncio.Event:
        """Set by the next commit."""
        return self._written

    async def write(self, work: Callable[[Connection], T], *, synced: bool = True) -> T:
        """Run `work` in a transaction; what it raises undoes its own changes only. Raises StoreError besides."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._put(_Job(work, answer, synced=synced))
        return await answer

    async def write_together(self, work: Callable[[Connection, Sequence[S]], Sequence[T]], item: S) -> T:
        """As the protocol has it."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._put(_Job(work, answer, item, alone=False))
        return await answer

    def _put(self, job: _Job) -> None:
        """Hand a job over with all others of this turn of the event loop, so that they share a commit."""
        with self._ending:
            if self._ended:
                raise StoreError("the store is closed")
            self._turn.append(job)
            if len(self._turn) == 1:
                self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        with self._ending:
            for begin in range(0, len(self._turn), _BATCH):
                self._jobs.put(self._turn[begin : begin + _BATCH])
            self._turn.clear()

    def close(self) -> None:
        """Finish what was accepted, and let go of the connection; blocks until then."""
        with self._ending:
            self._ended = True
        self._hand_over()
        self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        batch: list[_Job] = []
        try:
            while batch := self._take():
                self._answer(*self._commit(batch))
        finally:
            with self._ending:
                self._ended = True
            self._hand_over()
            left = [*batch, *self._waiting()]
            self._answer([_Answer(job, error=StoreError("the store's writer has ended")) for job in left])

    def _take(self) -> list[_Job]:
        """What waits now, up to a batch and what came along with its last; at least one, nothing at the end."""
        first = self._jobs.get()
        return [] if first is None else [*first, *self._waiting(_BATCH - len(first))]

    def _waiting(self, most: int | None = None) -> Iterable[_Job]:
        taken = 0
        while most is None or taken < most:
            try:
                jobs = self._jobs.get_nowait()
            except Empty:
                return
            if jobs is None:
                self._jobs.put(None)
                return
            taken += len(jobs)
            yield from jobs

    def _commit(self, batch: list[_Job]) -> tuple[list[_Answer], list[StoredChange]]:
        """The answers, and what was appended to the changes."""
        self._connection.changed.clear()
        try:
            self._wait_for_disk(any(job.synced for job in batch))
            self._connection.execute("BEGIN IMMEDIATE")
            first, *more = _alike(batch)
            answers = [answer for jobs in (first, *more) for answer in self._apply(jobs)] if more else self._try(first)
            self._connection.execute("COMMIT")
        except SQLError as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return [_Answer(job, error=translate(error)) for job in batch], []
        changed = [
            StoredChange(seq=seq, kind=change.kind, id=change.id, recorded=change.recorded)
            for seq, change in enumerate(self._connection.changed, self._last + 1)
        ]
        self._last += len(changed)
        return answers, changed

    def _wait_for_disk(self, waits: bool) -> None:
        """Whether the next commit waits until it is on disk, with all before it."""
        if waits is not self._waits:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if waits else 'NORMAL'}")
            self._waits = waits

    def _try(self, jobs: Sequence[_Job]) -> list[_Answer]:
        """What has a transaction for itself needs no savepoint: where it fails, the transaction begins anew."""
        try:
            return self._answers(jobs)
        except Exception as error:
            if not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK")
            self._connection.changed.clear()
            self._connection.execute("BEGIN IMMEDIATE")
            return self._by_themselves(jobs, error)

    def _apply(self, jobs: Sequence[_Job]) -> list[_Answer]:
        self._connection.execute("SAVEPOINT job")
        changed = len(self._connection.changed)
        try:
            answers = self._answers(jobs)
        except Exception as error:
            if not self._connection.in_transaction:  # SQLite gave up the whole batch
                raise
            self._connection.execute("ROLLBACK TO job")
            del self._connection.changed[changed:]
            answers = self._by_themselves(jobs, error)
        self._connection.execute("RELEASE job")
        return answers

    def _answers(self, jobs: Sequence[_Job]) -> list[_Answer]:
        if jobs[0].alone:
            return [_Answer(jobs[0], result=jobs[0].work(self._connection))]
        results = jobs[0].work(self._connection, [job.item for job in jobs])
        return [_Answer(job, result=result) for job, result in zip(jobs, results, strict=True)]

    def _by_themselves(self, jobs: Sequence[_Job], error: Exception) -> list[_Answer]:
        """The answers where they cannot be done together."""
        if len(jobs) > 1:
            return [answer for job in jobs for answer in self._apply([job])]
        return [_Answer(jobs[0], error=translate(error) if isinstance(error, SQLError) else error)]

    def _answer(self, answers: list[_Answer], changes: Sequence[StoredChange] = ()) -> None:
        with suppress(RuntimeError):  # the loop is gone, and with it everyone who waited
            self._loop.call_soon_threadsafe(self._resolve, answers, changes)

    def _resolve(self, answers: list[_Answer], changes: Sequence[StoredChange]) -> None:
        self.recent.add(changes)
        written, self._written = self._written, asyncio.Event()
        written.set()  # before the answers, so that a writer finds its change followed
        for answer in answers:
            future = answer.job.answer
            if future.done():
                continue
            if answer.error is not None:
                future.set_exception(answer.error)
            else:
                future.set_result(answer.result)


def _alike(batch: Iterable[_Job]) -> Iterator[list[_Job]]:
    """What can be done together, in order."""
    for _, jobs in groupby(batch, lambda job: job if job.alone else job.work):
        yield list(jobs)


class LateWriter:
    """Stands for a writer while the file cannot be written to: refuses, and tries now and then whether it can be.

    `opened` is called with the connection once it can; what it raises leaves everything as it was.
    """

    def __init__(
        self, refusal: StoreError, open_connection: Callable[[], Connection], opened: Callable[[], None]
    ) -> None:
        self._refusal = refusal
        self._open = open_connection
        self._opened = opened
        self._writer: Writer | None = None
        self._written = asyncio.Event()
        self._trying = asyncio.Lock()
        self._tried = float("-inf")

    @property
    def alive(self) -> bool:
        """Whether it can still write, or may later."""
        return self._writer is None or self._writer.alive

    @property
    def writes(self) -> bool:
        """Whether it can write now."""
        return self._writer is not None

    @property
    def recent(self) -> RecentChanges | None:
        """What was committed lately; None while it cannot write."""
        return None if self._writer is None else self._writer.recent

    @property
    def written(self) -> asyncio.Event:
        """As `Writer.written`; set, too, when it can write."""
        return self._written if self._writer is None else self._writer.written

    async def write(self, work: Callable[[Connection], T], *, synced: bool = True) -> T:
        """As `Writer.write`."""
        return await (await self._found()).write(work, synced=synced)

    async def write_together(self, work: Callable[[Connection, Sequence[S]], Sequence[T]], item: S) -> T:
        """As `Writer.write_together`."""
        return await (await self._found()).write_together(work, item)

    def close(self) -> None:
        """As `Writer.close`."""
        if self._writer is not None:
            self._writer.close()

    async def _found(self) -> Writer:
        if self._writer is None:
            async with self._trying:
                await self._try()
        if self._writer is None:
            raise type(self._refusal)(str(self._refusal))
        return self._writer

    async def _try(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._writer is not None or now - self._tried < _BETWEEN_TRIES:
            return
        self._tried = now
        with suppress(StoreError):
            connection = await asyncio.to_thread(self._open)
            await asyncio.to_thread(self._opened)
            self._writer = Writer(connection)
            self._written.set()
