"""Removal of level shifts that earlier deployments left in the history, so that placebos see natural variation only."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.detectors.changepoint import Segment, best_splits, window_shares
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
    return by_panel(partial(_without_shifts, earlier=earlier), series) if len(earlier) else [*series]


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
    """The histories (k, n) before a deployment without the shifts; None where there are none.

    The positions go back in time. To take a shift out moves all before it alike, which changes no step there.
    """
    values, places = histories.copy(), np.array(positions)
    k, n = values.shape
    begins, ends = np.maximum(places - SIDE, 0), np.minimum(places + reach + SIDE, n)
    whole = ends - begins == reach + 2 * SIDE
    splits, heights = np.zeros((2, k, len(places)))
    if whole.any():
        windows = values[:, begins[whole, None] + np.arange(reach + 2 * SIDE)]
        found = _clear_steps(windows.reshape(-1, windows.shape[2]), SIDE - 1, reach)
        splits[:, whole], heights[:, whole] = (each.reshape(k, -1) for each in found)
    unchanged = np.full(k, n)  # no shift taken out so far lies before this position
    for turn, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        clear = (heights[:, turn] != 0.0) & (unchanged < n)  # its height is that of the values as they are moved by now
        anew = np.flatnonzero(~whole[turn] | (end > unchanged) | clear)
        if len(anew):
            first = positions[turn] - 1 - begin
            splits[anew, turn], heights[anew, turn] = _clear_steps(values[anew, begin:end], first, reach)
        for row in np.flatnonzero(heights[:, turn]):
            values[row, : begin + int(splits[row, turn])] += heights[row, turn]
            unchanged[row] = begin
    return [row.copy() if end < n else None for row, end in zip(values, unchanged, strict=True)]


def _clear_steps(windows: Floats, first: int, reach: int) -> tuple[NDArray[np.int64], Floats]:
    """Where the step of each window (k, m) is, and its height (k,): 0 where none is clear from `first` on."""
    around = Segment(begin=0, values=despike(windows), first=first, last=min(first + 1 + reach, windows.shape[1] - 1))
    splits = best_splits(around)
    if splits is None:
        return np.zeros(len(windows), dtype=np.int64), np.zeros(len(windows))
    before = np.arange(windows.shape[1]) < splits[:, None]
    low, high = medians(windows, before), medians(windows, ~before)
    noise = MAD_SCALE * row_medians(np.abs(windows - np.where(before, low[:, None], high[:, None])))
    heights = high - low
    clear = np.abs(heights) >= LARGE * noise
    if clear.any():
        clear[clear] = window_shares(replace(around, values=around.values[clear])) >= SURE
    return splits, np.where(clear, heights, 0.0)
