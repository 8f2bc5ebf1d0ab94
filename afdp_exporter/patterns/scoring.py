"""Predictions beside what happened -> how well they came true."""

from collections.abc import Iterable

from afdp_exporter.model import Estimate, Impact, Outcome, Prediction, Score
from afdp_exporter.patterns.responses import UNJUDGED
from afdp_exporter.patterns.traits import TROUBLE


def score(service: str, told: Iterable[tuple[Prediction, Impact]]) -> Score | None:
    """The Brier score of the risks and the coverage of the ranges; None where no outcome is known.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.
    """
    known = [pair for pair in told if pair[1].outcome is not Outcome.UNKNOWN]
    if not known:
        return None
    errors = [(prediction.risk.median - (impact.outcome in TROUBLE)) ** 2 for prediction, impact in known]
    held = [inside for prediction, impact in known for inside in _held(prediction, impact)]
    return Score(
        service=service,
        n=len(known),
        brier=sum(errors) / len(errors),
        ranges=len(held),
        covered=sum(held) / len(held) if held else None,
    )


def _held(prediction: Prediction, impact: Impact) -> list[bool]:
    """Whether each predicted range held the measured change."""
    found = []
    for shift in impact.shifts:
        expected = prediction.metrics.get(shift.metric)
        if expected is not None and shift.change is not None and shift.verdict not in UNJUDGED:
            found.append(_inside(shift.change, expected))
    return found


def _inside(value: float, expected: Estimate) -> bool:
    return expected.low <= value <= expected.high
