"""When the level moved: the posterior of a single changepoint, a kernel changepoint, and a ramp against a step.

`changepoint_posteriors` gives the posterior of the position of one mean shift in autocorrelated noise (Smith 1975),
after the seasonal profile of the days before and the control have been subtracted. Where each value is taken over a
window, such as a rate, a shift shows as a ramp of that length: then such a ramp is fitted. `kernel_changepoints`
segments the same values independently (KernelCPD with a Gaussian kernel: Celisse et al. 2018, Arlot, Celisse and
Harchaoui 2019, as in ruptures). `ramp_preferred_to_step` compares a linear ramp with a step by least squares.
"""

from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from afdp_exporter.detectors.panel import Panel
from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.detectors.robust import MAD_SCALE, median, row_means, row_medians
from afdp_exporter.model import Floats

LONGEST_SIDE = 150  # steps looked at before, and after the last possible onset
SHORTEST_SIDE = 12  # steps looked at before, at least
RAW_LENGTH = 120  # steps of the longer path
SHORTEST_SEGMENT = 2  # steps on either side of a split, at least
DAYS = 3  # days before that make the seasonal profile


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


def unknown_onset(grid: RegularSeries) -> Onset:
    """Anywhere in the window: that of a series whose onset is not estimated."""
    return Onset(position=grid.deployed, low=grid.first_onset, high=grid.last_onset, share=nan, likeliest=grid.deployed)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelChangepoint:
    """A changepoint: its position, and how much likelier (kernel cost) the two sides are apart than together."""

    position: int
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """The values (k, m) of k series around the deployment, from position `begin` on; `first` to `last` are the possible
    onsets. Each value is taken over the last `looks_back` steps."""

    begin: int
    values: Floats
    first: int
    last: int
    looks_back: int = 0

    @property
    def splits(self) -> tuple[int, int] | None:
        """The first and the last of the possible onsets that leave enough on either side; None where none does."""
        m = self.values.shape[1]
        first, last = max(self.first, SHORTEST_SEGMENT), min(self.last, m - SHORTEST_SEGMENT)
        return None if m < 2 * SHORTEST_SEGMENT + 1 or first > last else (first, last)

    @property
    def window_share(self) -> float:
        """The share of the path in which an onset belongs to the deployment: what chance alone would give it."""
        return float(max(self.last - self.first + 1, 1) / self.values.shape[1])


def extract(panel: Panel) -> Segment:
    """The segment around the deployment, seasonally adjusted, with the window in which an onset belongs to it."""
    grid = panel.layout
    before = min(max(grid.n_after, SHORTEST_SIDE), LONGEST_SIDE, grid.deployed)
    begin = grid.deployed - before
    end = min(grid.n, grid.last_onset + LONGEST_SIDE)
    values = panel.despiked[:, begin:end].copy()
    shape = _seasonal_profile(panel.despiked, grid, begin, end)
    if shape is not None:
        values -= shape
    if panel.control is not None:
        values -= _explained_by_control(values, panel.control[:, begin:end], before)
    return Segment(
        begin=begin, values=values, first=grid.first_onset - begin, last=grid.last_onset - begin,
        looks_back=grid.looks_back,
    )  # fmt: skip


def extract_raw(panel: Panel) -> Segment:
    """A longer segment around the deployment as it was measured, nothing subtracted."""
    grid = panel.layout
    end = min(grid.n, grid.last_onset + LONGEST_SIDE)
    begin = max(0, min(grid.deployed - (end - grid.deployed), end - RAW_LENGTH))
    return Segment(
        begin=begin,
        values=panel.despiked[:, begin:end],
        first=grid.first_onset - begin,
        last=grid.last_onset - begin,
        looks_back=grid.looks_back,
    )


def changepoint_posteriors(segment: Segment) -> list[Onset | None]:
    """The posterior of a single step in each series; None when the segment is too short to be split."""
    if segment.splits is None:
        return [None] * len(segment.values)
    first, last = segment.splits
    weight, best = _weights(segment)
    within = weight[:, first - SHORTEST_SEGMENT : last - SHORTEST_SEGMENT + 1]
    inside = within.sum(axis=1)
    order = np.cumsum(within, axis=1) / inside[:, None]
    begin, shares = segment.begin + first, inside / weight.sum(axis=1)
    places, lows = begin + np.argmax(within, axis=1), begin + (order < 0.05).sum(axis=1)
    highs = begin + np.minimum((order < 0.95).sum(axis=1), last - first)
    found = zip(places, lows, highs, shares, segment.begin + best, strict=True)
    return [
        Onset(position=int(place), low=int(low), high=int(high), share=float(share), likeliest=int(likeliest))
        for place, low, high, share, likeliest in found
    ]


def window_shares(segment: Segment) -> Floats:
    """The share (k,) of the posterior of a single step that falls to the window, of a segment that can be split."""
    weight, _ = _weights(segment)
    first, last = segment.splits or (0, -1)
    shares: Floats = weight[:, first - SHORTEST_SEGMENT : last - SHORTEST_SEGMENT + 1].sum(axis=1) / weight.sum(axis=1)
    return shares


def _weights(segment: Segment) -> tuple[Floats, NDArray[np.int64]]:
    """How likely a step at each split is (k, m + 1 - 2 * shortest), the likeliest at 1, and which that is (k,)."""
    m = segment.values.shape[1]
    gain = sse_reduction(segment.values, segment.looks_back)[:, SHORTEST_SEGMENT - 1 : m - SHORTEST_SEGMENT]
    best = SHORTEST_SEGMENT + np.argmax(gain, axis=1)
    log_odds = (gain - gain.max(axis=1, keepdims=True)) / (2.0 * _noise(segment, best))[:, None]
    weight: Floats = np.exp(np.maximum(log_odds, -700.0))
    return weight, best


def best_splits(segment: Segment) -> NDArray[np.int64] | None:
    """The least-squares split of each series (k,) in the window, where the posterior is highest.

    None where the segment is too short.
    """
    if segment.splits is None:
        return None
    first, last = segment.splits
    splits: NDArray[np.int64] = np.argmax(
        sse_reduction(segment.values, segment.looks_back)[:, first - 1 : last], axis=1
    )
    return splits + (segment.begin + first)


def sse_reduction(values: Floats, looks_back: int = 0) -> Floats:
    """How much a step at split k = 1 ... m-1 lowers the sum of squares of (..., m) values, (..., m - 1).

    Seen in values over the last `looks_back` steps, it is the mean of as many steps, one after the other.
    """
    m = values.shape[-1]
    k = np.arange(1.0, m)
    left = np.cumsum(values - row_means(values), axis=-1)[..., :-1]
    if looks_back < 2:
        gain: Floats = left**2 * m / (k * (m - k))
        return gain
    padded = np.concatenate([np.zeros_like(left[..., :1]), np.cumsum(left, axis=-1)], axis=-1)
    ends = np.minimum(np.arange(m - 1) + looks_back, m - 1)
    left = (padded[..., ends] - padded[..., : m - 1]) / looks_back
    ramp = np.minimum(np.arange(1, m) / looks_back, 1.0)
    total, squares = np.cumsum(ramp)[::-1], np.cumsum(ramp**2)[::-1]
    by_ramp: Floats = left**2 / (squares - total**2 / m)
    return by_ramp


def _ramps(m: int, begins: NDArray[np.number], lengths: NDArray[np.number] | int) -> Floats:
    """Rises from 0 to 1 that begin at positions (k, 1) and are so many steps long (k, 1), less their means: (k, m)."""
    ramps: Floats = ((np.arange(1.0, m + 1) - begins) / lengths).clip(0.0, 1.0)
    ramps -= row_means(ramps)
    return ramps


def _noise(segment: Segment, splits: NDArray[np.int64]) -> Floats:
    """Variance (k,) around the fitted step or ramp, widened for values that resemble their neighbours."""
    shape = _ramps(segment.values.shape[1], splits[:, None], max(segment.looks_back, 1))
    rest = segment.values - row_means(segment.values)
    rest -= (np.vecdot(rest, shape) / np.vecdot(shape, shape))[:, None] * shape
    energy = np.vecdot(rest, rest)
    spread = (MAD_SCALE * row_medians(np.abs(rest))) ** 2
    variance = np.maximum(np.maximum(spread, 0.1 * energy / rest.shape[1]), 1e-12)  # its mean is 0
    autocorrelation = np.vecdot(rest[:, 1:], rest[:, :-1]) / np.where(energy > 0.0, energy, np.inf)
    autocorrelation = autocorrelation.clip(0.0, 0.95)
    noise: Floats = variance * (1.0 + autocorrelation) / (1.0 - autocorrelation)
    return noise


def _seasonal_profile(calm: Floats, grid: RegularSeries, begin: int, end: int) -> Floats | None:
    """The smoothed mean of the same hours of up to three days before."""
    if not grid.has_daily_history:
        return None
    back = [days * grid.day for days in range(1, DAYS + 1)]
    same = [calm[:, begin - b : end - b] for b in back if begin >= b and end - b <= grid.deployed]
    if not same:
        return None
    width = max(3, (end - begin) // 8) | 1
    return uniform_filter1d(sum(same) / len(same), width, mode="nearest", axis=-1)


def _explained_by_control(values: Floats, control: Floats, before: int) -> Floats:
    """The part of the values that a regression on the control explains, fitted before the deployment."""
    x = control - row_means(control[:, :before])
    y = values[:, :before] - row_means(values[:, :before])
    energy = np.vecdot(x[:, :before], x[:, :before])
    slope = np.vecdot(x[:, :before], y) / np.where(energy > 0.0, energy, np.inf)
    explained: Floats = x * slope[:, None]
    return explained


def kernel_changepoints(segment: Segment) -> list[KernelChangepoint | None]:
    """The strongest changepoint of KernelCPD that the deployment may answer for: level, spread or shape moved."""
    return [_kernel_changepoint(values, segment) for values in segment.values]


def _kernel_changepoint(values: Floats, segment: Segment) -> KernelChangepoint | None:
    m = len(values)
    if m < 2 * SHORTEST_SIDE:
        return None
    typical = median(((values[::3, None] - values) ** 2).ravel())
    if not 1e-12 < typical < 1e12:
        return None
    import ruptures  # noqa: PLC0415 - it takes a second and 50 MB to import: only who judges shall pay that

    kernel = ruptures.KernelCPD(kernel="rbf", min_size=3, params={"gamma": 1.0 / typical}).fit(values[:, None])
    edges = np.array([0, *(int(b) for b in kernel.predict(pen=float(np.log(m))))])
    middles = edges[1:-1] - segment.looks_back // 2  # of a ramp
    inside = np.flatnonzero((middles >= segment.first) & (middles <= segment.last)) + 1
    if not len(inside):
        return None
    begin, end = int(inside[0]) - 1, int(inside[-1]) + 1  # the edges around those that are inside
    gain = _gains(values[edges[begin] : edges[end]], np.diff(edges[begin : end + 1]), typical)
    best = int(np.argmax(gain))
    return KernelChangepoint(position=segment.begin + int(edges[inside[best]]), gain=float(gain[best]))


def _gains(values: Floats, lengths: NDArray[np.int64], typical: float) -> Floats:
    """By how much the cost falls where neighbours of k parts of so many values (k,) are split, (k - 1,)."""
    similar = values[:, None] - values
    similar *= similar
    similar /= -typical
    np.exp(similar, out=similar)
    begins = np.cumsum(lengths) - lengths
    sums = np.add.reduceat(np.add.reduceat(similar, begins, axis=0), begins, axis=1)
    alone, between = np.diagonal(sums), np.diagonal(sums, 1)
    together = (alone[:-1] + alone[1:] + 2.0 * between) / (lengths[:-1] + lengths[1:])
    gains: Floats = (alone / lengths)[:-1] + (alone / lengths)[1:] - together
    return gains


_RAMP_STRIDE = 2  # every so many positions of the window a drift may begin
_RAMP_LENGTHS = 10  # from two steps to all that is left, evenly spread by their logarithm


def ramp_preferred_to_step(segment: Segment) -> bool:
    """Whether a ramp in one series that begins in the window fits at least as well as any single step outside of it.

    A step before the deployment, or long after it, shifts the mean as a drift does; least squares distinguish the two.
    """
    (values,) = segment.values
    m = len(values)
    if m - segment.first < 4:
        return False
    gain = sse_reduction(values)
    splits = np.arange(1, m)
    outside = gain[(splits < segment.first) | (splits > segment.last)]
    begins = np.arange(max(segment.first, 1), min(segment.last, m - 4) + 1, _RAMP_STRIDE)
    lengths = np.unique(np.geomspace(2, m - segment.first, _RAMP_LENGTHS).round())
    begin, length = (grid.reshape(-1, 1) for grid in np.meshgrid(begins, lengths))
    ramps = _ramps(m, begin, length)
    energy = np.maximum((ramps**2).sum(axis=1), 1e-12)
    fits = (ramps @ (values - values.mean())) ** 2 / energy
    return bool(len(fits)) and float(fits.max()) >= float(outside.max(initial=0.0))
