"""When the level moved: one mean step at every possible split of the path around the deployment, and a changepoint.

The posterior of the split is that of a single step in noise whose neighbouring values resemble each other; what the
days before and the control predict is taken out first. Independently, kernel changepoint detection (KernelCPD with a
Gaussian kernel: Celisse et al. 2018, Arlot, Celisse and Harchaoui 2019, as in ruptures) segments the same path.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from afdp_exporter.detectors.grid import Grid, despike
from afdp_exporter.detectors.robust import median
from afdp_exporter.model import Floats

LONGEST_SIDE = 150  # steps looked at before, and after the last possible onset
SHORTEST_SIDE = 12
RAW_LENGTH = 120  # steps of the longer path
SHORTEST_SEGMENT = 2
DAYS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """Where the step is: the likeliest `position` the deployment may answer for, its 90 % interval, and the share of
    all possibility that falls to such positions. `likeliest` is the best split anywhere on the path.
    """

    position: int
    low: int
    high: int
    share: float
    likeliest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changepoint:
    """A changepoint: its position, and how much likelier (kernel cost) the two sides are apart than together."""

    position: int
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Path:
    """The stretch around the deployment: `values` (m,) with what was to be expected taken out, from `begin` on."""

    begin: int
    values: Floats
    first: int
    last: int

    @property
    def window_share(self) -> float:
        """The share of the path in which an onset belongs to the deployment: what chance alone would give it."""
        return max(self.last - self.first + 1, 1) / len(self.values)


def around(grid: Grid) -> Path:
    """The path around the deployment, with the window in which an onset belongs to it."""
    before = min(max(grid.n_after, SHORTEST_SIDE), LONGEST_SIDE, grid.deployed)
    begin = grid.deployed - before
    end = min(grid.n, grid.last_onset + LONGEST_SIDE)
    calm = despike(grid.values)
    values = calm[begin:end].copy()
    shape = _shape_of_days(calm, grid, begin, end)
    if shape is not None:
        values -= shape
    if grid.control is not None:
        values -= _explained(values, grid.control[begin:end], before)
    return Path(begin=begin, values=values, first=grid.deployed - 1 - begin, last=grid.last_onset - begin)


def around_raw(grid: Grid) -> Path:
    """A longer path around the deployment as it was measured, nothing taken out."""
    end = min(grid.n, grid.last_onset + LONGEST_SIDE)
    begin = max(0, min(grid.deployed - (end - grid.deployed), end - RAW_LENGTH))
    return Path(
        begin=begin,
        values=despike(grid.values)[begin:end],
        first=grid.deployed - 1 - begin,
        last=grid.last_onset - begin,
    )


def locate(path: Path) -> Onset | None:
    """The posterior of a single step; None when the path is too short to be split."""
    m = len(path.values)
    if m < 2 * SHORTEST_SEGMENT + 1:
        return None
    splits = np.arange(SHORTEST_SEGMENT, m - SHORTEST_SEGMENT + 1)
    gain = gains(path.values)[splits - 1]
    best = int(splits[np.argmax(gain)])
    log_odds = (gain - gain.max()) / (2.0 * _noise(path.values, best))
    weight = np.exp(np.maximum(log_odds, -700.0))
    inside = (splits >= path.first) & (splits <= path.last)
    if not inside.any():
        return None
    within = weight[inside]
    order = np.cumsum(within) / within.sum()
    places = splits[inside]
    return Onset(
        position=int(path.begin + places[np.argmax(within)]),
        low=int(path.begin + places[np.searchsorted(order, 0.05)]),
        high=int(path.begin + places[min(int(np.searchsorted(order, 0.95)), len(places) - 1)]),
        share=float(within.sum() / weight.sum()),
        likeliest=path.begin + best,
    )


def best_split(path: Path) -> int | None:
    """Where in the window a step would explain most; None where none can be. It is the position that `locate` gives."""
    m = len(path.values)
    first, last = max(path.first, SHORTEST_SEGMENT), min(path.last, m - SHORTEST_SEGMENT)
    if m < 2 * SHORTEST_SEGMENT + 1 or first > last:
        return None
    return path.begin + first + int(np.argmax(gains(path.values)[first - 1 : last]))


def gains(values: Floats) -> Floats:
    """How much a step at split k = 1 ... m-1 lowers the sum of squares of (..., m) values, (..., m - 1)."""
    m = values.shape[-1]
    k = np.arange(1, m)
    left = np.cumsum(values - values.mean(axis=-1, keepdims=True), axis=-1)[..., :-1]
    gain: Floats = left**2 * m / (k * (m - k))
    return gain


def _noise(values: Floats, split: int) -> float:
    """Variance around the two levels, widened for values that resemble their neighbours."""
    around_levels = np.concatenate([values[:split] - values[:split].mean(), values[split:] - values[split:].mean()])
    variance = max((1.4826 * median(np.abs(around_levels))) ** 2, 0.1 * float(around_levels.var()), 1e-12)
    energy = float(around_levels @ around_levels)
    likeness = float(around_levels[1:] @ around_levels[:-1]) / energy if energy > 0 else 0.0
    likeness = min(max(likeness, 0.0), 0.95)
    return variance * (1.0 + likeness) / (1.0 - likeness)


def _shape_of_days(calm: Floats, grid: Grid, begin: int, end: int) -> Floats | None:
    """The smoothed mean of the same hours of up to three days before."""
    if not grid.knows_days:
        return None
    back = [days * grid.day for days in range(1, DAYS + 1)]
    same = [calm[begin - b : end - b] for b in back if begin >= b and end - b <= grid.deployed]
    if not same:
        return None
    width = max(3, (end - begin) // 8) | 1
    return uniform_filter1d(np.mean(same, axis=0), width, mode="nearest")


def _explained(values: Floats, control: Floats, before: int) -> Floats:
    """The part of the path that the control tells, its weight learned before the deployment."""
    x = control - control[:before].mean()
    y = values[:before] - values[:before].mean()
    energy = float(x[:before] @ x[:before])
    return x * (float(x[:before] @ y) / energy) if energy > 0 else np.zeros_like(x)


def changepoint(path: Path) -> Changepoint | None:
    """The strongest changepoint of KernelCPD that the deployment may answer for: level, spread or shape moved."""
    values = path.values
    m = len(values)
    if m < 2 * SHORTEST_SIDE:
        return None
    square = (values[:, None] - values[None, :]) ** 2
    typical = median(square[::3].ravel())
    if not 1e-12 < typical < 1e12:
        return None
    import ruptures  # noqa: PLC0415 - it takes a second and 50 MB to import: only who judges shall pay that

    kernel = ruptures.KernelCPD(kernel="rbf", min_size=3, params={"gamma": 1.0 / typical}).fit(values[:, None])
    edges = np.array([0, *(int(b) for b in kernel.predict(pen=float(np.log(m))))])
    inside = np.flatnonzero((edges[1:-1] >= path.first) & (edges[1:-1] <= path.last)) + 1
    if not len(inside):
        return None
    table = np.zeros((m + 1, m + 1))
    table[1:, 1:] = np.exp(-square / typical).cumsum(axis=0).cumsum(axis=1)
    left, middle, right = edges[inside - 1], edges[inside], edges[inside + 1]
    gain = _likeness(table, left, middle) + _likeness(table, middle, right) - _likeness(table, left, right)
    best = int(np.argmax(gain))
    return Changepoint(position=path.begin + int(middle[best]), gain=float(gain[best]))


def _likeness(table: Floats, begin: NDArray[np.int64], end: NDArray[np.int64]) -> Floats:
    """Sum of the kernel over a segment, per value: the segment's length less its cost."""
    inside = table[end, end] - table[begin, end] - table[end, begin] + table[begin, begin]
    return inside / (end - begin)
