"""How far from the expected a new case may lie: 90 % intervals that hold from three cases on."""

import numpy as np
from scipy.special import stdtrit

from afdp_exporter.model import Floats

CONFORMAL = 9
"""From this many cases on the errors of left-out cases say how wide an interval must be; below, Student's t."""
TWO_SIDED = 19
"""From this many on, each side by its own errors."""


def error_at(errors: Floats, freedom: float, shares: Floats) -> Floats:
    """The points below which these `shares` of new cases' errors lie, in units of their predicted spread.

    `errors` (n,) are those of left-out cases in the same units (jackknife conformal: Barber et al., "Predictive
    inference with the jackknife+", Annals of Statistics 49, 2021); below CONFORMAL of them Student's t with `freedom`.
    """
    if errors.size < CONFORMAL:
        return np.asarray(stdtrit(max(freedom, 1.0), shares))
    if errors.size < TWO_SIDED:
        return np.sign(shares - 0.5) * _at(np.sort(np.abs(errors)), np.abs(2.0 * shares - 1.0))
    return _at(np.sort(errors), shares)


def weighted_points(points: Floats, weights: Floats, shares: Floats) -> Floats:
    """The points below which these shares of the weight lie."""
    order = np.argsort(points, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    place = np.minimum(np.searchsorted(below, shares), points.size - 1)
    return np.asarray(points[order][place])


def _at(ordered: Floats, shares: Floats) -> Floats:
    """Order statistic share (n + 1), between two where need be: a new case lies beyond it as often as it should."""
    return np.asarray(np.interp(shares * (ordered.size + 1) - 1.0, np.arange(ordered.size), ordered))
