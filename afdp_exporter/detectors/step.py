"""The largest local step near the deployment, relative to the largest steps in earlier windows of the same length.

A step is the difference of the means of equally many values on either side of an instant (placebo in time, as for the
level). A drifting series moves far in an hour and little between minutes: there a local step is visible where the
change of the level is not.
"""

from dataclasses import dataclass

import numpy as np

from afdp_exporter.detectors.panel import Panel
from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.detectors.robust import row_quantiles, window_maxima
from afdp_exporter.model import Floats

LENGTHS = (2, 3, 5, 8, 13, 21, 34, 55)  # steps on either side
SHARE_OF_HISTORY = 6  # both sides together are at most a third of the history
LEAST = 20  # earlier instants
COMMON = 0.95  # quantile of the largest steps in windows of history


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStep:
    """The largest step in units of what the largest steps of the history reach: over any length, and the longest."""

    any_length: float
    longest: float


def local_steps(panel: Panel) -> list[LocalStep | None]:
    """The largest step that the deployment may answer for; None where too little is seen before or after it."""
    grid, totals = panel.layout, panel.totals
    longest = min(grid.n_after - 1, grid.deployed // SHARE_OF_HISTORY)
    twice = 2.0 * totals
    found = [
        largest
        for length in LENGTHS
        if length <= longest and (largest := _largest_steps(grid, totals, twice, length)) is not None
    ]
    if not found:
        return [None] * panel.k
    inside, nearby, usual = np.array(found).swapaxes(0, 1)
    # discounted where a larger one is nearby: the rise of a step next to the window reaches into it
    sizes = inside / np.maximum(usual, 1e-9) * (inside / np.where(nearby > 0.0, nearby, np.inf))
    return [
        LocalStep(any_length=any_length, longest=size)
        for any_length, size in zip(sizes.max(axis=0).tolist(), sizes[-1].tolist(), strict=True)
    ]


def _largest_steps(
    grid: RegularSeries, totals: Floats, twice: Floats, length: int
) -> tuple[Floats, Floats, Floats] | None:
    """The largest step of one length in the window, near it, and in windows of history, (k,) each."""
    steps = totals[:, 2 * length :] - twice[:, length:-length]
    steps += totals[:, : -2 * length]
    np.abs(steps, out=steps)
    middle = grid.looks_back // 2 - length
    first, last = max(grid.first_onset + middle, 0), min(grid.last_onset + middle, steps.shape[1] - 1)
    past = steps[:, : grid.deployed - 2 * length + 1]
    window = last - first + 1
    if window < 1 or past.shape[1] < max(LEAST, window):
        return None
    usual = row_quantiles(window_maxima(past, window) / length, COMMON)
    inside = steps[:, first : last + 1].max(axis=1) / length
    nearby = steps[:, max(first - length, 0) : last + 1 + length].max(axis=1) / length
    return inside, nearby, usual
