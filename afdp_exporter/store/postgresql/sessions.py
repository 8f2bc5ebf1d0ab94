"""Runs the store's SQL on a few connections: what writes in a transaction of its own, what reads beside it.

A transaction that PostgreSQL gave up is run again, and so is one whose connection was lost before its commit. Where the
connection is lost in the commit itself, PostgreSQL is asked what became of it: an answer is never guessed.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import psycopg
from psycopg import errors
from psycopg_pool import ConnectionPool, PoolTimeout

from afdp_exporter.errors import AFDPError, StoreError
from afdp_exporter.store.postgresql.session import (
    Row,
    Session,
    configure,
    connection_words,
    is_away,
    password_of,
    translate,
)

S = TypeVar("S")
T = TypeVar("T")

_WRITERS, _READERS = 4, 4
_PATIENCE = 10.0  # seconds that an operation waits for a PostgreSQL that is away
_PAUSE = 0.1  # seconds between two tries
_STATUS = "SELECT pg_xact_status('{}'::xid8) AS status"
_GIVEN_UP = (errors.SerializationFailure, errors.DeadlockDetected)


class Sessions:
    """A way to write and one to read; `wrote` is called after each write."""

    def __init__(self, url: str, wrote: Callable[[], None]) -> None:
        self._wrote = wrote
        self._password = password_of(url)
        self._pool: ConnectionPool[psycopg.Connection[Row]] = ConnectionPool(
            url,
            kwargs=connection_words(),
            configure=configure,
            min_size=1,
            max_size=_WRITERS + _READERS,
            timeout=_PATIENCE,
            reconnect_timeout=1,
            open=True,
            name="store",
        )
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self._closed = False
        self._answers = True

    @property
    def answers(self) -> bool:
        """Whether PostgreSQL answered when it was asked last."""
        return self._answers and not self._closed

    @property
    def closed(self) -> bool:
        """Whether nothing can be done any more."""
        return self._closed

    async def write(self, work: Callable[[Session], T], /, *, synced: bool = True) -> T:  # noqa: ARG002
        """Run `work` in a transaction; what it raises undoes it. Raises StoreError besides.

        All of it is synced: a server has other writers, who wait for each other anyway.
        """
        result = await self._within(self._writers, self._write, work)
        self._wrote()
        return result

    async def write_together(self, work: Callable[[Session, Sequence[S]], Sequence[T]], item: S, /) -> T:
        """By itself: several connections write at once, and nobody waits behind another."""
        return await self.write(lambda session: work(session, [item])[0])

    async def read(self, query: Callable[[Session], T], /) -> T:
        """The answer of `query`. Raises StoreError."""
        return await self._within(self._readers, self._read, query)

    async def look_up(self, query: Callable[[Session], T], /) -> T:
        """As `read`: the server is always further away than a thread."""
        return await self.read(query)

    def close(self) -> None:
        """Finish what was accepted, and let go of all connections; blocks until then."""
        self._closed = True
        self._writers.shutdown()
        self._readers.shutdown()
        self._pool.close()

    async def _within(
        self,
        threads: ThreadPoolExecutor,
        way: Callable[[Callable[[Session], T], float], T],
        work: Callable[[Session], T],
    ) -> T:
        if self._closed:
            raise StoreError("the store is closed")
        until = time.monotonic() + _PATIENCE  # from now on: who waits behind others does not wait for longer
        return await asyncio.get_running_loop().run_in_executor(threads, self._patiently, way, work, until)

    def _patiently(
        self, way: Callable[[Callable[[Session], T], float], T], work: Callable[[Session], T], until: float
    ) -> T:
        while True:
            try:
                result = way(work, until)
            except _GIVEN_UP as error:
                if time.monotonic() >= until:
                    raise translate(error) from None
            except (psycopg.Error, PoolTimeout) as error:
                if not isinstance(error, PoolTimeout) and not is_away(error):
                    raise translate(error, password=self._password) from None
                self._answers = False
                if time.monotonic() >= until:
                    raise self._plain(error) from None
            else:
                self._answers = True
                return result
            time.sleep(_PAUSE)

    def _plain(self, error: psycopg.Error | PoolTimeout) -> AFDPError:
        if isinstance(error, PoolTimeout):
            return StoreError("PostgreSQL does not answer: no connection can be made")
        return translate(error, password=self._password)

    def _read(self, query: Callable[[Session], T], until: float) -> T:
        connection = self._connection(until)
        try:
            return query(Session(connection))
        finally:
            self._pool.putconn(connection)

    def _write(self, work: Callable[[Session], T], until: float) -> T:
        connection = self._connection(until)
        try:
            connection.execute("BEGIN")
            session = Session(connection)
            result = work(session)
            number = session.flush()
            try:
                connection.execute("COMMIT")
            except psycopg.Error as error:
                if number is None or not is_away(error):
                    raise
            else:
                return result
        finally:
            self._pool.putconn(connection)  # which takes back what is open, and throws away what is broken
        if self._was_committed(number, until):
            return result
        return self._write(work, until)

    def _was_committed(self, number: int, until: float) -> bool:
        """What became of a transaction whose commit had no answer. Raises StoreError where nobody can say."""
        self._answers = False
        with suppress(psycopg.Error, PoolTimeout):
            while time.monotonic() < until:
                (row,) = self._read(lambda session: session.run(_STATUS.format(number)), until)
                if row["status"] != "in progress":
                    return bool(row["status"] == "committed")
                time.sleep(_PAUSE)
        raise StoreError("PostgreSQL went away while it kept this; whether it is kept is not known, ask again")

    def _connection(self, until: float) -> psycopg.Connection[Row]:
        return self._pool.getconn(timeout=max(until - time.monotonic(), _PAUSE))
