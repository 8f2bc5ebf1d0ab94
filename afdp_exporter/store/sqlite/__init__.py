"""The store in one SQLite file: a writer thread with group commit, and a few readers beside it."""

import asyncio
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import structlog

from afdp_exporter.errors import StoreError
from afdp_exporter.store.leading import OnlyProcess
from afdp_exporter.store.sql import jobs
from afdp_exporter.store.sql.ports import SQLPorts
from afdp_exporter.store.sqlite.connection import (
    Connection,
    bring_up_to_date,
    check_version,
    is_current,
    lock,
    make_private,
    open_checked,
    open_reader,
    read_ahead,
    size_on_disk,
    translated,
    url_of_file,
    why_not_written,
)
from afdp_exporter.store.sqlite.pseudonym_key import pseudonym_key
from afdp_exporter.store.sqlite.readers import Readers
from afdp_exporter.store.sqlite.writer import LateWriter, Writer

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A file that no other process can open: its lock, and a connection to it as it is, once it is checked."""

    lock: int
    checked: "Future[Connection]"

    def let_go(self) -> None:
        """Leave the file as it was, once it is checked."""
        self.checked.add_done_callback(self._let_go)

    def _let_go(self, checked: "Future[Connection]") -> None:
        if checked.exception() is None:
            checked.result().close()
        os.close(self.lock)


class SQLiteStore(SQLPorts):
    """A `Store` in a file. One process holds it; every operation that has answered survives a crash and a power cut."""

    leaders = OnlyProcess()

    def __init__(self, path: Path, lock_descriptor: int | None, writer: Writer | LateWriter, readers: Readers) -> None:
        self._path = path
        self._file = path.stat().st_ino
        self._lock = lock_descriptor
        self._writer = writer
        self._readers = readers
        super().__init__(writer, readers, lambda: writer.written, recent=lambda: writer.recent)

    @classmethod
    async def open(cls, path: Path, *, folder: bool = False) -> "SQLiteStore":
        """Make or open the file, bring its schema up to date, give back jobs that an ended process held.

        With `folder` its folder is made, too.

        On a disk that is full or can only be read, a store that is there is read; what would be written is refused
        until it can be. Raises StoreError where the file cannot be used or is in use, StoreDamaged where it is broken
        or not ours.
        """
        return await cls.finish(path, await asyncio.to_thread(cls.begin, path, folder=folder))

    @staticmethod
    def begin(path: Path, *, folder: bool = False) -> Held:
        """Hold the file and have it checked by a thread: a gigabyte takes a second. `finish` does the rest of `open`.

        Raises StoreError where it cannot be held.
        """
        check_version()
        make_private(path, folder=folder)
        held = lock(path)
        read_ahead(path)
        thread = ThreadPoolExecutor(1, thread_name_prefix="check")
        try:
            return Held(held, thread.submit(open_checked, path))
        finally:
            thread.shutdown(wait=False)

    @classmethod
    async def finish(cls, path: Path, held: Held) -> "SQLiteStore":
        """The store, once its file is checked. Raises as `open`."""
        connection, readers = await asyncio.to_thread(_finish, path, held)
        if isinstance(connection, StoreError):
            log.error("the store is only read", error=str(connection))
            late = LateWriter(connection, lambda: _open_writer(path), readers.renew)
            return cls(path, held.lock, late, readers)
        return cls(path, held.lock, Writer(connection), readers)

    @classmethod
    def to_read(cls, path: Path) -> "SQLiteStore":
        """A store that another process holds, to read what it holds; it writes nothing. Raises StoreError."""
        check_version()
        refusal = StoreError(f"{path}: another process writes to it, this one only reads")

        def refused() -> Connection:
            raise refusal

        return cls(path, None, LateWriter(refusal, refused, lambda: None), Readers(path))

    @property
    def url(self) -> str:
        """As the port has it."""
        return url_of_file(self._path)

    @property
    def writable(self) -> bool:
        """As the port has it."""
        return self._writer.writes

    @property
    def healthy(self) -> bool:
        """Whether it can still take in anything, and its file is where it was."""
        try:
            return self._writer.alive and self._path.stat().st_ino == self._file
        except OSError:
            return False

    async def pseudonym_key(self) -> bytes:
        """In the file `salt` beside the database."""
        return await asyncio.to_thread(pseudonym_key, self._path.parent)

    async def size_bytes(self) -> int:
        """Of the file and its log."""
        return await asyncio.to_thread(size_on_disk, self._path)

    async def close(self) -> None:
        """Finish what was accepted and let go of the file."""
        await asyncio.to_thread(self._readers.close)
        await asyncio.to_thread(self._writer.close)
        if self._lock is not None:
            os.close(self._lock)


def _finish(path: Path, held: Held) -> tuple[Connection | StoreError, Readers]:
    with ExitStack() as undo:
        undo.callback(held.let_go)
        try:
            connection: Connection | StoreError = _made_ready(held.checked.result(), path)
        except StoreError as error:
            refusal = why_not_written(path, error)
            if refusal is None or not _readable(path):
                raise
            connection = refusal
        readers = Readers(path)
        undo.pop_all()
    return connection, readers


def _made_ready(checked: Connection, path: Path) -> Connection:
    """The connection, over a file with today's schema and jobs that nobody holds. It is closed where this raises."""
    bring_up_to_date(checked, path)
    try:
        with translated(path):
            jobs.release(checked, None, None)  # nobody but this process holds the file
    except BaseException:
        checked.close()
        raise
    return checked


def _open_writer(path: Path) -> Connection:
    return _made_ready(open_checked(path), path)


def _readable(path: Path) -> bool:
    """Whether a store that cannot be written to now can be read as it is."""
    try:
        connection = open_reader(path)
    except StoreError:
        return False
    with closing(connection):
        return is_current(connection)
