"""Processes of this machine: changepoint code holds the interpreter's lock, and may be slow, or crash."""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import timedelta
from multiprocessing.context import BaseContext
from multiprocessing.util import get_temp_dir
from typing import Any, TypeVar

import structlog
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.calls import call
from afdp_exporter.errors import AnalysisError
from afdp_exporter.wording.times import time_zone

log = structlog.get_logger(__name__)

T = TypeVar("T")

_LONGEST_END = 5.0  # seconds until an end no longer waits for processes
_NICENESS = 10  # an analysis never competes with the acknowledgement of a deployment


class ProcessComputePool:
    """A few processes; one that is late, cancelled or dead is ended and replaced."""

    def __init__(self, workers: int) -> None:
        """Raises AnalysisError where the system lets no such processes work together."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["afdp_exporter.worker_preload"])
        _check(self._context)
        self._workers = workers
        self._pool = self._open(workers)
        self._changing = threading.Lock()
        self._ended = False

    def _open(self, workers: int) -> ProcessPool:
        return ProcessPool(max_workers=workers, initializer=os.nice, initargs=[_NICENESS], context=self._context)

    @property
    def near(self) -> ComputePool:
        """Itself."""
        return self

    async def run(
        self,
        function: Callable[..., T],
        *arguments: Any,  # noqa: ANN401
        deadline: timedelta,
        group: str = "",  # noqa: ARG002 - each call goes by itself
        **words: Any,  # noqa: ANN401
    ) -> T:
        """As the port says: the process of what is late or cancelled is killed."""
        seconds = deadline.total_seconds()
        # the first call starts the processes, and waits for their imports: not in the event loop
        scheduled = asyncio.ensure_future(
            asyncio.to_thread(self._schedule, (time_zone(), function, *arguments), words, seconds)
        )
        try:
            future = await asyncio.shield(scheduled)
        except OSError as error:
            raise AnalysisError(f"no worker process can be started: {error.strerror}") from error
        except RuntimeError as error:
            raise AnalysisError("the worker processes have ended") from error
        except asyncio.CancelledError:
            scheduled.add_done_callback(_drop)
            raise
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise AnalysisError(f"the analysis took longer than {seconds:g} s") from error
        except ProcessExpired as error:
            raise AnalysisError(f"the process of the analysis died with status {error.exitcode}") from error
        except BrokenProcessPool as error:
            raise AnalysisError("the analysis was ended") from error

    def _schedule(self, arguments: tuple[Any, ...], words: dict[str, Any], seconds: float) -> ProcessFuture[Any]:
        """Hand a call over: to new processes where the system has ended those that there were, or what starts them.

        Raises RuntimeError where these cannot work either, and after the end.
        """
        pool = self._pool
        try:
            return pool.schedule(call, args=arguments, kwargs=words, timeout=seconds)
        except RuntimeError:
            with self._changing:
                if self._ended:
                    raise
                if pool is self._pool:
                    log.error("the worker processes have ended, others are started")
                    pool.stop()
                    self._pool = self._open(self._workers)
            return self._pool.schedule(call, args=arguments, kwargs=words, timeout=seconds)

    def resize(self, workers: int) -> None:
        """As the port says: work under way is finished by the processes that there were."""
        with self._changing:
            if workers != self._workers:
                earlier, self._pool, self._workers = self._pool, self._open(workers), workers
                earlier.close()

    async def close(self) -> None:
        """As the port says: what has not ended in time ends with this process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_END):
                await asyncio.to_thread(self._end)

    def _end(self) -> None:
        with self._changing:
            self._ended = True
        self._pool.stop()
        self._pool.join()


def _drop(scheduled: "asyncio.Future[Any]") -> None:
    """Cancel work that was handed over although nobody waits for it any more."""
    if not scheduled.cancelled() and scheduled.exception() is None:
        scheduled.result().cancel()


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
