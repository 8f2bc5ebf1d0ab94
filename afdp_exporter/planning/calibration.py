"""How well predictions came true, as the backtest reports it. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from afdp_exporter.model import Outcome, ScoredPrediction
from afdp_exporter.patterns.features.extraction import TROUBLE
from afdp_exporter.patterns.scoring import Risks, cost_coverage, interval_coverage, risks
from afdp_exporter.responses import EstimateResponse

NOMINAL = 0.9
"""What a range from the 5 % to the 95 % point promises to hold."""


def scoreboard_json(scored: Sequence[ScoredPrediction]) -> dict[str, Any]:
    """How often the ranges held, and how good the risks were; each figure with its n, null where that is 0."""
    inside = interval_coverage(scored)
    bases = Counter(one.prediction.basis.value for one in scored)
    return {
        "deployments": len(scored),
        "basis": dict(sorted(bases.items())),
        "coverage": {
            "nominal_ratio": NOMINAL,
            "metrics": {name: _share(held) for name, held in inside.items()},
            "all_metrics": _share([each for held in inside.values() for each in held]),
            "cost_per_hour": _share(cost_coverage(scored)),
        },
        "risk": _brier(risks(scored, TROUBLE, lambda prediction: prediction.risk)),
        "risk_range_width": _mean([one.prediction.risk.high - one.prediction.risk.low for one in scored]),
        "failure": _brier(risks(scored, {Outcome.FAILURE}, lambda prediction: prediction.failure)),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share(held: Sequence[bool]) -> dict[str, Any]:
    return {"ratio": sum(held) / len(held) if held else None, "n": len(held)}


def _brier(found: Risks | None) -> dict[str, Any]:
    """The Brier score beside that of always saying the share that happened.

    That share is known in hindsight only: no constant does better.
    """
    if found is None:
        return {
            "brier_score": None,
            "base_rate_brier_score": None,
            "base_rate_ratio": None,
            "skill": None,
            "reliability": [],
            "n": 0,
        }
    return {
        "brier_score": found.brier,
        "base_rate_brier_score": found.base * (1 - found.base),
        "base_rate_ratio": found.base,
        "skill": EstimateResponse.model_validate(found.skill).as_json() if found.skill else None,
        "reliability": [
            {"low": one.low, "high": one.high, "n": one.n, "predicted": one.predicted, "happened": one.happened}
            for one in found.reliability
        ],
        "n": found.predicted.size,
    }
