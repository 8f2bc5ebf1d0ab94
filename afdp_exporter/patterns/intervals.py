"""How far from the expected a new case may lie: 90 % intervals that hold from three cases on."""

import math

import numpy as np
from scipy import stats

from afdp_exporter.model import Floats

CONFORMAL = 9
"""From this many cases on the errors of left-out cases say how wide an interval must be; below, Student's t."""
TWO_SIDED = 19
"""From this many on, each side by its own errors."""


def quantiles(errors: Floats, freedom: float) -> tuple[float, float]:
    """The 5 % and 95 % points of a new case's error, in units of its predicted spread.

    `errors` (n,) are those of left-out cases in the same units (jackknife conformal: Barber et al., "Predictive
    inference with the jackknife+", Annals of Statistics 49, 2021); below CONFORMAL of them Student's t with `freedom`.
    """
    n = errors.size
    if n < CONFORMAL:
        reach = float(stats.t.ppf(0.95, max(freedom, 1.0)))
        return -reach, reach
    if n < TWO_SIDED:
        reach = float(np.sort(np.abs(errors))[min(math.ceil(0.9 * (n + 1)), n) - 1])
        return -reach, reach
    ordered = np.sort(errors)
    return _at(ordered, 0.05), _at(ordered, 0.95)


def _at(ordered: Floats, share: float) -> float:
    """The point below which a new error falls in `share` of cases: order statistic share (n + 1), between two."""
    place = share * (ordered.size + 1) - 1.0
    return float(np.interp(place, np.arange(ordered.size), ordered))
