"""Whether the values scatter more (or less) after the deployment, whatever their level does.

The scatter is the mean distance from a running median; the log of its ratio after to before is compared with the same
log ratio at earlier instants of the series (placebo in time, as for the level).
"""

from dataclasses import dataclass
from math import exp

import numpy as np
from scipy import stats
from scipy.ndimage import median_filter

from afdp_exporter.detectors.grid import Grid

SMOOTH = 9  # steps of the running median
QUANTILES = np.array([0.68, 0.90, 0.95])
LEAST = 12  # placebo instants


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The scatter after, in units of the scatter before, with its 90 % interval and two-sided placebo p-value."""

    ratio: float
    low: float
    high: float
    p_value: float


def spread(grid: Grid) -> Spread | None:
    """Compare the scatter after the deployment with that before; None without enough history or without scatter."""
    first_after = min(grid.finished + 1, grid.n)
    forward = min(grid.n - first_after, int(0.35 * grid.deployed))
    back = min(3 * forward, grid.deployed // 2)
    if forward < 6 or back < 6:
        return None
    noise = np.abs(grid.values - median_filter(grid.values, SMOOTH, mode="nearest"))
    noise = np.minimum(noise, 8.0 * max(float(np.quantile(noise[: grid.deployed], 0.9)), 1e-12))
    floor = 1e-3 * float(noise[: grid.deployed].mean())
    if floor <= 0:
        return None
    total = np.concatenate([[0.0], np.cumsum(noise)])
    at = np.arange(back, grid.deployed - forward + 1)
    if len(at) < LEAST:
        return None
    before = (total[at] - total[at - back]) / back
    after = (total[at + forward] - total[at]) / forward
    placebo = np.abs(np.log((after + floor) / (before + floor)))
    reached = np.quantile(placebo, QUANTILES) / stats.norm.isf((1.0 - QUANTILES) / 2.0)
    error = 1.05 * float(reached.max())
    if error <= 0:
        return None
    now = (total[first_after + forward] - total[first_after]) / forward
    then = (total[grid.deployed] - total[grid.deployed - back]) / back
    moved = float(np.log((now + floor) / (then + floor)))
    freedom = float(np.clip(0.6 * (len(at) / forward + 1.0), 1.5, 8.0))
    half = float(stats.t.ppf(0.95, freedom)) * error
    return Spread(
        ratio=exp(moved),
        low=exp(moved - half),
        high=exp(moved + half),
        p_value=float(2.0 * stats.t.sf(abs(moved) / error, freedom)),
    )
