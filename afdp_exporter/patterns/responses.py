"""What is learned of each case: the figures that may be predicted, and the scale on which they add up."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Attribution, Case, Floats, Foretold, Shift

UNJUDGED = frozenset({Attribution.INSUFFICIENT_HISTORY, Attribution.INCONCLUSIVE})
"""Verdicts that say nothing about the change."""

FARTHEST = 3.0
"""How many times the largest figure seen is the largest one told."""
MIXED = 0.05
"""From this share of the rarer sign on, figures count as losses and gains mixed."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One figure of each case: `values` (n,), NaN where unknown, and whether anything `moved` there (n,)."""

    values: Floats
    moved: NDArray[np.bool_]

    @property
    def blamed(self) -> Floats:
        """The values (n,) where something moved, none where nothing did."""
        return np.where(self.moved, self.values, 0.0 * self.values)


@dataclass(frozen=True, slots=True)
class Scale:
    """A figure -> a scale on which noise is even: asinh(figure / unit), or the figure itself for an endless unit.

    Back from asinh a little noise is a large amount: no figure is told beyond `most`, either side.
    """

    unit: float
    most: float = math.inf

    def forward(self, figures: Floats) -> Floats:
        """Figures of any shape onto the scale."""
        return figures if math.isinf(self.unit) else np.asarray(np.arcsinh(figures / self.unit))

    def back(self, scaled: Floats) -> Floats:
        """From the scale to figures."""
        if math.isinf(self.unit):
            return scaled
        return np.clip(self.unit * np.sinh(np.clip(scaled, -40.0, 40.0)), -self.most, self.most)

    def stretch(self, figures: Floats) -> Floats:
        """The logarithm of the scale's slope at each figure, to compare densities across scales."""
        if math.isinf(self.unit):
            return np.zeros_like(figures)
        return np.asarray(-0.5 * np.log(figures**2 + self.unit**2))


def scales(figures: Floats, enough: int) -> list[Scale]:
    """The scales worth trying: additive noise, noise in proportion, and between; the first alone for fewer than
    `enough` figures, and where losses and gains are mixed, which are in proportion to nothing."""
    typical, most = float(np.median(np.abs(figures))), FARTHEST * float(np.abs(figures).max())
    mixed = min(np.mean(figures > 0), np.mean(figures < 0)) > MIXED
    if typical == 0.0 or figures.size < enough or mixed:
        return [Scale(math.inf)]
    return [Scale(math.inf), Scale(typical, most), Scale(typical / 10.0, most)]


def metrics(cases: Sequence[Case]) -> list[str]:
    """The metrics that any case has a figure for, by name."""
    return sorted({shift.metric for case in cases for shift in case.impact.shifts if shift.change is not None})


def changes(cases: Sequence[Case | Foretold], metric: str) -> Figures:
    """The change of one metric in each case, unknown where it was not judged."""
    shifts = [_judged(case, metric) for case in cases]
    return Figures(
        values=np.array([math.nan if shift is None else shift.change for shift in shifts], dtype=float),
        moved=np.array([shift is not None and shift.moved for shift in shifts], dtype=bool),
    )


def currency(cases: Sequence[Case]) -> str | None:
    """The currency that most cases were counted in; figures in others are left aside, never converted."""
    counts = Counter(cost.currency for case in cases for cost in case.impact.costs)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def costs(cases: Sequence[Case], name: str) -> Figures:
    """The cost per hour of each case in one currency; a judged case without a cost cost nothing."""
    values = np.array([cost_of(case, name) for case in cases], dtype=float)
    return Figures(values=values, moved=np.isfinite(values) & (values != 0.0))


def cost_of(case: Case | Foretold, name: str) -> float:
    """What a case cost per hour in one currency; NaN where it is not known."""
    for cost in case.impact.costs:
        if cost.currency == name:
            return cost.per_hour.median
    judged = any(shift.verdict not in UNJUDGED for shift in case.impact.shifts)
    return 0.0 if judged and not case.impact.costs else math.nan


def _judged(case: Case | Foretold, metric: str) -> Shift | None:
    for shift in case.impact.shifts:
        if shift.metric == metric and shift.verdict not in UNJUDGED and shift.change is not None:
            return shift
    return None
