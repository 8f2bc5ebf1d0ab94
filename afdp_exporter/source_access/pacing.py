"""The past is asked for at a pace, since nothing about it is urgent."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, TypeAlias

import numpy as np
import stamina
from pydantic import Field

from afdp_exporter.errors import QueryFailed, SourceError, SourceUnavailable
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.source_access._wrapping import WrappingSource
from afdp_exporter.sources import Bound, Fetched, FreshnessAnswer, Source, grid, on_grid

_REMEMBERED = 128 * 1024**2  # bytes of values
_TRIES = 3  # of a query that fails where others are answered

_Key: TypeAlias = tuple[Bound, timedelta]


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingPolicy:
    """How much a metrics server is asked while the past is measured: `patience` is for one that is away meanwhile."""

    __pydantic_config__: ClassVar = STRICT

    queries_at_once: Annotated[int, Field(ge=1, le=64)] = 2
    queries_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    patience: Duration = timedelta(minutes=10)


class PacedSource(WrappingSource):
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

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:  # noqa: ARG002 - as the source
        """Not asked for: in the past no sample is on its way."""
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
        now = asyncio.get_running_loop().time()
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
