"""Bayesian ridge regression with one prior variance a group of columns, and conformal prediction intervals.

The prior variances follow MacKay's fixed point for the evidence ("Bayesian interpolation", Neural Computation 4, 1992)
with a weak hyperprior, so that a group without effect shrinks to zero and few examples stay near the mean. Prediction
intervals are conformal, from leave-one-out errors, and valid from three examples on.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.special import stdtrit
from threadpoolctl import ThreadpoolController

from afdp_exporter.model import Floats
from afdp_exporter.patterns.models.logistic import add_intercept

ROUNDS, QUICK_ROUNDS = 12, 5
"""Steps towards the shrinkage; a rough one does where fits are only compared or only their errors are wanted."""
FOLDS, PLENTY = 5, 300
"""Folds that are left out in turn; with PLENTY of cases the shrinkage hardly depends on any of them."""
PRIOR_VARIANCE, PRIOR_ROWS = 0.02, 25.0
"""The prior variance of an effect in units of the noise's variance; the prior counts as much as this many rows."""
TROUBLED, TROUBLED_VARIANCE = "trouble", 4.0
"""The group of the column for trouble or none: the size of a change depends on it."""
LARGEST_VARIANCE = 1e4
"""The largest variance of an effect in units of the noise's: without any noise an effect would have none."""
ROUNDING = 1e-9
"""Shares of a weight that differ by less are the same."""
FLAT = 1e-6
"""The prior precision of the intercept."""


@dataclass(frozen=True, slots=True)
class RidgePosterior:
    """A fitted line: `weights` (p + 1,), the intercept first; `covariance` in units of the noise's variance."""

    weights: Floats
    covariance: Floats
    sigma: float
    degrees_of_freedom: float

    def mean(self, table: Floats) -> Floats:
        """The expected value of each row."""
        return add_intercept(table) @ self.weights

    def contrast(self, one: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of what is expected of rows (n, p - 1) without their last
        column, which is the same for both."""
        gap = np.pad(add_intercept(one) - add_intercept(other), ((0, 0), (0, 1)))
        return gap @ self.weights, self.sigma * np.sqrt(((gap @ self.covariance) * gap).sum(axis=1))

    def predictive_sd(self, table: Floats) -> Floats:
        """The standard deviation of a new case at each row, its own noise included."""
        return np.asarray(self.sigma * np.sqrt(1.0 + leverage(self, table)))


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """What fits that did not see a row expect of it (n,): its mean, its spread, and how far its traits move it off the
    intercept, in units of the noise."""

    mean: Floats
    predictive_sd: Floats
    effect: Floats


def fit_ridge(
    table: Floats, values: Floats, groups: Sequence[str], sample_weight: Floats, *, rounds: int = ROUNDS
) -> RidgePosterior:
    """Fit `values` (n,) by `table` (n, p); `groups` names each column's group, `sample_weight` a row's."""
    rows = add_intercept(table)
    gram, moment = rows.T @ (rows * sample_weight[:, None]), rows.T @ (sample_weight * values)
    group = np.unique(np.array(groups, dtype=str), return_inverse=True)[1]
    total, energy = float(sample_weight.sum()), float(sample_weight @ values**2)
    predictive_sd = max(
        float(sample_weight @ (values - sample_weight @ values / total) ** 2) / max(total - 1.0, 1.0), 1e-12
    )
    names = np.unique(np.array(groups, dtype=str))
    prior = np.where(names == TROUBLED, TROUBLED_VARIANCE, PRIOR_VARIANCE)
    variances, sigma2 = prior, predictive_sd
    weights = covariance = np.zeros(0)
    degrees_of_freedom = 1.0
    for _ in range(rounds):
        precision = np.append(FLAT, 1.0 / variances[group])
        covariance = _inverse(gram + np.diag(precision))
        weights = covariance @ moment
        rest = max(energy - 2.0 * float(moment @ weights) + float(weights @ gram @ weights), 0.0)
        used = _effective_dimensions(group, precision, covariance)
        degrees_of_freedom = max(total - 1.0 - float(used.sum()), 1.0)
        sigma2 = max(rest / degrees_of_freedom, 1e-6 * predictive_sd)
        variances = _updated_variances(group, weights**2 / sigma2, used, prior, PRIOR_ROWS / max(total, 1.0))
    return RidgePosterior(
        weights=weights, covariance=covariance, sigma=float(np.sqrt(sigma2)), degrees_of_freedom=degrees_of_freedom
    )


def leave_one_out(
    fit: RidgePosterior, table: Floats, values: Floats, groups: Sequence[str], sample_weight: Floats
) -> OutOfFold:
    """What is expected of each row of `table` (n, p) by a fit like `fit` that left it out; what is NaN is not fitted.

    Whole folds are left out, shrinkage included, so that each spans all of the time; with PLENTY of cases one by one,
    the shrinkage kept.
    """
    used = np.isfinite(values)
    if int(used.sum()) >= PLENTY:
        return _exact_leave_one_out(fit, table, values, sample_weight)
    mean, predictive_sd, effect = np.empty((3, used.size))
    fold = np.empty(used.size, dtype=int)
    for rows in (used, ~used):
        fold[rows] = np.arange(int(rows.sum())) % FOLDS
    for out in (fold == number for number in range(FOLDS)):
        seen = used & ~out
        rest = fit_ridge(table[seen], values[seen], groups, sample_weight[seen], rounds=QUICK_ROUNDS)
        mean[out], predictive_sd[out] = rest.mean(table[out]), rest.predictive_sd(table[out])
        effect[out] = (mean[out] - rest.weights[0]) / rest.sigma
    return OutOfFold(mean, predictive_sd, effect)


def _exact_leave_one_out(fit: RidgePosterior, table: Floats, values: Floats, sample_weight: Floats) -> OutOfFold:
    used = np.isfinite(values)
    share = np.where(used, np.minimum(sample_weight * leverage(fit, table), 0.99), 0.0)
    mean = fit.mean(table)
    mean = np.where(used, values - (values - mean) / (1.0 - share), mean)
    return OutOfFold(mean, fit.sigma / np.sqrt(1.0 - share), (mean - fit.weights[0]) / fit.sigma)


def studentized_residuals(fit: RidgePosterior, table: Floats, values: Floats, sample_weight: Floats) -> Floats:
    """Each case's error if it alone were left out and the shrinkage kept, in units of its spread (n,): quick."""
    found = _exact_leave_one_out(fit, table, values, sample_weight)
    return np.asarray((values - found.mean) / found.predictive_sd)


def leverage(fit: RidgePosterior, table: Floats) -> Floats:
    """How much a row's own value would weigh in what is fitted there (n,)."""
    rows = add_intercept(table)
    return np.asarray(((rows @ fit.covariance) * rows).sum(axis=1))


def _inverse(matrix: Floats) -> Floats:
    """The inverse of a symmetric positive definite matrix."""
    factor, failed = linalg.lapack.dpotrf(matrix, lower=1)
    if failed:
        raise np.linalg.LinAlgError("not positive definite")
    lower = np.tril(linalg.lapack.dpotri(factor, lower=1)[0])
    return np.asarray(lower + np.tril(lower, -1).T)


def _effective_dimensions(group: NDArray[np.intp], precision: Floats, covariance: Floats) -> Floats:
    """How many effects the data determine in each group; `group` (p,) is that of each column, the intercept's none."""
    free = 1.0 - precision * np.diag(covariance)
    return np.maximum(np.bincount(group, weights=free[1:]), 0.0)


def _updated_variances(group: NDArray[np.intp], squares: Floats, used: Floats, prior: Floats, weight: float) -> Floats:
    sums = np.bincount(group, weights=squares[1:])
    return np.clip((sums + weight * prior) / (used + weight), 1e-5, LARGEST_VARIANCE)


CONFORMAL = 9
"""From this many cases on the errors of left-out cases say how wide an interval must be; below, Student's t."""
TWO_SIDED = 19
"""From this many on, each side by its own errors."""


def conformal_quantiles(errors: Floats, degrees_of_freedom: float, shares: Floats) -> Floats:
    """The points below which these `shares` of new cases' errors lie, in units of their predicted spread.

    `errors` (n,) are those of left-out cases in the same units (jackknife conformal: Barber et al., "Predictive
    inference with the jackknife+", Annals of Statistics 49, 2021); below CONFORMAL of them
    Student's t with `degrees_of_freedom`.
    """
    if errors.size < CONFORMAL:
        return np.asarray(stdtrit(max(degrees_of_freedom, 1.0), shares))
    if errors.size < TWO_SIDED:
        return np.sign(shares - 0.5) * _order_statistics(np.sort(np.abs(errors)), np.abs(2.0 * shares - 1.0))
    return _order_statistics(np.sort(errors), shares)


def weighted_quantiles(points: Floats, weights: Floats, shares: Floats) -> Floats:
    """The points below which these shares of the weight lie, up to rounding."""
    order = np.argsort(points, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    place = np.minimum(np.searchsorted(below, shares - ROUNDING), points.size - 1)
    return np.asarray(points[order][place])


def _order_statistics(ordered: Floats, shares: Floats) -> Floats:
    """Order statistic share (n + 1), between two where need be: a new case lies beyond it as often as it should."""
    return np.asarray(np.interp(shares * (ordered.size + 1) - 1.0, np.arange(ordered.size), ordered))


_LIBRARIES = ThreadpoolController()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """While it lasts, the process's linear algebra runs on the calling thread alone; decorates a function, too."""
    with _LIBRARIES.limit(limits=1, user_api="blas"):
        yield
