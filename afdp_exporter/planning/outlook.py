"""What is expected, as the API tells it: predictions, patterns and windows; JSON types only, no NaN."""

from collections.abc import Iterable
from typing import Any

from afdp_exporter.model import Condition, Estimate, Forecast, Pattern, Prediction, Similar, Slot, Windows
from afdp_exporter.watching.report import estimate_json, number_json, time_json


def prediction_json(prediction: Prediction) -> dict[str, Any]:
    """What a planned deployment is expected to do: per metric, in money, as a risk, and on what evidence."""
    cost = prediction.cost
    return {
        "deployment_id": prediction.deployment_id,
        "basis": prediction.basis.value,
        "n": prediction.n,
        "metrics": {name: _forecast(estimate) for name, estimate in prediction.metrics.items()},
        "cost_per_hour": _forecast(cost.per_hour) | {"currency": cost.currency} if cost else None,
        "risk_ratio": number_json(prediction.risk.median),
        "risk": estimate_json(prediction.risk),
        "failure_ratio": number_json(prediction.failure.median),
        "failure": estimate_json(prediction.failure),
        "similar": [similar_json(similar) for similar in prediction.similar],
        "warnings": list(prediction.warnings),
    }


def patterns_json(patterns: Iterable[Pattern]) -> list[dict[str, Any]]:
    """What was learned, the surest first."""
    return [
        {
            "kind": pattern.kind.value,
            "sentence": pattern.sentence,
            "conditions": [_condition(condition) for condition in pattern.conditions],
            "target": pattern.target,
            "effect": estimate_json(pattern.effect),
            "multiplier": _middle(pattern.multiplier),
            "multiplier_range": estimate_json(pattern.multiplier) if pattern.multiplier else None,
            "n": pattern.n,
            "q_value": number_json(pattern.q_value),
            "last_seen": time_json(pattern.last_seen),
            "deployments": list(pattern.deployments),
        }
        for pattern in patterns
    ]


def windows_json(windows: Windows) -> dict[str, Any]:
    """The coming hours of a service, the best first."""
    return {
        "service": windows.service,
        "made_at": time_json(windows.made_at),
        "basis": windows.basis.value,
        "n": windows.n,
        "sentence": windows.sentence,
        "best": [{"start": time_json(window.start), "end": time_json(window.end)} for window in windows.best],
        "loss_avoided": number_json(windows.loss_avoided),
        "saving": estimate_json(windows.saving) if windows.saving else None,
        "currency": windows.currency,
        "now": _slot(windows.now),
        "hours": [_slot(slot) for slot in windows.slots],
    }


def _forecast(figure: Forecast) -> dict[str, Any]:
    """The points of a figure, the chance that it moves at all, and its points if it does."""
    moved = estimate_json(figure.if_moved) if figure.if_moved else None
    return estimate_json(figure) | {"chance_ratio": number_json(figure.chance), "if_moved": moved}


def _slot(slot: Slot) -> dict[str, Any]:
    return {
        "start": time_json(slot.start),
        "end": time_json(slot.end),
        "risk_ratio": number_json(slot.risk.median),
        "risk": estimate_json(slot.risk),
        "cost_per_hour": number_json(slot.cost_per_hour),
        "reasons": list(slot.reasons),
    }


def similar_json(similar: Similar) -> dict[str, Any]:
    """A past deployment that is like a planned one, and why."""
    return {
        "deployment_id": similar.deployment_id,
        "service": similar.service,
        "version": similar.version,
        "started_at": time_json(similar.started_at),
        "similarity_ratio": number_json(similar.similarity_ratio),
        "why": list(similar.why),
        "outcome": similar.outcome.value,
        "cost_per_hour": number_json(similar.cost_per_hour),
    }


def _condition(condition: Condition) -> dict[str, Any]:
    return {"trait": condition.trait, "op": condition.op, "value": condition.value}


def _middle(estimate: Estimate | None) -> float | None:
    return number_json(estimate.median) if estimate else None
