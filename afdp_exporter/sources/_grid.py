"""The one grid that every source answers on."""

import math
from datetime import timedelta
from functools import lru_cache
from typing import Protocol

import numpy as np

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Floats, Window


@lru_cache(maxsize=16)
def grid(window: Window, step: timedelta) -> Floats:
    """The multiples of `step` (Unix seconds) inside the window, so that the same time is asked for in every look.

    Raises SourceRefused unless the step is a whole number of seconds and the window holds at least one point.
    """
    seconds = step.total_seconds()
    if seconds < 1 or seconds != int(seconds):
        raise SourceRefused("bad_step", f"the step has to be a whole number of seconds, not {seconds:g} s")
    first = math.ceil(window.start.timestamp() / seconds)
    last = math.floor(window.end.timestamp() / seconds)
    if last < first:
        raise SourceRefused("bad_window", f"no multiple of {seconds:g} s lies between {window.start} and {window.end}")
    points = np.arange(first, last + 1, dtype=np.float64) * seconds
    points.setflags(write=False)
    return points


class Samples(Protocol):
    """Values in order of time, in memory or on disk."""

    def __getitem__(self, part: slice, /) -> Floats:
        """Those from one place to another."""


def on_grid(times: Floats, values: Samples, points: Floats, lookback: float) -> Floats:
    """At each point the last sample at or before it that is less than `lookback` seconds old, else NaN; read-only.

    `times` are in order; of two samples at one time the later one counts. Only what the points need is read.
    """
    begin = int(np.searchsorted(times, points[0] - lookback, side="right"))
    end = int(np.searchsorted(times, points[-1], side="right"))
    times, known = times[begin:end], values[begin:end]
    if np.array_equal(times, points):  # recorded on this very grid
        gridded = np.array(known, dtype=np.float64)
        gridded.setflags(write=False)
        return gridded
    gridded = np.full(len(points), np.nan)
    latest = np.searchsorted(times, points, side="right") - 1
    fresh = latest >= 0
    fresh[fresh] = points[fresh] - times[latest[fresh]] < lookback
    gridded[fresh] = known[latest[fresh]]
    gridded.setflags(write=False)
    return gridded
