"""A Gaussian process classifier of the risk.

Similar deployments behave alike: three of three similar deployments that caused harm move the risk as far as three
examples can, which a regression with one weight a column does not allow. The kernel is the sum of a linear part, in
which many weak features of one direction add up, and a squared-exponential part, in which deployments that agree in
everything count most (Rasmussen and Williams, "Gaussian processes for machine learning", 2006, chapters 3 and 5). The
posterior is found by expectation propagation: Laplace's approximation is far too cautious where outcomes follow from
traits for certain (Kuss and Rasmussen, "Assessing approximate inference for binary Gaussian process classification",
JMLR 6, 2005). Amplitudes, whether sizes say anything of the risk, and whether products of traits do, are averaged over
by how well each foretells cases that are left out (Geisser and Eddy, "A predictive approach to model selection", JASA
74, 1979): expectation propagation gives that score with the fit. Beforehand a large amplitude is unlikely, since chance
can often separate a few cases. Other services share most of the kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.special import log_expit, logsumexp

from afdp_exporter.model import Floats
from afdp_exporter.patterns.models.logistic import LogOdds

STRENGTHS = (1.0, 2.0, 4.0, 8.0)
"""The standard deviations of the log odds that traits may account for; one twice as large is a quarter as likely
beforehand."""
SHARED = 0.9
"""How much of what traits do holds for other services, too."""
LEAST_SHARE = 0.001
"""The least weight of a hypothesis that is kept; the others change nothing that a person would see."""
ROUNDS, SETTLED = 20, 5e-3
"""Rounds of expectation propagation at most, and the change of the log evidence below which it ends."""
DAMPING, LEAST_PRECISION = 0.9, 1e-6
"""The share of its new value that a site takes in a round, and the least precision of one."""
NODES, NODE_WEIGHTS = (
    np.polynomial.hermite_e.hermegauss(12)[0],
    np.polynomial.hermite_e.hermegauss(12)[1] / np.sqrt(2 * np.pi),
)
"""Gauss-Hermite quadrature of a standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Rows as the kernel sees them: `views` are tables (n, d) that may say what is alike, each scaled so that a typical
    row has length 1; `directions` (n, k), further columns of the linear part alone; `expected` (n,), the log odds that
    a row's traits are expected to add; and the number of each row's `service` and `team` (n,)."""

    views: tuple[Floats, ...]
    directions: Floats
    expected: Floats
    service: NDArray[np.intp]
    team: NDArray[np.intp]

    def some(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Inputs":
        """Some of the rows."""
        views = tuple(view[rows] for view in self.views)
        return Inputs(views, self.directions[rows], self.expected[rows], self.service[rows], self.team[rows])


@dataclass(frozen=True, slots=True)
class MeanPrior:
    """The prior of the log odds as such: their mean, and the standard deviations of the whole, a team, a service."""

    mean: float
    whole: float
    team: float
    service: float


@dataclass(frozen=True, slots=True)
class _Observed:
    outcomes: Floats  # (n,) from 0 to 1
    weight: Floats  # (n,)


@dataclass(frozen=True, slots=True)
class _Sites:
    """The normal factors that stand for the cases' likelihoods: precisions (n,), and precisions times means (n,)."""

    precision: Floats
    shift: Floats


@dataclass(frozen=True, slots=True)
class _Posterior:
    dual: Floats  # (n,) inverse kernel times the posterior mean: the weights of the kernel expansion
    root_precision: Floats  # (n,) square root of the sites' precisions
    cholesky: NDArray[np.float32]  # (n (n + 1) / 2,) lower Cholesky factor, by far the most of what a model holds
    evidence: float  # its logarithm
    left_out: float  # the log score of the cases, each left out

    def explained(self, between: Floats) -> Floats:
        """How much of the prior variance of rows (m,) the cases take away, by the covariances `between` them (m, n).

        The factor is held in rectangular full packed format (Gustavson et al., "Rectangular full packed format for
        Cholesky's algorithm", ACM TOMS 37, 2010): half of the square, and solved as fast.
        """
        packed = self.cholesky.astype(np.float64)
        known = linalg.lapack.dtfsm(1.0, packed, (between * self.root_precision).T, uplo="L")
        return np.asarray((known**2).sum(axis=0))


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    view: int  # which of the views says what is alike
    strength: float
    directed: bool  # whether the directions say anything


@dataclass(frozen=True, slots=True)
class _Covariance:
    """Prior covariances of log odds, all of one shape, by what they come from; those of the traits by each view."""

    places: Floats
    traits: tuple[Floats, ...]
    directions: Floats

    def under(self, assumed: _Hypothesis) -> Floats:
        """Of everything together."""
        traits = self.traits[assumed.view]
        moving = traits + self.directions if assumed.directed else traits
        return np.asarray(self.places + assumed.strength**2 * moving)


@dataclass(frozen=True, slots=True)
class _Fit:
    assumed: _Hypothesis
    weight: float
    posterior: _Posterior


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A fitted process; immutable. `left_out` is the logarithm of the mean score of cases left out over the views,
    the strengths and whether the directions say anything."""

    inputs: Inputs
    level: MeanPrior
    fits: tuple[_Fit, ...]
    left_out: float

    @property
    def variance(self) -> float:
        """What all traits of a typical row may do to the log odds together, by the prior, as a variance."""
        return sum(fit.weight * fit.assumed.strength**2 for fit in self.fits)

    def log_odds(self, inputs: Inputs) -> LogOdds:
        """The log odds of each row, by each fit."""
        rows = inputs.service.size
        places = np.full(rows, _mean_variance(self.level))
        if not self.fits:
            return LogOdds(np.ones(1), (self.level.mean + inputs.expected)[None, :], np.sqrt(places)[None, :])
        traits = tuple(0.5 * (view**2).sum(axis=1) + 0.5 for view in inputs.views)
        prior = _Covariance(places, traits, (inputs.directions**2).sum(axis=1))
        between = _covariance(inputs, self.inputs, self.level)
        means, variances = self._moments(prior, between)
        return LogOdds(self._shares, means + self.level.mean + inputs.expected, np.sqrt(variances))

    def contrast(self, one: Inputs, other: Inputs) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of the log odds of rows, pair by pair (m,)."""
        if not self.fits:
            return one.expected - other.expected, np.zeros(one.service.size)
        apart = [((near - far) ** 2).sum(axis=1) for near, far in zip(one.views, other.views, strict=True)]
        traits = tuple(0.5 * each + (1.0 - np.exp(-0.5 * each)) for each in apart)
        directions = ((one.directions - other.directions) ** 2).sum(axis=1)
        prior = _Covariance(np.zeros(one.service.size), traits, directions)
        first, second = (_covariance(each, self.inputs, self.level) for each in (one, other))
        between = _Covariance(
            first.places - second.places,
            tuple(near - far for near, far in zip(first.traits, second.traits, strict=True)),
            first.directions - second.directions,
        )
        means, variances = self._moments(prior, between)
        mean = self._shares @ means
        doubt = np.sqrt(self._shares @ (variances + (means - mean) ** 2))
        return mean + one.expected - other.expected, doubt

    @property
    def _shares(self) -> Floats:
        return np.array([fit.weight for fit in self.fits])

    def _moments(self, prior: _Covariance, between: _Covariance) -> tuple[Floats, Floats]:
        """Of each fit, means and variances of rows (fits, m) by their `prior` variances (m,) and their covariances
        `between` them and the cases (m, n)."""
        means, variances = [], []
        for fit in self.fits:
            near = between.under(fit.assumed)
            means.append(near @ fit.posterior.dual)
            variances.append(np.maximum(prior.under(fit.assumed) - fit.posterior.explained(near), 1e-9))
        return np.array(means), np.array(variances)


def fit_gaussian_process(
    inputs: Inputs, outcomes: Floats, weight: Floats, level: MeanPrior, strengths: Sequence[float] = STRENGTHS
) -> GaussianProcess:
    """Fit `outcomes` (n,), from 0 to 1, with sample weights `weight` (n,)."""
    if not outcomes.size:
        return GaussianProcess(inputs, level, (), 0.0)
    data, covariance = _Observed(outcomes, weight), _covariance(inputs, inputs, level)
    found: list[tuple[_Hypothesis, _Posterior]] = []
    for view, directed in product(range(len(inputs.views)), (False, True)[: 1 + bool(inputs.directions.shape[1])]):
        sites = _Sites(0.25 * weight + LEAST_PRECISION, weight * (outcomes - 0.5))
        for strength in strengths:
            assumed = _Hypothesis(view, strength, directed)
            sites, posterior = _expectation_propagation(
                covariance.under(assumed), data, level.mean + inputs.expected, sites
            )
            found.append((assumed, posterior))
    chances = np.array([assumed.strength**-2 for assumed, _ in found])
    scores = np.array([posterior.left_out for _, posterior in found]) + np.log(chances / chances.sum())
    left_out = float(logsumexp(scores))
    shares = np.exp(scores - left_out)
    shares = np.where(shares >= LEAST_SHARE, shares, 0.0)
    fits = tuple(
        _Fit(assumed, float(share), posterior)
        for (assumed, posterior), share in zip(found, shares / shares.sum(), strict=True)
        if share
    )
    return GaussianProcess(inputs, level, fits, left_out)


def _covariance(one: Inputs, other: Inputs, level: MeanPrior) -> _Covariance:
    """The prior covariances of the log odds of rows, shape (m, n)."""
    same = one.service[:, None] == other.service
    places = level.whole**2 + level.service**2 * same + level.team**2 * (one.team[:, None] == other.team)
    shared = np.where(same, 1.0, SHARED)
    traits = tuple(_alike(near, far) * shared for near, far in zip(one.views, other.views, strict=True))
    return _Covariance(places, traits, one.directions @ other.directions.T)


def _alike(one: Floats, other: Floats) -> Floats:
    """The kernel of rows (m, d) and others (n, d), shape (m, n)."""
    linear = one @ other.T
    lengths = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
    return np.asarray(0.5 * linear + 0.5 * np.exp(-0.5 * np.maximum(lengths - 2.0 * linear, 0.0)))


def _mean_variance(level: MeanPrior) -> float:
    return level.whole**2 + level.service**2 + level.team**2


def _expectation_propagation(kernel: Floats, data: _Observed, mean: Floats, start: _Sites) -> tuple[_Sites, _Posterior]:
    """The sites at which each one's moments agree with its likelihood, all renewed at once and damped."""
    sites, evidence = start, -np.inf
    one = np.eye(kernel.shape[0])
    for _ in range(ROUNDS):
        root = np.sqrt(sites.precision)
        cholesky = np.asarray(np.linalg.cholesky(one + root[:, None] * kernel * root), dtype=np.float64)
        half = linalg.solve_triangular(cholesky, root[:, None] * kernel, lower=True, check_finite=False)
        variance = np.diag(kernel) - (half**2).sum(axis=0)
        middle = kernel @ sites.shift - half.T @ (half @ sites.shift)
        precision = np.maximum(1.0 / variance - sites.precision, 1.0 / np.diag(kernel))
        shift = middle / variance - sites.shift
        total, first, second = _tilted_moments(shift / precision, 1.0 / precision, data, mean)
        before, evidence = evidence, _evidence(sites, precision, shift, middle, cholesky) + float(total.sum())
        if abs(evidence - before) < SETTLED:
            break
        renewed = _Sites(np.maximum(1.0 / second - precision, LEAST_PRECISION), first / second - shift)
        sites = _Sites(
            (1.0 - DAMPING) * sites.precision + DAMPING * renewed.precision,
            (1.0 - DAMPING) * sites.shift + DAMPING * renewed.shift,
        )
    explained = root * linalg.cho_solve((cholesky, True), root * (kernel @ sites.shift), check_finite=False)
    packed, _ = linalg.lapack.strttf(cholesky.astype(np.float32), uplo="L")
    return sites, _Posterior(sites.shift - explained, root, packed, evidence, float(total.sum()))


def _tilted_moments(centre: Floats, variance: Floats, data: _Observed, mean: Floats) -> tuple[Floats, Floats, Floats]:
    """The logarithm of each case's likelihood under a normal distribution, and mean and variance given both (n,).

    The curvature of the likelihood is at most a quarter of the weight, which bounds the variance from below (Cramér and
    Rao): where the normal distribution is wide, a single node may hold all that is likely.
    """
    points = centre[:, None] + np.sqrt(variance)[:, None] * NODES
    log_odds = points + mean[:, None]
    likelihood = data.outcomes[:, None] * log_expit(log_odds) + (1.0 - data.outcomes)[:, None] * log_expit(-log_odds)
    weighed = data.weight[:, None] * likelihood
    most = weighed.max(axis=1)
    share = np.exp(weighed - most[:, None]) * NODE_WEIGHTS
    total = share.sum(axis=1)
    first = (share * points).sum(axis=1) / total
    second = (share * (points - first[:, None]) ** 2).sum(axis=1) / total
    return most + np.log(total), first, np.maximum(second, 1.0 / (1.0 / variance + 0.25 * data.weight))


def _evidence(sites: _Sites, precision: Floats, shift: Floats, middle: Floats, cholesky: Floats) -> float:
    """What the evidence is beside the cases' own likelihoods (Rasmussen and Williams, equation 3.65)."""
    cavity, both = shift / precision, sites.precision + precision
    gained = 0.5 * float(np.log1p(sites.precision / precision).sum()) - float(np.log(np.diag(cholesky)).sum())
    gained += 0.5 * float(sites.shift @ middle - (sites.shift**2 / both).sum())
    return gained + 0.5 * float((shift / both) @ (sites.precision * cavity - 2.0 * sites.shift))
