"""Whether the largest step near the deployment is larger than the steps that the series makes by itself.

A step compares the means of equally many values on either side of an instant. The largest one in the deployment's
window is held against the largest ones in earlier windows of the same length (placebo in time, as for the level). What
drifts moves far in an hour and little from one minute to the next: there a step is seen that the level would miss.
"""

from dataclasses import dataclass

import numpy as np

from afdp_exporter.detectors.grid import Grid, running_totals
from afdp_exporter.detectors.robust import highest_by_window, quantile
from afdp_exporter.model import Floats

LENGTHS = (2, 3, 5, 8, 13, 21, 34, 55)
SHARE_OF_HISTORY = 6  # both sides together are at most a third of the history
LEAST = 20  # earlier instants
COMMON = 0.95  # quantile of the largest steps in windows of history


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """The largest step in units of what the largest steps of the history reach: over any length, and the longest."""

    any_length: float
    longest: float


def jump(grid: Grid) -> Jump | None:
    """The largest step that the deployment may answer for; None where too little is seen before or after it."""
    totals = running_totals(grid.values)
    longest = min(grid.n_after - 1, grid.deployed // SHARE_OF_HISTORY)
    sizes = [_rarity(grid, totals, length) for length in LENGTHS if length <= longest]
    found = [size for size in sizes if size is not None]
    return Jump(any_length=max(found), longest=found[-1]) if found else None


def _rarity(grid: Grid, totals: Floats, length: int) -> float | None:
    """The largest step of one length in the window, in units of the same in windows of history.

    Less by as much as a still larger one is nearby: the rise of a step beside the window reaches into it.
    """
    around = totals[2 * length :] - 2.0 * totals[length:-length] + totals[: -2 * length]
    steps = np.abs(around) / length
    first, last = max(grid.deployed - 1 - length, 0), min(grid.last_onset - length, len(steps) - 1)
    past = steps[: grid.deployed - 2 * length + 1]
    window = last - first + 1
    if window < 1 or len(past) < max(LEAST, window):
        return None
    usual = quantile(highest_by_window(past, window), COMMON)
    inside = float(steps[first : last + 1].max())
    nearby = float(steps[max(first - length, 0) : last + 1 + length].max())
    return inside / max(usual, 1e-9) * (inside / nearby if nearby > 0.0 else 0.0)
