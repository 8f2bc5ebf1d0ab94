"""Training targets: changes of metrics, costs and labels of the examples, and the transform of their scale.

A label by a human or the sender is certain. A measured one is as sure as its attribution: a degradation whose
attribution probability is .8 counts as .8 of one, and an outcome that could not be distinguished from another
deployment's counts by its share. Where harm was looked for and not found, but is doubtful or cannot be ruled out, the
case counts as far as harm is missed; leaving such cases out would leave out innocent ones alone.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Attribution, Floats, Outcome, ScoredPrediction, Shift, TrainingExample
from afdp_exporter.patterns.features.extraction import TROUBLE

UNJUDGED = frozenset({Attribution.INSUFFICIENT_HISTORY, Attribution.INCONCLUSIVE})
"""Verdicts that say nothing about the change."""
UNPLACED = frozenset({Attribution.INSUFFICIENT_HISTORY, Attribution.NOT_DISTINGUISHABLE})
"""Verdicts that leave open whether anything changed, or whose doing it was."""

MISSED = 0.2
"""How often harm that matters is missed: `minimum_detectable_effect` is what four checks of five find."""
FARTHEST = 3.0
"""Predictions are limited to this many times the largest figure seen."""
MIXED = 0.05
"""From this share of the rarer sign on, figures count as losses and gains mixed."""


@dataclass(frozen=True, slots=True)
class TargetValues:
    """One figure of each case: `values` (n,), NaN where unknown, and whether anything `moved` there (n,)."""

    values: Floats
    moved: NDArray[np.bool_]

    @property
    def attributed(self) -> Floats:
        """The values (n,) where something moved, none where nothing did."""
        return np.where(self.moved, self.values, 0.0 * self.values)


@dataclass(frozen=True, slots=True)
class AsinhTransform:
    """A figure -> a scale on which noise is even: asinh(figure / unit), or the figure itself for an endless unit.

    The inverse turns a little noise into a large amount: it is limited to `most`, either side.
    """

    unit: float
    most: float = math.inf

    def transform(self, figures: Floats) -> Floats:
        """Figures of any shape onto the scale."""
        return figures if math.isinf(self.unit) else np.asarray(np.arcsinh(figures / self.unit))

    def inverse(self, scaled: Floats) -> Floats:
        """From the scale to figures."""
        if math.isinf(self.unit):
            return scaled
        return np.clip(self.unit * np.sinh(np.clip(scaled, -40.0, 40.0)), -self.most, self.most)

    def log_jacobian(self, figures: Floats) -> Floats:
        """The logarithm of the scale's slope at each figure, to compare densities across scales."""
        if math.isinf(self.unit):
            return np.zeros_like(figures)
        return np.asarray(-0.5 * np.log(figures**2 + self.unit**2))


def asinh_transform(figures: Floats, enough: int) -> list[AsinhTransform]:
    """The scales worth trying: additive noise, noise in proportion, and between; the first alone for fewer than
    `enough` figures, and where losses and gains are mixed, which are in proportion to nothing."""
    typical, most = float(np.median(np.abs(figures))), FARTHEST * float(np.abs(figures).max())
    mixed = min(np.mean(figures > 0), np.mean(figures < 0)) > MIXED
    if typical == 0.0 or figures.size < enough or mixed:
        return [AsinhTransform(math.inf)]
    return [AsinhTransform(math.inf), AsinhTransform(typical, most), AsinhTransform(typical / 10.0, most)]


def metrics(examples: Sequence[TrainingExample]) -> list[str]:
    """The metrics that any case has a figure for, by name."""
    return sorted({shift.metric for example in examples for shift in example.impact.shifts if shift.change is not None})


def changes(examples: Sequence[TrainingExample | ScoredPrediction], metric: str) -> TargetValues:
    """The change of one metric in each case, unknown where it was not judged."""
    shifts = [_judged(example, metric) for example in examples]
    return TargetValues(
        values=np.array([math.nan if shift is None else shift.change for shift in shifts], dtype=float),
        moved=np.array([shift is not None and shift.moved for shift in shifts], dtype=bool),
    )


def currency(examples: Sequence[TrainingExample]) -> str | None:
    """The currency that most cases were counted in; figures in others are left aside, never converted."""
    counts = Counter(cost.currency for example in examples for cost in example.impact.costs)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def costs(examples: Sequence[TrainingExample], name: str) -> TargetValues:
    """The cost per hour of each case in one currency; a judged case without a cost cost nothing."""
    values = np.array([cost_of(example, name) for example in examples], dtype=float)
    return TargetValues(values=values, moved=np.isfinite(values) & (values != 0.0))


def cost_of(example: TrainingExample | ScoredPrediction, name: str) -> float:
    """What a case cost per hour in one currency; NaN where it is not known."""
    for cost in example.impact.costs:
        if cost.currency == name:
            return cost.per_hour.median
    judged = any(shift.verdict not in UNJUDGED for shift in example.impact.shifts)
    return 0.0 if judged and not example.impact.costs else math.nan


def _judged(example: TrainingExample | ScoredPrediction, metric: str) -> Shift | None:
    for shift in example.impact.shifts:
        if shift.metric == metric and shift.verdict not in UNJUDGED and shift.change is not None:
            return shift
    return None


@dataclass(frozen=True, slots=True)
class Labels:
    """Of each case, `happened` from 0 to 1 and its `weight`, 0 where nothing is known (n,)."""

    happened: Floats
    weight: Floats


def trouble_labels(examples: Sequence[TrainingExample]) -> Labels:
    """Whether each case was followed by a degradation or failure that was its own doing."""
    found = np.array([_trouble_label(example) for example in examples], dtype=float).reshape(len(examples), 2)
    return Labels(happened=found[:, 0], weight=found[:, 1])


def failure_labels(examples: Sequence[TrainingExample]) -> Labels:
    """Whether each case failed, of those that were followed by trouble."""
    outcomes = [example.decision.outcome for example in examples]
    return Labels(
        happened=np.array([one is Outcome.FAILURE for one in outcomes], dtype=float),
        weight=np.array([one in TROUBLE for one in outcomes], dtype=float),
    )


def _trouble_label(example: TrainingExample) -> tuple[float, float]:
    decision = example.decision
    if decision.label_source != "rule":
        return float(decision.outcome in TROUBLE), float(decision.outcome is not Outcome.UNKNOWN)
    if decision.outcome in TROUBLE:
        harm = [shift for shift in example.impact.shifts if shift.primary and shift.moved and shift.harmful]
        return _largest_attribution(harm, 1.0), 1.0
    primary = [shift for shift in example.impact.shifts if shift.primary]
    if decision.outcome is Outcome.SUCCESS or _is_open(primary):
        doubtful = [shift for shift in primary if shift.harmful and _is_doubtful(shift)]
        return MISSED * _largest_attribution(doubtful, 0.0), 1.0
    shared = [shift for shift in primary if shift.harmful and shift.verdict is Attribution.NOT_DISTINGUISHABLE]
    known = [shift for shift in shared if shift.attribution_ratio is not None]
    return _largest_attribution(known, 0.0), float(bool(known))


def _is_open(primary: Sequence[Shift]) -> bool:
    """Whether every metric was judged and the outcome is unknown only because some harm cannot be ruled out."""
    judged = all(
        shift.verdict is Attribution.NO_EFFECT or (shift.verdict not in UNPLACED and shift.change is not None)
        for shift in primary
    )
    return judged and any(shift.ruled_out is False for shift in primary)


def _is_doubtful(shift: Shift) -> bool:
    return shift.verdict is Attribution.INCONCLUSIVE or shift.ruled_out is False


def _largest_attribution(shifts: Sequence[Shift], otherwise: float) -> float:
    """The largest attribution among them."""
    return max((shift.attribution_ratio for shift in shifts if shift.attribution_ratio is not None), default=otherwise)
