"""Targets of rule mining: the outcome, the cost and each metric, oriented so that larger is worse."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats, Outcome, TrainingExample, Worse
from afdp_exporter.patterns.features.extraction import TROUBLE
from afdp_exporter.patterns.models import targets
from afdp_exporter.patterns.models.score_test import normal_scores

OUTCOME, COST = "outcome", "cost_per_hour"
LEAST = 15
"""The fewest cases with a figure that are worth mining."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of each case: `figures` (n,) in their own unit, positive where it hurts, NaN where unknown.

    `attributed` is the same with zero where nothing was attributed: a measured change has a seasonal part, such as the
    fall of a Saturday.
    """

    name: str
    figures: Floats
    attributed: Floats
    sign: float = 1.0  # -1 where less is worse
    currency: str | None = None

    @property
    def rate(self) -> bool:
        """Whether the figures are yes or no."""
        return self.name == OUTCOME

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which cases have a figure (n,)."""
        return np.asarray(np.isfinite(self.figures))

    def weight(self, among: int) -> float:
        """How much its tests count: the outcome, the cost and all `among` metrics together a third each."""
        return 1.0 if self.name in {OUTCOME, COST} else 1.0 / among

    def scores(self, figures: Floats) -> Floats:
        """Known figures of either kind as tests see them: yes or no as it is, sizes by their normal scores."""
        return figures if self.rate else normal_scores(figures)


def mining_targets(examples: Sequence[TrainingExample]) -> list[Target]:
    """Everything that there are enough cases of."""
    outcomes = [example.decision.outcome for example in examples]
    troubled = np.array([_failure_indicator(one) for one in outcomes], dtype=float)
    found = [Target(OUTCOME, troubled, troubled)]
    name = targets.currency(examples)
    if name is not None:
        costs = targets.costs(examples, name).values
        found.append(Target(COST, costs, costs, currency=name))
    for metric in targets.metrics(examples):
        changes = targets.changes(examples, metric)
        sign = _sign(examples, metric, changes.values)
        found.append(Target(metric, sign * changes.values, sign * changes.attributed, sign=sign))
    return [target for target in found if int(target.known.sum()) >= LEAST and _varies(target)]


def _failure_indicator(one: Outcome) -> float:
    return float("nan") if one is Outcome.UNKNOWN else float(one in TROUBLE)


def _sign(examples: Sequence[TrainingExample], metric: str, figures: Floats) -> float:
    """The direction that hurts; where either does, the one in which the metric went on the whole."""
    worse = next(
        shift.worse for example in reversed(examples) for shift in example.impact.shifts if shift.metric == metric
    )
    if worse is Worse.EITHER:
        known = figures[np.isfinite(figures)]
        return -1.0 if known.size and float(np.median(known)) < 0 else 1.0
    return 1.0 if worse is Worse.UP else -1.0


def _varies(target: Target) -> bool:
    known = target.figures[target.known]
    return float(known.max()) > float(known.min())
