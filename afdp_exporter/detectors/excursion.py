"""What left its level after the deployment and came back: a transient.

An excursion of a given length stands out from the values on both of its sides; a step or a drift stands out from one
side only. The same statistic is taken at every earlier instant, and only what the history does not know is unusual.
"""

from dataclasses import dataclass
from math import hypot

import numpy as np
from scipy.special import stdtrit

from afdp_exporter.detectors.grid import Grid, running_totals
from afdp_exporter.detectors.long_run import more_scatter
from afdp_exporter.detectors.robust import highest_by_window, median, quantile
from afdp_exporter.model import Floats

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24, 36, 54, 80, 120)
SINGLE = 3.0  # a single wild point must be so many times rarer: series are full of them
SIDE = 4  # steps on either side that it must stand out from
BEFORE = 13  # steps that tell the level before it
CALM = 60  # steps before it that tell how far values stray from the level
LEAST = 20  # earlier instants
COMMON = 0.95  # quantile of the highest excursion in windows of history
JITTER = 0.3  # of the 99th percentile of the history's own single steps: what an excursion must exceed in any case
FEW = 10.0  # windows of history: with so many, an excursion must be twice as high
FLAT = 3.8  # rarity of the first one that a series without any has: a single point is none yet
SURE = 4.0  # standard errors, and deviations of single values
CHANCE = 0.037  # the share of placebos whose rarity exceeds 1; beyond that it falls off with its square


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """An excursion from position `begin` to before `end`, in the mean `height` above the `level` before it.

    `error` is what nine in ten stretches of the history, as long as it, differ from the level before them, with what
    the values inside scatter more than those. `rarity` is
    its height in units of what the highest excursions of the history reach.
    """

    begin: int
    end: int
    level: float
    height: float
    error: float
    rarity: float

    @property
    def p_value(self) -> float:
        """How often an innocent deployment is followed by one at least as rare.

        Measured on 4,800 placebos in 231 production series: 2.2 % are rarer than 1.3, .65 % than 2, .35 % than 3 and
        .12 % than 6.
        """
        return min(CHANCE / self.rarity**2, 1.0) if self.rarity > 0.0 else 1.0


def excursion(grid: Grid) -> Excursion | None:
    """The most unusual excursion that begins when the deployment may answer for it.

    None where its height is no further from the level before it than such stretches are by themselves, or where the
    level did not come back.
    """
    if grid.deployed < 20 or grid.n_after < 2 * SIDE:
        return None
    totals = running_totals(grid.values)
    jitter = JITTER * quantile(np.abs(np.diff(grid.values[: grid.deployed])), 0.99)
    found = [
        _rarest(grid, totals, length, jitter)
        for length in LENGTHS
        if length <= max(2, grid.n_after // 4) and length + 2 * SIDE <= grid.deployed // 3
    ]
    rarity, _, begin, length = max((each for each in found if each is not None), default=(0.0, 0.0, 0, 0))
    if rarity <= 0.0:
        return None
    stretch = begin + length
    begin, end = _edges(grid, begin, stretch)
    level = _mean(totals, max(0, begin - 1 - BEFORE), max(1, begin - 1))
    height, error = _mean(totals, begin, end) - level, _error(grid, totals, end - begin)
    if abs(height) <= error or _stayed(grid, min(stretch, end), level, height):
        return None
    inside = more_scatter(grid.values, grid.deployed, begin, end)
    return Excursion(
        begin=begin,
        end=end,
        level=level,
        height=height,
        error=hypot(error, float(stdtrit(inside.freedom, 0.95)) * inside.error),
        rarity=rarity / SINGLE if end - begin == 1 else rarity,
    )


def _edges(grid: Grid, begin: int, end: int) -> tuple[int, int]:
    """From the highest point outwards, as far as the values stay away from the level; two that are back end it."""
    level = median(grid.values[max(0, begin - BEFORE) : begin])
    side = 1.0 if float(grid.values[begin:end].mean()) >= level else -1.0
    away = side * (grid.values - level)
    peak = begin + int(np.argmax(away[begin:end]))
    calm = np.abs(grid.values[max(0, begin - CALM) : begin - 1] - level)
    noise = 1.4826 * median(calm) if len(calm) else 0.0
    near = away <= min(max(3.0 * noise, 0.1 * away[peak]), 0.5 * away[peak])
    back = np.flatnonzero(near[peak + 1 : -1] & near[peak + 2 :])
    first = peak
    while first > max(grid.deployed - 1, 0) and not near[first - 1]:
        first -= 1
    return first, peak + 1 + int(back[0]) if len(back) else grid.n


def _stayed(grid: Grid, end: int, level: float, height: float) -> bool:
    """Whether what follows scatters more than any before and keeps away from the level: then only that stands out."""
    rest = grid.values[end:]
    if len(rest) < SIDE:
        return False
    away = (float(rest.mean()) - level) / height
    scatter = float(rest.std()) / abs(height)
    keeps_away = away > SURE * scatter / np.sqrt(len(rest)) and away + SURE * scatter > 1.0
    return keeps_away and more_scatter(grid.values, grid.deployed, end, grid.n).error > 0.0


def _error(grid: Grid, totals: Floats, length: int) -> float:
    """The 90 % point of how far stretches of the history are from the mean of the values before them."""
    at = np.arange(BEFORE, grid.deployed - length)
    if not len(at):
        return float("inf")
    apart = (totals[at + length] - totals[at]) / length - (totals[at] - totals[at - BEFORE]) / BEFORE
    return quantile(np.abs(apart), 0.9)


def _mean(totals: Floats, begin: int, end: int) -> float:
    return float(totals[end] - totals[begin]) / (end - begin)


def _rarest(grid: Grid, totals: Floats, length: int, jitter: float) -> tuple[float, float, int, int] | None:
    """Rarity, strength, position and length of the highest excursion of one length in the deployment's window."""
    height = _standing_out(totals, length, grid.n)
    first, last = max(grid.deployed - 1 - SIDE, 0), min(grid.last_onset - SIDE, len(height) - 1)
    past = height[: max(grid.deployed - length - 2 * SIDE + 1, 0)]
    window = last - first + 1
    if window < 1 or len(past) < max(LEAST, window):
        return None
    highest = highest_by_window(past, window)
    usual = max(quantile(highest, COMMON), jitter)
    best = first + int(np.argmax(height[first : last + 1]))
    if height[best] <= 0.0:
        return None
    beyond = float(height[best]) / usual / (1.0 + FEW / (2 * len(highest))) if usual > 0.0 else FLAT
    return beyond, float(height[best] * length**0.5), best + SIDE, length


def _standing_out(totals: Floats, length: int, n: int) -> Floats:
    """By how much the mean of a stretch exceeds both of its sides, up or down; 0 where it does not.

    One height for each beginning from `SIDE` to `n - length - 2`, (n - length - 1 - SIDE,).
    """
    begin, end = totals[SIDE : n - length - 1], totals[SIDE + length : n - 1]
    stop = np.concatenate([totals[2 * SIDE + length :], np.full(SIDE - 2, totals[-1])])
    beyond = np.minimum(SIDE, np.arange(n - length - SIDE, 1, -1))
    inside = (end - begin) / length
    left = inside - (begin - totals[: n - length - 1 - SIDE]) / SIDE
    right = inside - (stop - end) / beyond
    return np.maximum(np.maximum(np.minimum(left, right), -np.maximum(left, right)), 0.0)
