"""Whether the values scatter more (or less) after the deployment, whatever their level does.

The scatter is the mean size of steps from a value to the next and to the one after it, which a shift of the level or a
drift leaves alone. The log of its ratio after to before is compared with the same log ratio at earlier instants of the
series (placebo in time, as for the level), pooled with what series of its kind do: few windows of history cannot tell
it by themselves.
"""

from dataclasses import dataclass
from math import exp, hypot

import numpy as np
from scipy.special import ndtr, ndtri

from afdp_exporter.detectors.excursion import Excursion
from afdp_exporter.detectors.grid import Grid, running_totals
from afdp_exporter.detectors.robust import median, quantile, quantiles
from afdp_exporter.model import Floats

APART = (1, 2)  # positions between the values of a step
BACK = 6  # times the length after
WILD = 3.0  # a single step counts at most this often the 90th percentile of the history
STILL = 0.05  # of the 90th percentile of the steps: less is no scatter
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
    steps = [_steps(grid, leave_out, apart, begin) for apart in APART]
    if any(each is None for each in steps):
        return None
    ratios = np.mean(
        [_log_ratios(each, begin, grid.deployed, forward, back) for each in steps if each is not None], axis=0
    )
    moved = float(ratios[-1])
    reached = quantiles(np.abs(ratios[:-1]), QUANTILES) / ndtri((1.0 + QUANTILES) / 2.0)
    error = hypot(USUAL, float(reached.max()))
    half = float(ndtri(0.95)) * error
    return Spread(
        ratio=exp(moved),
        low=exp(moved - half),
        high=exp(moved + half),
        p_value=float(2.0 * ndtr(-abs(moved) / error)),
    )


def _steps(grid: Grid, leave_out: Excursion | None, apart: int, begin: int) -> Floats | None:
    """The size of the step between values so many positions `apart`, wild ones cut; None without any scatter.

    In units of what nine in ten steps of the history do not exceed.
    """
    steps: Floats = np.abs(grid.values - np.concatenate([np.full(apart, grid.values[0]), grid.values[:-apart]]))
    large = quantile(steps[: grid.deployed], 0.9)
    if large <= 0.0:
        return None
    if leave_out is not None:
        steps[leave_out.begin : leave_out.end + apart] = median(steps[begin:])
    cut: Floats = np.minimum(steps / large, WILD)
    return cut


def _log_ratios(steps: Floats, begin: int, deployed: int, forward: int, back: int) -> Floats:
    """Log ratio of the mean step after to before each instant of the history, and at last from `begin` on."""
    totals = running_totals(steps)
    at = totals[back : deployed - forward + 1]
    later = np.append(totals[back + forward : deployed + 1] - at, totals[begin + forward] - totals[begin]) / forward
    earlier = np.append(at - totals[: deployed - forward - back + 1], totals[deployed] - totals[deployed - back]) / back
    ratios: Floats = np.log((later + STILL) / (earlier + STILL))
    return ratios
