"""The gate's decisions, canaries, actions and automation as the API answers them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AliasPath, Field

from afdp_exporter.gate.ladder import HIGHEST, Permission, Standing
from afdp_exporter.model import (
    ActionState,
    CanaryComparison,
    CanaryVerdict,
    Deployment,
    Extrapolation,
    GateDecision,
    GateMode,
    GateVerdict,
    LevelChange,
    Phase,
    PoolingLevel,
    Rollout,
    SignalVerdict,
    StoredDecision,
    Switch,
)
from afdp_exporter.responses import Count, EstimateResponse, MoneyResponse, Number, Ratio, Response, Time
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.numbers import format_money, format_share

_Level = Annotated[int, Field(ge=0, le=HIGHEST)]


class CarryOverResponse(Response):
    """How many times an effect of the canary is found at full traffic, and from how many rollouts that is known."""

    factor: Annotated[Number, Field(validation_alias=AliasPath("factor", "median"))]
    n: Count


class SignalResponse(Response):
    """One signal of green's warm-up beside earlier greens of the same age."""

    metric: str
    verdict: SignalVerdict
    age_minutes: Count | None
    value: Number
    usual: EstimateResponse | None
    n: Count


class SwitchResponse(Response):
    """How sure it is that a switch to green does no harm, and each signal of its warm-up beside earlier greens."""

    confidence_ratio: Ratio
    n: Annotated[Count, Field(description="From how many switches.")]
    basis: Annotated[PoolingLevel, Field(description="Whose.")]
    calibrated: bool
    brier_score: Number
    signals: tuple[SignalResponse, ...]


class ExtrapolationResponse(Response):
    """What a canary's effect costs at full traffic."""

    traffic_ratio: Number
    cost_per_hour: MoneyResponse | None
    carry_over: CarryOverResponse
    not_linear: bool


class GateTargetResponse(Response):
    """What a verdict is about."""

    id: str | None
    service: str
    environment: str
    version: str | None


class ExpectedLossResponse(Response):
    """The money that each way to go on is expected to cost."""

    promote: Number
    hold: Number
    rollback: Number
    currency: str


class MatchedFailureResponse(Response):
    """An earlier failure that began alike."""

    id: Annotated[str, Field(validation_alias="deployment_id")]
    similarity_ratio: Ratio
    why: str
    basis: Annotated[Literal["service", "team", "all"], Field(description="Whose failure it was.")]


class GateRuleResponse(Response):
    """One thing that the gate looked at."""

    name: str
    status: Literal["pass", "warn", "fail", "unknown"]
    reason: str


class GateDataResponse(Response):
    """The verdict to obey, in a small object for the expressions of other tools."""

    ok: bool
    verdict: GateVerdict
    success_percent: Annotated[float, Field(serialization_alias="successPercent")]
    score: float
    reason: str


class GateDecisionResponse(Response):
    """Whether a deployment may go on, with the evidence.

    Every key is always there: tools that have to read a missing one end with an error.
    """

    verdict: Annotated[GateVerdict, Field(description="What we think.")]
    enforced_verdict: Annotated[GateVerdict, Field(description="What to obey.")]
    mode: GateMode
    level: _Level
    confidence_ratio: Ratio
    reasons: tuple[str, ...]
    phase: Phase
    deployment: GateTargetResponse
    decided_by: str
    decided_at: Time
    valid_until: Time
    check_again_seconds: float
    decidable_in_seconds: Number
    expected_loss: ExpectedLossResponse | None
    extrapolation: ExtrapolationResponse | None
    matched_failures: tuple[MatchedFailureResponse, ...]
    switch: SwitchResponse | None
    rules: tuple[GateRuleResponse, ...]
    data: GateDataResponse
    links: dict[str, str]


class QuotedDecisionResponse(Response):
    """A decision as the report of its deployment quotes it."""

    id: int
    caller: str
    phase: Annotated[Phase, Field(validation_alias=AliasPath("decision", "phase"))]
    verdict: Annotated[GateVerdict, Field(validation_alias=AliasPath("decision", "verdict"))]
    enforced_verdict: Annotated[GateVerdict, Field(validation_alias=AliasPath("decision", "enforced_verdict"))]
    decided_at: Annotated[Time, Field(validation_alias=AliasPath("decision", "decided_at"))]
    reasons: Annotated[tuple[str, ...], Field(validation_alias=AliasPath("decision", "reasons"))]


class ComparisonResponse(Response):
    """One metric of a canary beside the stable version."""

    metric: str
    canary: Number
    stable: Number
    difference: EstimateResponse | None
    at_full_traffic: EstimateResponse | None
    verdict: CanaryVerdict
    harm_ratio: Ratio
    minutes: Count
    decidable_in_seconds: Number
    reason: str


class RolloutResponse(Response):
    """A canary beside the stable version, and what it will be at full traffic."""

    deployment_id: str
    traffic_ratio: Number
    as_of: Time
    metrics: tuple[ComparisonResponse, ...]
    cost_per_hour: MoneyResponse | None
    confidence_ratio: Ratio
    carry_over: CarryOverResponse | None
    not_linear: bool
    switch: SwitchResponse | None
    trouble: str | None
    sentence: str


class TrailEntryResponse(Response):
    """One step of an action."""

    at: Time
    state: ActionState
    by: str
    reason: str


class ActionResponse(Response):
    """What was or would be done about a deployment, with its trail; its request holds no secret."""

    id: str
    deployment_id: str
    service: str
    environment: str
    kind: str
    executor: str
    state: ActionState
    level: _Level
    reason: str
    dry_run: bool
    decided_at: Time
    breaker: Annotated[
        Literal["paused", "service", "environment", "common_cause"] | None,
        Field(description="What kept it from being begun."),
    ]
    approved_by: str | None
    request: dict[str, Any]
    answer: dict[str, Any]
    prevented_cost: Annotated[Number, Field(validation_alias="prevented")]
    automation_cost: Annotated[Number, Field(validation_alias="spent")]
    corrected_cost: Annotated[
        Number,
        Field(validation_alias="corrected", description="Of what was prevented, what a person has called wrong since."),
    ]
    currency: str | None
    arithmetic: str | None
    trail: tuple[TrailEntryResponse, ...]


class ActionsResponse(Response):
    """Actions, the newest first."""

    actions: tuple[ActionResponse, ...]


class PausedResponse(Response):
    """Who stopped all executors, and when."""

    by: str
    at: Time


class LevelChangeResponse(Response):
    """An entry of the trail of a service's automation."""

    kind: Literal["allowed", "level"]
    level: _Level
    by: str
    reason: str
    at: Time


class WantedLevelResponse(Response):
    """A level that one person allows and a second one has to confirm."""

    level: _Level
    by: str


class ServiceAutomationResponse(Response):
    """How far automation goes for a service in an environment."""

    service: str
    environment: str
    level: _Level
    earned: _Level
    basis: Annotated[
        PoolingLevel,
        Field(description="Whose deployments levels 1 and 2 rest on where the service has few of its own."),
    ]
    allowed: _Level
    to_confirm: Annotated[
        WantedLevelResponse | None, Field(description="What one person allows and a second one has to confirm.")
    ]
    missing: Annotated[tuple[str, ...], Field(description="For the next level, as sentences.")]
    history: tuple[LevelChangeResponse, ...]


class AutomationResponse(Response):
    """How far automation goes for each service, what is missing for the next level, and how that came about."""

    paused: PausedResponse | None
    services: tuple[ServiceAutomationResponse, ...]


def decision_of(decision: GateDecision) -> GateDecisionResponse:
    """A decision with its evidence."""
    return GateDecisionResponse(
        verdict=decision.verdict,
        enforced_verdict=decision.enforced_verdict,
        mode=decision.mode,
        level=decision.level,
        confidence_ratio=decision.confidence_ratio,
        reasons=decision.reasons,
        phase=decision.phase,
        deployment=GateTargetResponse(
            id=decision.deployment_id,
            service=decision.service,
            environment=decision.environment,
            version=decision.version,
        ),
        decided_by=decision.decided_by,
        decided_at=decision.decided_at,
        valid_until=decision.valid_until,
        check_again_seconds=decision.check_again_seconds,
        decidable_in_seconds=decision.decidable_in_seconds,
        expected_loss=decision.expected_loss,
        extrapolation=None if decision.extrapolation is None else _extrapolation(decision.extrapolation),
        matched_failures=decision.matched_failures,
        switch=decision.switch,
        rules=decision.rules,
        data=_data(decision),
        links=_links(decision),
    )


def _extrapolation(full: Extrapolation) -> ExtrapolationResponse:
    return ExtrapolationResponse(
        traffic_ratio=full.traffic_ratio,
        cost_per_hour=MoneyResponse.of(full.cost_per_hour, full.currency),
        carry_over=full.carry_over,
        not_linear=full.not_linear,
    )


def _data(decision: GateDecision) -> GateDataResponse:
    """What is to be obeyed, small enough for the expressions of other tools."""
    reason = decision.reasons[0] if decision.reasons else ""
    passes, enforced = decision.enforced_verdict.passes, decision.mode is GateMode.ENFORCED
    confidence = decision.confidence_ratio
    obeyed = enforced and decision.enforced_verdict is decision.verdict
    # other tools compare the share with limits of their own, so that it has to say what is to be obeyed
    share = confidence if obeyed and confidence is not None else float(passes)
    return GateDataResponse(
        ok=passes,
        verdict=decision.enforced_verdict,
        success_percent=share,
        score=100.0 * share,
        reason=reason if enforced else f"shadow: {decision.verdict}. {reason}",
    )


def gate_text(decision: GateDecision) -> str:
    """One word for a shell, and the reason behind it."""
    reason = decision.reasons[0] if decision.reasons else ""
    shadow = f" (shadow; it thinks {decision.verdict})" if decision.enforced_verdict is not decision.verdict else ""
    return f"{decision.enforced_verdict}{shadow}: {reason}\n"


def quoted_of(stored: StoredDecision | None) -> QuotedDecisionResponse | None:
    """A stored decision as the report of its deployment quotes it."""
    return None if stored is None else QuotedDecisionResponse.model_validate(stored)


def rollout_of(deployment: Deployment, rollout: Rollout | None) -> RolloutResponse:
    """A canary as compared last; without any comparison its metrics are empty and the sentence says why."""
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
    return RolloutResponse(
        deployment_id=rollout.deployment_id,
        traffic_ratio=rollout.traffic_ratio,
        as_of=rollout.as_of,
        metrics=[_comparison(one, rollout) for one in rollout.comparisons],
        cost_per_hour=None if full is None else MoneyResponse.of(full.cost_per_hour, full.currency),
        confidence_ratio=rollout.confidence_ratio,
        carry_over=None if full is None else full.carry_over,
        not_linear=full is not None and full.not_linear,
        switch=rollout.switch,
        trouble=rollout.trouble,
        sentence=sentence,
    )


def _comparison(one: CanaryComparison, rollout: Rollout) -> ComparisonResponse:
    return ComparisonResponse(
        metric=one.metric,
        canary=one.canary,
        stable=one.stable,
        difference=one.difference,
        at_full_traffic=rollout.full.get(one.metric),
        verdict=one.verdict,
        harm_ratio=one.harm_ratio,
        minutes=one.minutes,
        decidable_in_seconds=one.decidable_in_seconds,
        reason=one.reason,
    )


def rollout_sentence(rollout: Rollout) -> str:
    """What a canary or green shows, in one sentence."""
    if rollout.switch is not None:
        return _switch_sentence(rollout.switch)
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


def _switch_sentence(switch: Switch) -> str:
    unusual = [display_name(one.metric) for one in switch.signals if one.verdict is SignalVerdict.UNUSUAL]
    said = f"Unusual for a green: {', '.join(unusual)}" if unusual else "Nothing is unusual for a green"
    if switch.confidence_ratio is None:
        return "Fewer than five earlier greens are known at this age: nothing to compare with."
    known = f"{switch.n} switches (basis {switch.basis})"
    return (
        f"{said}; the switch does no harm with a confidence of {format_share(switch.confidence_ratio)}, from {known}."
    )


def _links(decision: GateDecision) -> dict[str, str]:
    if decision.deployment_id is None:
        return {"page": "/gate"}
    return {
        "report": f"/api/v1/deployments/{decision.deployment_id}",
        "page": f"/deployments/{decision.deployment_id}",
    }


def automation_of(
    standings: Mapping[tuple[str, str], Standing], trail: Iterable[LevelChange], paused: LevelChange | None
) -> AutomationResponse:
    """The standing of each service and environment with its part of the trail."""
    changes = tuple(trail)
    return AutomationResponse(
        paused=paused,
        services=[
            ServiceAutomationResponse(
                service=service,
                environment=environment,
                level=found.level,
                earned=found.earned,
                basis=found.basis,
                allowed=found.permission.level,
                to_confirm=_to_confirm(found.permission),
                missing=found.missing,
                history=[each for each in changes if (each.service, each.environment) == (service, environment)],
            )
            for (service, environment), found in sorted(standings.items())
        ],
    )


def _to_confirm(permission: Permission) -> WantedLevelResponse | None:
    wanted = permission.wanted
    return None if wanted is None else WantedLevelResponse(level=wanted, by=permission.by)
