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
BEFORE = 13  # steps that tell the level before it
CALM = 60  # steps before it that tell how far values stray from the level
COMMON = 0.95  # quantile of the highest excursion in windows of history
JITTER = 0.3  # of the 99th percentile of the history's own single steps: what an excursion must exceed in any case
FEW = 10.0  # windows of history: with so many, an excursion must be twice as high


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """An excursion from position `begin` to before `end`, in the mean `height` above the `level` before it.

    `error` is what nine in ten stretches of the history, as long as it, differ from the level before them. `rarity` is
    its height in units of what the highest excursions of the history reach, `left` the share that is left after it.
    """

    begin: int
    end: int
    level: float
    height: float
    error: float
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
    left = (float(np.median(grid.values[end:])) - before) / (_mean(totals, begin, end) - before)
    begin, end = _edges(grid, begin, end)
    level = _mean(totals, max(0, begin - 1 - BEFORE), max(1, begin - 1))
    return Excursion(
        begin=begin,
        end=end,
        level=level,
        height=_mean(totals, begin, end) - level,
        error=_error(grid, totals, end - begin),
        rarity=rarity,
        left=left,
    )


def _edges(grid: Grid, begin: int, end: int) -> tuple[int, int]:
    """From the highest point outwards, as far as the values stay away from the level; two that are back end it."""
    level = float(np.median(grid.values[max(0, begin - BEFORE) : begin]))
    side = 1.0 if float(grid.values[begin:end].mean()) >= level else -1.0
    away = side * (grid.values - level)
    peak = begin + int(np.argmax(away[begin:end]))
    calm = np.abs(grid.values[max(0, begin - CALM) : begin - 1] - level)
    noise = 1.4826 * float(np.median(calm)) if len(calm) else 0.0
    near = away <= min(max(3.0 * noise, 0.1 * away[peak]), 0.5 * away[peak])
    back = np.flatnonzero(near[peak + 1 : -1] & near[peak + 2 :])
    first = peak
    while first > max(grid.deployed - 1, 0) and not near[first - 1]:
        first -= 1
    return first, peak + 1 + int(back[0]) if len(back) else grid.n


def _error(grid: Grid, totals: Floats, length: int) -> float:
    """The 90 % point of how far stretches of the history are from the mean of the values before them."""
    at = np.arange(BEFORE, grid.deployed - length)
    if not len(at):
        return float("inf")
    apart = (totals[at + length] - totals[at]) / length - (totals[at] - totals[at - BEFORE]) / BEFORE
    return float(np.quantile(np.abs(apart), 0.9))


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
