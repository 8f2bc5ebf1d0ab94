"""Whether the values scatter more (or less) after the deployment, whatever their level does.

The scatter is the mean size of single steps from value to value, which a shift of the level or a drift leaves alone.
The log of its ratio after to before is compared with the same log ratio at earlier instants of the series (placebo in
time, as for the level), pooled with what series of its kind do: few windows of history cannot tell it by themselves.
"""

from dataclasses import dataclass
from math import exp, hypot, log

import numpy as np
from scipy.special import ndtr, ndtri

from afdp_exporter.detectors.excursion import Excursion
from afdp_exporter.detectors.grid import Grid
from afdp_exporter.model import Floats

BACK = 6  # times the length after
WILD = 3.0  # a single step counts at most this often the 90th percentile of the history
USUAL = 0.3  # log ratio that changes of scatter reach in series of every kind
QUANTILES = np.array([0.68, 0.90, 0.95])
LEAST = 12  # placebo instants


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The scatter after, in units of the scatter before, with its 90 % interval and two-sided placebo p-value."""

    ratio: float
    low: float
    high: float
    p_value: float


def spread(grid: Grid, leave_out: Excursion | None) -> Spread | None:
    """Compare the scatter after the deployment with that before; None without enough history or without scatter.

    An excursion has two wild steps of its own; they are not taken for scatter.
    """
    begin = min(grid.finished + 1, grid.n)
    forward = min(grid.n - begin, int(0.35 * grid.deployed))
    back = min(BACK * forward, grid.deployed // 2)
    if forward < 4 or back < 4 or grid.deployed - forward - back + 1 < LEAST:
        return None
    steps = np.abs(np.diff(grid.values, prepend=grid.values[0]))
    large = float(np.quantile(steps[: grid.deployed], 0.9))
    if large <= 0.0:
        return None
    if leave_out is not None:
        steps[leave_out.begin : leave_out.end + 1] = float(np.median(steps[begin:]))
    totals = np.concatenate([[0.0], np.cumsum(np.minimum(steps, WILD * large))])
    floor = 0.05 * large
    at = np.arange(back, grid.deployed - forward + 1)
    later, earlier = _means(totals, at, forward), _means(totals, at - back, back)
    placebo = np.abs(np.log((later + floor) / (earlier + floor)))
    reached = np.quantile(placebo, QUANTILES) / ndtri((1.0 + QUANTILES) / 2.0)
    error = hypot(USUAL, float(reached.max()))
    now = float(_means(totals, np.array([begin]), forward)[0])
    then = float(_means(totals, np.array([grid.deployed - back]), back)[0])
    moved = log((now + floor) / (then + floor))
    half = float(ndtri(0.95)) * error
    return Spread(
        ratio=exp(moved),
        low=exp(moved - half),
        high=exp(moved + half),
        p_value=float(2.0 * ndtr(-abs(moved) / error)),
    )


def _means(totals: Floats, begin: np.ndarray, length: int) -> Floats:
    means: Floats = (totals[begin + length] - totals[begin]) / length
    return means
