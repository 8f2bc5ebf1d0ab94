"""The store in one SQLite file: a writer thread with group commit, and a few readers beside it."""

import asyncio
import os
from contextlib import ExitStack, closing
from pathlib import Path

import structlog

from afdp_exporter.errors import StoreError
from afdp_exporter.store.leading import OnlyProcess
from afdp_exporter.store.sql import jobs
from afdp_exporter.store.sql.ports import SQLPorts
from afdp_exporter.store.sqlite.connection import (
    Connection,
    check_version,
    is_current,
    lock,
    make_private,
    open_reader,
    open_writer,
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
        held, connection, readers = await asyncio.to_thread(_open, path, folder)
        if isinstance(connection, StoreError):
            log.error("the store is only read", error=str(connection))
            late = LateWriter(connection, lambda: _open_writer(path), readers.renew)
            return cls(path, held, late, readers)
        return cls(path, held, Writer(connection), readers)

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


def _open(path: Path, folder: bool) -> tuple[int, Connection | StoreError, Readers]:
    check_version()
    make_private(path, folder=folder)
    with ExitStack() as undo:
        held = lock(path)
        undo.callback(os.close, held)
        read_ahead(path)
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
            jobs.release(connection, None, None)  # nobody but this process holds the file
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
