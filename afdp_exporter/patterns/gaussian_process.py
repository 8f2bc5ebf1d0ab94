"""How often something happens after deployments like this one: a Gaussian process classifier over the traits.

What is alike behaves alike: three of three similar deployments that hurt move the risk as far as three cases can, which
a regression with one weight a column does not allow. The kernel is a sum of a linear part, in which many weak traits of
one direction add up, and of a squared-exponential part, in which deployments that agree in everything count most
(Rasmussen and Williams, "Gaussian processes for machine learning", 2006, chapters 3 and 5: Laplace's approximation).
How strong both are is averaged over by the evidence, and a trait counts double or half where the evidence is clearly
better for it (automatic relevance determination). Other services share most of the kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.special import expit

from afdp_exporter.model import Floats

STRENGTHS = (0.5, 1.0, 2.0, 4.0)
"""The standard deviations of the log odds that traits may account for; the evidence weighs them."""
SHARED = 0.9
"""How much of what traits do holds for other services, too."""
TRIED_STRENGTH, TRIED = 2.0, 150
"""The strength at which, and the newest rows on which, it is tried what a trait counts."""
CAUTION = 0.7
"""What the logarithm of the evidence has to gain before a trait counts double or half."""
NEWTON_STEPS, HALVED, SETTLED = 25, 6, 1e-4


@dataclass(frozen=True, slots=True)
class Inputs:
    """Rows as the kernel sees them: `traits` (n, d), scaled so that a typical row has length 1; `directions` (n, k),
    further columns of the linear part alone; and the number of each row's `service` and `team` (n,)."""

    traits: Floats
    directions: Floats
    service: NDArray[np.intp]
    team: NDArray[np.intp]

    def some(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Inputs":
        """Some of the rows."""
        return Inputs(self.traits[rows], self.directions[rows], self.service[rows], self.team[rows])


@dataclass(frozen=True, slots=True)
class Level:
    """The prior of the log odds as such: their mean, and the standard deviations of the whole, a team, a service."""

    mean: float
    whole: float
    team: float
    service: float


@dataclass(frozen=True, slots=True)
class _Fit:
    strength: float
    weight: float  # the share of the evidence
    pull: Floats  # (n,)
    root: Floats  # (n,) square root of the likelihood's curvature
    factor: Floats  # (n, n) lower Cholesky factor


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A fitted process; immutable."""

    inputs: Inputs
    level: Level
    fits: tuple[_Fit, ...]

    @property
    def variance(self) -> float:
        """What all traits of a typical row may do to the log odds together, by the prior, as a variance."""
        return sum(fit.weight * fit.strength**2 for fit in self.fits)

    def odds(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the log odds of each row (m,), averaged over the strengths."""
        if not self.fits:
            mean = np.full(inputs.service.size, self.level.mean)
            return mean, np.sqrt(_level_variance(self.level) + np.zeros(mean.size))
        parts = [self._odds(fit, inputs) for fit in self.fits]
        shares = np.array([fit.weight for fit in self.fits])
        means, variances = (np.array(side) for side in zip(*parts, strict=True))
        mean = shares @ means
        return mean, np.sqrt(shares @ (variances + (means - mean) ** 2))

    def contrast(self, one: Inputs, other: Inputs) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of the log odds of rows, pair by pair (m,)."""
        if not self.fits:
            return np.zeros(one.service.size), np.zeros(one.service.size)
        shares = np.array([fit.weight for fit in self.fits])
        parts = [self._contrast(fit, one, other) for fit in self.fits]
        means, variances = (np.array(side) for side in zip(*parts, strict=True))
        mean = shares @ means
        return mean, np.sqrt(shares @ (variances + (means - mean) ** 2))

    def _contrast(self, fit: _Fit, one: Inputs, other: Inputs) -> tuple[Floats, Floats]:
        between = _kernel(one, self.inputs, self.level, fit.strength)
        between -= _kernel(other, self.inputs, self.level, fit.strength)
        known = linalg.solve_triangular(fit.factor, (between * fit.root).T, lower=True, check_finite=False)
        apart = ((one.traits - other.traits) ** 2).sum(axis=1)
        further = ((one.directions - other.directions) ** 2).sum(axis=1)
        prior = fit.strength**2 * (0.5 * apart + (1.0 - np.exp(-0.5 * apart)) + further)
        return between @ fit.pull, np.maximum(prior - (known**2).sum(axis=0), 0.0)

    def _odds(self, fit: _Fit, inputs: Inputs) -> tuple[Floats, Floats]:
        between = _kernel(inputs, self.inputs, self.level, fit.strength)
        known = linalg.solve_triangular(fit.factor, (between * fit.root).T, lower=True, check_finite=False)
        prior = _level_variance(self.level) + fit.strength**2 * (
            0.5 * (inputs.traits**2).sum(axis=1) + 0.5 + (inputs.directions**2).sum(axis=1)
        )
        return self.level.mean + between @ fit.pull, np.maximum(prior - (known**2).sum(axis=0), 1e-9)


def fit_gaussian_process(
    inputs: Inputs, happened: Floats, weight: Floats, level: Level, strengths: Sequence[float] = STRENGTHS
) -> GaussianProcess:
    """Fit `happened` (n,), from 0 to 1, of rows that count `weight` (n,)."""
    if not happened.size:
        return GaussianProcess(inputs, level, ())
    found = [_laplace(_kernel(inputs, inputs, level, strength), happened, weight, level.mean) for strength in strengths]
    evidence = np.array([each[-1] for each in found])
    shares = np.exp(evidence - evidence.max())
    shares /= shares.sum()
    fits = tuple(
        _Fit(strength, float(share), pull, root, factor)
        for strength, share, (pull, root, factor, _) in zip(strengths, shares, found, strict=True)
    )
    return GaussianProcess(inputs, level, fits)


def relevance(inputs: Inputs, groups: Sequence[str], happened: Floats, weight: Floats, level: Level) -> Floats:
    """How much each column of the traits counts (d,): 2, 1 or 1/2, alike for all columns of a group.

    One pass over the groups, each tried beside what was found before it.
    """
    newest = inputs.some(np.arange(happened.size)[-TRIED:])
    names = np.array(groups, dtype=str)

    def evidence(factors: Floats) -> float:
        scaled = replace(newest, traits=newest.traits * factors)
        kernel = _kernel(scaled, scaled, level, TRIED_STRENGTH)
        return _laplace(kernel, happened[-TRIED:], weight[-TRIED:], level.mean)[-1]

    factors = np.ones(names.size)
    best = evidence(factors)
    for name in sorted(set(groups)):
        for factor in (2.0, 0.5):
            tried = np.where(names == name, factor, factors)
            found = evidence(tried)
            if found > best + CAUTION:
                factors, best = tried, found
                break
    return factors


def _kernel(one: Inputs, other: Inputs, level: Level, strength: float) -> Floats:
    """The prior covariance of the log odds of rows, shape (m, n)."""
    linear = one.traits @ other.traits.T
    lengths = (one.traits**2).sum(axis=1)[:, None] + (other.traits**2).sum(axis=1)
    alike = np.exp(-0.5 * np.maximum(lengths - 2.0 * linear, 0.0))
    same = one.service[:, None] == other.service
    places = level.whole**2 + level.service**2 * same + level.team**2 * (one.team[:, None] == other.team)
    traits = (0.5 * linear + 0.5 * alike) * np.where(same, 1.0, SHARED)
    return np.asarray(places + strength**2 * (traits + one.directions @ other.directions.T))


def _level_variance(level: Level) -> float:
    return level.whole**2 + level.service**2 + level.team**2


def _laplace(kernel: Floats, happened: Floats, weight: Floats, mean: float) -> tuple[Floats, Floats, Floats, float]:
    """The mode by Newton's method, a step halved while it leads down, and the logarithm of the evidence."""
    one = np.eye(happened.size)

    def value(pull: Floats, odds: Floats) -> float:
        return float(-0.5 * pull @ (odds - mean) + weight @ (happened * odds - np.logaddexp(0.0, odds)))

    odds, pull = np.full(happened.size, mean), np.zeros(happened.size)
    best = value(pull, odds)
    for _ in range(NEWTON_STEPS):
        chance = expit(odds)
        curve, root, factor = _curvature(kernel, chance, weight, one)
        target = curve * (odds - mean) + weight * (happened - chance)
        step = target - root * linalg.cho_solve((factor, True), root * (kernel @ target), check_finite=False) - pull
        before = best
        for _ in range(HALVED):
            tried = pull + step
            best = value(tried, mean + kernel @ tried)
            if best >= before:
                pull, odds = tried, mean + kernel @ tried
                break
            step, best = 0.5 * step, before
        if best - before < SETTLED:
            break
    _, root, factor = _curvature(kernel, expit(odds), weight, one)
    return pull, root, factor, best - float(np.log(np.diag(factor)).sum())


def _curvature(kernel: Floats, chance: Floats, weight: Floats, one: Floats) -> tuple[Floats, Floats, Floats]:
    """The likelihood's curvature (n,), its root, and the Cholesky factor (n, n) of what it makes of the kernel."""
    curve = weight * chance * (1.0 - chance) + 1e-9
    root = np.sqrt(curve)
    return curve, root, np.asarray(np.linalg.cholesky(one + root[:, None] * kernel * root))
