"""Level shifts that earlier deployments left in the history, taken out: the placebos then hold only what is natural."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from afdp_exporter.detectors.grid import Grid, despike
from afdp_exporter.detectors.onset import Path, locate
from afdp_exporter.detectors.robust import median

SIDE = 36  # steps compared on either side of an earlier deployment
SURE = 0.5  # share of the posterior inside the earlier deployment's window
LARGE = 3.0  # robust deviations around the two levels


def align(grid: Grid, earlier: Iterable[float]) -> Grid:
    """The grid with every clear level shift right after one of the `earlier` Unix times taken out of the history."""
    values = grid.values
    for instant in sorted((float(time) for time in earlier), reverse=True):
        if not np.isfinite(instant):
            continue
        position = int(np.ceil((instant - grid.start) / grid.step - 1e-6))
        if 12 <= position <= grid.deployed - 12:
            values = _aligned(values, position, grid)
    return grid if values is grid.values else replace(grid, values=values)


def _aligned(values: np.ndarray, position: int, grid: Grid) -> np.ndarray:
    begin, end = max(0, position - SIDE), min(grid.deployed, position + grid.reach + SIDE)
    around = despike(values[begin:end])
    first = position - 1 - begin
    step = locate(Path(begin=begin, values=around, first=first, last=min(first + 1 + grid.reach, len(around) - 1)))
    if step is None or step.share < SURE:
        return values
    before, after = values[begin : step.position], values[step.position : end]
    height = median(after) - median(before)
    noise = 1.4826 * median(np.abs(np.concatenate([before - median(before), after - median(after)])))
    if abs(height) < LARGE * noise or height == 0.0:
        return values
    aligned = values.copy()
    aligned[: step.position] += height
    return aligned
