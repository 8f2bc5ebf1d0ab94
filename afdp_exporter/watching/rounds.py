"""Work that is kept as rows of the store: done round by round, so that a restart loses nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from afdp_exporter.errors import StoreError

log = structlog.get_logger(__name__)

_LONGEST_REST = timedelta(seconds=15)
_SHORTEST_REST = timedelta(milliseconds=50)
_GLANCE = 1.0  # seconds, until work that has become due takes a free slot
_FIRST_RETRY = timedelta(seconds=15)
_LONGEST_RETRY = timedelta(minutes=5)


def retry_after(attempts: int) -> timedelta:
    """How long work waits that could not be done, after so many attempts before."""
    return min(_FIRST_RETRY * (1 << min(attempts, 10)), _LONGEST_RETRY)


async def drained(take: Callable[[int], Awaitable[Iterable[Coroutine[None, None, None]]]]) -> bool:
    """Do work as it is taken, until nothing is left; False where there was none. A slow piece holds up no other.

    `take` is told how many pieces are under way, and gives those that can begin now. What is left under way by an error
    or an end is cancelled.
    """
    running = set[asyncio.Task[None]]()
    found = False
    try:
        while True:
            running |= {asyncio.create_task(each) for each in await take(len(running))}
            if not running:
                return found
            found = True
            done, running = await asyncio.wait(running, timeout=_GLANCE, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class Rounds:
    """Rounds of work: the next at once where there was something to do, else when woken, due, or after a rest.

    `work` does what is due and tells whether there was any; `next_at` tells when work that is known already is due.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[bool]],
        *,
        clock: Callable[[], datetime],
        next_at: Callable[[], Awaitable[datetime | None]] | None = None,
    ) -> None:
        self._work = work
        self._clock = clock
        self._next_at = next_at
        self._called = asyncio.Event()

    def wake(self) -> None:
        """There may be something to do now."""
        self._called.set()

    async def run(self) -> None:
        """Work until cancelled; whatever is under way then is due again at the next start."""
        while True:
            rest = _LONGEST_REST
            try:
                if await self._work():
                    continue
                rest = await self._until_due()
            except* StoreError as group:
                for error in group.exceptions:
                    log.error("store does not answer", error=str(error))
            except* Exception as group:
                log.exception("work goes on after an unforeseen error", exc_info=group)
            await self._rest(rest)

    async def _until_due(self) -> timedelta:
        next_at = await self._next_at() if self._next_at is not None else None
        if next_at is None:
            return _LONGEST_REST
        return min(max(next_at - self._clock(), _SHORTEST_REST), _LONGEST_REST)

    async def _rest(self, at_most: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds()):  # wait_for may lose a cancellation (Python 3.11)
                await self._called.wait()
        self._called.clear()
