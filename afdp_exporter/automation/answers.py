"""A gate's decision as the API gives it."""

from dataclasses import asdict
from typing import Any

from afdp_exporter.model import Estimate, Extrapolation, GateDecision, GateMode, StoredDecision


def gate_json(decision: GateDecision) -> dict[str, Any]:
    """Every key is always there: tools that are told to read a missing one end with an error."""
    return {
        "verdict": decision.verdict,
        "enforced_verdict": decision.enforced_verdict,
        "mode": decision.mode,
        "level": decision.level,
        "confidence_ratio": decision.confidence_ratio,
        "reasons": list(decision.reasons),
        "phase": decision.phase,
        "deployment": {
            "id": decision.deployment_id,
            "service": decision.service,
            "environment": decision.environment,
            "version": decision.version,
        },
        "decided_by": decision.decided_by,
        "decided_at": decision.decided_at,
        "valid_until": decision.valid_until,
        "check_again_seconds": decision.check_again_seconds,
        "decidable_in_seconds": decision.decidable_in_seconds,
        "expected_loss": None if decision.expected_loss is None else asdict(decision.expected_loss),
        "extrapolation": None if decision.extrapolation is None else _extrapolation(decision.extrapolation),
        "matched_failures": [
            {"id": match.deployment_id, "similarity_ratio": match.similarity_ratio, "why": match.why}
            for match in decision.matched_failures
        ],
        "rules": [asdict(rule) for rule in decision.rules],
        "data": _data(decision),
        "links": _links(decision),
    }


def _extrapolation(full: Extrapolation) -> dict[str, Any]:
    return {
        "traffic_ratio": full.traffic_ratio,
        "cost_per_hour": _money(full.cost_per_hour, full.currency),
        "carry_over": {"factor": full.carry_over.factor.median, "n": full.carry_over.n},
        "not_linear": full.not_linear,
    }


def _data(decision: GateDecision) -> dict[str, Any]:
    """What is to be obeyed, small enough for the expressions of other tools."""
    reason = decision.reasons[0] if decision.reasons else ""
    passes, confidence = decision.enforced_verdict.passes, decision.confidence_ratio
    share = float(passes) if confidence is None else confidence
    return {
        "ok": passes,
        "verdict": decision.enforced_verdict,
        "successPercent": share,
        "score": 100.0 * share,
        "reason": reason if decision.mode is GateMode.ENFORCED else f"shadow: {decision.verdict}. {reason}",
    }


def gate_text(decision: GateDecision) -> str:
    """One word for a shell, and the reason behind it."""
    reason = decision.reasons[0] if decision.reasons else ""
    shadow = f" (shadow; it thinks {decision.verdict})" if decision.enforced_verdict is not decision.verdict else ""
    return f"{decision.enforced_verdict}{shadow}: {reason}\n"


def quoted_json(stored: StoredDecision | None) -> dict[str, Any] | None:
    """A stored decision as the report of its deployment quotes it."""
    if stored is None:
        return None
    decision = stored.decision
    return {
        "id": stored.id,
        "caller": stored.caller,
        "phase": decision.phase,
        "verdict": decision.verdict,
        "enforced_verdict": decision.enforced_verdict,
        "decided_at": decision.decided_at,
        "reasons": list(decision.reasons),
    }


def _money(estimate: Estimate | None, currency: str | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {"low": estimate.low, "median": estimate.median, "high": estimate.high, "currency": currency}


def _links(decision: GateDecision) -> dict[str, str]:
    if decision.deployment_id is None:
        return {"page": "/gate"}
    return {
        "report": f"/api/v1/deployments/{decision.deployment_id}",
        "page": f"/deployments/{decision.deployment_id}",
    }
