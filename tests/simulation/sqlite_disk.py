"""What outlives a process: a store in a file of SQLite, on a disk that fails and loses what was not synced."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from afdp_exporter.model import Deployment, Impact, Look
from afdp_exporter.store.sql import impacts, looks, rows
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.ports import SQLPorts
from afdp_exporter.store.sqlite import _open_writer
from afdp_exporter.store.sqlite.connection import SQLError, open_reader, translate
from afdp_exporter.store.sqlite.writer import Writer, _Job
from faulty_disk import Call, FaultyDisk, Trouble, faulty
from simulation.conditions import Conditions, Fault
from simulation.disk import Disk

S = TypeVar("S")
T = TypeVar("T")

_CHECKPOINT = 40  # pages after which the log is taken over into the file, so that this happens many times a day


class _AtOnce(Writer):
    """The writer's own commits, without its thread; it is never waited for a disk that does not sync."""

    def __init__(self, connection: Any, *, syncs: bool) -> None:
        self._connection = connection
        self._syncs = syncs
        self._waits = True
        self._written = asyncio.Event()
        self._last = 0

    async def write(self, work: Callable[[Any], T], *, synced: bool = True) -> T:
        """As `Writer.write`."""
        [answer], _ = self._commit([_Job(work, None, synced=synced)])  # type: ignore[arg-type] - nobody waits for it
        if answer.error is not None:
            raise answer.error
        written, self._written = self._written, asyncio.Event()
        written.set()
        return answer.result  # type: ignore[no-any-return]

    def _wait_for_disk(self, waits: bool) -> None:
        if self._syncs:
            super()._wait_for_disk(waits)

    async def write_together(self, work: Callable[[Any, Sequence[S]], Sequence[T]], item: S) -> T:
        """As `Writer.write_together`."""
        return await self.write(lambda connection: work(connection, [item])[0])


class _Reader:
    """Reads in place."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def read(self, query: Callable[[Any], T]) -> T:
        """As `Readers.read`."""
        try:
            return query(self._connection)
        except SQLError as error:
            raise translate(error) from error

    async def look_up(self, query: Callable[[Any], T]) -> T:
        """As `Readers.look_up`."""
        return await self.read(query)


class SQLiteDisk(Disk):
    """One file; the episodes of a run say when its disk is in trouble."""

    synchronous = "FULL"

    def __init__(self) -> None:
        self._undo = ExitStack()
        self._folder = Path(self._undo.enter_context(TemporaryDirectory()))
        self._disk = self._undo.enter_context(faulty(FaultyDisk(self._folder)))
        self._connections: tuple[Any, ...] = ()
        self._open()

    def suffer(self, conditions: Conditions, chance: random.Random) -> None:
        """As the port has it."""
        self._disk.chance = chance

        def strikes(_: Call) -> Trouble | None:
            if conditions.now(Fault.DISK_FULL) is not None:
                return Trouble.FULL
            fails = conditions.now(Fault.DISK_FAILS)
            if fails is not None and chance.random() < fails.size**3:
                return chance.choice([Trouble.IO, Trouble.TORN])
            return None

        self._disk.strikes = strikes

    def news(self) -> asyncio.Event:
        """As the port has it."""
        return self._writer.written

    def reopened(self) -> None:
        """As the port has it; half of those that have ended went down with the machine."""
        self._disk.is_dead = True
        self._close()
        self._disk.is_dead = False
        if self._disk.chance.random() < 0.5:
            self._disk.cut_power()
        for left in self._folder.glob("*-shm"):
            left.unlink()
        self._open()

    def deployments(self) -> dict[str, Deployment]:
        """As the port has it."""
        found = self._see(lambda seen: seen.execute("SELECT * FROM deployments").fetchall())
        return {row["id"]: rows.deployment_of(row) for row in found}

    def impacts(self) -> dict[str, Impact]:
        """As the port has it."""
        return self._see(lambda seen: impacts.of_several(seen, tuple(self.deployments())))

    def looks(self) -> Iterable[Look]:
        """As the port has it."""
        return [rows.look_of(row) for row in self._see(lambda seen: seen.execute(looks._SELECT).fetchall())]

    def open_jobs(self) -> list[tuple[str, str]]:
        """As the port has it."""
        found = self._see(lambda seen: seen.execute("SELECT kind, key FROM jobs").fetchall())
        return [(row["kind"], row["key"]) for row in found]

    def close(self) -> None:
        """As the port has it."""
        self._disk.is_dead = True
        self._close()
        self._undo.close()

    def _see(self, query: Callable[[Connection], T]) -> T:
        return query(self._connections[1])

    def _open(self) -> None:
        path = self._folder / "store.db"
        writes = _open_writer(path)
        self._connections = (writes,)
        writes.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        writes.execute(f"PRAGMA synchronous = {self.synchronous}")
        self._connections = (writes, open_reader(path))
        self._writer = _AtOnce(writes, syncs=self.synchronous == "FULL")
        self.store = SQLPorts(self._writer, _Reader(self._connections[1]), lambda: self._writer.written)  # type: ignore[assignment]

    def _close(self) -> None:
        for connection in self._connections:
            with suppress(SQLError):
                connection.close()
        self._connections = ()
