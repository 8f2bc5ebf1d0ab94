"""How far the mean of a few values strays: the long-run variance, and what it grew by after a deployment.

Placebos in the history know only the scatter before. Where errors begin, or a rare event becomes a frequent one, the
values after the deployment scatter more than any before, and so does their mean.
"""

from dataclasses import dataclass

import numpy as np

from afdp_exporter.detectors.grid import running_totals, smooth
from afdp_exporter.detectors.robust import quantile
from afdp_exporter.model import Floats

USUAL = 0.95  # quantile of the variances of windows of history that a window after has to exceed
WINDOWS = 120  # of history
LIKENESS = 0.9  # of neighbours, at most: with more, a window holds too little to tell
BOUND = 0.25  # of the values at the lowest or the highest: no errors, or success of all
LOPSIDED = 0.25  # of the mean deviation that medians are away from means


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """The standard error of a mean, with its degrees of freedom; an error of 0 adds nothing to what is known."""

    error: float
    freedom: float


def more_scatter(values: Floats, deployed: int, begin: int, end: int) -> Scatter:
    """What the mean of `values` (n,) from `begin` to before `end` strays by beyond what such means did before.

    The long-run variance is that of a first-order autoregression (Priestley 1981, 5.3), its coefficient corrected for
    short series (Kendall 1954).
    """
    n = end - begin
    inside = values[begin:end] - values[begin:end].mean()
    variance = float(inside @ inside) / max(n - 1, 1)
    grown = max(variance - _usual_variance(values[:deployed], n), 0.0)
    if grown == 0.0 or n < 3:
        return Scatter(error=0.0, freedom=1.0)
    likeness = float(inside[1:] @ inside[:-1]) / float(inside @ inside)
    likeness = min(max(likeness + (1.0 + 3.0 * likeness) / n, 0.0), LIKENESS)
    inflation = (1.0 + likeness) / (1.0 - likeness)
    independent = max(n / inflation, 3.0)
    return Scatter(error=float(np.sqrt(grown / (independent - 1.0))), freedom=independent - 1.0)


def lopsided(history: Floats) -> bool:
    """Whether medians of five lose what the mean of the history holds: it is mostly at a bound, rarely elsewhere."""
    at_a_bound = max(float((history == history.min()).mean()), float((history == history.max()).mean()))
    if at_a_bound < BOUND:
        return False
    mean = history.mean()
    typical = float(np.abs(history - mean).mean())
    return abs(float(smooth(history).mean() - mean)) >= LOPSIDED * typical


def _usual_variance(history: Floats, n: int) -> float:
    """The variance within windows of history of `n` values, where it is large."""
    if len(history) < n:
        return 0.0
    totals, squares = running_totals(history), running_totals(history**2)
    at = np.unique(np.linspace(0, len(history) - n, WINDOWS).astype(np.int64))
    sums = totals[at + n] - totals[at]
    variances = (squares[at + n] - squares[at] - sums**2 / n) / max(n - 1, 1)
    return quantile(variances, USUAL)
