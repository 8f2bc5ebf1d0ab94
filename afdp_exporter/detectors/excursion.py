"""What left its level after the deployment and came back: a transient.

An excursion of a given length stands out from the values on both of its sides; a step or a drift stands out from one
side only. The same statistic is taken at every earlier instant, and only what the history does not know is unusual.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

from afdp_exporter.detectors.grid import Grid
from afdp_exporter.model import Floats

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 24, 36, 54, 80, 120)
SIDE = 4  # steps on either side that it must stand out from
COMMON = 0.95  # quantile of the highest excursion in windows of history
JITTER = 0.3  # of the 99th percentile of the history's own single steps: what an excursion must exceed in any case
FEW = 10.0  # windows of history: with so many, an excursion must be twice as high


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """An excursion from position `begin` to before `end`, `height` above the level before it.

    `rarity` is its height in units of what the highest excursions of the history reach. `left` is the share of the
    height that is left after its end.
    """

    begin: int
    end: int
    height: float
    rarity: float
    left: float


def excursion(grid: Grid) -> Excursion | None:
    """The most unusual excursion that begins when the deployment may answer for it."""
    if grid.deployed < 20 or grid.n_after < 2 * SIDE:
        return None
    totals = np.concatenate([[0.0], np.cumsum(grid.values)])
    jitter = JITTER * float(np.quantile(np.abs(np.diff(grid.values[: grid.deployed])), 0.99))
    found = [
        _rarest(grid, totals, length, jitter)
        for length in LENGTHS
        if length <= max(2, grid.n_after // 4) and length + 2 * SIDE <= grid.deployed // 3
    ]
    rarity, begin, length = max((each for each in found if each is not None), default=(0.0, 0, 0))
    if rarity <= 0.0:
        return None
    end = begin + length
    before = _mean(totals, begin - SIDE, begin)
    height = _mean(totals, begin, end) - before
    rest = float(np.median(grid.values[end:]))
    return Excursion(begin=begin, end=end, height=height, rarity=rarity, left=(rest - before) / height)


def _mean(totals: Floats, begin: int, end: int) -> float:
    return float(totals[end] - totals[begin]) / (end - begin)


def _rarest(grid: Grid, totals: Floats, length: int, jitter: float) -> tuple[float, int, int] | None:
    """Rarity, position and length of the highest excursion of one length in the deployment's window."""
    at = np.arange(SIDE, grid.n - length - 1)
    height = _standing_out(totals, at, length, grid.n)
    in_window = (at >= grid.deployed - 1) & (at <= grid.last_onset)
    in_past = at + length + SIDE <= grid.deployed
    window = int(in_window.sum())
    if not window or int(in_past.sum()) < 20:
        return None
    highest = maximum_filter1d(height[in_past], window)[window // 2 :: max(1, window // 2)]
    usual = max(float(np.quantile(highest, COMMON)), jitter)
    best = int(np.argmax(height[in_window]))
    if usual <= 0.0:
        return None
    rarity = float(height[in_window][best]) / usual / (1.0 + FEW / len(highest))
    return rarity, int(at[in_window][best]), length


def _standing_out(totals: Floats, at: np.ndarray, length: int, n: int) -> Floats:
    """By how much the mean of a stretch exceeds both of its sides, up or down; 0 where it does not."""
    end = at + length
    stop = np.minimum(end + SIDE, n)
    inside = (totals[end] - totals[at]) / length
    left = (totals[at] - totals[at - SIDE]) / SIDE
    right = (totals[stop] - totals[end]) / (stop - end)
    above = np.minimum(inside - left, inside - right)
    below = np.minimum(left - inside, right - inside)
    out: Floats = np.maximum(np.maximum(above, below), 0.0)
    return out
