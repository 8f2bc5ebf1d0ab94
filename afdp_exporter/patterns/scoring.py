"""How well predictions came true: Brier score and skill, reliability, coverage of the intervals."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from afdp_exporter.model import (
    NORMAL_REACH,
    Estimate,
    Floats,
    Outcome,
    Prediction,
    ReliabilityBin,
    Score,
    ScoredPrediction,
)
from afdp_exporter.patterns.features.extraction import TROUBLE
from afdp_exporter.patterns.models import targets

EDGES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The risks between which predictions are held together against what happened."""


@dataclass(frozen=True, slots=True)
class Risks:
    """What was `predicted` of each deployment whose outcome is known, and whether it `happened` (n,)."""

    predicted: Floats
    happened: Floats

    @property
    def brier(self) -> float:
        """The mean squared error (Brier, "Verification of forecasts expressed in terms of probability", 1950)."""
        return float(np.mean((self.predicted - self.happened) ** 2))

    @property
    def base(self) -> float:
        """The share that happened."""
        return float(np.mean(self.happened))

    @property
    def skill(self) -> Estimate | None:
        """One less the ratio of the Brier score to that of always saying `base`, with its 90 % range from the
        differences case by case; None where `base` is never wrong."""
        constant = self.base * (1.0 - self.base)
        if constant == 0.0:
            return None
        gains = (self.base - self.happened) ** 2 - (self.predicted - self.happened) ** 2
        doubt = NORMAL_REACH * float(gains.std(ddof=1)) / np.sqrt(gains.size) if gains.size > 1 else constant
        middle = float(gains.mean())
        low, median, high = ((middle + reach) / constant for reach in (-doubt, 0.0, doubt))
        return Estimate(low=float(low), median=median, high=min(float(high), 1.0))

    @property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """What happened after low, middling and high risks; bins of EDGES without any prediction are left out."""
        place = np.clip(np.searchsorted(EDGES, self.predicted, side="right") - 1, 0, len(EDGES) - 2)
        return tuple(
            ReliabilityBin(
                low=EDGES[bin_],
                high=EDGES[bin_ + 1],
                n=int((place == bin_).sum()),
                predicted=float(self.predicted[place == bin_].mean()),
                happened=float(self.happened[place == bin_].mean()),
            )
            for bin_ in range(len(EDGES) - 1)
            if (place == bin_).any()
        )


def risks(
    predictions: Sequence[ScoredPrediction], happened: Set[Outcome], read: Callable[[Prediction], Estimate]
) -> Risks | None:
    """The probabilities of what is in `happened`; None where no outcome is known."""
    known = [one for one in predictions if one.decision.outcome is not Outcome.UNKNOWN]
    if not known:
        return None
    return Risks(
        predicted=np.array([read(one.prediction).median for one in known]),
        happened=np.array([one.decision.outcome in happened for one in known], dtype=float),
    )


def interval_coverage(predictions: Sequence[ScoredPrediction]) -> dict[str, list[bool]]:
    """By metric, whether each range held, where both the range and the change are known."""
    return {
        metric: [
            reach.low <= change <= reach.high
            for one, change in zip(predictions, targets.changes(predictions, metric).values.tolist(), strict=True)
            if (reach := one.prediction.metrics.get(metric)) is not None and np.isfinite(change)
        ]
        for metric in sorted({name for one in predictions for name in one.prediction.metrics})
    }


def cost_coverage(predictions: Sequence[ScoredPrediction]) -> list[bool]:
    """Whether each range of the cost held, where both are known."""
    known = [
        (one.prediction.cost.per_hour, targets.cost_of(one, one.prediction.cost.currency))
        for one in predictions
        if one.prediction.cost is not None
    ]
    return [reach.low <= cost <= reach.high for reach, cost in known if np.isfinite(cost)]


def score(service: str, predictions: Sequence[ScoredPrediction]) -> Score | None:
    """The Brier score of the risks and the coverage of the ranges; None where no outcome is known."""
    known = [one for one in predictions if one.decision.outcome is not Outcome.UNKNOWN]
    found = risks(known, TROUBLE, lambda prediction: prediction.risk)
    if found is None:
        return None
    held = [inside for each in interval_coverage(known).values() for inside in each]
    return Score(
        service=service,
        n=found.predicted.size,
        brier=found.brier,
        ranges=len(held),
        covered=sum(held) / len(held) if held else None,
        base=found.base,
        skill=found.skill,
        width=float(np.mean([one.prediction.risk.high - one.prediction.risk.low for one in known])),
        reliability=found.reliability,
    )
