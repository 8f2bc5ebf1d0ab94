"""What has settled is asked for once."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np

from afdp_exporter.errors import SourceError
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.source_access._wrapping import WrappingSource
from afdp_exporter.sources import LATEST, Bound, Fetched, Source, grid

_SETTLED = 288 * 1024**2  # bytes: a week of two thousand series in steps of a minute
_PIECE = 120  # points: two hours in steps of a minute
_SPARE = 1.25  # times its longest question are kept of a query: checks overlap, and the late ones begin earlier
_BESIDE = 600  # bytes of a series beside its values, about

_Key: TypeAlias = tuple[Bound, timedelta]
_Name: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True, eq=False)
class _History:
    """What is known of a query from place `first` of its step's grid to before `end`, in one array a series.

    `values` has those of each series, NaN where it has none; `like` has whatever else there is of it.
    """

    first: int
    end: int
    values: Mapping[_Name, Floats]
    like: Mapping[_Name, Series]

    @classmethod
    def of(cls, answer: Sequence[Series], first: int, end: int) -> "_History":
        """An answer, which may be empty."""
        named = {_name(each): each for each in answer}
        return cls(first, end, {name: each.values for name, each in named.items()}, named)

    @property
    def weight(self) -> int:
        """Bytes, about."""
        return _BESIDE + sum(each.nbytes + _BESIDE for each in self.values.values())

    @property
    def newest(self) -> int:
        """The place of its newest value; the one before `first` where it has none."""
        places = [np.flatnonzero(np.isfinite(each))[-1:] for each in self.values.values()]
        return self.first + max((int(each.max(initial=-1)) for each in places), default=-1)

    def lacks(self, begin: int, last: int) -> tuple[int, int] | None:
        """The one stretch of places, both included, that it needs to reach from `begin` to `last`."""
        if begin > self.end or last < self.first - 1:
            return begin, last
        if begin < self.first:
            return begin, last if last >= self.end else self.first - 1
        return (self.end, last) if last >= self.end else None

    def joined(self, news: "_History") -> "_History":
        """With what was answered beside it, or instead of it; alone what was answered where they do not touch."""
        if news.first > self.end or news.end < self.first:
            return news
        first, end = min(self.first, news.first), max(self.end, news.end)
        like = {**self.like}
        for name, each in news.like.items():
            before = like.setdefault(name, each)
            like[name] = replace(each, notes=tuple(dict.fromkeys(before.notes + each.notes)))
        values = {}
        for name in like:
            values[name] = np.full(end - first, np.nan)
            for one in (self, news):
                if name in one.values:
                    values[name][one.first - first : one.end - first] = one.values[name]
            _read_only(values[name])
        return _History(first, end, values, like)

    def owned(self) -> "_History":
        """The same in arrays of its own, which hold nothing else in memory."""
        values = {name: _read_only(each.copy()) for name, each in self.values.items()}
        return replace(self, values=values, like={name: self.like[name] for name in values})

    def part(self, first: int, end: int) -> "_History":
        """From one place to before another, which lie inside; what has no value there is left out."""
        cut = slice(first - self.first, end - self.first)
        values = {name: each[cut] for name, each in self.values.items() if not np.isnan(each[cut]).all()}
        return _History(first, end, values, self.like)


def _read_only(values: Floats) -> Floats:
    values.setflags(write=False)
    return values


def _name(series: Series) -> _Name:
    return series.metric, tuple(sorted(series.labels.items()))


class RecallingSource(WrappingSource):
    """Another source, of which no piece of time is asked twice that has settled: what is older does not change.

    A piece is kept once a sample has come that is LATEST younger, so that what a server repeats until it has a newer
    sample is not taken for the past, and once it ends `settles_after` before the question does, which is at most now.
    What was an error, partial or empty is asked again. Of each query little more is kept than the longest question
    spans, and `most` bytes of all: the query that was not asked for longest loses the older half first.
    """

    def __init__(self, source: Source, most: int = _SETTLED) -> None:
        super().__init__(source)
        self._most = most
        self._histories: OrderedDict[_Key, _History] = OrderedDict()
        self._longest: dict[timedelta, int] = {}  # question at each step, in points
        self._bytes = 0

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`; queries that lack the same stretch of time are asked for it together.

        All answers share their times.
        """
        points = grid(window, step)
        first, last = (round(float(at) / step.total_seconds()) for at in points[[0, -1]])
        begin = first // _PIECE * _PIECE  # the first piece is asked for as a whole
        self._longest[step] = max(self._longest.get(step, 0), last + 1 - begin)
        known = {query: self._recalled((query, step)) for query in asked}
        lacking: dict[tuple[int, int], list[Bound]] = {}
        for query, history in known.items():
            stretch = history.lacks(begin, last) if history else (begin, last)
            if stretch:
                lacking.setdefault(stretch, []).append(query)
        settled = math.floor((window.end - self.settles_after).timestamp() / step.total_seconds())
        failed: dict[Bound, SourceError] = {}
        warnings: dict[Bound, tuple[str, ...]] = {}

        async def ask(stretch: tuple[int, int], queries: Sequence[Bound]) -> None:
            start, end = (datetime.fromtimestamp(at * step.total_seconds(), UTC) for at in stretch)
            answers = await self._source.fetch(queries, Window(start=start, end=end), step)
            for query, answer in zip(queries, answers, strict=True):
                if isinstance(answer, SourceError):
                    failed[query] = answer
                    continue
                before, news = known[query], _History.of(answer, stretch[0], stretch[1] + 1)
                known[query] = whole = before.joined(news) if before else news
                warnings[query] = tuple(dict.fromkeys(text for each in answer for text in each.warnings))
                if answer and not warnings[query]:
                    self._keep((query, step), before, whole, settled)

        await asyncio.gather(*(ask(stretch, queries) for stretch, queries in lacking.items()))
        return [failed.get(query) or _cut(known[query], points, first, warnings.get(query, ())) for query in asked]

    def _recalled(self, key: _Key) -> _History | None:
        known = self._histories.get(key)
        if known is not None:
            self._histories.move_to_end(key)
        return known

    def _keep(self, key: _Key, before: _History | None, whole: _History, settled: int) -> None:
        """Keep the pieces that have settled, and drop the oldest when there is too much."""
        ended = min(settled, whole.newest - math.ceil(LATEST / key[1])) + 1
        held = before is not None and whole.first <= before.first and before.end <= whole.end
        end = max(ended // _PIECE * _PIECE, before.end if before and held else whole.first)
        most = _SPARE * self._longest[key[1]] // _PIECE * _PIECE
        first = max(whole.first, end - int(most))
        present = self._histories.get(key)
        if end == first or (present and (present.first, present.end) == (first, end)):
            return
        self._bytes -= present.weight if present else 0
        self._histories[key] = whole.part(first, end).owned()
        self._bytes += self._histories[key].weight
        while self._bytes > self._most:
            oldest, history = self._histories.popitem(last=False)
            self._bytes -= history.weight
            middle = (history.first + history.end) // 2 // _PIECE * _PIECE
            if middle > history.first:
                self._histories[oldest] = half = history.part(middle, history.end).owned()
                self._histories.move_to_end(oldest, last=False)
                self._bytes += half.weight


def _cut(whole: _History | None, points: Floats, first: int, warnings: tuple[str, ...]) -> list[Series]:
    """An answer at these points, of which the one at `first` is the first."""
    part = whole.part(first, first + points.size) if whole else None
    if part is None:
        return []
    return [
        replace(part.like[name], times=points, values=values, warnings=warnings) for name, values in part.values.items()
    ]
