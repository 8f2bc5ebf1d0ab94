"""A few threads with a read-only connection each, for short reads beside the writer, and one for the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from afdp_exporter.errors import StoreError
from afdp_exporter.store.sqlite.connection import Connection, SQLError, open_reader, translate

T = TypeVar("T")

_THREADS = 2


class Readers:
    """Runs reads; each sees everything that was acknowledged before it began."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._free: SimpleQueue[Connection] = SimpleQueue()
        self._own: SimpleQueue[Connection] = SimpleQueue()  # of the event loop: one, unless it is being renewed
        for free in self._all:
            free.put(open_reader(path))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-reader")
        self._closed = False

    async def read(self, query: Callable[[Connection], T]) -> T:
        """The answer of `query`. Raises StoreError."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, _answer, self._free, query)

    async def look_up(self, query: Callable[[Connection], T]) -> T:
        """As `read`, in the event loop: a thread takes ten times as long as a few rows that an index finds."""
        if self._closed:
            raise StoreError("the store is closed")
        return _answer(self._own, query)

    def renew(self) -> None:
        """Open the file anew, once reads under way have ended: it is written to from now on. Raises StoreError."""
        fresh = [open_reader(self._path) for _ in self._all]
        for free, connection in zip(self._all, fresh, strict=True):
            free.get().close()
            free.put(connection)

    def close(self) -> None:
        """Wait for reads that are under way, and let go of the file."""
        self._closed = True
        self._threads.shutdown()
        for free in self._all:
            free.get().close()

    @property
    def _all(self) -> list[SimpleQueue[Connection]]:
        """Where each connection is when nobody reads by it."""
        return [*[self._free] * _THREADS, self._own]


def _answer(free: SimpleQueue[Connection], query: Callable[[Connection], T]) -> T:
    connection = free.get()
    try:
        return query(connection)
    except SQLError as error:
        raise translate(error) from error
    finally:
        free.put(connection)
