"""Pure work in processes of its own: changepoint code holds the interpreter's lock, and may be slow, or crash."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from multiprocessing.context import BaseContext
from multiprocessing.util import get_temp_dir
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from afdp_exporter.errors import AnalysisError

T = TypeVar("T")

_PATIENCE = 5.0  # seconds until an end no longer waits for processes
_NICENESS = 10  # an analysis never competes with the acknowledgement of a deployment


class Workers:
    """A few processes that run functions with a deadline; one that is late or dies is replaced."""

    def __init__(self, count: int) -> None:
        """Raises AnalysisError where the system lets no such processes work together."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["afdp_exporter.forkserver"])
        _check(self._context)
        self._count = count
        self._pool = self._open(count)

    def _open(self, count: int) -> ProcessPool:
        return ProcessPool(max_workers=count, initializer=os.nice, initargs=[_NICENESS], context=self._context)

    async def run(self, function: Callable[..., T], *arguments: Any, deadline: timedelta, **words: Any) -> T:  # noqa: ANN401
        """The function's result. Raises AnalysisError when it takes longer than the deadline, or its process dies."""
        seconds = deadline.total_seconds()
        try:
            # the first call starts the processes, and waits for their imports: not in the event loop
            future = await asyncio.to_thread(
                self._pool.schedule, function, args=arguments, kwargs=words, timeout=seconds
            )
        except OSError as error:
            raise AnalysisError(f"no worker process can be started: {error.strerror}") from error
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise AnalysisError(f"the analysis took longer than {seconds:g} s") from error
        except ProcessExpired as error:
            raise AnalysisError(f"the process of the analysis died with status {error.exitcode}") from error

    def resize(self, count: int) -> None:
        """Have so many processes from now on; work under way is finished by those that there were."""
        if count != self._count:
            earlier, self._pool, self._count = self._pool, self._open(count), count
            earlier.close()

    def close(self) -> None:
        """End all processes, whatever they are doing; their work is due again at the next start."""
        self._pool.stop()
        self._pool.join()

    async def closed(self) -> None:
        """As `close`, and waits for it no longer than an end may take: they end with this process in any case."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await asyncio.to_thread(self.close)


def _check(context: BaseContext) -> None:
    try:
        context.Semaphore()
    except OSError as error:
        words = f"/dev/shm: {error.strerror}: worker processes need it writable"  # noqa: S108 - named, not used
        raise AnalysisError(words) from None
    try:
        get_temp_dir()
    except OSError as error:
        raise AnalysisError(f"no temporary folder for the sockets of worker processes: {error.strerror}") from None
