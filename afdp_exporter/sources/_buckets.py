"""Values of stretches of time, as monitors keep them -> series on the grid, whose value at t holds data up to t."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.model import Floats, Series
from afdp_exporter.sources import Fetched, on_grid

_ENOUGH = 4  # times that show in what steps a server answers
_COARSEST = 2.0  # steps that one value may stand for


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Values (n,) of stretches of `width` seconds that begin at `starts` (n,), Unix seconds; NaN where there is none.

    `per_second`: the values are counts, which grow with the width.
    """

    starts: Floats
    values: Floats
    width: float
    per_second: bool = False


@dataclass(slots=True)
class SeriesBuckets:
    """The buckets of one query, by the name and labels of their series, from however many answers."""

    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[Buckets]]
    warnings: list[str]

    @classmethod
    def empty(cls) -> "SeriesBuckets":
        """Nothing yet."""
        return cls({}, [])

    def add(self, metric: str, labels: Mapping[str, str], buckets: Buckets) -> None:
        """Put them to their series."""
        self.found.setdefault((metric, tuple(sorted(labels.items()))), []).append(buckets)

    def series(self, points: Floats, step: timedelta) -> Fetched:
        """As `Source.fetch` answers a query: refused where values stand for more than two steps."""
        widest = max((each.width for pieces in self.found.values() for each in pieces), default=0.0)
        if widest > _COARSEST * step.total_seconds():
            words = f"a value stands for {widest:g} s, which is too coarse for a step of {step.total_seconds():g} s"
            return SourceRefused("resolution", words)
        warnings = tuple(dict.fromkeys(self.warnings))
        found = [
            Series(metric=metric, labels=dict(labels), times=points, values=values, warnings=warnings)
            for (metric, labels), pieces in sorted(self.found.items())
            if not np.isnan(values := _at_their_ends(pieces, points, step.total_seconds())).all()
        ]
        if warnings and not found:
            return SourceUnavailable("partial", f"nothing was found, and not everything was asked: {warnings[0]}")
        return found


def _at_their_ends(pieces: Sequence[Buckets], points: Floats, step: float) -> Floats:
    ends = np.concatenate([each.starts + each.width for each in pieces])
    values = np.concatenate([each.values / each.width if each.per_second else each.values for each in pieces])
    order = np.argsort(ends, kind="stable")
    held = max(step, *(each.width for each in pieces))
    return on_grid(ends[order], values[order], points, held)


def width_of(times: Iterable[float], asked: float) -> float:
    """How long the stretches are that a server answered with, which only names their times: what was asked, or more.

    Few times, or such of no common spacing, show data that are rare, and no longer stretches.
    """
    gaps = np.diff(np.unique(np.fromiter(times, dtype=np.float64)))
    if len(gaps) < _ENOUGH - 1:
        return asked
    common = math.gcd(*(round(gap) for gap in gaps.tolist()))
    usual = float(np.median(gaps))
    return float(common) if common > asked and common == round(usual) else asked


def pieces(points: Floats, most: int) -> list[Floats]:
    """The points in stretches of at most so many."""
    return [points[first : first + most] for first in range(0, len(points), most)]
