"""Samples that a source repeats until there is a new one: they are no further measurements, and are taken out."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from afdp_exporter.model import Floats

Rhythm: TypeAlias = tuple[int, int]
"""Every how many steps there is a new sample, and where the first of them is."""

EACH: Rhythm = (1, 0)
LEAST = 30  # changes of a series, from which on it tells when new samples come


def rhythm(courses: Sequence[Floats]) -> Rhythm | None:
    """The rhythm that all series (n,) on one grid have, NaN where there is a gap; None where none changes often enough.

    Where they differ it is that of the finest.
    """
    changes = [_changes(course) for course in courses]
    telling = [places for places in changes if places.size >= LEAST]
    if not telling:
        return None
    first = int(telling[0][0])
    stride = int(np.gcd.reduce(np.concatenate([places - first for places in telling])))
    return stride, first % stride


def _changes(course: Floats) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    before, after = course[:-1], course[1:]
    return np.flatnonzero((before != after) & ~(np.isnan(before) & np.isnan(after))) + 1
