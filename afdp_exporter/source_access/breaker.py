"""A server that is away is not asked, but for one probe in 15 s."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TypeVar

from afdp_exporter.errors import QueryFailed, SourceError, SourceUnavailable
from afdp_exporter.model import Window
from afdp_exporter.source_access._wrapping import WrappingSource
from afdp_exporter.sources import Bound, Fetched, FreshnessAnswer, Source

_BETWEEN_PROBES = 15.0  # seconds

_Answer = TypeVar("_Answer")


class Breaker(WrappingSource):
    """Another source, of which it is known whether it answers.

    A query without answer is the query's own failure (QueryFailed) where the source has answered another meanwhile, or
    answers a probe now. Else the source is away (SourceUnavailable), and until it answers a probe again, one in 15 s,
    nothing is sent to it.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._away: SourceUnavailable | None = None
        self._answered = float("-inf")  # when it last gave any answer
        self._probed = float("-inf")  # when it last was asked whether it does
        self._probing = asyncio.Lock()

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        """As `Source.freshness`; without asking while the source is away."""
        return await self._asked(asked, partial(self._source.freshness, asked, window, step))

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`; without asking while the source is away."""
        return await self._asked(asked, partial(self._source.fetch, asked, window, step))

    async def _asked(
        self, asked: Sequence[Bound], ask: Callable[[], Awaitable[list[_Answer | SourceError]]]
    ) -> list[_Answer | SourceError]:
        started = asyncio.get_running_loop().time()
        if self._away is not None and (away := await self._absence(started)):
            return [away for _ in asked]
        found = await ask()
        failed = [each for each in found if isinstance(each, SourceUnavailable)]
        if any(each is not None and not isinstance(each, SourceUnavailable) for each in found):
            self._answers_again()  # None may be said without asking
        if not failed or await self._absence(started):
            return found
        return [_failed(each) if isinstance(each, SourceUnavailable) else each for each in found]

    async def _absence(self, since: float) -> SourceUnavailable | None:
        """Why the source is away; None where it has answered since then. A probe decides where nothing is known."""
        if self._away is not None and self._probing.locked():
            return self._away
        async with self._probing:
            if self._away is not None and self._probed > asyncio.get_running_loop().time() - _BETWEEN_PROBES:
                return self._away
            if self._away is None and self._answered >= since:
                return None
            self._probed = asyncio.get_running_loop().time()
            try:
                await self._source.reach()
            except SourceUnavailable as error:
                self._away = error
            else:
                self._answers_again()
            return self._away

    def _answers_again(self) -> None:
        self._away, self._answered = None, asyncio.get_running_loop().time()


def _failed(error: SourceError) -> QueryFailed:
    return QueryFailed(error.reason, str(error))
