"""The sampling interval of a series, and removal of stale samples that a source repeats until a new one arrives."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from afdp_exporter.detectors.regular_series import LAST_TIME
from afdp_exporter.model import Floats

SamplingInterval: TypeAlias = tuple[int, int]
"""Every how many steps there is a new sample, and where the first of them is."""

EVERY_STEP: SamplingInterval = (1, 0)
LOOKBACK = 300.0  # seconds for which a server repeats the last sample (Prometheus' --query.lookback-delta)
LONGER = 3  # times as long as any earlier repetition: not by chance
LEAST = 30  # changes of a series, from which on its sampling interval is known


def sampling_interval(courses: Sequence[Floats]) -> SamplingInterval | None:
    """The rhythm that all series (n,) on one grid have, NaN where there is a gap; None where none changes often enough.

    Where they differ it is that of the finest.
    """
    changes = [_changes(course) for course in courses]
    informative = [places for places in changes if places.size >= LEAST]
    if not informative:
        return None
    first = int(informative[0][0])
    stride = int(np.gcd.reduce(np.concatenate([places - first for places in informative])))
    return stride, first % stride


def _changes(course: Floats) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    before, after = course[:-1], course[1:]
    return np.flatnonzero((before != after) & ~(np.isnan(before) & np.isnan(after))) + 1


def drop_stale_samples(times: Floats, values: Floats) -> Floats:
    """The values (n,) without the repetitions of the last one, NaN, where the server only looks back to it.

    They are as many as its lookback holds, there was nothing like it before, and the value is one that the series has
    had: one that drops to zero for good is measured.
    """
    finite = np.flatnonzero(np.isfinite(values) & (np.abs(times) < LAST_TIME))
    if len(finite) < LEAST:
        return values
    if values[finite[-1]] != values[finite[-2]]:
        return values
    held = values[finite]
    changes = np.flatnonzero(np.diff(held)) + 1
    if not len(changes):
        return values
    begin = int(changes[-1])
    repeats, before = len(held) - begin, held[:begin]
    span = times[finite[-1]] - times[finite[begin]]
    step = float(np.median(np.diff(times[finite[-LEAST:]])))
    longest = int(np.diff(np.concatenate([[0], changes])).max())
    usual = before.min() <= held[-1] <= before.max()
    if not usual or repeats < LONGER * longest or span > LOOKBACK + step:
        return values
    measured = values.copy()
    measured[finite[begin] + 1 :] = np.nan
    return measured
