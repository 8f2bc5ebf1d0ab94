"""The verdict of the gate: what is known, the rules in their order, and the money that each way is expected to cost.

Pure. Several rules may apply; of their verdicts the strongest counts (rollback, hold, unknown, warn, allow). Where
money is known, going on, waiting and going back are weighed by their expected loss; a tie is a hold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import exp, pi, sqrt

from scipy.special import ndtr

from afdp_exporter.gate.settings import Enforcement, GateSettings, WhenUnknown
from afdp_exporter.model import (
    Basis,
    CanaryComparison,
    CanaryVerdict,
    Deployment,
    Estimate,
    ExpectedLoss,
    Extrapolation,
    GateDecision,
    GateMode,
    GateRule,
    GateVerdict,
    Impact,
    MatchedFailure,
    Occasion,
    Outcome,
    Phase,
    Prediction,
)
from afdp_exporter.wording.money import format_money
from afdp_exporter.wording.numbers import format_share, format_share_range

ENFORCED_FROM = 3
"""The automation level from which on a gate's verdict is to be obeyed."""
_HOUR = timedelta(hours=1)
_Z = 1.6449


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInput:
    """All that a verdict rests on. `comparisons` are of a canary, `prediction` is of what is planned or running."""

    deployment: Deployment
    phase: Phase
    now: datetime
    known: bool = True  # whether the deployment is recorded, and not only asked about
    prediction: Prediction | None = None
    impact: Impact | None = None
    outcome: Outcome | None = None  # what became of it as people see it, where that is known
    comparisons: tuple[CanaryComparison, ...] = ()
    extrapolation: Extrapolation | None = None
    confidence: float | None = None  # that a switch to green does no harm, and ...
    confidence_n: int = 0  # ... from how many switches
    freeze: Occasion | None = None
    matched: tuple[MatchedFailure, ...] = ()
    others_moved: tuple[str, ...] = ()  # services that moved the same way at the same time
    trouble_with_data: str | None = None
    repair_time: timedelta | None = None  # until a person rolled back, in the median of the service's failures
    rollback_cost: float | None = None  # the median cost of the service's rollbacks
    level: int = 0
    names: Callable[[str], str] = field(default=str)


@dataclass(frozen=True, slots=True)
class _Opinion:
    """What one rule says."""

    verdict: GateVerdict
    rule: str
    reason: str


def decide(asked: GateInput, settings: GateSettings) -> GateDecision:
    """The verdict on one deployment at one phase, with its reasons."""
    losses = _losses(asked, settings)
    rules = _rules(asked, settings, losses)
    opinions = [opinion for opinion in rules if opinion is not None]
    strongest = min(opinions, key=lambda one: list(GateVerdict).index(one.verdict))
    verdict = strongest.verdict
    mode = _mode(settings, asked.level)
    reasons = tuple(dict.fromkeys(one.reason for one in opinions if one.verdict is verdict or not one.verdict.passes))
    return GateDecision(
        service=asked.deployment.service,
        environment=asked.deployment.environment,
        version=asked.deployment.version,
        deployment_id=asked.deployment.id if asked.known else None,
        phase=asked.phase,
        verdict=verdict,
        enforced_verdict=enforced(verdict, mode, settings),
        mode=mode,
        level=asked.level,
        confidence_ratio=_confidence(asked),
        reasons=reasons,
        decided_by=strongest.rule,
        decided_at=asked.now,
        valid_until=asked.now + settings.next_check,
        check_again_seconds=settings.next_check.total_seconds(),
        decidable_in_seconds=_decidable_in(asked.comparisons) if verdict is GateVerdict.UNKNOWN else None,
        expected_loss=losses,
        extrapolation=asked.extrapolation,
        matched_failures=asked.matched,
        rules=tuple(GateRule(name=one.rule, status=_status(one.verdict), reason=one.reason) for one in opinions),
    )


def enforced(verdict: GateVerdict, mode: GateMode, settings: GateSettings) -> GateVerdict:
    """What is to be obeyed: everything passes in shadow; what is unknown passes or waits as the service has it."""
    if mode is GateMode.SHADOW:
        return GateVerdict.ALLOW
    if verdict is GateVerdict.UNKNOWN:
        return GateVerdict.HOLD if settings.when_unknown is WhenUnknown.HOLD else GateVerdict.ALLOW
    return verdict


def _mode(settings: GateSettings, level: int) -> GateMode:
    match settings.mode:
        case Enforcement.SHADOW:
            return GateMode.SHADOW
        case Enforcement.ENFORCED:
            return GateMode.ENFORCED
        case Enforcement.EARNED:
            return GateMode.ENFORCED if level >= ENFORCED_FROM else GateMode.SHADOW


def _rules(asked: GateInput, settings: GateSettings, losses: ExpectedLoss | None) -> list[_Opinion | None]:
    rules = [_calendar(asked), _data(asked), *_by_phase(asked, settings), _failures(asked), _money(asked, losses)]
    softened = [_softened(rule, asked, settings) for rule in rules]
    if not any(softened):
        softened.append(_Opinion(GateVerdict.ALLOW, "nothing", _nothing_against(asked)))
    return softened


def _calendar(asked: GateInput) -> _Opinion | None:
    if asked.freeze is None or asked.phase is Phase.POST:
        return None
    until = f"{asked.freeze.end:%Y-%m-%d %H:%M %Z}"
    return _Opinion(GateVerdict.HOLD, "freeze", f"{asked.freeze.name} allows no deployment until {until}.")


def _data(asked: GateInput) -> _Opinion | None:
    if asked.trouble_with_data is None:
        return None
    return _Opinion(GateVerdict.UNKNOWN, "data", asked.trouble_with_data)


def _by_phase(asked: GateInput, settings: GateSettings) -> Iterable[_Opinion | None]:
    match asked.phase:
        case Phase.PLAN:
            return [_planned(asked, settings)]
        case Phase.CANARY:
            return [*map(_compared(asked), asked.comparisons), _measured(asked), _nothing_compared(asked)]
        case Phase.PREVIEW:
            return [_preview(asked, settings)]
        case Phase.PROMOTE | Phase.POST:
            return [*map(_compared(asked), asked.comparisons), _measured(asked), _not_measured_yet(asked)]


def _planned(asked: GateInput, settings: GateSettings) -> _Opinion | None:
    prediction = asked.prediction
    if prediction is None or prediction.basis is Basis.COLD:
        reason = f"Nothing is known of {asked.deployment.service} yet: no deployment of it was measured."
        return _Opinion(GateVerdict.UNKNOWN, "prediction", reason)
    risk = prediction.risk
    figures = f"{format_share_range(risk)} (n = {prediction.n})"
    reason = f"The risk of degradation or failure is {figures}."
    if risk.low >= settings.hold_risk_ratio:
        return _Opinion(GateVerdict.HOLD, "prediction", reason)
    if risk.median >= settings.warn_risk_ratio:
        return _Opinion(GateVerdict.WARN, "prediction", reason)
    return _Opinion(GateVerdict.ALLOW, "prediction", reason)


def _compared(asked: GateInput) -> Callable[[CanaryComparison], _Opinion]:
    verdicts = {
        CanaryVerdict.WORSE: GateVerdict.HOLD,
        CanaryVerdict.BETTER: GateVerdict.ALLOW,
        CanaryVerdict.SAME: GateVerdict.ALLOW,
        CanaryVerdict.UNDECIDED: GateVerdict.UNKNOWN,
    }

    def opinion(one: CanaryComparison) -> _Opinion:
        name = asked.names(one.metric)
        reason = f"{name[:1].upper()}{name[1:]}: {one.reason}"
        if one.verdict is CanaryVerdict.UNDECIDED:
            wait = one.decidable_in_seconds
            reason += f"; in about {_span(wait)} it can be" if wait is not None else "; at this share it cannot be"
        return _Opinion(verdicts[one.verdict], one.metric, f"{reason}.")

    return opinion


def _nothing_compared(asked: GateInput) -> _Opinion | None:
    if asked.comparisons or (asked.impact is not None and asked.impact.shifts):
        return None
    reason = "No metric has queries by version (`canary` and `stable`), and the service as a whole is not measured yet."
    return _Opinion(GateVerdict.UNKNOWN, "canary", reason)


def _measured(asked: GateInput) -> _Opinion | None:
    if asked.outcome is None:
        return None
    reason = asked.impact.outcome_reason if asked.impact is not None else ""
    said = f"So far: {asked.outcome}{f', {reason}' if reason else ''}."
    active = asked.impact is None or asked.impact.harm is None or asked.impact.harm.active
    match asked.outcome:
        case Outcome.FAILURE if active:
            return _Opinion(GateVerdict.ROLLBACK, "measured", said)
        case Outcome.FAILURE | Outcome.DEGRADATION:
            return _Opinion(GateVerdict.HOLD if active else GateVerdict.WARN, "measured", said)
        case Outcome.UNKNOWN:
            return _Opinion(GateVerdict.UNKNOWN, "measured", said)
        case Outcome.SUCCESS:
            return _Opinion(GateVerdict.ALLOW, "measured", said)


def _not_measured_yet(asked: GateInput) -> _Opinion | None:
    if asked.outcome is not None or asked.comparisons:
        return None
    return _Opinion(GateVerdict.UNKNOWN, "measured", "Nothing was measured after this deployment yet.")


def _preview(asked: GateInput, settings: GateSettings) -> _Opinion:
    if asked.confidence is None:
        reason = "Fewer than five earlier previews of this service are known at this age: nothing to compare with."
        return _Opinion(GateVerdict.UNKNOWN, "preview", reason)
    sure = format_share(asked.confidence)
    reason = f"The switch does no harm with a confidence of {sure}, from {asked.confidence_n} switches."
    if 1.0 - asked.confidence >= settings.hold_risk_ratio:
        return _Opinion(GateVerdict.HOLD, "preview", reason)
    verdict = GateVerdict.WARN if 1.0 - asked.confidence >= settings.warn_risk_ratio else GateVerdict.ALLOW
    return _Opinion(verdict, "preview", reason)


def _failures(asked: GateInput) -> _Opinion | None:
    if not asked.matched:
        return None
    best = asked.matched[0]
    verdict = GateVerdict.WARN if asked.phase is Phase.PLAN else GateVerdict.ROLLBACK
    count = len(asked.matched)
    reason = f"It begins as {count} earlier failure{'s' * (count > 1)} did, most like {best.deployment_id}: {best.why}."
    return _Opinion(verdict, "matched_failures", reason)


def _money(asked: GateInput, losses: ExpectedLoss | None) -> _Opinion | None:
    """What is cheapest, once harm was seen; a forecast alone takes nothing back."""
    if losses is None or asked.phase is Phase.PLAN or not _harm_seen(asked):
        return None
    ways = {
        GateVerdict.ALLOW: losses.promote,
        GateVerdict.HOLD: losses.hold,
        GateVerdict.ROLLBACK: losses.rollback,
    }
    known = {verdict: loss for verdict, loss in ways.items() if loss is not None}
    if len(known) < len(ways):
        return None
    cheapest = min(known, key=lambda verdict: (known[verdict], verdict is not GateVerdict.HOLD))
    said = zip(("going on", "waiting", "going back"), known.values(), strict=True)
    figures = ", ".join(f"{way} {format_money(losses.currency, loss)}" for way, loss in said)
    return _Opinion(cheapest, "expected_loss", f"Expected loss: {figures}.")


def _harm_seen(asked: GateInput) -> bool:
    worse = any(one.verdict is CanaryVerdict.WORSE for one in asked.comparisons)
    return worse or asked.outcome in {Outcome.DEGRADATION, Outcome.FAILURE}


def _softened(opinion: _Opinion | None, asked: GateInput, settings: GateSettings) -> _Opinion | None:
    """The guard rails that keep a strong verdict back."""
    if opinion is None or opinion.verdict not in {GateVerdict.ROLLBACK, GateVerdict.HOLD}:
        return opinion
    cost, _ = _priced(asked)
    if cost is not None and opinion.rule != "freeze" and 0.0 <= cost.high < settings.ignore_below_per_hour:
        reason = f"{opinion.reason} It costs less than what is worth a stop."
        return replace(opinion, verdict=GateVerdict.WARN, reason=reason)
    if opinion.verdict is GateVerdict.HOLD:
        return opinion
    if asked.others_moved:
        reason = f"{opinion.reason} But {', '.join(asked.others_moved)} moved the same way: a common cause is likely."
        return replace(opinion, verdict=GateVerdict.HOLD, reason=reason)
    if asked.deployment.traits.get("irreversible") is True:
        reason = f"{opinion.reason} It cannot be taken back (irreversible): a person has to decide."
        return replace(opinion, verdict=GateVerdict.HOLD, reason=reason)
    return opinion


def _losses(asked: GateInput, settings: GateSettings) -> ExpectedLoss | None:
    """One step ahead: go on until a person would have gone back, wait until the next check, or go back now."""
    cost, currency = _priced(asked)
    if cost is None or currency is None:
        return None
    harm = expected_positive(cost)
    share = asked.deployment.traffic_ratio if asked.phase is Phase.CANARY else None
    exposed = 1.0 if share is None else share
    repair = (asked.repair_time or settings.repair_time) / _HOUR
    wait = settings.next_check / _HOUR
    back = settings.rollback_cost if settings.rollback_cost is not None else (asked.rollback_cost or 0.0)
    delay = settings.delay_cost_per_hour
    return ExpectedLoss(
        promote=harm * repair,
        hold=harm * exposed * wait + delay * wait + min(harm * repair, back + delay * repair),
        rollback=back + delay * repair,
        currency=currency,
    )


def expected_positive(estimate: Estimate) -> float:
    """The mean of what is positive of an estimate, its halves taken as those of two normal distributions."""
    middle = estimate.median
    low, high = (max(reach / _Z, 1e-12) for reach in (middle - estimate.low, estimate.high - middle))
    if middle < 0.0:
        return middle * float(ndtr(middle / high)) + high * _density(middle / high)
    upper = middle / 2.0 + high * _density(0.0)
    lower = middle * (0.5 - float(ndtr(-middle / low))) + low * (_density(middle / low) - _density(0.0))
    return upper + lower


def _priced(asked: GateInput) -> tuple[Estimate | None, str | None]:
    """What it costs an hour and in which currency, by the nearest evidence there is."""
    if asked.extrapolation is not None:
        return asked.extrapolation.cost_per_hour, asked.extrapolation.currency
    if asked.impact is not None and asked.impact.costs:
        return asked.impact.costs[0].per_hour, asked.impact.costs[0].currency
    if asked.prediction is not None and asked.prediction.cost is not None:
        return asked.prediction.cost.per_hour, asked.prediction.cost.currency
    return None, None


def _confidence(asked: GateInput) -> float | None:
    """How probable it is that going on does no harm, by the nearest evidence there is."""
    if asked.comparisons and asked.phase is Phase.CANARY:
        harms = [one.harm_ratio for one in asked.comparisons if one.harm_ratio is not None]
        return 1.0 - max(harms) if harms else None
    if asked.confidence is not None:
        return asked.confidence
    if asked.impact is not None and asked.phase is not Phase.PLAN:
        shifts = [shift for shift in asked.impact.shifts if shift.primary and shift.attribution_ratio is not None]
        harms = [shift.attribution_ratio or 0.0 for shift in shifts if shift.harmful]
        return 1.0 - max(harms, default=0.0) if shifts else None
    return None if asked.prediction is None else 1.0 - asked.prediction.risk.median


def _decidable_in(comparisons: Iterable[CanaryComparison]) -> float | None:
    waits = [one.decidable_in_seconds for one in comparisons if one.verdict is CanaryVerdict.UNDECIDED]
    known = [wait for wait in waits if wait is not None]
    return max(known) if known and len(known) == len(waits) else None


def _status(verdict: GateVerdict) -> str:
    return {GateVerdict.ALLOW: "pass", GateVerdict.WARN: "warn", GateVerdict.UNKNOWN: "unknown"}.get(verdict, "fail")


def _nothing_against(asked: GateInput) -> str:
    return f"Nothing speaks against {asked.deployment.name}."


def _span(seconds: float) -> str:
    minutes = max(round(seconds / 60.0), 1)
    return f"{minutes} minute{'s' * (minutes != 1)}" if minutes < 120 else f"{minutes / 60:.0f} hours"


def _density(x: float) -> float:
    return exp(-x * x / 2.0) / sqrt(2.0 * pi)
