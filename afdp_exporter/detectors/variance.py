"""Variance change: whether the values scatter more (or less) after the deployment, whatever the level does.

The scatter is the mean absolute difference between values one and two steps apart, which a level shift or a drift
leaves unchanged. The log ratio after to before is compared with the same log ratio at earlier instants (placebo in
time), pooled with a prior for series of every kind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, hypot

import numpy as np
from scipy.special import ndtr, ndtri

from afdp_exporter.detectors.level import NORMAL, QUANTILES
from afdp_exporter.detectors.panel import Panel
from afdp_exporter.detectors.regular_series import cumulative_sums
from afdp_exporter.detectors.robust import median, quantiles, row_quantiles
from afdp_exporter.detectors.transient import Transient
from afdp_exporter.model import Floats

APART = (1, 2)  # positions between the values of a step
BACK = 6  # times the length after
WILD = 3.0  # a single step counts at most this often the 90th percentile of the history
STILL = 0.05  # of the 90th percentile of the steps: less is no scatter
USUAL = 0.3  # log ratio that changes of scatter reach in series of every kind
LEAST = 12  # placebo instants


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceChange:
    """The scatter after, in units of the scatter before, with its 90 % interval and two-sided placebo p-value."""

    ratio: float
    low: float
    high: float
    p_value: float


def variance_changes(panel: Panel, leave_out: Sequence[Transient | None]) -> list[VarianceChange | None]:
    """Compare the scatter after the deployment with that before; None without enough history or without scatter.

    An excursion has two wild steps of its own; they are not taken for scatter.
    """
    grid = panel.layout
    begin = min(grid.finished + 1, grid.n)
    forward = min(grid.n - begin, int(0.35 * grid.deployed))
    back = min(BACK * forward, grid.deployed // 2)
    if forward < 4 or back < 4 or grid.deployed - forward - back + 1 < LEAST:
        return [None] * panel.k
    steps = (_steps(panel, leave_out, apart, begin) for apart in APART)
    near, far = (_log_ratios(each, begin, grid.deployed, forward, back) for each in steps)
    ratios = 0.5 * (near + far)
    reached = quantiles(np.abs(ratios[:, :-1]), QUANTILES).T / NORMAL
    return [
        None if np.isnan(moved) else _change(float(moved), hypot(USUAL, float(reach)))
        for moved, reach in zip(ratios[:, -1], reached.max(axis=1), strict=True)
    ]


def _change(moved: float, error: float) -> VarianceChange:
    half = float(ndtri(0.95)) * error
    return VarianceChange(
        ratio=exp(moved),
        low=exp(moved - half),
        high=exp(moved + half),
        p_value=float(2.0 * ndtr(-abs(moved) / error)),
    )


def _steps(panel: Panel, leave_out: Sequence[Transient | None], apart: int, begin: int) -> Floats:
    """The size of the step between values so many positions `apart` (k, n), wild ones cut; NaN without any scatter.

    In units of what nine in ten steps of the history do not exceed.
    """
    values = panel.values
    steps = np.empty_like(values)
    np.subtract(values[:, :apart], values[:, :1], out=steps[:, :apart])
    np.subtract(values[:, apart:], values[:, :-apart], out=steps[:, apart:])
    np.abs(steps, out=steps)
    large = row_quantiles(steps[:, : panel.layout.deployed], 0.9)
    for row, excursion in zip(steps, leave_out, strict=True):
        if excursion is not None:
            row[excursion.begin : excursion.end + apart] = median(row[begin:])
    steps /= np.where(large > 0.0, large, np.nan)[:, None]
    return np.minimum(steps, WILD, out=steps)


def _log_ratios(steps: Floats, begin: int, deployed: int, forward: int, back: int) -> Floats:
    """Log ratio of the mean step after to before each instant of the history (k, m), at last from `begin` on."""
    totals, last = cumulative_sums(steps), deployed - forward
    ratios = _scatter(totals, forward, (back, last), begin)
    ratios /= _scatter(totals, back, (0, last - back), deployed - back)
    return np.log(ratios, out=ratios)


def _scatter(totals: Floats, length: int, history: tuple[int, int], at: int) -> Floats:
    """The mean of so many steps from each position of the history on, at last from `at` on (k, m); more than 0."""
    sums = [totals[:, a + length : b + length + 1] - totals[:, a : b + 1] for a, b in (history, (at, at))]
    scatter: Floats = np.concatenate(sums, axis=1)
    scatter /= length
    scatter += STILL
    return scatter
