"""A gate's decision as the API gives it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from afdp_exporter.gate.ladder import Standing
from afdp_exporter.model import (
    Action,
    CanaryComparison,
    CanaryVerdict,
    Deployment,
    Estimate,
    Extrapolation,
    GateDecision,
    GateMode,
    LevelChange,
    Rollout,
    StoredDecision,
)
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.money import format_money
from afdp_exporter.wording.numbers import format_share


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


def rollout_json(deployment: Deployment, rollout: Rollout | None) -> dict[str, Any]:
    """A canary as the API gives it; without any comparison its metrics are empty and the sentence says why."""
    if rollout is None:
        sentence = f"{deployment.name} was not compared with another version: it is no canary, or runs no minute yet."
        rollout = Rollout(
            deployment_id=deployment.id,
            as_of=deployment.started_at,
            traffic_ratio=deployment.traffic_ratio,
            comparisons=(),
        )
    else:
        sentence = rollout_sentence(rollout)
    full = rollout.extrapolation
    harms = [one.harm_ratio for one in rollout.comparisons if one.harm_ratio is not None]
    return {
        "deployment_id": rollout.deployment_id,
        "traffic_ratio": rollout.traffic_ratio,
        "as_of": rollout.as_of,
        "metrics": [_comparison(one, rollout) for one in rollout.comparisons],
        "cost_per_hour": None if full is None else _money(full.cost_per_hour, full.currency),
        "confidence_ratio": 1.0 - max(harms) if harms else None,
        "carry_over": None if full is None else {"factor": full.carry_over.factor.median, "n": full.carry_over.n},
        "not_linear": full is not None and full.not_linear,
        "trouble": rollout.trouble,
        "sentence": sentence,
    }


def _comparison(one: CanaryComparison, rollout: Rollout) -> dict[str, Any]:
    full = rollout.full.get(one.metric)
    return {
        "metric": one.metric,
        "canary": one.canary,
        "stable": one.stable,
        "difference": None if one.difference is None else asdict(one.difference),
        "at_full_traffic": None if full is None else asdict(full),
        "verdict": one.verdict,
        "harm_ratio": one.harm_ratio,
        "minutes": one.minutes,
        "decidable_in_seconds": one.decidable_in_seconds,
        "reason": one.reason,
    }


def rollout_sentence(rollout: Rollout) -> str:
    """What a canary shows, in one sentence."""
    if not rollout.comparisons:
        return rollout.trouble or "No metric has queries for each version (`canary` and `stable`)."
    share = "" if rollout.traffic_ratio is None else f" at {format_share(rollout.traffic_ratio)} of the traffic"
    worse = [one for one in rollout.comparisons if one.verdict is CanaryVerdict.WORSE]
    open_ = [display_name(one.metric) for one in rollout.comparisons if one.verdict is CanaryVerdict.UNDECIDED]
    parts = [
        f"{display_name(one.metric)} {format_change(one.metric, rollout.full[one.metric])} at full traffic"
        for one in worse
        if one.metric in rollout.full
    ]
    cost = rollout.extrapolation.cost_per_hour if rollout.extrapolation is not None else None
    if worse and cost is not None and rollout.extrapolation is not None and rollout.extrapolation.currency:
        parts.append(format_money(rollout.extrapolation.currency, cost, per_hour=True))
    said = f"The canary is worse{share}: {', '.join(parts)}" if worse else f"Nothing is worse in the canary{share}"
    return f"{said}; cannot be decided yet: {', '.join(open_)}." if open_ else f"{said}."


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


def action_json(action: Action) -> dict[str, Any]:
    """An action with its trail; its request holds no secret."""
    return {
        "id": action.id,
        "deployment_id": action.deployment_id,
        "service": action.service,
        "environment": action.environment,
        "kind": action.kind,
        "executor": action.executor,
        "state": action.state,
        "level": action.level,
        "reason": action.reason,
        "dry_run": action.dry_run,
        "decided_at": action.decided_at,
        "approved_by": action.approved_by,
        "request": dict(action.request),
        "answer": dict(action.answer),
        "prevented_cost": action.prevented,
        "automation_cost": action.spent,
        "currency": action.currency,
        "arithmetic": action.arithmetic,
        "trail": [asdict(entry) for entry in action.trail],
    }


def automation_json(
    standings: Mapping[tuple[str, str], Standing], trail: Iterable[LevelChange], paused: LevelChange | None
) -> dict[str, Any]:
    """How far automation goes for each service, what is missing for the next level, and how that came about."""
    changes = tuple(trail)
    return {
        "paused": None if paused is None else {"by": paused.by, "at": paused.at},
        "services": [
            {
                "service": service,
                "environment": environment,
                "level": found.level,
                "earned": found.earned,
                "allowed": found.allowed,
                "missing": list(found.missing),
                "history": [
                    {"kind": each.kind, "level": each.level, "by": each.by, "reason": each.reason, "at": each.at}
                    for each in changes
                    if (each.service, each.environment) == (service, environment)
                ],
            }
            for (service, environment), found in sorted(standings.items())
        ],
    }
