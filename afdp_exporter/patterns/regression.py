"""Ridge for sizes and for yes or no, with the strength of each group's shrinkage learned from the data.

Each group of columns has its own prior variance, set by MacKay's fixed point for the evidence ("Bayesian
interpolation", Neural Computation 4, 1992) with a weak prior of its own, so that a group without effect shrinks
to nothing and few data stay near the mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import expit

from afdp_exporter.model import Floats

ROUNDS, QUICK_ROUNDS = 12, 5
"""Steps towards the shrinkage; a rough one does where fits are only compared or only their errors are wanted."""
FOLDS, PLENTY = 5, 300
"""Folds that are left out in turn; with PLENTY of cases the shrinkage hardly depends on any of them."""
PRIOR_VARIANCE, PRIOR_ROWS = 0.02, 25.0
"""The variance of an effect expected beforehand, in units of the noise's; it counts as much as this many rows tell."""
PRIOR_ODDS_VARIANCE, PRIOR_EVENTS = 0.015, 4.0
"""The same for log odds; the information of a row is p (1 - p)."""
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
        return _with_one(table) @ self.weights

    def spread(self, table: Floats) -> Floats:
        """The standard deviation of a new case at each row, its own noise included."""
        rows = _with_one(table)
        leverage = ((rows @ self.covariance) * rows).sum(axis=1)
        return np.asarray(self.sigma * np.sqrt(1.0 + leverage))


@dataclass(frozen=True, slots=True)
class Logistic:
    """Fitted log odds: `weights` (p + 1,), the intercept first, with their posterior covariance."""

    weights: Floats
    covariance: Floats

    def odds(self, table: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the log odds of each row."""
        rows = _with_one(table)
        variance = ((rows @ self.covariance) * rows).sum(axis=1)
        return rows @ self.weights, np.sqrt(variance)

    def risk(self, table: Floats) -> Floats:
        """The probability of each row, averaged over what is not known (MacKay's probit approximation)."""
        mean, spread = self.odds(table)
        return np.asarray(expit(mean / np.sqrt(1.0 + np.pi * spread**2 / 8.0)))


def ridge(table: Floats, values: Floats, groups: Sequence[str], counts: Floats, *, rounds: int = ROUNDS) -> Linear:
    """Fit `values` (n,) by `table` (n, p); `groups` names each column's group, `counts` how much a row counts."""
    rows = _with_one(table)
    gram, moment = rows.T @ (rows * counts[:, None]), rows.T @ (counts * values)
    members = _members(groups)
    total, energy = float(counts.sum()), float(counts @ values**2)
    spread = max(float(counts @ (values - counts @ values / total) ** 2) / max(total - 1.0, 1.0), 1e-12)
    prior = np.full(len(members), PRIOR_VARIANCE)
    variances, sigma2 = prior, spread
    weights = covariance = np.zeros(0)
    freedom = 1.0
    for _ in range(rounds):
        precision = _precision(members, variances, FLAT)
        covariance = _inverse(gram + np.diag(precision))
        weights = covariance @ moment
        rest = max(energy - 2.0 * float(moment @ weights) + float(weights @ gram @ weights), 0.0)
        used = _used(members, precision, covariance)
        freedom = max(total - 1.0 - float(used.sum()), 1.0)
        sigma2 = max(rest / freedom, 1e-6 * spread)
        variances = _variances(members, weights**2 / sigma2, used, prior, PRIOR_ROWS / max(total, 1.0))
    return Linear(weights=weights, covariance=covariance, sigma=float(np.sqrt(sigma2)), freedom=freedom)


def logistic(
    table: Floats,
    happened: Floats,
    groups: Sequence[str],
    counts: Floats,
    *,
    expected: float,
    certainty: float,
    hints: Mapping[str, float],
) -> Logistic:
    """Fit log odds of `happened` (0 or 1, (n,)); beforehand the intercept is `expected` with variance 1/`certainty`.

    `hints` name the groups of which larger effects are expected, and by how much more variance.
    """
    rows = _with_one(table)
    members = _members(groups)
    prior = np.array([PRIOR_ODDS_VARIANCE + hints.get(name, 0.0) for name in dict.fromkeys(groups)])
    variances = prior
    weights = np.zeros(rows.shape[1])
    weights[0] = expected
    start = weights.copy()
    covariance = np.eye(rows.shape[1])
    for _ in range(ROUNDS):
        precision = _precision(members, variances, certainty)
        risk = expit(rows @ weights)
        bend = counts * np.maximum(risk * (1.0 - risk), 1e-4)
        covariance = _inverse(rows.T @ (rows * bend[:, None]) + np.diag(precision))
        slope = rows.T @ (counts * (happened - risk)) - precision * (weights - start)
        weights = weights + covariance @ slope
        used = _used(members, precision, covariance)
        variances = _variances(members, weights**2, used, prior, PRIOR_EVENTS / max(float(bend.sum()), 1.0))
    return Logistic(weights=weights, covariance=covariance)


def left_out(fit: Linear, table: Floats, values: Floats, groups: Sequence[str], counts: Floats) -> Floats:
    """Each case's error when it is left out of `fit` (n,), in units of the spread that the fit without it predicts.

    Whole folds are left out, shrinkage included, so that each spans all of the time; with PLENTY of cases one by one.
    """
    if values.size >= PLENTY:
        return tension(fit, table, values, counts)
    errors = np.empty(values.size)
    fold = np.arange(values.size) % FOLDS
    for out in (fold == number for number in range(min(FOLDS, values.size))):
        rest = ridge(table[~out], values[~out], groups, counts[~out], rounds=QUICK_ROUNDS)
        errors[out] = (values[out] - rest.mean(table[out])) / rest.spread(table[out])
    return errors


def relevance(fit: Linear, groups: Sequence[str]) -> dict[str, float]:
    """The mean square effect of each group, in units of the noise's variance."""
    squares = fit.weights**2 / fit.sigma**2
    return {
        name: float(squares[places].mean())
        for name, places in zip(dict.fromkeys(groups), _members(groups), strict=True)
    }


def tension(fit: Linear, table: Floats, values: Floats, counts: Floats) -> Floats:
    """Each case's error if it alone were left out and the shrinkage kept, in units of its spread (n,): quick."""
    rows = _with_one(table)
    leverage = np.minimum(counts * ((rows @ fit.covariance) * rows).sum(axis=1), 0.99)
    return np.asarray((values - rows @ fit.weights) / (fit.sigma * np.sqrt(1.0 - leverage)))


def _with_one(table: Floats) -> Floats:
    return np.hstack([np.ones((table.shape[0], 1)), table])


def _members(groups: Sequence[str]) -> list[list[int]]:
    places: dict[str, list[int]] = {}
    for place, name in enumerate(groups, start=1):
        places.setdefault(name, []).append(place)
    return list(places.values())


def _precision(members: Sequence[list[int]], variances: Floats, intercept: float) -> Floats:
    precision = np.empty(1 + sum(len(places) for places in members))
    precision[0] = intercept
    for places, variance in zip(members, variances, strict=True):
        precision[places] = 1.0 / variance
    return precision


def _inverse(matrix: Floats) -> Floats:
    factor = linalg.cho_factor(matrix, lower=True, check_finite=False)
    return np.asarray(linalg.cho_solve(factor, np.eye(matrix.shape[0]), check_finite=False))


def _used(members: Sequence[list[int]], precision: Floats, covariance: Floats) -> Floats:
    """How many effects the data determine in each group."""
    free = 1.0 - precision * np.diag(covariance)
    return np.array([max(float(free[places].sum()), 0.0) for places in members])


def _variances(members: Sequence[list[int]], squares: Floats, used: Floats, prior: Floats, weight: float) -> Floats:
    sums = np.array([float(squares[places].sum()) for places in members])
    return np.asarray(np.maximum((sums + weight * prior) / (used + weight), 1e-5))
