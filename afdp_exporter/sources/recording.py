"""A recording: series in memory, or from a folder of CSV files of any size. For the demo, offline use, backtests."""

import asyncio
import pickle
import re
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import ClassVar, TypeAlias

import numpy as np
import promql_parser
from promql_parser import MatchOp, VectorSelector
from pydantic import DirectoryPath

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import STRICT
from afdp_exporter.sources import Bound, Fetched, GridPlaces, grid
from afdp_exporter.sources._csv import read_folder
from afdp_exporter.sources._promql import SpeaksPromQL
from afdp_exporter.sources._spooled import SpooledSeries, SpoolFile, spooled

Selector: TypeAlias = Callable[[Mapping[str, str]], bool]
"""Whether a series is selected, by its labels; its name is the label `__name__`."""


def selector(query: str) -> tuple[str | None, Selector]:
    """Read a selector with its four matchers (`=`, `!=`, `=~`, `!~`; an absent label is an empty one, as in PromQL).

    The name in front of the braces comes along, where there is one: nothing else is selected then.

    Raises SourceRefused for what is not PromQL, and for everything else, by its name.
    """
    try:
        parsed = promql_parser.parse(query)
    except ValueError as error:
        raise SourceRefused("bad_query", f"this is not PromQL: {error}") from None
    if not isinstance(parsed, VectorSelector):
        raise _foreign(_called(parsed))
    modifiers = {"offset": parsed.offset, "@": parsed.at, "or between labels": parsed.matchers.or_matchers}
    for name, used in modifiers.items():
        if used:
            raise _foreign(name)
    matchers = [_matcher(each.name, each.op, each.value) for each in parsed.matchers.matchers]
    if parsed.name is not None:
        matchers.append(_matcher("__name__", MatchOp.Equal, parsed.name))
    return parsed.name, lambda labels: all(matches(labels) for matches in matchers)


def _foreign(name: str) -> SourceRefused:
    only = 'only selectors such as name{label="value"}'
    return SourceRefused("bad_query", f"{name} is not something a recording can answer; {only}")


def _called(parsed: object) -> str:
    """What people call this kind of expression."""
    match parsed:
        case promql_parser.Call():
            return f"{parsed.func.name}()"
        case promql_parser.AggregateExpr():
            return f"{parsed.op}()"
        case promql_parser.BinaryExpr():
            return f"the operator {parsed.op}"
        case promql_parser.MatrixSelector() | promql_parser.SubqueryExpr():
            return "a range in [ ]"
    return {"UnaryExpr": "the operator -", "ParenExpr": "an expression in ( )"}.get(type(parsed).__name__, "a constant")


def _matcher(name: str, op: MatchOp, value: str) -> Selector:
    if op in (MatchOp.Equal, MatchOp.NotEqual):
        return lambda labels: (labels.get(name, "") == value) is (op == MatchOp.Equal)
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise SourceRefused("bad_query", f"{value!r} is no regular expression: {error}") from None
    return lambda labels: (pattern.fullmatch(labels.get(name, "")) is not None) is (op == MatchOp.Re)


_REMEMBERED = 4096  # queries whose series are known
_AT_ONCE = 50  # queries of a call: each is answered at once, and a call takes as long
_LARGE = 32e6  # bytes of files, from which on they are read in a process of its own
_NEWEST = 1000  # samples that show in what steps a series is recorded


class InMemorySource(SpeaksPromQL):
    """Recorded series as a source; selecting costs a binary search, however long they are."""

    remote: ClassVar[bool] = False
    queries_per_call: ClassVar[int] = _AT_ONCE

    def __init__(self, series: Iterable[Series | SpooledSeries]) -> None:
        self._series = sorted(series, key=lambda each: (each.metric, sorted(each.labels.items())))
        self._named = {name: list(those) for name, those in groupby(self._series, key=lambda each: each.metric)}
        self._matching = lru_cache(maxsize=_REMEMBERED)(self._matched)

    @property
    def end(self) -> datetime | None:
        """The time of the last sample; None without any."""
        last = max((each.times[-1] for each in self._series if each.times.size), default=None)
        return None if last is None else datetime.fromtimestamp(float(last), UTC)

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """The selected series; at each point of the grid the last sample at or before it.

        A sample counts for less than a step or, where the series was recorded in longer steps than are asked for, for
        less than its usual spacing. A point without such a sample, or whose sample is NaN, is a gap; a series of
        nothing but gaps is left out. Anything but a selector is refused.
        """
        places: dict[int, GridPlaces] = {}
        return [self._fetched(each.text, window, step, places) for each in asked]

    def _fetched(self, query: str, window: Window, step: timedelta, places: dict[int, GridPlaces]) -> Fetched:
        try:
            return self._selected(query, window, step, places)
        except SourceRefused as error:
            return error

    def _selected(self, query: str, window: Window, step: timedelta, places: dict[int, GridPlaces]) -> list[Series]:
        """`places` are those of times that were seen in this call, which many series share, by identity."""
        points = grid(window, step)
        answers = []
        for each in self._matching(query):
            if id(each.times) not in places:
                lookback = max(step.total_seconds(), _spacing(each.times, window))
                places[id(each.times)] = GridPlaces.of(each.times, points, lookback)
            values = places[id(each.times)].values_of(each.values)
            if not np.isnan(values).all():
                answers.append(Series(metric=each.metric, labels=each.labels, times=points, values=values))
        return answers

    def _matched(self, query: str) -> list[Series | SpooledSeries]:
        name, selects = selector(query)
        some = self._series if name is None else self._named.get(name, ())
        return [each for each in some if selects({**each.labels, "__name__": each.metric})]


class _Once:
    """What is read once, by whoever asks first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.known: InMemorySource | None = None

    def read(self, read: Callable[[], Iterable[SpooledSeries]]) -> InMemorySource:
        with self._lock:
            if self.known is None:
                self.known = InMemorySource(read())
            return self.known


@dataclass(frozen=True, kw_only=True)
class Recorded(SpeaksPromQL, ABC):
    """Files of samples in long form, read once, at the first question.

    Queries are selectors such as `name{label="value"}`.
    """

    remote: ClassVar[bool] = False
    queries_per_call: ClassVar[int] = _AT_ONCE

    _once: _Once = field(default_factory=_Once, init=False, repr=False, compare=False)

    @abstractmethod
    def read(self) -> list[SpooledSeries]:
        """All series, in order of time. Raises SourceRefused for a file that is no recording, naming the place."""

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `InMemorySource.fetch`. A file that is no recording is refused with its name and the place in it."""
        try:
            tape = await self.tape()
        except SourceRefused as error:
            return [error for _ in asked]
        return await tape.fetch(asked, window, step)

    async def tape(self) -> InMemorySource:
        """What is recorded. Raises SourceRefused for a file that is no recording, naming the place."""
        known = self._once.known
        return await asyncio.to_thread(self._once.read, self.read) if known is None else known


@dataclass(frozen=True, kw_only=True)
class Recording(Recorded):
    """A folder of `.csv` and `.csv.gz` files: columns `timestamp` (Unix s), `metric`, any labels, `value`."""

    __pydantic_config__: ClassVar = STRICT

    path: DirectoryPath

    def read(self) -> list[SpooledSeries]:
        """All series of the files, joined across them, in order of time; of a large folder in a process of its own."""
        if sum(path.stat().st_size for path in self.path.iterdir() if path.is_file()) > _LARGE:
            return _read_apart(self.path)
        return read_folder(self.path).series()


def _read_apart(folder: Path) -> list[SpooledSeries]:
    """The series of a folder, read by a process that gives back with its end what that took."""
    whole = SpoolFile()
    command = [sys.executable, "-m", "afdp_exporter.sources._csv", str(folder), str(whole.descriptor)]
    done = subprocess.run(  # noqa: S603
        command, pass_fds=[whole.descriptor], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise SourceRefused("bad_recording", f"{folder}: the process that read it ended with status {done.returncode}")
    match pickle.loads(done.stdout):  # noqa: S301 - from our own process
        case [str(reason), str(fault)]:
            raise SourceRefused(reason, fault)
        case joined:
            return spooled(joined, whole)


def _spacing(times: Floats, window: Window) -> float:
    """The usual number of seconds between two samples, as far as it is known at the window's end."""
    seen = int(np.searchsorted(times, window.end.timestamp(), side="right"))
    newest = times[max(seen - _NEWEST, 0) : seen]
    if newest.size < 2:
        return 0.0
    gaps = np.sort(np.diff(newest))  # they are nearly all the same: a median by selection is slow on such
    return float(gaps[(gaps.size - 1) // 2] + gaps[gaps.size // 2]) / 2


PLUGIN = Recording
