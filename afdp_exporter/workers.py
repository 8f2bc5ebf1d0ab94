"""Pure work in processes of its own: changepoint code holds the interpreter's lock, and may be slow, or crash."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from afdp_exporter.errors import AnalysisError

T = TypeVar("T")

_NICENESS = 10  # an analysis never competes with the acknowledgement of a deployment


class Workers:
    """A few processes that run functions with a deadline; one that is late or dies is replaced."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["afdp_exporter.forkserver"])
        self._pool = ProcessPool(max_workers=count, initializer=os.nice, initargs=[_NICENESS], context=context)

    async def run(self, function: Callable[..., T], *arguments: Any, deadline: timedelta, **words: Any) -> T:  # noqa: ANN401
        """The function's result. Raises AnalysisError when it takes longer than the deadline, or its process dies."""
        seconds = deadline.total_seconds()
        # the first call starts the processes, and waits for their imports: not in the event loop
        future = await asyncio.to_thread(self._pool.schedule, function, args=arguments, kwargs=words, timeout=seconds)
        try:
            return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise AnalysisError(f"the analysis took longer than {seconds:g} s") from error
        except ProcessExpired as error:
            raise AnalysisError(f"the process of the analysis died with status {error.exitcode}") from error

    def close(self) -> None:
        """End all processes, whatever they are doing; their work is due again at the next start."""
        self._pool.stop()
        self._pool.join()
