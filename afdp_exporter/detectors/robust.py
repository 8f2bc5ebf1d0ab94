"""Means, medians and quantiles of arrays and rows; on small ones numpy's own have more call overhead than work."""

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats

MAD_SCALE = 1.4826  # median absolute deviation -> standard deviation of a normal distribution

_MANY = 1000  # values of which one is selected faster than all are sorted


def row_means(rows: Floats) -> Floats:
    """The mean of each row of (..., n) values, n > 0. Returns (..., 1)."""
    means: Floats = np.add.reduce(rows, axis=-1, keepdims=True) / rows.shape[-1]
    return means


def median(values: Floats) -> float:
    """The median of (n,) finite values, n > 0."""
    low, high = _beside(values, (len(values) - 1) // 2, len(values) // 2)
    return 0.5 * float(low + high)


def mad(residuals: Floats) -> float:
    """The standard deviation of (n,) residuals by their median absolute deviation, n > 0."""
    return MAD_SCALE * median(np.abs(residuals))


def row_medians(rows: Floats) -> Floats:
    """The median of each row of (..., n) finite values, n > 0. Returns (...)."""
    n = rows.shape[-1]
    low, high = _beside(rows, (n - 1) // 2, n // 2)
    found: Floats = 0.5 * (low + high)
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
    ordered = np.sort(values, axis=-1)
    below, above = ordered.take(low, axis=-1), ordered.take(np.minimum(low + 1, n - 1), axis=-1)
    found: Floats = (below + (at - low) * (above - below)).transpose(-1, *range(values.ndim - 1))
    return found


def quantile(values: Floats, share: float) -> float:
    """One quantile of (n,) finite values, n > 0, interpolated linearly."""
    return float(row_quantiles(values, share))


def row_quantiles(rows: Floats, share: float) -> Floats:
    """One quantile of each row of (..., n) finite values, n > 0, interpolated linearly. Returns (...)."""
    at = share * (rows.shape[-1] - 1)
    low = int(at)
    below, above = _beside(rows, low, min(low + 1, rows.shape[-1] - 1))
    found: Floats = below + (at - low) * (above - below)
    return found


def _beside(values: Floats, low: int, high: int) -> tuple[Floats, Floats]:
    """What stands at two places along the last axis of (..., n) values, the same or neighbours, if they are sorted.

    Numpy selects one place with vector instructions, two without.
    """
    ordered = values.copy()
    if values.shape[-1] <= _MANY:
        ordered.sort(axis=-1)
        return ordered[..., low], ordered[..., high]
    ordered.partition(low, axis=-1)
    return ordered[..., low], ordered[..., high:].min(axis=-1) if high > low else ordered[..., low]


def window_maxima(values: Floats, window: int) -> Floats:
    """The maxima of adjacent windows of (..., n) values, counted from the end; n >= window. (..., n // window)."""
    count = values.shape[-1] // window
    inside = values[..., values.shape[-1] - count * window :].reshape(*values.shape[:-1], count, window)
    highest: Floats = np.ascontiguousarray(inside.swapaxes(-1, -2)).max(axis=-2)  # in rows as long as can be
    return highest
