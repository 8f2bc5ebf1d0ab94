"""The effect size of a rule: a difference, and a rate ratio where there is a positive level to multiply."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from afdp_exporter.model import Estimate, Floats

STEPS = 60
"""Newton steps at most."""
RIDGE_PENALTY = 0.1
"""1 / variance of an effect's logarithm expected beforehand: keeps a multiplier finite where one side never hurt."""
REACH = 1.645
"""Standard errors from the middle to the end of a 90 % interval."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference that a condition makes in the figure's own unit, and how many times it makes it."""

    difference: Estimate
    multiplier: Estimate | None


@dataclass(frozen=True, slots=True)
class _RegressionFit:
    """What a model says of the first column: its weight with its standard error, and how well the model fits."""

    weight: float
    error: float
    likelihood: float
    without: float  # the mean figure, were the condition met nowhere


def effect_size(figure: Floats, member: Floats, others: Floats, services: Floats, *, rate: bool) -> Effect:
    """The effect of `member` (n,) given `others` (n, k) within `services` (n, s); `figure` is positive where it hurts.

    Effects multiply or add, whichever fits better; those on rates multiply (Zou, "A modified Poisson regression
    approach", American Journal of Epidemiology 159, 2004). Where some figures are none at all, large means weigh more:
    how often and how far are then mixed. Intervals come from the sandwich, so that only the mean has
    to be right. Without a level to multiply that is surely positive there is no multiplier.
    """
    design = np.column_stack([member, others, services])
    outside = figure[member == 0]
    level = float(outside.mean())
    least = 0.0 if rate else REACH * float(outside.std()) / np.sqrt(outside.size)
    sum_ = _additive_fit(figure, design)
    powers = ((1.0,) if rate or (figure == 0).any() else (1.0, 2.0)) if level > least else ()
    products = [fit for power in powers if (fit := _log_linear_fit(figure, design, power=power)) is not None]
    product = max(products, key=lambda fit: fit.likelihood, default=None)
    if product is not None and (rate or product.likelihood > sum_.likelihood):
        low, median, high = (float(np.exp(product.weight + reach * product.error)) for reach in (-REACH, 0.0, REACH))
        difference = Estimate(low=level * (low - 1.0), median=level * (median - 1.0), high=level * (high - 1.0))
        return Effect(difference, Estimate(low=low, median=median, high=high))
    reach = float(stdtrit(max(figure.size - design.shape[1], 1), 0.95)) * sum_.error
    difference = Estimate(low=sum_.weight - reach, median=sum_.weight, high=sum_.weight + reach)
    return Effect(difference, _as_multiplier(difference, sum_.without) if level > least else None)


def _as_multiplier(difference: Estimate, level: float) -> Estimate | None:
    """A difference as a multiplier of a level; None where it would turn a loss into a gain."""
    if level <= 0 or level + difference.low <= 0:
        return None
    low, median, high = (1.0 + one / level for one in (difference.low, difference.median, difference.high))
    return Estimate(low=low, median=median, high=high)


def _additive_fit(figure: Floats, design: Floats) -> _RegressionFit:
    bread = np.linalg.pinv(design.T @ design)
    weights = bread @ design.T @ figure
    rest = figure - design @ weights
    n, k = design.shape
    score = design * rest[:, None]
    error = float(np.sqrt(max((bread @ (score.T @ score) @ bread)[0, 0] * n / max(n - k, 1), 0.0)))
    without = float((design[:, 1:] @ weights[1:]).mean())
    return _RegressionFit(float(weights[0]), error, _log_likelihood(rest, np.ones(n)), without)


def _log_linear_fit(figure: Floats, design: Floats, *, power: float) -> _RegressionFit | None:
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
    score, bread = design * (rest * mean ** (1.0 - power))[:, None], np.linalg.pinv(bend)
    error = float(np.sqrt((bread @ (score.T @ score) @ bread)[0, 0] * n / max(n - k, 1)))
    without = float(np.exp(start + design[:, 1:] @ weights[1:]).mean())
    return _RegressionFit(float(weights[0]), error, _log_likelihood(rest, mean ** (power / 2.0)), without)


def _log_likelihood(rest: Floats, size: Floats) -> float:
    """The log likelihood of normal errors in proportion to `size`, up to a constant."""
    return float(-0.5 * rest.size * np.log(np.mean((rest / size) ** 2) + 1e-300) - np.log(size).sum())
