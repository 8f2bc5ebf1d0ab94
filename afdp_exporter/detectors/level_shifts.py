"""Removal of level shifts that earlier deployments left in the history, so that placebos see natural variation only."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.detectors.changepoint import Segment, best_splits, changepoint_posteriors, sse_reduction
from afdp_exporter.detectors.panel import Panel, by_panel
from afdp_exporter.detectors.regular_series import RegularSeries, despike
from afdp_exporter.detectors.robust import MAD_SCALE, medians, row_medians
from afdp_exporter.model import Floats

SIDE = 36  # steps compared on either side of an earlier deployment
SURE = 0.5  # share of the posterior inside the earlier deployment's window
LARGE = 3.0  # robust deviations around the two levels
REMEMBERED = 256  # histories: looks that reach less far, drawings and ratios ask about the same ones again


def remove_level_shifts(series: Sequence[RegularSeries], earlier: Sequence[float]) -> list[RegularSeries]:
    """The series with every clear level shift right after one of the `earlier` Unix times taken out of the history."""
    return by_panel(partial(_without_shifts, earlier=earlier), series)


def _without_shifts(panel: Panel, earlier: Sequence[float]) -> list[RegularSeries]:
    grid = panel.layout
    instants = sorted((float(time) for time in earlier if np.isfinite(time)), reverse=True)
    positions = [int(place) for place in np.ceil(grid.positions(instants) - 1e-6)]
    inside = tuple(position for position in positions if 12 <= position <= grid.deployed - 12)
    if not inside:
        return list(panel.series)
    histories = panel.values[:, : grid.deployed]
    known = [_remembered(history.tobytes(), inside, grid.reach) for history in histories]
    new = [row for row, slot in enumerate(known) if not slot]
    if new:
        for row, aligned in zip(new, _aligned(histories[new], inside, grid.reach), strict=True):
            known[row][:] = [aligned]
    return [
        each if aligned is None else replace(each, values=np.concatenate([aligned, each.values[grid.deployed :]]))
        for each, (aligned,) in zip(panel.series, known, strict=True)
    ]


@lru_cache(maxsize=REMEMBERED)
def _remembered(history: bytes, positions: tuple[int, ...], reach: int) -> list[Floats | None]:  # noqa: ARG001 - the key
    """A place for what is left of a history without its shifts: None where it has none, empty while that is unknown."""
    return []


def _aligned(histories: Floats, positions: tuple[int, ...], reach: int) -> list[Floats | None]:
    """The histories (k, n) before a deployment without the shifts; None where there are none."""
    values = histories.copy()
    unchanged = np.full(len(values), values.shape[1])  # no shift taken out so far lies before this position
    for position, doubtful in zip(positions, _is_significant(values, positions, reach).T, strict=True):
        rows = np.flatnonzero(doubtful | (position + reach + SIDE > unchanged))
        aligned = rows[_align(values, rows, position, reach)] if len(rows) else rows
        unchanged[aligned] = max(0, position - SIDE)
    return [row.copy() if end < values.shape[1] else None for row, end in zip(values, unchanged, strict=True)]


def _is_significant(values: Floats, positions: tuple[int, ...], reach: int) -> NDArray[np.bool_]:
    """Where a closer look is worth it (k, positions): a step stands out of the noise, or an end cuts the window off."""
    around = np.arange(-SIDE, reach + SIDE)
    places = np.array(positions)
    whole = (places >= SIDE) & (places + reach + SIDE <= values.shape[1])
    found = np.tile(~whole, (len(values), 1))
    if whole.any():
        windows = values[:, places[whole, None] + around].reshape(-1, len(around))
        split = SIDE - 1 + np.argmax(sse_reduction(despike(windows))[:, SIDE - 2 : SIDE + reach], axis=1)
        height, noise = _height_and_noise(windows, split)
        found[:, whole] = (np.abs(height) >= LARGE * noise).reshape(len(values), -1)
    return found


def _height_and_noise(windows: Floats, split: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The step of each window (k, m) at its split, and the robust deviation around the two levels, (k,) each."""
    before = np.arange(windows.shape[1]) < split[:, None]
    low, high = medians(windows, before), medians(windows, ~before)
    rest = np.abs(windows - np.where(before, low[:, None], high[:, None]))
    return high - low, MAD_SCALE * row_medians(rest)


def _align(values: Floats, rows: NDArray[np.intp], position: int, reach: int) -> NDArray[np.bool_]:
    """Take a clear shift at a position out of those rows of (k, n) values, in place; which of them had one."""
    begin, end = max(0, position - SIDE), min(values.shape[1], position + reach + SIDE)
    windows, first = values[rows, begin:end], position - 1 - begin
    around = Segment(
        begin=begin, values=despike(windows), first=first, last=min(first + 1 + reach, windows.shape[1] - 1)
    )
    splits = best_splits(around)
    clear = np.zeros(len(rows), dtype=np.bool_)
    if splits is None:
        return clear
    height, noise = _height_and_noise(windows, splits - begin)
    large = np.flatnonzero((np.abs(height) >= LARGE * noise) & (height != 0.0))
    posteriors = changepoint_posteriors(replace(around, values=around.values[large])) if len(large) else []
    for place, step in zip(large, posteriors, strict=True):
        if step is not None and step.share >= SURE:
            values[rows[place], : splits[place]] += height[place]
            clear[place] = True
    return clear
