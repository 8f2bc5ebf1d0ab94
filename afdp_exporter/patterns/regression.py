"""Ridge for sizes, with the strength of each group's shrinkage learned from the data.

Each group of columns has its own prior variance, set by MacKay's fixed point for the evidence ("Bayesian
interpolation", Neural Computation 4, 1992) with a weak prior of its own, so that a group without effect shrinks
to nothing and few data stay near the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from afdp_exporter.model import Floats
from afdp_exporter.patterns.chances import with_one

ROUNDS, QUICK_ROUNDS = 12, 5
"""Steps towards the shrinkage; a rough one does where fits are only compared or only their errors are wanted."""
FOLDS, PLENTY = 5, 300
"""Folds that are left out in turn; with PLENTY of cases the shrinkage hardly depends on any of them."""
PRIOR_VARIANCE, PRIOR_ROWS = 0.02, 25.0
"""The variance of an effect expected beforehand, in units of the noise's; it counts as much as this many rows tell."""
TROUBLED, TROUBLED_VARIANCE = "trouble", 4.0
"""The group of the column that says whether there was trouble: how far a figure moves depends on that."""
LARGEST_VARIANCE = 1e4
"""The largest variance of an effect in units of the noise's: without any noise an effect would have none."""
FLAT = 1e-6


@dataclass(frozen=True, slots=True)
class Linear:
    """A fitted line: `weights` (p + 1,), the intercept first; `covariance` in units of the noise's variance."""

    weights: Floats
    covariance: Floats
    sigma: float
    freedom: float

    def mean(self, table: Floats) -> Floats:
        """The expected value of each row."""
        return with_one(table) @ self.weights

    def contrast(self, one: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of what is expected of rows (n, p - 1) without their last
        column, which is the same for both."""
        gap = np.pad(with_one(one) - with_one(other), ((0, 0), (0, 1)))
        return gap @ self.weights, self.sigma * np.sqrt(((gap @ self.covariance) * gap).sum(axis=1))

    def spread(self, table: Floats) -> Floats:
        """The standard deviation of a new case at each row, its own noise included."""
        return np.asarray(self.sigma * np.sqrt(1.0 + leverage(self, table)))


@dataclass(frozen=True, slots=True)
class Unseen:
    """What fits that did not see a row expect of it (n,): its mean, its spread, and how far its traits move it off the
    intercept, in units of the noise."""

    mean: Floats
    spread: Floats
    effect: Floats


def ridge(table: Floats, values: Floats, groups: Sequence[str], counts: Floats, *, rounds: int = ROUNDS) -> Linear:
    """Fit `values` (n,) by `table` (n, p); `groups` names each column's group, `counts` how much a row counts."""
    rows = with_one(table)
    gram, moment = rows.T @ (rows * counts[:, None]), rows.T @ (counts * values)
    group = np.unique(np.array(groups, dtype=str), return_inverse=True)[1]
    total, energy = float(counts.sum()), float(counts @ values**2)
    spread = max(float(counts @ (values - counts @ values / total) ** 2) / max(total - 1.0, 1.0), 1e-12)
    names = np.unique(np.array(groups, dtype=str))
    prior = np.where(names == TROUBLED, TROUBLED_VARIANCE, PRIOR_VARIANCE)
    variances, sigma2 = prior, spread
    weights = covariance = np.zeros(0)
    freedom = 1.0
    for _ in range(rounds):
        precision = np.append(FLAT, 1.0 / variances[group])
        covariance = _inverse(gram + np.diag(precision))
        weights = covariance @ moment
        rest = max(energy - 2.0 * float(moment @ weights) + float(weights @ gram @ weights), 0.0)
        used = _used(group, precision, covariance)
        freedom = max(total - 1.0 - float(used.sum()), 1.0)
        sigma2 = max(rest / freedom, 1e-6 * spread)
        variances = _variances(group, weights**2 / sigma2, used, prior, PRIOR_ROWS / max(total, 1.0))
    return Linear(weights=weights, covariance=covariance, sigma=float(np.sqrt(sigma2)), freedom=freedom)


def unseen(fit: Linear, table: Floats, values: Floats, groups: Sequence[str], counts: Floats) -> Unseen:
    """What is expected of each row of `table` (n, p) by a fit like `fit` that left it out; what is NaN is not fitted.

    Whole folds are left out, shrinkage included, so that each spans all of the time; with PLENTY of cases one by one,
    the shrinkage kept.
    """
    used = np.isfinite(values)
    if int(used.sum()) >= PLENTY:
        return _one_by_one(fit, table, values, counts)
    mean, spread, effect = np.empty((3, used.size))
    fold = np.empty(used.size, dtype=int)
    for rows in (used, ~used):
        fold[rows] = np.arange(int(rows.sum())) % FOLDS
    for out in (fold == number for number in range(FOLDS)):
        seen = used & ~out
        rest = ridge(table[seen], values[seen], groups, counts[seen], rounds=QUICK_ROUNDS)
        mean[out], spread[out] = rest.mean(table[out]), rest.spread(table[out])
        effect[out] = (mean[out] - rest.weights[0]) / rest.sigma
    return Unseen(mean, spread, effect)


def _one_by_one(fit: Linear, table: Floats, values: Floats, counts: Floats) -> Unseen:
    used = np.isfinite(values)
    share = np.where(used, np.minimum(counts * leverage(fit, table), 0.99), 0.0)
    mean = fit.mean(table)
    mean = np.where(used, values - (values - mean) / (1.0 - share), mean)
    return Unseen(mean, fit.sigma / np.sqrt(1.0 - share), (mean - fit.weights[0]) / fit.sigma)


def tension(fit: Linear, table: Floats, values: Floats, counts: Floats) -> Floats:
    """Each case's error if it alone were left out and the shrinkage kept, in units of its spread (n,): quick."""
    found = _one_by_one(fit, table, values, counts)
    return np.asarray((values - found.mean) / found.spread)


def leverage(fit: Linear, table: Floats) -> Floats:
    """How much a row's own value would weigh in what is fitted there (n,)."""
    rows = with_one(table)
    return np.asarray(((rows @ fit.covariance) * rows).sum(axis=1))


def _inverse(matrix: Floats) -> Floats:
    factor = linalg.cho_factor(matrix, lower=True, check_finite=False)
    return np.asarray(linalg.cho_solve(factor, np.eye(matrix.shape[0]), check_finite=False))


def _used(group: NDArray[np.intp], precision: Floats, covariance: Floats) -> Floats:
    """How many effects the data determine in each group; `group` (p,) is that of each column, the intercept's none."""
    free = 1.0 - precision * np.diag(covariance)
    return np.maximum(np.bincount(group, weights=free[1:]), 0.0)


def _variances(group: NDArray[np.intp], squares: Floats, used: Floats, prior: Floats, weight: float) -> Floats:
    sums = np.bincount(group, weights=squares[1:])
    return np.clip((sums + weight * prior) / (used + weight), 1e-5, LARGEST_VARIANCE)
