"""A raw series on a regular grid: sorted, resampled, gap-filled, standardised, with the deployment as a position."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from math import ceil, frexp, ldexp
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.detectors.clock import Clock, wall_clock
from afdp_exporter.detectors.robust import mad, median
from afdp_exporter.model import Floats

DAY = 86_400.0  # seconds
SHORT_GAP = 3  # steps that are interpolated as if they had been measured
LONG_GAP = 30  # steps that are filled with what was measured before, as noisy as it was
SHORTEST_STEP = 1e-3  # seconds
LAST_TIME = 1e11  # Unix seconds; what lies beyond is no time
LONGEST = 41_000  # steps of history that are looked at: a week of 15 s
REACH_SECONDS = 900.0  # after the rollout in which an onset may come, or ...
REACH_STEPS = 4  # ... so many steps, if that is longer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegularSeries:
    """A series on a regular grid: `values` float64 (n,), standardised, without gaps; `measured` says which are real.

    The grid is that of the `clock` on the wall. The deployment starts before position `deployed` and is over before
    position `finished`; its effect may begin up to `reach` steps later. A value in the metric's own unit is
    `centre + scale * value`. Times `exposure` (n,) it counts events, where they are sparse; 0 where none were counted.
    Each value is taken over the last `looks_back` steps, so that a step shows as a ramp of that length.
    """

    start: float
    step: float
    values: Floats
    measured: NDArray[np.bool_]
    control: Floats | None
    deployed: int
    finished: int
    reach: int
    centre: float
    scale: float
    clock: Clock
    exposure: Floats | None = None
    looks_back: int = 0

    @property
    def n(self) -> int:
        """How many positions there are."""
        return len(self.values)

    @property
    def n_after(self) -> int:
        """How many positions lie after the deployment."""
        return self.n - self.deployed

    @property
    def day(self) -> int:
        """Steps of a day."""
        return round(DAY / self.step)

    @property
    def has_daily_history(self) -> bool:
        """Whether there is enough history to compare with the days before."""
        return self.day > 1 and self.deployed >= 1.9 * self.day

    @property
    def first_onset(self) -> int:
        """The first position at which an onset still belongs to the deployment; that of a ramp is less sure."""
        return self.deployed - 1 - min(self.looks_back // 4, self.reach // 3)

    @property
    def last_onset(self) -> int:
        """The last position at which an onset still belongs to the deployment."""
        return min(self.finished + self.reach, self.n - 1)

    def time(self, position: float) -> float:
        """Unix seconds of a position, from shortly before the deployment on."""
        return self.start + position * self.step

    def positions(self, instants: Sequence[float]) -> Floats:
        """Where on the grid Unix times (k,) lie."""
        return (self.clock.to_wall(np.asarray(instants, dtype=np.float64)) - self.start) / self.step

    def responding_within(self, seconds: float) -> "RegularSeries":
        """The same, whose onset may come within so many seconds after the rollout."""
        return replace(self, reach=_reach(seconds, self.step))


def regularize(
    times: Floats,
    values: Floats,
    deployed_at: float,
    *,
    finished_at: float | None,
    control: Floats | None,
    step: float | None,
    respond_within: float | None,
    zone: tzinfo = UTC,
    exposure: Floats | None = None,
    looks_back: float = 0.0,
) -> RegularSeries | None:
    """Sort, put on a grid, fill and standardise; None when there are not two distinct usable points.

    Of several values in one step the last one counts; what is not finite counts as missing; `looks_back` in seconds.
    """
    at, raw, control, exposure = _usable((times, values, control, exposure))
    if len(at) < 2 or not abs(deployed_at) < LAST_TIME:
        return None
    step = step or _usual_step(at)
    if not SHORTEST_STEP <= step < LAST_TIME:
        return None
    newest = int(np.searchsorted(at, at[-1] - LONGEST * step, side="right"))
    at, raw, control, exposure = _picked((at, raw, control, exposure), slice(newest, None))
    wall = wall_clock(zone, float(at[0]), deployed_at)
    shown = wall.to_wall(at)
    start = float(shown.min())
    position = np.rint((shown - start) / step).astype(np.int64)
    filled, measured = _fill(position, raw)
    deployed = min(max(ceil((deployed_at - start) / step - 1e-6), 0), len(filled))
    end = deployed_at if finished_at is None or not abs(finished_at) < LAST_TIME else max(finished_at, deployed_at)
    finished = min(max(ceil((end - start) / step - 1e-6), deployed), len(filled))
    standard, centre, scale = standardise(filled, deployed)
    other = None
    if control is not None and np.count_nonzero(finite := np.isfinite(control)) / len(finite) > 0.7:
        other = standardise(_fill(position[finite], control[finite], len(filled))[0], deployed)[0]
    counted = None
    if exposure is not None:
        counted = np.zeros(len(filled))
        counted[position] = exposure
    return RegularSeries(
        start=start, step=step, values=standard, measured=measured, control=other, deployed=deployed, finished=finished,
        reach=_reach(respond_within, step), centre=centre, scale=scale, clock=wall, exposure=counted,
        looks_back=round(looks_back / step),
    )  # fmt: skip


def _reach(respond_within: float | None, step: float) -> int:
    """Steps after the rollout in which an onset may come, within so many seconds or the usual time."""
    return max(round((respond_within or max(REACH_SECONDS, REACH_STEPS * step)) / step), 1)


_Points: TypeAlias = tuple[Floats, Floats, Floats | None, Floats | None]
"""Times, values, control and exposure, (n,) each."""


def _usable(points: _Points) -> _Points:
    """Those that have a time and a value, in order of time."""
    at, raw, *_ = points
    usable = (np.abs(at) < LAST_TIME) & np.isfinite(raw)
    points = points if usable.all() else _picked(points, usable)
    at, *_ = points
    return _picked(points, np.argsort(at, kind="stable")) if (at[1:] < at[:-1]).any() else points


def _picked(points: _Points, some: NDArray[np.bool_] | NDArray[np.intp] | slice) -> _Points:
    at, raw, control, exposure = points
    return (
        at[some],
        raw[some],
        None if control is None else control[some],
        None if exposure is None else exposure[some],
    )


def standardise(values: Floats, deployed: int) -> tuple[Floats, float, float]:
    """Centre on the median and scale by the robust deviation of the history; what does not vary stays unscaled.

    Returns the standardised values and the centre and the scale that lead back. Powers of two keep 1e200 finite.
    """
    unit = ldexp(1.0, frexp(np.abs(values).max(initial=0.0))[1] - 1)
    small = values / unit
    past = small[:deployed] if deployed else small
    centre = median(past)
    apart = small - centre
    spread = mad(apart[: len(past)]) or float(past.std()) or float(small.std()) or 1.0
    return apart / spread, centre * unit, spread * unit


def despike(values: Floats) -> Floats:
    """Median of three along the last axis: a single wild point disappears, a step stays where it is."""
    out = values.copy()
    if values.shape[-1] >= 3:
        out[..., 1:-1] = _median_of_three(values[..., :-2], values[..., 1:-1], values[..., 2:])
    return out


def smooth(values: Floats) -> Floats:
    """Median of five along the last axis, the ends repeated: two wild points disappear."""
    n = values.shape[-1]
    longer = np.empty((*values.shape[:-1], n + 4))
    longer[..., :2], longer[..., 2:-2], longer[..., -2:] = values[..., :1], values, values[..., -1:]
    a, b, middle, c, d = (longer[..., k : n + k] for k in range(5))
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    return _median_of_three(low, middle, high)


def _median_of_three(a: Floats, b: Floats, c: Floats) -> Floats:
    found: Floats = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
    return found


def cumulative_sums(values: Floats) -> Floats:
    """(..., n) -> (..., n + 1): the sum of the first k values at position k."""
    totals = np.empty((*values.shape[:-1], values.shape[-1] + 1))
    totals[..., 0] = 0.0
    values.cumsum(axis=-1, out=totals[..., 1:])
    return totals


def _usual_step(at: Floats) -> float:
    newest = at[-200:]
    gaps = newest[1:] - newest[:-1]
    gaps = gaps[gaps > 0]
    return median(gaps) if len(gaps) else 0.0


def _fill(position: NDArray[np.int64], raw: Floats, n: int | None = None) -> tuple[Floats, NDArray[np.bool_]]:
    """Values on the grid and which of them were measured: gaps are interpolated, long ones mirror what came before.

    A straight line through a night without traffic would look like a series that hardly scatters.
    """
    n = n or int(position.max()) + 1
    if len(position) == n and (position[1:] - position[:-1] == 1).all():
        return raw, np.ones(n, dtype=bool)
    values, measured = np.zeros(n), np.zeros(n, dtype=bool)
    values[position] = raw
    measured[position] = True
    known = np.flatnonzero(measured)
    if len(known) < n:
        values = np.interp(np.arange(n), known, values[known])
        before = np.maximum.accumulate(np.where(measured, np.arange(n), -n))
        after = np.minimum.accumulate(np.where(measured, np.arange(n), 2 * n)[::-1])[::-1]
        for gap in np.flatnonzero(np.diff(known) > LONG_GAP):
            begin, end = int(known[gap]) + 1, int(known[gap + 1])
            values[begin:end] = np.resize(np.concatenate([values[:begin][::-1], values[:begin]]), end - begin)
        measured = measured | (after - before - 1 <= SHORT_GAP)
    return values, measured
