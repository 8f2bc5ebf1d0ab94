"""How much a condition changes a figure: the difference, and the multiplier where there is a level to multiply."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from afdp_exporter.model import Estimate, Floats

STEPS = 60
CAUTION = 0.1
"""1 / variance of an effect's logarithm expected beforehand: keeps a multiplier finite where one side never hurt."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The difference that a condition makes in the figure's own unit, and how many times it makes it."""

    difference: Estimate
    multiplier: Estimate | None


def effect(figure: Floats, member: Floats, others: Floats, services: Floats, *, rate: bool) -> Effect:
    """The effect of `member` (n,) beside `others` (n, k) within `services` (n, s); `figure` is positive where it hurts.

    A multiplier comes from a model in proportion: Poisson's for rates (Zou, "A modified Poisson regression approach",
    American Journal of Epidemiology 159, 2004), gamma's for sizes; intervals from the sandwich, so that only the mean
    has to be right. Without a positive level to multiply there is only the difference, by least squares.
    """
    inside = member > 0
    level = float(figure[~inside].mean())
    design = np.column_stack([member, others, services])
    fitted = _proportional(figure, design, power=1.0 if rate else 2.0) if level > 0 else None
    if fitted is None:
        return Effect(_difference(figure, design), None)
    centre, spread = fitted
    low, median, high = (float(np.exp(centre + reach * spread)) for reach in (-1.645, 0.0, 1.645))
    difference = Estimate(low=level * (low - 1.0), median=level * (median - 1.0), high=level * (high - 1.0))
    return Effect(difference, Estimate(low=low, median=median, high=high))


def _difference(figure: Floats, design: Floats) -> Estimate:
    inverse = np.linalg.pinv(design.T @ design)
    weights = inverse @ design.T @ figure
    rest = figure - design @ weights
    freedom = max(figure.size - int(np.linalg.matrix_rank(design)), 1)
    spread = float(np.sqrt(max(inverse[0, 0], 0.0) * float(rest @ rest) / freedom))
    reach = float(stats.t.ppf(0.95, freedom)) * spread
    centre = float(weights[0])
    return Estimate(low=centre - reach, median=centre, high=centre + reach)


def _proportional(figure: Floats, design: Floats, *, power: float) -> tuple[float, float] | None:
    """The logarithm of the first column's multiplier and its standard error; None where there is no such fit."""
    weights = np.zeros(design.shape[1])
    level = float(np.log(figure.mean())) if figure.mean() > 0 else 0.0
    offset = np.full(figure.size, level)
    shrink = np.eye(design.shape[1]) * CAUTION
    for _ in range(STEPS):
        mean = np.exp(np.clip(offset + design @ weights, -50.0, 50.0))
        pull = design.T @ ((figure - mean) * mean ** (1.0 - power)) - shrink @ weights
        bend = design.T @ (design * (mean ** (2.0 - power))[:, None]) + shrink
        step = np.linalg.solve(bend, pull)
        weights = weights + np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    else:
        return None
    score = design * ((figure - mean) * mean ** (1.0 - power))[:, None]
    bread = np.linalg.inv(bend)
    n, k = design.shape
    meat = score.T @ score * (n / max(n - k, 1))
    return float(weights[0]), float(np.sqrt((bread @ meat @ bread)[0, 0]))
