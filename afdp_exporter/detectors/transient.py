"""Transients: a stretch after the deployment that left its level and came back.

A transient of a given length differs from the values on both of its sides; a step or a drift differs from one side
only. The same statistic is computed at every earlier instant, and its ratio to their extremes is the rarity.
"""

from dataclasses import dataclass
from math import hypot
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from afdp_exporter.detectors.noise import long_run_error
from afdp_exporter.detectors.panel import Panel
from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.detectors.robust import mad, median, quantile, row_quantiles, window_maxima
from afdp_exporter.model import Floats

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24, 36, 54, 80, 120)  # steps
SINGLE = 3.0  # a single wild point must be so many times rarer: series are full of them
SIDE = 4  # steps on either side that it must stand out from
BEFORE = 13  # steps that give the level before it
CALM = 60  # steps before it that give the deviation of single values from the level
LEAST = 20  # earlier instants
USUAL = 0.9  # quantile of how far stretches of the history are from the level before them
COMMON = 0.95  # quantile of the highest excursion in windows of history
JITTER = 0.3  # of the 99th percentile of the history's own single steps: what an excursion must exceed in any case
FEW = 10.0  # windows of history: with so many, an excursion must be twice as high
FLAT = 3.8  # rarity of the first one that a series without any has: a single point is none yet
AWAY = 0.75  # of the values up to the end of the data that are still away
SURE = 4.0  # standard errors, and deviations of single values
CHANCE = 0.037  # the share of placebos whose rarity exceeds 1; beyond that it falls off with its square


@dataclass(frozen=True, slots=True, kw_only=True)
class Transient:
    """An excursion from position `begin` to before `end`, in the mean `height` above the `level` before it.

    `usual` is what nine in ten stretches of the history, as long as it, differ from the level before them. `rarity` is
    its height in units of what the highest excursions of the history reach.
    """

    begin: int
    end: int
    level: float
    height: float
    usual: float
    rarity: float

    def error(self, grid: RegularSeries) -> float:
        """The error of its height (90 %): what is usual, with what the values inside scatter more than those before."""
        inside = long_run_error(grid.values, grid.deployed, self.begin, self.end)
        return hypot(self.usual, float(stdtrit(inside.degrees_of_freedom, 0.95)) * inside.error)

    @property
    def p_value(self) -> float:
        """How often an innocent deployment is followed by one at least as rare.

        Measured on 4,800 placebos in 231 production series: 2.2 % are rarer than 1.3, .65 % than 2, .35 % than 3 and
        .12 % than 6.
        """
        return min(CHANCE / self.rarity**2, 1.0) if self.rarity > 0.0 else 1.0


def find_transients(panel: Panel) -> list[Transient | None]:
    """The most unusual excursion of each series that begins when the deployment may answer for it.

    None where its height is no further from the level before it than such stretches are by themselves, or where the
    level did not come back.
    """
    grid = panel.layout
    if grid.deployed < 20 or grid.n_after < 2 * SIDE:
        return [None] * panel.k
    totals = panel.totals
    sides, jitter = _means_of_sides(totals), _jitter(panel.values[:, : grid.deployed])
    candidates = [
        found
        for length in LENGTHS
        if length <= max(2, grid.n_after // 4) and length + 2 * SIDE <= grid.deployed // 3
        if (found := _highest_of_length(grid, totals, sides, length)) is not None
    ]
    if not candidates:
        return [None] * panel.k
    length, windows, height, begin, usual = (np.array(each) for each in zip(*candidates, strict=True))
    usual, few = np.maximum(usual, jitter), 1.0 + FEW / (2 * windows[:, None])
    beyond = np.where(usual > 0.0, height / np.where(usual > 0.0, usual, 1.0) / few, FLAT)
    rarity, strength = np.where(height > 0.0, beyond, 0.0), height * length[:, None] ** 0.5
    best = np.lexsort((begin, strength, rarity), axis=0)[-1]  # of those alike in all the last, which is the longest
    return [
        None if rarity[way, k] <= 0.0 else _returned(
            each, totals[k], float(rarity[way, k]), int(begin[way, k]), int(length[way])
        )
        for k, (each, way) in enumerate(zip(panel.series, best.tolist(), strict=True))
    ]  # fmt: skip


def _returned(grid: RegularSeries, totals: Floats, rarity: float, begin: int, length: int) -> Transient | None:
    """The excursion that a stretch stands out of, where it came back."""
    stretch = begin + length
    begin, end = _edges(grid, begin, stretch)
    level = _mean(totals, max(0, begin - 1 - BEFORE), max(1, begin - 1))
    height, apart = _mean(totals, begin, end) - level, _apart(grid, totals, end - begin)
    if not len(apart) or np.count_nonzero(apart >= abs(height)) >= len(apart) - int(USUAL * (len(apart) - 1)):
        return None  # as many say at once that its height is usual, without what that is
    error = quantile(apart, USUAL)
    if abs(height) <= error or _did_not_return(grid, min(stretch, end), level, height):
        return None
    if end == grid.n and _still_away(grid, stretch, level, height):
        return None
    return Transient(
        begin=begin,
        end=end,
        level=level,
        height=height,
        usual=error,
        rarity=rarity / SINGLE if end - begin == 1 else rarity,
    )


def _edges(grid: RegularSeries, begin: int, end: int) -> tuple[int, int]:
    """From the highest point outwards, as far as the values stay away from the level; two that are back end it."""
    level = median(grid.values[max(0, begin - BEFORE) : begin])
    side = 1.0 if float(grid.values[begin:end].mean()) >= level else -1.0
    start = max(grid.deployed - 1, 0)  # nothing before it belongs to an excursion
    away = side * (grid.values[start:] - level)
    peak = begin - start + int(np.argmax(away[begin - start : end - start]))
    calm = grid.values[max(0, begin - CALM) : begin - 1] - level
    noise = mad(calm) if len(calm) else 0.0
    near = away <= min(max(3.0 * noise, 0.1 * away[peak]), 0.5 * away[peak])
    back = np.flatnonzero(near[peak + 1 : -1] & near[peak + 2 :])
    first = peak
    while first > 0 and not near[first - 1]:
        first -= 1
    return start + first, start + peak + 1 + int(back[0]) if len(back) else grid.n


def _did_not_return(grid: RegularSeries, end: int, level: float, height: float) -> bool:
    """Whether what follows scatters more than any before and keeps away from the level: then only that stands out."""
    rest = grid.values[end:]
    if len(rest) < SIDE:
        return False
    away = (float(rest.mean()) - level) / height
    scatter = float(rest.std()) / abs(height)
    keeps_away = away > SURE * scatter / np.sqrt(len(rest)) and away + SURE * scatter > 1.0
    return keeps_away and long_run_error(grid.values, grid.deployed, end, grid.n).error > 0.0


def _still_away(grid: RegularSeries, end: int, level: float, height: float) -> bool:
    """Whether most values after the stretch that stands out are nearer to it than to the level: nothing came back."""
    rest = (grid.values[end:] - level) / height
    return not len(rest) or float((rest > 0.5).mean()) > AWAY


def _apart(grid: RegularSeries, totals: Floats, length: int) -> Floats:
    """How far stretches of the history are from the mean of the values before them, without sign (k,)."""
    count = max(grid.deployed - length - BEFORE, 0)
    at = totals[BEFORE : BEFORE + count]
    apart = (totals[BEFORE + length : BEFORE + length + count] - at) / length - (at - totals[:count]) / BEFORE
    return np.abs(apart, out=apart)


def _mean(totals: Floats, begin: int, end: int) -> float:
    return float(totals[end] - totals[begin]) / (end - begin)


def _jitter(histories: Floats) -> Floats:
    """What an excursion has to exceed in any case (k,)."""
    jitter: Floats = JITTER * row_quantiles(np.abs(histories[:, 1:] - histories[:, :-1]), 0.99)
    return jitter


_Highest: TypeAlias = tuple[int, int, Floats, NDArray[np.int64], Floats]
"""Length, windows of history, height (k,), position (k,), and how high the highest of those windows are (k,)."""


def _highest_of_length(grid: RegularSeries, totals: Floats, sides: Floats, length: int) -> _Highest | None:
    """The highest excursion of one length in the deployment's window, of each series."""
    height = _contrasts(totals, sides, length)
    first, last = max(grid.deployed - 1 - SIDE, 0), min(grid.last_onset - SIDE, height.shape[1] - 1)
    past = height[:, : max(grid.deployed - length - 2 * SIDE + 1, 0)]
    window = last - first + 1
    if window < 1 or past.shape[1] < max(LEAST, window):
        return None
    highest, inside = np.maximum(window_maxima(past, window), 0.0), height[:, first : last + 1]
    position = first + SIDE + np.argmax(inside, axis=1)
    return length, highest.shape[1], inside.max(axis=1), position, row_quantiles(highest, COMMON)


def _means_of_sides(totals: Floats) -> Floats:
    """The means of the values from each position on that a stretch before it is compared with: fewer at the end."""
    whole = totals[:, SIDE:] - totals[:, :-SIDE]
    whole /= SIDE
    cut = (totals[:, -1:] - totals[:, -SIDE:-2]) / np.arange(SIDE - 1, 1, -1)
    return np.concatenate([whole, cut], axis=1)


def _contrasts(totals: Floats, sides: Floats, length: int) -> Floats:
    """By how much the mean of a stretch exceeds both of its sides, up or down; 0 or less where it does not.

    One height for each beginning from `SIDE` to `n - length - 2`, (k, n - length - 1 - SIDE).
    """
    begins = sides.shape[1] - length - SIDE
    left, right = sides[:, :begins], sides[:, SIDE + length :]
    inside = totals[:, SIDE + length : SIDE + length + begins] - totals[:, SIDE : SIDE + begins]
    inside /= length
    heights: Floats = np.maximum(left, right)
    np.subtract(inside, heights, out=heights)
    below = np.minimum(left, right)
    below -= inside
    return np.maximum(heights, below, out=heights)
