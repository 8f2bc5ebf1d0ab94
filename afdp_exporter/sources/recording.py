"""A recording: series in memory, or from a folder of CSV files of any size. For the demo, offline use, backtests."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import ClassVar

import numpy as np
from pydantic import DirectoryPath

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import STRICT
from afdp_exporter.sources import Bound, Fetched
from afdp_exporter.sources._csv import read_folder
from afdp_exporter.sources._grid import grid, on_grid
from afdp_exporter.sources._promql import SpeaksPromQL
from afdp_exporter.sources._selector import selector
from afdp_exporter.sources._shelf import Track

_NEWEST = 1000  # samples that tell in what steps a series is recorded


class Tape(SpeaksPromQL):
    """Recorded series as a source; selecting costs a binary search, however long they are."""

    remote: ClassVar[bool] = False

    def __init__(self, series: Iterable[Series | Track]) -> None:
        self._series = sorted(series, key=lambda each: (each.metric, sorted(each.labels.items())))
        self._named = {name: list(those) for name, those in groupby(self._series, key=lambda each: each.metric)}

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
        return [self._fetched(each.text, window, step) for each in asked]

    def _fetched(self, query: str, window: Window, step: timedelta) -> Fetched:
        try:
            return self._selected(query, window, step)
        except SourceRefused as error:
            return error

    def _selected(self, query: str, window: Window, step: timedelta) -> list[Series]:
        name, selects = selector(query)
        points = grid(window, step)
        answers = []
        for each in self._series if name is None else self._named.get(name, ()):
            if selects({**each.labels, "__name__": each.metric}):
                spacing = _spacing(each.times, window)
                values = on_grid(each.times, each.values, points, max(step.total_seconds(), spacing))
                if not np.isnan(values).all():
                    answers.append(Series(metric=each.metric, labels=each.labels, times=points, values=values))
        return answers


class _Folder:
    """A folder of files that is read once, by whoever asks first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.known: Tape | None = None

    def tape(self, path: Path) -> Tape:
        with self._lock:
            if self.known is None:
                self.known = Tape(read_folder(path))
            return self.known


@dataclass(frozen=True, kw_only=True)
class Recording(SpeaksPromQL):
    """A folder of `.csv` and `.csv.gz` files: columns `timestamp` (Unix s), `metric`, any labels, `value`.

    The files are read once, at the first question. Queries are selectors such as `name{label="value"}`.
    """

    __pydantic_config__: ClassVar = STRICT
    remote: ClassVar[bool] = False

    path: DirectoryPath
    _folder: _Folder = field(default_factory=_Folder, init=False, repr=False, compare=False)

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Tape.fetch`. A file that is no recording is refused with its name, line and column."""
        try:
            tape = await self.tape()
        except SourceRefused as error:
            return [error for _ in asked]
        return await tape.fetch(asked, window, step)

    async def tape(self) -> Tape:
        """What is recorded. Raises SourceRefused for a file that is no recording, naming file, line and column."""
        known = self._folder.known
        return await asyncio.to_thread(self._folder.tape, self.path) if known is None else known


def _spacing(times: Floats, window: Window) -> float:
    """The usual number of seconds between two samples, as far as it is known at the window's end."""
    seen = int(np.searchsorted(times, window.end.timestamp(), side="right"))
    newest = times[max(seen - _NEWEST, 0) : seen]
    if newest.size < 2:
        return 0.0
    gaps = np.sort(np.diff(newest))  # they are nearly all the same: a median by selection is slow on such
    return float(gaps[(gaps.size - 1) // 2] + gaps[gaps.size // 2]) / 2


PLUGIN = Recording
