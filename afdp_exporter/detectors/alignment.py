"""Level shifts that earlier deployments left in the history, taken out: the placebos then hold only what is natural."""

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.detectors.grid import Grid, despike
from afdp_exporter.detectors.onset import Path, best_split, gains, locate
from afdp_exporter.detectors.robust import median, medians
from afdp_exporter.model import Floats

SIDE = 36  # steps compared on either side of an earlier deployment
SURE = 0.5  # share of the posterior inside the earlier deployment's window
LARGE = 3.0  # robust deviations around the two levels
REMEMBERED = 256  # histories: looks that reach less far, drawings and ratios ask about the same ones again


def align(grid: Grid, earlier: Iterable[float]) -> Grid:
    """The grid with every clear level shift right after one of the `earlier` Unix times taken out of the history."""
    instants = sorted((float(time) for time in earlier if np.isfinite(time)), reverse=True)
    positions = [int(place) for place in np.ceil(grid.positions(instants) - 1e-6)]
    inside = tuple(position for position in positions if 12 <= position <= grid.deployed - 12)
    if not inside:
        return grid
    history = _aligned(grid.values[: grid.deployed].tobytes(), inside, grid.reach)
    if history is None:
        return grid
    return replace(grid, values=np.concatenate([history, grid.values[grid.deployed :]]))


@lru_cache(maxsize=REMEMBERED)
def _aligned(history: bytes, positions: tuple[int, ...], reach: int) -> Floats | None:
    """The history (n,) before a deployment, as float64, without the shifts; None where there are none."""
    values = first = np.frombuffer(history)
    unchanged = len(values)  # no shift taken out so far lies before this position
    for position, doubtful in zip(positions, _stands_out(values, positions, reach), strict=True):
        if doubtful or position + reach + SIDE > unchanged:
            aligned = _without_shift(values, position, reach)
            if aligned is not values:
                values, unchanged = aligned, max(0, position - SIDE)
    return None if values is first else values


def _stands_out(values: Floats, positions: tuple[int, ...], reach: int) -> NDArray[np.bool_]:
    """Where a closer look is worth it (n,): a step stands out of the noise, or the window is cut off by an end."""
    around = np.arange(-SIDE, reach + SIDE)
    places = np.array(positions)
    whole = (places >= SIDE) & (places + reach + SIDE <= len(values))
    found = ~whole
    if whole.any():
        windows = values[places[whole, None] + around]
        split = SIDE - 1 + np.argmax(gains(despike(windows))[:, SIDE - 2 : SIDE + reach], axis=1)
        before = np.arange(len(around)) < split[:, None]
        low, high = medians(windows, before)[:, None], medians(windows, ~before)[:, None]
        rest = np.abs(windows - np.where(before, low, high))
        noise = 1.4826 * medians(rest, np.ones_like(before))
        found[whole] = np.abs(high - low)[:, 0] >= LARGE * noise
    return found


def _without_shift(values: Floats, position: int, reach: int) -> Floats:
    begin, end = max(0, position - SIDE), min(len(values), position + reach + SIDE)
    around = despike(values[begin:end])
    first = position - 1 - begin
    path = Path(begin=begin, values=around, first=first, last=min(first + 1 + reach, len(around) - 1))
    split = best_split(path)
    if split is None:
        return values
    before, after = values[begin:split], values[split:end]
    low, high = median(before), median(after)
    height = high - low
    noise = 1.4826 * median(np.abs(np.concatenate([before - low, after - high])))
    if abs(height) < LARGE * noise or height == 0.0:
        return values
    step = locate(path)  # last, since it costs most
    if step is None or step.share < SURE:
        return values
    aligned = values.copy()
    aligned[:split] += height
    return aligned
