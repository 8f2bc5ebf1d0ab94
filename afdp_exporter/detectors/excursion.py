"""What left its level after the deployment and came back: a transient.

The same statistic, the largest mean of a few values over the level just before, is taken at every earlier instant of
the series; only an excursion that the history does not know is reported.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d, median_filter

from afdp_exporter.detectors.grid import Grid
from afdp_exporter.model import Floats

LENGTHS = (2, 3, 4, 6, 8, 12, 16, 20)
BEFORE = 13  # steps whose median is the level before
RETURNED = 0.4  # of the excursion: what may be left of it at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Excursion:
    """An excursion from position `begin` to before `end` (None: not over), `height` above the level before it.

    `rarity` is the height in units of the largest that nine in ten stretches of history reach, taken at the length at
    which the excursion stands out most; `p_value` is its rank among the stretches.
    """

    begin: int
    end: int | None
    height: float
    rarity: float
    p_value: float


def excursion(grid: Grid) -> Excursion | None:
    """The most unusual excursion that begins when the deployment may answer for it."""
    if grid.deployed < 2 * BEFORE or grid.n_after < 3:
        return None
    level = _level_before(grid.values)
    window = grid.last_onset - grid.deployed + 1
    best: tuple[float, float, int] | None = None
    for length in LENGTHS:
        if length > min(grid.n_after // 2, grid.deployed // 6):
            break
        away = _away(grid.values, level, length)
        usual, p_value, begin = _compare(away, grid, length, window)
        if usual > 0 and (best is None or abs(away[begin]) / usual > best[0]):
            best = abs(float(away[begin])) / usual, p_value, begin
    if best is None:
        return None
    rarity, p_value, begin = best
    return _follow(grid, level, begin, rarity, p_value)


def _level_before(values: Floats) -> Floats:
    """Median of the values just before each position, (n,)."""
    half = BEFORE // 2
    middle = median_filter(values, BEFORE, mode="nearest")
    return np.concatenate([np.full(half + 1, middle[0]), middle])[: len(values)]


def _away(values: Floats, level: Floats, length: int) -> Floats:
    """Mean of `length` values from each position on, less the level before, (n - length + 1,)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    away: Floats = (total[length:] - total[:-length]) / length - level[: len(values) - length + 1]
    return away


def _compare(away: Floats, grid: Grid, length: int, window: int) -> tuple[float, float, int]:
    """What nine in ten windows of history reach, the rank of the deployment's window, and its highest position."""
    reached = np.abs(away)
    after = reached[grid.deployed : grid.last_onset + 1]
    begin = grid.deployed + int(np.argmax(after)) if len(after) else grid.deployed
    if not len(after):
        return 0.0, 1.0, begin
    past = reached[BEFORE : grid.deployed - length + 1]
    highest = maximum_filter1d(past, window)[window // 2 :: max(1, window // 2)]
    if len(highest) < 8:
        return 0.0, 1.0, begin
    p_value = (1.0 + float((highest >= after.max()).sum())) / (1.0 + len(highest))
    return max(float(np.quantile(highest, 0.9)), 1e-9), p_value, begin


def _follow(grid: Grid, level: Floats, begin: int, rarity: float, p_value: float) -> Excursion:
    """From its first value on until two in a row are back at less than half its height."""
    base = float(level[begin])
    sign = 1.0 if grid.values[begin] >= base else -1.0
    rest = sign * (grid.values[begin:] - base)
    height = float(rest[: max(2, len(rest) // 6)].max(initial=0.0))
    back = rest < 0.5 * height
    twice = back[:-1] & back[1:]
    started = int(np.argmax(~back)) if (~back).any() else 0
    over = np.flatnonzero(twice[started:])
    end = begin + started + int(over[0]) if len(over) else None
    return Excursion(begin=begin + started, end=end, height=sign * height, rarity=rarity, p_value=p_value)
