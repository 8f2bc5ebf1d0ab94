"""The verdict of the gate: what is known, the rules in their order, and the money that each way is expected to cost.

Pure. Several rules may apply; of their verdicts the strongest counts (rollback, hold, unknown, warn, allow). Where
money is known, going on, waiting and going back are weighed by their expected loss; a tie is a hold.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from afdp_exporter.gate.expected_loss import expected_losses
from afdp_exporter.gate.experience import Experience
from afdp_exporter.gate.settings import Enforcement, GateSettings, WhenUnknown
from afdp_exporter.model import (
    CalendarEntry,
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
    Outcome,
    Phase,
    PoolingLevel,
    Prediction,
    ShiftState,
    SignalVerdict,
    Strategy,
    Switch,
    WarmUpSignal,
)
from afdp_exporter.wording.metrics import format_value
from afdp_exporter.wording.numbers import format_duration, format_money, format_share, format_share_range
from afdp_exporter.wording.times import format_time

ENFORCED_FROM = 3
"""The automation level from which on a gate's verdict is to be obeyed."""
GUARD_RAIL = "guard_rail"
"""The rule that takes back at once what crosses a hard limit."""
_HARM_IS_SURE = 0.95  # the probability of harm from which on it is called sure
BLUE_IS_NEEDED = timedelta(minutes=15)
"""After the switch: until the check that decides whether to go back."""


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
    switch: Switch | None = None  # to green, as sure as it is
    freeze: CalendarEntry | None = None
    matched: tuple[MatchedFailure, ...] = ()
    others_moved: tuple[str, ...] = ()  # services that moved the same way at the same time
    trouble_with_data: str | None = None
    experience: Experience = Experience()
    level: int = 0
    names: Callable[[str], str] = field(default=str)


_WHOSE = {"service": "this service", "team": "this team", "all": "other services"}


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
        reasons=(*reasons, *_bill(asked)),
        decided_by=strongest.rule,
        decided_at=asked.now,
        valid_until=asked.now + settings.next_check,
        check_again_seconds=settings.next_check.total_seconds(),
        decidable_in_seconds=_decidable_in(asked.comparisons) if verdict is GateVerdict.UNKNOWN else None,
        expected_loss=losses,
        extrapolation=asked.extrapolation,
        matched_failures=asked.matched,
        switch=asked.switch,
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
    money = _money(asked, settings, losses)
    judged = [_calendar(asked), _data(asked), *_by_phase(asked, settings), _failures(asked), money]
    rules = [*_guard_rails(asked, settings), *judged]
    softened = [_softened(rule, asked, settings) for rule in rules]
    if not any(softened):
        softened.append(_Opinion(GateVerdict.ALLOW, "nothing", _nothing_against(asked)))
    return softened


def _calendar(asked: GateInput) -> _Opinion | None:
    if asked.freeze is None or asked.phase is Phase.POST:
        return None
    until = f"{format_time(asked.freeze.end)}"
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
            return _preview(asked, settings)
        case Phase.PROMOTE | Phase.POST:
            compared = map(_compared(asked), asked.comparisons)
            return [_blue(asked), *compared, _measured(asked), _not_measured_yet(asked)]


def _planned(asked: GateInput, settings: GateSettings) -> _Opinion | None:
    prediction = asked.prediction
    if prediction is None or prediction.basis is PoolingLevel.COLD:
        reason = f"Nothing is known of {asked.deployment.service} yet: no deployment of it was measured."
        return _Opinion(GateVerdict.UNKNOWN, "prediction", reason)
    risk = prediction.risk
    figures = f"{format_share_range(risk)} (n = {prediction.n})"
    reason = f"The risk of degradation or failure is {figures}."
    return _Opinion(_by_risk(risk.low, risk.median, settings), "prediction", reason)


def _by_risk(surely: float, likely: float, settings: GateSettings) -> GateVerdict:
    """Hold where the risk surely is above the one limit, warn where it is likely above the other."""
    if surely >= settings.hold_risk_ratio:
        return GateVerdict.HOLD
    return GateVerdict.WARN if likely >= settings.warn_risk_ratio else GateVerdict.ALLOW


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
            reason += (
                f"; in about {format_duration(timedelta(seconds=wait))} it can be"
                if wait is not None
                else "; at this share it cannot be"
            )
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


def _preview(asked: GateInput, settings: GateSettings) -> Iterable[_Opinion]:
    """Green before its switch: what speaks against it, signal by signal, and how sure it is over all."""
    switch = asked.switch
    if switch is None or switch.confidence_ratio is None:
        reason = "Nothing of this green can be compared yet: that takes five earlier greens of the same age"
        why = "" if switch is not None else ", and metrics with a query `preview`"
        yield _Opinion(GateVerdict.UNKNOWN, "preview", f"{reason}{why}.")
    else:
        known = f"from {switch.n} switches (basis {switch.basis})"
        reason = f"The switch does no harm with a confidence of {format_share(switch.confidence_ratio)}, {known}."
        verdict = _by_risk(1.0 - switch.confidence_ratio, 1.0 - switch.confidence_ratio, settings)
        yield _Opinion(verdict, "preview", reason)
        for one in switch.signals:
            if one.verdict is SignalVerdict.UNUSUAL and one.value is not None and one.usual is not None:
                yield _Opinion(GateVerdict.WARN, one.metric, _unusual(one, asked.names(one.metric)))
    life = _blue_lives(asked.deployment)
    if life is not None and life < BLUE_IS_NEEDED:
        reason = f"Blue is taken down {format_duration(life)} after the switch, before the check that decides"
        yield _Opinion(GateVerdict.WARN, "blue", f"{reason} ({format_duration(BLUE_IS_NEEDED)} after it).")


def _unusual(one: WarmUpSignal, name: str) -> str:
    usual, value = one.usual or Estimate(low=0.0, median=0.0, high=0.0), one.value or 0.0
    width = f"{format_value(one.metric, usual.low)} to {format_value(one.metric, usual.high)}"
    known = f"{format_value(one.metric, value)} at {one.age_minutes} minutes, usually {width} (n = {one.n})"
    return f"{name[:1].upper()}{name[1:]} is unusual for a green: {known}."


def _blue(asked: GateInput) -> _Opinion | None:
    """After the switch: blue is needed until the check that decides, since only it makes the way back short."""
    deployment = asked.deployment
    if deployment.strategy is not Strategy.BLUE_GREEN or asked.phase is not Phase.PROMOTE or not asked.known:
        return None
    if deployment.finished_at is None:
        reason = "Blue is needed until the switch was measured: nobody has reported when it was (finished_at)."
        return _Opinion(GateVerdict.UNKNOWN, "blue", reason)
    until = deployment.finished_at + BLUE_IS_NEEDED
    if asked.impact is not None and asked.impact.measured_at >= until:
        return None
    life = _blue_lives(deployment)
    gone = "" if life is None or life >= BLUE_IS_NEEDED else f", but taken down {format_duration(life)} after it"
    reason = f"Blue is needed until the check {format_duration(BLUE_IS_NEEDED)} after the switch{gone}"
    return _Opinion(GateVerdict.UNKNOWN, "blue", f"{reason}: {format_time(until)}.")


def _blue_lives(deployment: Deployment) -> timedelta | None:
    """How long blue is kept after the switch, by the trait; None where it is not reported."""
    seconds = deployment.traits.get("scale_down_delay_seconds")
    return timedelta(seconds=seconds) if isinstance(seconds, float | int) and not isinstance(seconds, bool) else None


def _guard_rails(asked: GateInput, settings: GateSettings) -> Iterable[_Opinion]:
    """A metric that this deployment moved across its hard limit, and data that it loses: back, whatever the money."""
    if asked.phase is Phase.PLAN:
        return
    if asked.deployment.traits.get("data_loss") is True:
        yield _Opinion(GateVerdict.ROLLBACK, GUARD_RAIL, "It is said to lose data (data_loss).")
    for metric, limit in settings.guard_rails.items():
        beyond = [now for before, now in _harmed(asked, metric) if (before - limit) * (now - limit) < 0.0]
        if beyond:
            known = f"{format_value(metric, beyond[0])}, beyond its guard rail of {format_value(metric, limit)}"
            name = asked.names(metric)
            yield _Opinion(GateVerdict.ROLLBACK, GUARD_RAIL, f"{name[:1].upper()}{name[1:]} stands at {known}.")


def _harmed(asked: GateInput, metric: str) -> Iterable[tuple[float, float]]:
    """The level of a metric without and with this version, where it is as good as sure that the version harms it."""
    for one in asked.comparisons:
        known = one.stable is not None and one.canary is not None and one.harm_ratio is not None
        if one.metric == metric and known and (one.harm_ratio or 0.0) >= _HARM_IS_SURE:
            yield one.stable or 0.0, one.canary or 0.0
    for shift in asked.impact.shifts if asked.impact is not None else ():
        goes_on = shift.moved and shift.harmful and shift.state is ShiftState.ACTIVE
        if shift.metric == metric and goes_on and shift.before is not None and shift.change is not None:
            yield shift.before, shift.before + shift.change


def _failures(asked: GateInput) -> _Opinion | None:
    if not asked.matched:
        return None
    best = asked.matched[0]
    verdict = GateVerdict.WARN if asked.phase is Phase.PLAN else GateVerdict.ROLLBACK
    count = len(asked.matched)
    failures = f"{count} earlier failure{'s' * (count > 1)} of {_WHOSE[best.basis]}"
    reason = f"It begins as {failures} did, most like {best.deployment_id}: {best.why}."
    return _Opinion(verdict, "matched_failures", reason)


def _money(asked: GateInput, settings: GateSettings, losses: ExpectedLoss | None) -> _Opinion | None:
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
    return _Opinion(cheapest, "expected_loss", f"Expected loss: {figures}. {_basis(asked, settings, losses.currency)}")


def _basis(asked: GateInput, settings: GateSettings, currency: str) -> str:
    """What the figures rest on: how long harm lasts until a person goes back, and what going back costs."""
    known = asked.experience
    lasts = format_duration(known.repair_time or settings.repair_time)
    repair = f"median, n = {known.repairs}" if known.repair_time is not None else "assumed"
    back = format_money(currency, _back(asked, settings, currency))
    if settings.rollback_cost is not None:
        cost = "as configured"
    else:
        cost = f"median, n = {known.rollbacks}" if known.rollback_costs is not None else "assumed"
    return f"Until a person has gone back it takes {lasts} ({repair}), a rollback costs {back} ({cost})."


def _back(asked: GateInput, settings: GateSettings, currency: str) -> float:
    """What a rollback costs: as it is configured, else as earlier ones did, else nothing."""
    if settings.rollback_cost is not None:
        return settings.rollback_cost
    return asked.experience.rollback_cost(currency) or 0.0


def _harm_seen(asked: GateInput) -> bool:
    worse = any(one.verdict is CanaryVerdict.WORSE for one in asked.comparisons)
    return worse or asked.outcome in {Outcome.DEGRADATION, Outcome.FAILURE}


def _softened(opinion: _Opinion | None, asked: GateInput, settings: GateSettings) -> _Opinion | None:
    """The guard rails that keep a strong verdict back."""
    if opinion is None or opinion.verdict not in {GateVerdict.ROLLBACK, GateVerdict.HOLD}:
        return opinion
    cost, _ = _priced(asked)
    if (
        cost is not None
        and opinion.rule not in {"freeze", GUARD_RAIL}
        and 0.0 <= cost.high < settings.ignore_below_per_hour
    ):
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


def _bill(asked: GateInput) -> Iterable[str]:
    """What it changes of the cloud's cost: shown beside every verdict, and no reason for one."""
    bill = asked.prediction.cloud_cost if asked.prediction is not None else None
    return [f"{bill.sentence}."] if bill is not None else []


def _losses(asked: GateInput, settings: GateSettings) -> ExpectedLoss | None:
    """What each way is expected to cost; None where what an hour costs is not known."""
    cost, currency = _priced(asked)
    if cost is None or currency is None:
        return None
    share = asked.deployment.traffic_ratio if asked.phase is Phase.CANARY else None
    repair = asked.experience.repair_time or settings.repair_time
    return expected_losses(
        cost,
        currency,
        exposed=1.0 if share is None else share,
        repair=repair,
        redo=asked.experience.redo_time or repair,
        rollback_cost=_back(asked, settings, currency),
        settings=settings,
    )


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
    if asked.switch is not None:
        return asked.switch.confidence_ratio
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
