"""Predictions held against what then happened. Pure."""

from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from afdp_exporter.model import Case, Estimate, Outcome, Prediction
from afdp_exporter.patterns import responses
from afdp_exporter.patterns.traits import TROUBLE, outcome

NOMINAL = 0.9
"""What a range from the 5 % to the 95 % point promises to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """A prediction, and the case that came of it."""

    prediction: Prediction
    case: Case


def scoreboard_json(foretold: Sequence[Foretold]) -> dict[str, Any]:
    """How often the ranges held, and how good the risks were; each figure with its n, null where that is 0."""
    inside = {name: _held(foretold, name) for name in sorted({n for one in foretold for n in one.prediction.metrics})}
    bases = Counter(one.prediction.basis.value for one in foretold)
    return {
        "deployments": len(foretold),
        "basis": dict(sorted(bases.items())),
        "coverage": {
            "nominal_ratio": NOMINAL,
            "metrics": {name: _share(held) for name, held in inside.items()},
            "all_metrics": _share([each for held in inside.values() for each in held]),
            "cost_per_hour": _share(_cost_held(foretold)),
        },
        "risk": _brier(foretold, TROUBLE, lambda prediction: prediction.risk),
        "failure": _brier(foretold, {Outcome.FAILURE}, lambda prediction: prediction.failure),
    }


def _held(foretold: Sequence[Foretold], metric: str) -> list[bool]:
    """Whether the range of a metric held, where both the range and the change are known."""
    changes = responses.changes([one.case for one in foretold], metric).values
    ranges = [one.prediction.metrics.get(metric) for one in foretold]
    return [
        reach.low <= change <= reach.high
        for reach, change in zip(ranges, changes.tolist(), strict=True)
        if reach is not None and np.isfinite(change)
    ]


def _cost_held(foretold: Sequence[Foretold]) -> list[bool]:
    known = [
        (one.prediction.cost.per_hour, responses.cost_of(one.case, one.prediction.cost.currency))
        for one in foretold
        if one.prediction.cost is not None
    ]
    return [reach.low <= cost <= reach.high for reach, cost in known if np.isfinite(cost)]


def _share(held: Sequence[bool]) -> dict[str, Any]:
    return {"ratio": sum(held) / len(held) if held else None, "n": len(held)}


def _brier(
    foretold: Sequence[Foretold], happened: Set[Outcome], read: Callable[[Prediction], Estimate]
) -> dict[str, Any]:
    """The mean squared error of the probabilities (Brier 1950), beside that of always saying the share that happened.

    That share is known in hindsight only: no constant does better.
    """
    known = [one for one in foretold if outcome(one.case) is not Outcome.UNKNOWN]
    if not known:
        return {"brier_score": None, "base_rate_brier_score": None, "base_rate_ratio": None, "n": 0}
    came = np.array([outcome(one.case) in happened for one in known], dtype=float)
    said = np.array([read(one.prediction).median for one in known])
    base = float(came.mean())
    return {
        "brier_score": float(np.mean((said - came) ** 2)),
        "base_rate_brier_score": base * (1 - base),
        "base_rate_ratio": base,
        "n": len(known),
    }
