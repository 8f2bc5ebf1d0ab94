"""Medians and quantiles of arrays and of their rows; on small ones numpy's own have more call overhead than work."""

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats

MAD_SCALE = 1.4826  # median absolute deviation -> standard deviation of a normal distribution

_MANY = 1000  # values of which a few are selected faster than all are sorted; numpy sorts few with vector instructions


def median(values: Floats) -> float:
    """The median of (n,) finite values, n > 0."""
    half = len(values) // 2
    ordered = _ordered(values, half - 1, half) if half else values
    return float(ordered[half]) if len(values) % 2 else 0.5 * float(ordered[half - 1] + ordered[half])


def mad(residuals: Floats) -> float:
    """The standard deviation of (n,) residuals by their median absolute deviation, n > 0."""
    return MAD_SCALE * median(np.abs(residuals))


def row_medians(rows: Floats) -> Floats:
    """The median of each row of (..., n) finite values, n > 0. Returns (...)."""
    n = rows.shape[-1]
    ordered = _ordered(rows, (n - 1) // 2, n // 2)
    found: Floats = 0.5 * (ordered[..., (n - 1) // 2] + ordered[..., n // 2])
    return found


def medians(rows: Floats, counted: NDArray[np.bool_]) -> Floats:
    """The median of what counts in each row of (k, n) finite values, at least one in each. Returns (k,)."""
    ordered = np.sort(np.where(counted, rows, np.inf), axis=1)
    count, row = counted.sum(axis=1), np.arange(len(rows))
    found: Floats = 0.5 * (ordered[row, (count - 1) // 2] + ordered[row, count // 2])
    return found


def quantiles(values: Floats, shares: Floats) -> Floats:
    """The quantiles (k,) + (...) of finite values (..., n) along the last axis, interpolated linearly."""
    n = values.shape[-1]
    at = shares * (n - 1)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, n - 1)
    ordered = _ordered(values, *low, *high)
    below, above = ordered[..., low], ordered[..., high]
    found: Floats = (below + (at - low) * (above - below)).transpose(-1, *range(values.ndim - 1))
    return found


def quantile(values: Floats, share: float) -> float:
    """One quantile of (n,) finite values, n > 0, interpolated linearly."""
    return float(row_quantiles(values, share))


def row_quantiles(rows: Floats, share: float) -> Floats:
    """One quantile of each row of (..., n) finite values, n > 0, interpolated linearly. Returns (...)."""
    at = share * (rows.shape[-1] - 1)
    low = int(at)
    high = min(low + 1, rows.shape[-1] - 1)
    ordered = _ordered(rows, low, high)
    found: Floats = ordered[..., low] + (at - low) * (ordered[..., high] - ordered[..., low])
    return found


def _ordered(values: Floats, *places: int) -> Floats:
    """Values (..., n) with what stands at these places along the last axis if they are sorted."""
    ordered = values.copy()
    if values.shape[-1] > _MANY:
        ordered.partition(places, axis=-1)
    else:
        ordered.sort(axis=-1)
    return ordered


def window_maxima(values: Floats, window: int) -> Floats:
    """The maxima of adjacent windows of (..., n) values, counted from the end; n >= window. (..., n // window)."""
    count = values.shape[-1] // window
    inside = values[..., values.shape[-1] - count * window :]
    highest: Floats = inside[..., ::window].copy()
    for place in range(1, window):
        np.maximum(highest, inside[..., place::window], out=highest)
    return highest
