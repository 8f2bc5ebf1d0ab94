"""What each case teaches about trouble: a chance that it was the deployment's doing, and how much that counts.

A human's word and a sender's are certain. What was measured is as sure as its attribution: a degradation that is .8
this deployment's counts as .8 of one, and an outcome that could not be told apart from another's counts by its share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afdp_exporter.model import Attribution, Case, Floats, Outcome, Shift
from afdp_exporter.patterns.traits import TROUBLE


@dataclass(frozen=True, slots=True)
class Labels:
    """Of each case, `happened` from 0 to 1 and its `weight`, 0 where nothing is known (n,)."""

    happened: Floats
    weight: Floats


def trouble_labels(cases: Sequence[Case]) -> Labels:
    """Whether each case was followed by a degradation or failure that was its own doing."""
    found = np.array([_trouble(case) for case in cases], dtype=float).reshape(len(cases), 2)
    return Labels(happened=found[:, 0], weight=found[:, 1])


def failure_labels(cases: Sequence[Case]) -> Labels:
    """Whether each case failed, of those that were followed by trouble."""
    outcomes = [case.decision.outcome for case in cases]
    return Labels(
        happened=np.array([one is Outcome.FAILURE for one in outcomes], dtype=float),
        weight=np.array([one in TROUBLE for one in outcomes], dtype=float),
    )


def _trouble(case: Case) -> tuple[float, float]:
    decision = case.decision
    if decision.label_source != "rule":
        return float(decision.outcome in TROUBLE), float(decision.outcome is not Outcome.UNKNOWN)
    if decision.outcome in TROUBLE:
        harm = [shift for shift in case.impact.shifts if shift.primary and shift.moved and shift.harmful]
        return _surest(harm, 1.0), 1.0
    if decision.outcome is Outcome.SUCCESS:
        doubtful = [shift for shift in _harmful(case) if shift.verdict is Attribution.INCONCLUSIVE]
        return _surest(doubtful, 0.0), 1.0
    shared = [shift for shift in _harmful(case) if shift.verdict is Attribution.NOT_DISTINGUISHABLE]
    known = [shift for shift in shared if shift.attribution_ratio is not None]
    return _surest(known, 0.0), float(bool(known))


def _harmful(case: Case) -> list[Shift]:
    return [shift for shift in case.impact.shifts if shift.primary and shift.harmful]


def _surest(shifts: Sequence[Shift], otherwise: float) -> float:
    """The largest attribution among them."""
    return max((shift.attribution_ratio for shift in shifts if shift.attribution_ratio is not None), default=otherwise)
