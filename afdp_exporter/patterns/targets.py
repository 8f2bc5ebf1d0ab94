"""What patterns are about: the outcome, the cost and each metric, as figures that grow where it hurts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from afdp_exporter.model import Case, Floats, Outcome, Worse
from afdp_exporter.patterns import responses
from afdp_exporter.patterns.traits import TROUBLE

OUTCOME, COST = "outcome", "cost_per_hour"
LEAST = 15
"""The fewest cases with a figure that are worth mining."""


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of each case: `figures` (n,) in their own unit, positive where it hurts, NaN where unknown.

    `blamed` is the same with none where no deployment is to blame: a change as it was measured has a part that is the
    time's own, such as the fall of a Saturday.
    """

    name: str
    figures: Floats
    blamed: Floats
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


def normal_scores(figures: Floats) -> Floats:
    """Each figure's place among all (n,), as a normal deviate; those alike share theirs."""
    _, place, ties = np.unique(figures, return_inverse=True, return_counts=True)
    ranks = np.cumsum(ties) - (ties - 1) / 2.0
    return np.asarray(ndtri((ranks[place] - 0.5) / figures.size))


def targets(cases: Sequence[Case]) -> list[Target]:
    """Everything that there are enough cases of."""
    outcomes = [case.decision.outcome for case in cases]
    troubled = np.array([_trouble(one) for one in outcomes], dtype=float)
    found = [Target(OUTCOME, troubled, troubled)]
    name = responses.currency(cases)
    if name is not None:
        costs = responses.costs(cases, name).values
        found.append(Target(COST, costs, costs, currency=name))
    for metric in responses.metrics(cases):
        changes = responses.changes(cases, metric)
        sign = _sign(cases, metric, changes.values)
        found.append(Target(metric, sign * changes.values, sign * changes.blamed, sign=sign))
    return [target for target in found if int(target.known.sum()) >= LEAST and _varies(target)]


def _trouble(one: Outcome) -> float:
    return float("nan") if one is Outcome.UNKNOWN else float(one in TROUBLE)


def _sign(cases: Sequence[Case], metric: str, figures: Floats) -> float:
    """The direction that hurts; where either does, the one in which the metric went on the whole."""
    worse = next(shift.worse for case in reversed(cases) for shift in case.impact.shifts if shift.metric == metric)
    if worse is Worse.EITHER:
        known = figures[np.isfinite(figures)]
        return -1.0 if known.size and float(np.median(known)) < 0 else 1.0
    return 1.0 if worse is Worse.UP else -1.0


def _varies(target: Target) -> bool:
    known = target.figures[target.known]
    return float(known.max()) > float(known.min())
