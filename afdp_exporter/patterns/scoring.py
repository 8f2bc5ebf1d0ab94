"""Predictions beside what happened -> how well they came true."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np

from afdp_exporter.model import Estimate, Floats, Foretold, Outcome, Prediction, ReliabilityBin, Score
from afdp_exporter.patterns import responses
from afdp_exporter.patterns.traits import TROUBLE

REACH = 1.645
EDGES = (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The risks between which predictions are held together against what happened."""


@dataclass(frozen=True, slots=True)
class Risks:
    """What was `said` of each deployment whose outcome is known, and whether it `came` (n,)."""

    said: Floats
    came: Floats

    @property
    def brier(self) -> float:
        """The mean squared error (Brier, "Verification of forecasts expressed in terms of probability", 1950)."""
        return float(np.mean((self.said - self.came) ** 2))

    @property
    def base(self) -> float:
        """The share that happened."""
        return float(np.mean(self.came))

    @property
    def skill(self) -> Estimate | None:
        """One less the ratio of the Brier score to that of always saying `base`, with its 90 % range from the
        differences case by case; None where `base` is never wrong."""
        constant = self.base * (1.0 - self.base)
        if constant == 0.0:
            return None
        gains = (self.base - self.came) ** 2 - (self.said - self.came) ** 2
        doubt = REACH * float(gains.std(ddof=1)) / np.sqrt(gains.size) if gains.size > 1 else constant
        middle = float(gains.mean())
        low, median, high = ((middle + reach) / constant for reach in (-doubt, 0.0, doubt))
        return Estimate(low=float(low), median=median, high=min(float(high), 1.0))

    @property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """What happened after low, middling and high risks; bins of EDGES without any prediction are left out."""
        place = np.clip(np.searchsorted(EDGES, self.said, side="right") - 1, 0, len(EDGES) - 2)
        return tuple(
            ReliabilityBin(
                low=EDGES[bin_],
                high=EDGES[bin_ + 1],
                n=int((place == bin_).sum()),
                predicted=float(self.said[place == bin_].mean()),
                happened=float(self.came[place == bin_].mean()),
            )
            for bin_ in range(len(EDGES) - 1)
            if (place == bin_).any()
        )


def risks(foretold: Sequence[Foretold], happened: Set[Outcome], read: Callable[[Prediction], Estimate]) -> Risks | None:
    """The probabilities of what is in `happened`; None where no outcome is known."""
    known = [one for one in foretold if one.decision.outcome is not Outcome.UNKNOWN]
    if not known:
        return None
    return Risks(
        said=np.array([read(one.prediction).median for one in known]),
        came=np.array([one.decision.outcome in happened for one in known], dtype=float),
    )


def ranges_held(foretold: Sequence[Foretold]) -> dict[str, list[bool]]:
    """By metric, whether each range held, where both the range and the change are known."""
    return {
        metric: [
            reach.low <= change <= reach.high
            for one, change in zip(foretold, responses.changes(foretold, metric).values.tolist(), strict=True)
            if (reach := one.prediction.metrics.get(metric)) is not None and np.isfinite(change)
        ]
        for metric in sorted({name for one in foretold for name in one.prediction.metrics})
    }


def costs_held(foretold: Sequence[Foretold]) -> list[bool]:
    """Whether each range of the cost held, where both are known."""
    known = [
        (one.prediction.cost.per_hour, responses.cost_of(one, one.prediction.cost.currency))
        for one in foretold
        if one.prediction.cost is not None
    ]
    return [reach.low <= cost <= reach.high for reach, cost in known if np.isfinite(cost)]


def score(service: str, foretold: Sequence[Foretold]) -> Score | None:
    """The Brier score of the risks and the coverage of the ranges; None where no outcome is known."""
    told = [one for one in foretold if one.decision.outcome is not Outcome.UNKNOWN]
    found = risks(told, TROUBLE, lambda prediction: prediction.risk)
    if found is None:
        return None
    held = [inside for each in ranges_held(told).values() for inside in each]
    return Score(
        service=service,
        n=found.said.size,
        brier=found.brier,
        ranges=len(held),
        covered=sum(held) / len(held) if held else None,
        base=found.base,
        skill=found.skill,
        width=float(np.mean([one.prediction.risk.high - one.prediction.risk.low for one in told])),
        reliability=found.reliability,
    )
