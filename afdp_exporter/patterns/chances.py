"""How often something happens: a logistic regression that believes few of its columns to matter.

Each column has a belief beforehand: how likely it matters at all, and how much if it does (spike and slab). What is
left of it after the cases is found by coordinate ascent (Carbonetto and Stephens, "Scalable variational inference for
Bayesian variable selection in regression", Bayesian Analysis 7, 2012) under the bound of Jaakkola and Jordan ("Bayesian
parameter estimation via variational methods", Statistics and Computing 10, 2000). A column without effect fades
instead of adding its noise, and a weak one is averaged over mattering and not.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from afdp_exporter.model import Floats

ROUNDS, SWEEPS = 25, 3
"""Renewals of the bound at most, and passes over the columns between two of them."""
SETTLED = 2e-3
"""Log odds; weights that move less are found."""


@dataclass(frozen=True, slots=True)
class Logistic:
    """Fitted log odds: `weights` (p + 1,), the intercept first, with their posterior covariance."""

    weights: Floats
    covariance: Floats

    def odds(self, table: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the log odds of each row."""
        rows = with_one(table)
        variance = ((rows @ self.covariance) * rows).sum(axis=1)
        return rows @ self.weights, np.sqrt(variance)

    def contrast(self, one: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of the log odds of rows, pair by pair."""
        gap = with_one(one) - with_one(other)
        return gap @ self.weights, np.sqrt(((gap @ self.covariance) * gap).sum(axis=1))

    def risk(self, table: Floats) -> Floats:
        """The probability of each row, averaged over what is not known (MacKay's probit approximation)."""
        mean, spread = self.odds(table)
        return np.asarray(expit(mean / np.sqrt(1.0 + np.pi * spread**2 / 8.0)))


@dataclass(frozen=True, slots=True)
class Belief:
    """Before any case: the log odds of the whole with their standard deviation, and for each column (p,) how likely it
    `matters` and the `spread` of its log odds ratio if it does."""

    expected: float
    doubt: float
    matters: Floats
    spread: Floats

    def beside(self, columns: int, *, matters: float, spread: float) -> "Belief":
        """The same with more columns behind."""
        more = np.ones(columns)
        return Belief(
            self.expected, self.doubt, np.append(self.matters, matters * more), np.append(self.spread, spread * more)
        )


@dataclass(slots=True)
class _Posterior:
    """Of each weight, the intercept first: its mean, and its variance over mattering and not."""

    mean: Floats
    variance: Floats


def logistic(table: Floats, happened: Floats, counts: Floats, belief: Belief) -> Logistic:
    """Fit log odds of `happened` (0 or 1, (n,)) by `table` (n, p); `counts` (n,) says how much a row counts."""
    rows = with_one(table)
    slab = np.append(belief.doubt, belief.spread) ** 2
    with np.errstate(divide="ignore"):
        odds = logit(np.append(1.0, belief.matters))
    start = np.append(belief.expected, np.zeros(table.shape[1]))
    found = _Posterior(mean=start.copy(), variance=np.append(slab[0], np.zeros(table.shape[1])))
    pull = rows.T @ (counts * (happened - 0.5)) + start / slab
    bound = np.ones(rows.shape[0])
    for _ in range(ROUNDS):
        bend = counts * np.tanh(bound / 2.0) / (2.0 * bound)
        before = found.mean.copy()
        _ascend(found, (rows.T * bend) @ rows, pull, odds, slab)
        bound = np.sqrt((rows @ found.mean) ** 2 + rows**2 @ found.variance + 1e-6)
        if np.abs(found.mean - before).max() < SETTLED:
            break
    return Logistic(weights=found.mean, covariance=np.diag(found.variance))


def _ascend(found: _Posterior, gram: Floats, pull: Floats, odds: Floats, slab: Floats) -> None:
    """Renew each weight in turn, given all others."""
    own = np.diag(gram)
    variance = 1.0 / (own + 1.0 / slab)
    prior = odds + 0.5 * np.log(variance / slab)
    explained = gram @ found.mean
    for _ in range(SWEEPS):
        for place in range(own.size):
            before = found.mean[place]
            mean = variance[place] * (pull[place] - explained[place] + own[place] * before)
            matters = expit(prior[place] + 0.5 * mean**2 / variance[place])
            found.mean[place] = matters * mean
            found.variance[place] = matters * (variance[place] + mean**2) - (matters * mean) ** 2
            explained += gram[:, place] * (found.mean[place] - before)


def with_one(table: Floats) -> Floats:
    """A table with a first column of ones."""
    return np.hstack([np.ones((table.shape[0], 1)), table])
