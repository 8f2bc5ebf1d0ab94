"""Medians and quantiles by sorting: numpy's own cost more to call than to compute where arrays are small."""

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats


def median(values: Floats) -> float:
    """The median of (n,) finite values, n > 0."""
    half = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, half)[half])
    parted = np.partition(values, (half - 1, half))
    return 0.5 * float(parted[half - 1] + parted[half])


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
    ordered = np.sort(values, axis=-1)
    below, above = ordered[..., low], ordered[..., high]
    found: Floats = (below + (at - low) * (above - below)).transpose(-1, *range(values.ndim - 1))
    return found


def quantile(values: Floats, share: float) -> float:
    """One quantile of (n,) finite values, n > 0, interpolated linearly."""
    at = share * (len(values) - 1)
    low = int(at)
    parted = np.partition(values, (low, min(low + 1, len(values) - 1)))
    return float(parted[low] + (at - low) * (parted[min(low + 1, len(values) - 1)] - parted[low]))


def highest_by_window(values: Floats, window: int) -> Floats:
    """The maxima of adjacent windows of (n,) values, counted from the end; n >= window. Returns (n // window,)."""
    count = len(values) // window
    highest: Floats = values[len(values) - count * window :].reshape(count, window).max(axis=1)
    return highest
