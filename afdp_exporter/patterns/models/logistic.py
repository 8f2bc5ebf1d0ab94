"""Sparse Bayesian logistic regression: spike-and-slab prior, variational inference.

Each coefficient has a prior inclusion probability and, if included, a normal prior (the slab). The posterior is found
by coordinate ascent (Carbonetto and Stephens, "Scalable variational inference for Bayesian variable selection in
regression", Bayesian Analysis 7, 2012) under the bound of Jaakkola and Jordan ("Bayesian parameter estimation via
variational methods", Statistics and Computing 10, 2000). A column without effect shrinks to zero instead of adding
noise, and a weak one is averaged over inclusion and exclusion.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from afdp_exporter.model import Floats

BOUND_UPDATES, SWEEPS = 25, 3
"""Renewals of the bound at most, and passes over the columns between two of them."""
TOLERANCE = 2e-3
"""Log odds; weights that move less are found."""
FAR = 700.0
"""Log odds beyond which a probability is none or one."""


@dataclass(frozen=True, slots=True)
class LogOdds:
    """What may be the log odds of rows (m,): normal distributions with these `means` and standard deviations `sds`
    (k, m), of which each has its share in all (k,)."""

    shares: Floats
    means: Floats
    sds: Floats

    @property
    def predictive(self) -> Floats:
        """The mean over all distributions of the log odds of each one's probability (m,)."""
        return np.asarray(self.shares @ moderated(self.means, self.sds))

    @property
    def probability(self) -> Floats:
        """The probability of each row, averaged over what is not known (m,)."""
        return np.asarray(expit(self.predictive))

    def some(self, rows: slice) -> "LogOdds":
        """Those of some of the rows."""
        return LogOdds(self.shares, self.means[:, rows], self.sds[:, rows])


@dataclass(frozen=True, slots=True)
class Logistic:
    """Fitted log odds: `weights` (p + 1,), the intercept first, each with a `variance` of its own (p + 1,); each row of
    `shared` (k, p + 1) is one more standard deviation that moves all weights together."""

    weights: Floats
    variance: Floats
    shared: Floats

    def log_odds(self, table: Floats) -> LogOdds:
        """The log odds of each row."""
        rows = add_intercept(table)
        return LogOdds(np.ones(1), (rows @ self.weights)[None, :], self._sd(rows)[None, :])

    def contrast(self, one: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of the log odds of rows, pair by pair."""
        gap = add_intercept(one) - add_intercept(other)
        return gap @ self.weights, self._sd(gap)

    def _sd(self, rows: Floats) -> Floats:
        return np.asarray(np.sqrt(rows**2 @ self.variance + ((rows @ self.shared.T) ** 2).sum(axis=1)))


@dataclass(frozen=True, slots=True)
class SpikeAndSlabPrior:
    """The prior: mean and standard deviation of the intercept's log odds, and for each column (p,) its
    `inclusion_probability` and, if included, the standard deviation `slab_sd` of its log odds ratio."""

    intercept_mean: float
    intercept_sd: float
    inclusion_probability: Floats
    slab_sd: Floats

    def with_columns(self, columns: int, *, inclusion_probability: float, slab_sd: float) -> "SpikeAndSlabPrior":
        """The same with more columns behind."""
        more = np.ones(columns)
        return SpikeAndSlabPrior(
            self.intercept_mean,
            self.intercept_sd,
            np.append(self.inclusion_probability, inclusion_probability * more),
            np.append(self.slab_sd, slab_sd * more),
        )


@dataclass(slots=True)
class _VariationalPosterior:
    """Of each weight, the intercept first: its mean, and its variance over mattering and not."""

    mean: Floats
    variance: Floats


def fit_logistic(table: Floats, outcomes: Floats, sample_weight: Floats, prior: SpikeAndSlabPrior) -> Logistic:
    """Fit log odds of `outcomes` (0 or 1, (n,)) by `table` (n, p); `sample_weight` (n,) says how much a row counts."""
    rows = add_intercept(table)
    slab = np.append(prior.intercept_sd, prior.slab_sd) ** 2
    with np.errstate(divide="ignore"):
        log_odds = logit(np.append(1.0, prior.inclusion_probability))
    start = np.append(prior.intercept_mean, np.zeros(table.shape[1]))
    posterior = _VariationalPosterior(mean=start.copy(), variance=np.append(slab[0], np.zeros(table.shape[1])))
    linear = rows.T @ (sample_weight * (outcomes - 0.5)) + start / slab
    bound = np.ones(rows.shape[0])
    for _ in range(BOUND_UPDATES):
        curvature = sample_weight * np.tanh(bound / 2.0) / (2.0 * bound)
        before = posterior.mean.copy()
        _coordinate_ascent(posterior, (rows.T * curvature) @ rows, linear, log_odds, slab)
        bound = np.sqrt((rows @ posterior.mean) ** 2 + rows**2 @ posterior.variance + 1e-6)
        if np.abs(posterior.mean - before).max() < TOLERANCE:
            break
    return Logistic(weights=posterior.mean, variance=posterior.variance, shared=np.zeros((0, posterior.mean.size)))


def _coordinate_ascent(
    posterior: _VariationalPosterior, gram: Floats, linear: Floats, log_odds: Floats, slab: Floats
) -> None:
    """Renew each weight in turn, given all others."""
    own = np.diag(gram)
    variance = 1.0 / (own + 1.0 / slab)
    prior = (log_odds + 0.5 * np.log(variance / slab)).tolist()
    explained = gram @ posterior.mean
    columns = list(zip(variance.tolist(), linear.tolist(), own.tolist(), prior, strict=True))
    mean, spread = posterior.mean.tolist(), posterior.variance.tolist()
    for _ in range(SWEEPS):
        for place, (narrow, pull, weight, odds) in enumerate(columns):
            before = mean[place]
            slab_mean = narrow * (pull - float(explained[place]) + weight * before)
            included = 1.0 / (1.0 + math.exp(-min(max(odds + 0.5 * slab_mean**2 / narrow, -FAR), FAR)))
            mean[place] = included * slab_mean
            spread[place] = included * (narrow + slab_mean**2) - mean[place] ** 2
            explained += gram[place] * (mean[place] - before)
    posterior.mean[:], posterior.variance[:] = mean, spread


def moderated(mean: Floats, sd: Floats) -> Floats:
    """The log odds of the mean probability, given mean and standard deviation of log odds, all of one shape (MacKay's
    probit approximation: "The evidence framework applied to classification networks", Neural Computation 4, 1992)."""
    return np.asarray(mean / np.sqrt(1.0 + np.pi * sd**2 / 8.0))


def add_intercept(table: Floats) -> Floats:
    """A table with a first column of ones."""
    return np.hstack([np.ones((table.shape[0], 1)), table])
