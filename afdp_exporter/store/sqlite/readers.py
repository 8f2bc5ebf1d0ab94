"""A few threads with a read-only connection each, for short reads beside the writer."""

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
        for _ in range(_THREADS):
            self._free.put(open_reader(path))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-reader")
        self._closed = False

    async def read(self, query: Callable[[Connection], T]) -> T:
        """The answer of `query`. Raises StoreError."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)

    def renew(self) -> None:
        """Open the file anew, once reads under way have ended: it is written to from now on. Raises StoreError."""
        fresh = [open_reader(self._path) for _ in range(_THREADS)]
        for connection in fresh:
            self._free.get().close()
            self._free.put(connection)

    def close(self) -> None:
        """Wait for reads that are under way, and let go of the file."""
        self._closed = True
        self._threads.shutdown()
        while not self._free.empty():
            self._free.get().close()

    def _run(self, query: Callable[[Connection], T]) -> T:
        connection = self._free.get()
        try:
            return query(connection)
        except SQLError as error:
            raise translate(error) from error
        finally:
            self._free.put(connection)
