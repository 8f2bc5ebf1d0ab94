"""Noise: the long-run standard error of a mean, and the 90 % point of single values around their moving mean.

Placebo errors reflect the variance before the deployment only. Where a rare event becomes frequent, the values after
the deployment vary more than any window before, and so does their mean; the long-run variance adds that.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from afdp_exporter.detectors.regular_series import cumulative_sums, smooth
from afdp_exporter.detectors.robust import quantile
from afdp_exporter.model import Floats

_WINDOW_QUANTILE = 0.95  # quantile of the variances of windows of history that a window after has to exceed
_WINDOWS = 120  # of history
_AUTOCORRELATION = 0.9  # of neighbours, at most: with more, a window holds too little information
_BOUND = 0.25  # of the values at the lowest or the highest: no errors, or success of all
_SKEWED = 0.25  # of the mean deviation that medians are away from means


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRunError:
    """The standard error of a mean, with its degrees of freedom; an error of 0 adds nothing to what is known."""

    error: float
    degrees_of_freedom: float


def long_run_error(values: Floats, deployed: int, begin: int, end: int) -> LongRunError:
    """What the mean of `values` (n,) from `begin` to before `end` strays by beyond what such means did before.

    The long-run variance is that of a first-order autoregression (Priestley 1981, 5.3), its coefficient corrected for
    short series (Kendall 1954).
    """
    n = end - begin
    inside = values[begin:end] - values[begin:end].mean()
    variance = float(inside @ inside) / max(n - 1, 1)
    grown = max(variance - _usual_variance(values[:deployed], n), 0.0)
    if grown == 0.0 or n < 3:
        return LongRunError(error=0.0, degrees_of_freedom=1.0)
    autocorrelation = float(inside[1:] @ inside[:-1]) / float(inside @ inside)
    autocorrelation = min(max(autocorrelation + (1.0 + 3.0 * autocorrelation) / n, 0.0), _AUTOCORRELATION)
    inflation = (1.0 + autocorrelation) / (1.0 - autocorrelation)
    independent = max(n / inflation, 3.0)
    return LongRunError(error=float(np.sqrt(grown / (independent - 1.0))), degrees_of_freedom=independent - 1.0)


def are_skewed(histories: Floats) -> NDArray[np.bool_]:
    """Whether medians of five lose what the mean of each of (k, n) histories holds (k,).

    Such a one is mostly at a bound, rarely elsewhere.
    """
    lowest, highest = histories.min(axis=1, keepdims=True), histories.max(axis=1, keepdims=True)
    at_a_bound = np.maximum((histories == lowest).sum(axis=1), (histories == highest).sum(axis=1))
    skewed: NDArray[np.bool_] = at_a_bound / histories.shape[1] >= _BOUND
    for row in np.flatnonzero(skewed):
        history = histories[row]
        mean = history.mean()
        typical = float(np.abs(history - mean).mean())
        skewed[row] = abs(float(smooth(history).mean() - mean)) >= _SKEWED * typical
    return skewed


def _usual_variance(history: Floats, n: int) -> float:
    """The variance within windows of history of `n` values, where it is large."""
    if len(history) < n:
        return 0.0
    totals, squares = cumulative_sums(history), cumulative_sums(history**2)
    at = np.linspace(0, len(history) - n, min(_WINDOWS, len(history) - n + 1)).astype(np.int64)
    sums = totals[at + n] - totals[at]
    variances = (squares[at + n] - squares[at] - sums**2 / n) / max(n - 1, 1)
    return quantile(variances, _WINDOW_QUANTILE)


_MOVING_MEAN_STEPS = 61  # steps whose mean is the level of the time
_LEAST_VALUES = 20  # values


def noise_level(history: Floats) -> float | None:
    """What nine in ten values of (n,) do not exceed in their distance to the mean around them; gaps are left out.

    None where there are too few values.
    """
    known = history[np.isfinite(history)]
    if len(known) < _LEAST_VALUES:
        return None
    apart = np.abs(known - uniform_filter1d(known, _MOVING_MEAN_STEPS, mode="nearest"))
    return quantile(apart, 0.9)
