"""The effect size of a rule: a difference, and a rate ratio where there is a positive level to multiply."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from afdp_exporter.model import NORMAL_REACH, Estimate, Floats

STEPS = 60
"""Newton steps at most."""
RIDGE_PENALTY = 0.1
"""1 / variance of an effect's logarithm expected beforehand: keeps a multiplier finite where one side never hurt."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference that a condition makes in the figure's own unit, and how many times it makes it."""

    difference: Estimate
    multiplier: Estimate | None


@dataclass(frozen=True, slots=True)
class _RegressionFit:
    """What a model says of the first column: its weight, half its 90 % interval, and how well the model fits."""

    weight: float
    half_width: float
    likelihood: float
    without: float  # the mean figure, were the condition met nowhere


def effect_size(figure: Floats, member: Floats, others: Floats, services: Floats, *, rate: bool) -> Effect:
    """The effect of `member` (n,) given `others` (n, k) within `services` (n, s); `figure` is positive where it hurts.

    Effects multiply or add, whichever fits better; those on rates multiply (Zou, "A modified Poisson regression
    approach", American Journal of Epidemiology 159, 2004). Where some figures are none at all, large means weigh more:
    how often and how far are then mixed. Intervals come from the sandwich, so that only the mean has to be right; that
    of a rate is no narrower than trouble or none allows, since nothing varies where none of a few hurt. Without a level
    to multiply that is surely positive there is no multiplier.
    """
    design = np.column_stack([member, others, services])
    outside = figure[member == 0]
    level = float(outside.mean())
    least = 0.0 if rate else NORMAL_REACH * float(outside.std()) / np.sqrt(outside.size)
    sum_ = _additive_fit(figure, design, rate=rate)
    powers = ((1.0,) if rate or (figure == 0).any() else (1.0, 2.0)) if level > least else ()
    products = [fit for power in powers if (fit := _log_linear_fit(figure, design, power=power, rate=rate)) is not None]
    product = max(products, key=lambda fit: fit.likelihood, default=None)
    if product is not None and (rate or product.likelihood > sum_.likelihood):
        low, median, high = (float(np.exp(product.weight + side * product.half_width)) for side in (-1.0, 0.0, 1.0))
        difference = Estimate(low=level * (low - 1.0), median=level * (median - 1.0), high=level * (high - 1.0))
        return Effect(difference, Estimate(low=low, median=median, high=high))
    most = 1.0 if rate else np.inf
    low, median, high = (float(np.clip(sum_.weight + side * sum_.half_width, -most, most)) for side in (-1.0, 0.0, 1.0))
    difference = Estimate(low=low, median=median, high=high)
    return Effect(difference, _as_multiplier(difference, sum_.without) if level > least else None)


def _as_multiplier(difference: Estimate, level: float) -> Estimate | None:
    """A difference as a multiplier of a level; None where it would turn a loss into a gain."""
    if level <= 0 or level + difference.low <= 0:
        return None
    low, median, high = (1.0 + one / level for one in (difference.low, difference.median, difference.high))
    return Estimate(low=low, median=median, high=high)


def _additive_fit(figure: Floats, design: Floats, *, rate: bool) -> _RegressionFit:
    bread = np.linalg.pinv(design.T @ design)
    weights = bread @ design.T @ figure
    mean = design @ weights
    rest = figure - mean
    variance = _smoothed_variance(mean, design[:, 0]) if rate else np.zeros(rest.size)
    without = float((design[:, 1:] @ weights[1:]).mean())
    half_width = _half_width(design, bread, rest, variance)
    return _RegressionFit(float(weights[0]), half_width, _log_likelihood(rest, np.ones(rest.size)), without)


def _smoothed_variance(mean: Floats, member: Floats) -> Floats:
    """The variance of trouble or none at `mean` (n,), with half a case of each more (Jeffreys) on either side of
    `member` (n,): where all or none of a few hurt, the next one may still do otherwise."""
    cases = np.where(member > 0, member.sum(), (member == 0).sum())
    return _variance((np.clip(mean, 0.0, 1.0) * cases + 0.5) / (cases + 1.0))


def _variance(rate: Floats) -> Floats:
    return np.clip(rate, 0.0, 1.0) * np.clip(1.0 - rate, 0.0, 1.0)


def _half_width(design: Floats, bread: NDArray[np.floating], rest: Floats, variance: Floats) -> float:
    """Half the 90 % interval of the first weight, of residuals `rest` (n,) with at least `variance` (n,) in the sum.

    The sandwich HC2 and Student's t with Bell and McCaffrey's degrees of freedom (Imbens and Kolesár, "Robust standard
    errors in small samples", Review of Economics and Statistics 98, 2016): of four cases a plain one covers 75 %.
    """
    pull = design @ bread[:, 0]
    free = np.clip(1.0 - np.einsum("ij,jk,ik->i", design, bread, design), 1e-9, 1.0)
    spread = pull**2 / free
    error = np.sqrt(max(float(spread @ rest**2), float(pull**2 @ variance)))
    tied = bread @ (design.T @ (design * spread[:, None]))
    tied_squared = float((spread**2 * (2.0 * free - 1.0)).sum() + np.trace(tied @ tied))
    freedom = float((pull**2).sum()) ** 2 / max(tied_squared, 1e-300)
    return float(stdtrit(max(freedom, 1.0), 0.95) * error)


def _log_linear_fit(figure: Floats, design: Floats, *, power: float, rate: bool) -> _RegressionFit | None:
    """A model in proportion, the variance like the mean to `power`; None where there is no such fit."""
    n, k = design.shape
    start = float(np.log(figure.mean())) if figure.mean() > 0 else 0.0
    weights, shrink = np.zeros(k), np.eye(k) * RIDGE_PENALTY
    for _ in range(STEPS):
        mean = np.exp(np.clip(start + design @ weights, start - 20.0, start + 20.0))
        rest = figure - mean
        pull = design.T @ (rest * mean ** (1.0 - power)) - shrink @ weights
        bend = design.T @ (design * (mean ** (2.0 - power))[:, None]) + shrink
        if not (np.isfinite(bend).all() and np.isfinite(pull).all()):
            return None
        step = np.linalg.lstsq(bend, pull)[0]
        weights = weights + np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    else:
        return None
    noise = mean ** (power / 2.0)
    variance = _variance(mean) if rate else np.zeros(n)
    half_width = _half_width(design * (mean / noise)[:, None], np.linalg.pinv(bend), rest / noise, variance / noise**2)
    without = float(np.exp(start + design[:, 1:] @ weights[1:]).mean())
    return _RegressionFit(float(weights[0]), half_width, _log_likelihood(rest, noise), without)


def _log_likelihood(rest: Floats, size: Floats) -> float:
    """The log likelihood of normal errors in proportion to `size`, up to a constant."""
    return float(-0.5 * rest.size * np.log(np.mean((rest / size) ** 2) + 1e-300) - np.log(size).sum())
