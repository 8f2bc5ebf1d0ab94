"""What all of them have in common."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from afdp_exporter.model import Window
from afdp_exporter.sources import Bound, FreshnessAnswer, Query, Source


class WrappingSource:
    """Another source: whatever is not said anew is as of that."""

    remote: ClassVar[bool] = True

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def queries_per_call(self) -> int:
        """That of the source."""
        return self._source.queries_per_call

    @property
    def settles_after(self) -> timedelta:
        """That of the source."""
        return self._source.settles_after

    def prepare(self, query: str | Mapping[str, Any]) -> Query:
        """As the source."""
        return self._source.prepare(query)

    async def reach(self) -> None:
        """As the source."""
        await self._source.reach()

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        """As the source."""
        return await self._source.freshness(asked, window, step)
