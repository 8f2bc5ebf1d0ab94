"""How a server is asked that others need, too: not while it is away, not twice, and at a pace where nothing is urgent.

Each wraps a `Source` and is one itself: `Breaker` and `RecallingSource` for everything that is asked, `PacedSource` for
the past.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, TypeAlias

import numpy as np
import stamina
from pydantic import Field

from afdp_exporter.errors import QueryFailed, SourceError, SourceUnavailable
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import LATEST, Bound, Fetched, Freshness, Query, Source, grid, on_grid

_BETWEEN_PROBES = 15.0  # seconds

_REMEMBERED = 128 * 1024**2  # bytes of values

_SETTLED = 288 * 1024**2  # bytes: a week of two thousand series in steps of a minute
_PIECE = 120  # points: two hours in steps of a minute
_SPARE = 1.25  # times its longest question are kept of a query: checks overlap, and the late ones begin earlier
_BESIDE = 600  # bytes of a series beside its values, about

_TRIES = 3  # of a query that fails where others are answered

_Key: TypeAlias = tuple[Bound, timedelta]
_Name: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]


class _Wrapping:
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

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Freshness | None]:
        """As the source."""
        return await self._source.freshness(asked, window, step)


class Breaker(_Wrapping):
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

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Freshness | None]:
        """As the source; unknown while it is away."""
        return [None] * len(asked) if self._away is not None else await super().freshness(asked, window, step)

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`; without asking while the source is away."""
        started = _now()
        if self._away is not None and (away := await self._absence(started)):
            return [away for _ in asked]
        found = await self._source.fetch(asked, window, step)
        failed = [each for each in found if isinstance(each, SourceUnavailable)]
        if len(failed) < len(found):
            self._answers_again()
        if not failed or await self._absence(started):
            return found
        return [_failed(each) if isinstance(each, SourceUnavailable) else each for each in found]

    async def _absence(self, since: float) -> SourceUnavailable | None:
        """Why the source is away; None where it has answered since then. A probe decides where nothing is known."""
        if self._away is not None and self._probing.locked():
            return self._away
        async with self._probing:
            if self._away is not None and self._probed > _now() - _BETWEEN_PROBES:
                return self._away
            if self._away is None and self._answered >= since:
                return None
            self._probed = _now()
            try:
                await self._source.reach()
            except SourceUnavailable as error:
                self._away = error
            else:
                self._answers_again()
            return self._away

    def _answers_again(self) -> None:
        self._away, self._answered = None, _now()


def _failed(error: SourceError) -> QueryFailed:
    return QueryFailed(error.reason, str(error))


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


class RecallingSource(_Wrapping):
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


def guarded(source: Source) -> Source:
    """A source behind a breaker and a memory of what has settled, if it is a server; itself, if it is only ours."""
    return RecallingSource(Breaker(source)) if source.remote else source


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingPolicy:
    """How much a metrics server is asked while the past is measured: `patience` is for one that is away meanwhile."""

    __pydantic_config__: ClassVar = STRICT

    queries_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    queries_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    patience: Duration = timedelta(minutes=10)


class PacedSource(_Wrapping):
    """Another source behind a pace; pieces of `piece` length up to `until` are asked for once while they are in mind.

    Answers are those of the source itself: a piece is a range on the same grid.
    """

    def __init__(self, source: Source, *, piece: timedelta, until: datetime, pace: PacingPolicy) -> None:
        super().__init__(source)
        self._piece = piece
        self._until = until
        self._pace = pace
        self._slots = asyncio.Semaphore(pace.queries_at_once)
        self._next = 0.0
        self._pieces: OrderedDict[tuple[_Key, int], asyncio.Task[list[Series]]] = OrderedDict()
        self._bytes = 0

    @property
    def queries_per_call(self) -> int:
        """One: what is remembered is a query's."""
        return 1

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Freshness | None]:  # noqa: ARG002 - as the source
        """Unknown: in the past no sample is on its way."""
        return [None] * len(asked)

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`. It is unavailable only when the source was away for as long as patience allows."""
        return list(await asyncio.gather(*(self._fetched(each, window, step) for each in asked)))

    async def _fetched(self, query: Bound, window: Window, step: timedelta) -> Fetched:
        try:
            if window.end > self._until:
                return await self._ask(query, window, step)
            numbers = self._numbers(window, step)
            return list(
                _joined([await self._remembered(query, each, step) for each in numbers], grid(window, step), step)
            )
        except SourceError as error:
            return error

    def _numbers(self, window: Window, step: timedelta) -> range:
        """The pieces that the window's points lie in."""
        points = grid(window, step)
        return range(int(points[0] // self._seconds(step)), int(points[-1] // self._seconds(step)) + 1)

    def _seconds(self, step: timedelta) -> float:
        """The length of a piece: whole steps."""
        return max(self._piece // step, 1) * step.total_seconds()

    async def _remembered(self, query: Bound, number: int, step: timedelta) -> list[Series]:
        key = (query, step), number
        task = self._pieces.get(key)
        if task is None:
            start = number * self._seconds(step)
            end = min(start + self._seconds(step) - step.total_seconds(), self._until.timestamp())
            window = Window(start=datetime.fromtimestamp(start, UTC), end=datetime.fromtimestamp(end, UTC))
            task = self._pieces[key] = asyncio.create_task(self._ask(query, window, step))
            task.add_done_callback(lambda done: self._keep(key, done))
        self._pieces.move_to_end(key)
        return await asyncio.shield(task)  # others may wait for it, too

    def _keep(self, key: tuple[_Key, int], done: asyncio.Task[list[Series]]) -> None:
        """Forget what may be answered another time, and the oldest when there is too much."""
        if done.cancelled() or isinstance(done.exception(), SourceUnavailable):
            self._pieces.pop(key, None)
            return
        self._bytes += _size(done)
        while self._bytes > _REMEMBERED:
            oldest = next(name for name, task in self._pieces.items() if task.done())
            self._bytes -= _size(self._pieces.pop(oldest))

    async def _ask(self, query: Bound, window: Window, step: timedelta) -> list[Series]:
        failed = 0

        def again(error: Exception) -> bool:
            nonlocal failed
            failed += isinstance(error, QueryFailed)
            return isinstance(error, SourceUnavailable | QueryFailed) and failed < _TRIES

        retries = stamina.retry_context(
            on=again, attempts=None, timeout=self._pace.patience, wait_initial=1.0, wait_max=60.0
        )
        async with self._slots:
            async for attempt in retries:
                with attempt:
                    await self._turn()
                    (found,) = await self._source.fetch([query], window, step)
                    if isinstance(found, SourceError):
                        raise found
                    return found
        raise AssertionError("the last try answers or raises")

    async def _turn(self) -> None:
        now = _now()
        mine = max(self._next, now)
        self._next = mine + 1 / self._pace.queries_per_second
        await asyncio.sleep(mine - now)


def _size(done: asyncio.Task[list[Series]]) -> int:
    return 0 if done.exception() else sum(each.values.nbytes for each in done.result())


def _joined(answers: list[list[Series]], points: Floats, step: timedelta) -> Iterator[Series]:
    """The series of all pieces on a grid; one that has nothing on it is left out."""
    parts: dict[tuple[str, tuple[tuple[str, str], ...]], list[Series]] = {}
    called: dict[tuple[str, int], list[Series]] = {}  # by the labels' identity, which pieces of one answer share
    texts: dict[str, None] = {}
    for answer in answers:
        for each in answer:
            same = called.get((each.metric, id(each.labels)))
            if same is None:
                same = parts.setdefault((each.metric, tuple(sorted(each.labels.items()))), [])
                called[each.metric, id(each.labels)] = same
            same.append(each)
            if each.warnings:
                texts |= dict.fromkeys(each.warnings)
    warnings = tuple(texts)
    for pieces in parts.values():
        times = np.concatenate([each.times for each in pieces])
        values = np.concatenate([each.values for each in pieces])
        found = on_grid(times, values, points, step.total_seconds())
        if not np.isnan(found).all():
            notes = tuple(dict.fromkeys(text for each in pieces for text in each.notes))
            yield replace(pieces[0], times=points, values=found, warnings=warnings, notes=notes)


def paced(source: Source, *, piece: timedelta, until: datetime, pace: PacingPolicy) -> Source:
    """A source at a pace, if it is a server that others need; itself, if it is only ours."""
    return PacedSource(source, piece=piece, until=until, pace=pace) if source.remote else source
