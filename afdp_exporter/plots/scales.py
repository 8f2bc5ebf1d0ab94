"""Linear scales, ticks, and SVG paths of lines and bands."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import ceil, floor, isfinite, isnan, log10

import numpy as np

from afdp_exporter.wording.times import local

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_TIMES = tuple(
    timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear scale from `low` ... `high` to the positions `begin` ... `end`."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """The position of a value, rounded to what a screen can show."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.begin + (self.end - self.begin) * share, 1)

    def positions(self, values: Sequence[float | None]) -> list[float]:
        """The positions of many values; NaN where one is missing."""
        span, known = self.high - self.low, np.array(values, dtype=float)
        share = (known - self.low) / span if span else 0.0 * known + 0.5
        found: list[float] = np.round(self.begin + (self.end - self.begin) * share, 1).tolist()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


def covering(values: Iterable[float], *, begin: float, end: float, headroom: float = 0.06) -> Scale:
    """A scale on which all of the values have room; a flat series lies in the middle."""
    known = [value for value in values if isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    room = headroom * (high - low) if high > low else abs(high) * 0.1 or 1.0
    if low >= 0 > low - room:  # what is never negative needs no axis below zero
        return Scale(low=0.0, high=high + room, begin=begin, end=end)
    return Scale(low=low - room, high=high + room, begin=begin, end=end)


def value_ticks(scale: Scale, *, factor: float = 1.0, most: int = 4) -> list[Tick]:
    """Round values on a scale, at most so many; labels are in the unit that `factor` leads to."""
    low, high = scale.low * factor, scale.high * factor
    if not high > low:
        return []
    raw = (high - low) / most
    power = 10.0 ** floor(log10(raw))
    step = next(nice * power for nice in _NICE if nice * power >= raw * 0.999)
    first = ceil(low / step - 1e-9)
    count = int((high / step + 1e-9) - first) + 1
    digits = max(0, -floor(log10(step) + 1e-9) + (1 if abs(step / power - 2.5) < 1e-9 else 0))
    marks = [(first + number) * step for number in range(max(count, 0))]
    return [Tick(at=scale(mark / factor), label=f"{mark + 0.0:,.{digits}f}") for mark in marks]


def time_ticks(scale: Scale, *, most: int = 5) -> list[Tick]:
    """Round instants of the reader's clock on a scale of Unix seconds, at most so many."""
    span = scale.high - scale.low
    step = next((each.total_seconds() for each in _TIMES if span / each.total_seconds() <= most), 604_800.0)
    ahead = (local(datetime.fromtimestamp(scale.low, UTC)).utcoffset() or timedelta(0)).total_seconds()
    first = ceil((scale.low + ahead) / step) * step - ahead
    marks = [first + number * step for number in range(most + 1) if first + number * step <= scale.high]
    form = "%H:%M" if step < 86_400 else "%d %b"
    return [Tick(at=scale(mark), label=local(datetime.fromtimestamp(mark, UTC)).strftime(form)) for mark in marks]


Point = tuple[float, float]


def line(points: Iterable[Point]) -> str:
    """A line through the points; where a point has no number, the line is broken."""
    parts, pen = [], "M"
    for x, y in points:
        if isnan(y):
            pen = "M"
            continue
        parts.append(f"{pen}{_text(x)} {_text(y)}")
        pen = "L"
    return "".join(parts)


@lru_cache(
    maxsize=8192
)  # tenths of a picture some hundreds wide: the same again and again, and writing a number is slow
def _text(position: float) -> str:
    return f"{position:g}"


def band(above: Sequence[Point], below: Sequence[Point]) -> str:
    """The area between two lines over the same positions."""
    if not above:
        return ""
    return line([*above, *reversed(below)]) + "Z"
