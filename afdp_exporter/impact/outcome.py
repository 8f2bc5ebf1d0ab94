"""The outcome of a deployment by rule, and DORA's change failure rate and time to restore.

1. Its sender reports a failure or rollback, or a rollback or hotfix within a day reverts it (its version is left, or
   its harm ended then): failure. Its neighbours are no failures by that, and neither is the rollback.
2. A primary metric is severely worse and stays so: failure. Worse in any other way: degradation.
   So is an incident of this service that begins during its rollout or soon after.
3. Something moved that cannot be distinguished from another deployment or event, or a primary metric could not be
   judged: unknown. Missing data is never "no impact". So is an interval that includes a harmful change as large as the
   metric's `worth`, or a doubtful harmful change among many metrics.
4. Otherwise success, improvements included; what was measured and stays doubtful is named.

A human's label is kept apart and wins wherever an outcome is shown.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from afdp_exporter.impact.context import AnalysisContext, ImpactSettings
from afdp_exporter.impact.power import may_be_harmful
from afdp_exporter.model import (
    NORMAL_REACH,
    Attribution,
    CalendarEntry,
    CalendarEntryKind,
    Decision,
    Deployment,
    Estimate,
    Layer,
    MeasuredDeployment,
    Outcome,
    Shift,
    ShiftState,
    Stability,
    Worse,
    declares_remedy,
    remedies,
    returns_to,
)
from afdp_exporter.wording.times import format_time


def decide(shifts: Iterable[Shift], context: AnalysisContext) -> Decision:
    """The outcome by rule, without regard to what a human says."""
    primary = [shift for shift in shifts if shift.primary]
    worse = [shift for shift in primary if shift.moved and shift.harmful]
    sign = _reported_or_reverted(worse, context)
    if sign is not None:
        return Decision(outcome=Outcome.FAILURE, reason=sign, label_source="rollback")
    severe = [shift.metric for shift in worse if _severe(shift, context.settings)]
    if severe:
        return Decision(outcome=Outcome.FAILURE, reason=f"severely worse: {', '.join(severe)}")
    if worse:
        return Decision(outcome=Outcome.DEGRADATION, reason=f"worse: {', '.join(shift.metric for shift in worse)}")
    incident = _incident(context)
    if incident is not None:
        reason = f"{incident.name} began at {format_time(incident.start)}, while it was rolled out or soon after"
        return Decision(outcome=Outcome.DEGRADATION, reason=reason)
    unknown = _unknown(primary, context)
    if unknown is not None:
        return Decision(outcome=Outcome.UNKNOWN, reason=unknown)
    better = [shift.metric for shift in primary if shift.moved and shift.harmful is False]
    doubtful = [shift.metric for shift in primary if shift.verdict is Attribution.INCONCLUSIVE]
    also = f", better: {', '.join(better)}" if better else ""
    also += f", doubtful: {', '.join(doubtful)}" if doubtful else ""
    return Decision(outcome=Outcome.SUCCESS, reason=f"none of {len(primary)} primary metrics is worse{also}")


def _unknown(primary: Sequence[Shift], context: AnalysisContext) -> str | None:
    """Why it cannot be said that nothing is worse; None where it can."""
    unjudged = [shift.metric for shift in primary if _unjudged(shift) or shift.metric in context.incomplete]
    if not primary and context.unknown_service:
        return context.unknown_service.removesuffix(".")
    if unjudged or not primary:
        return f"could not be judged: {', '.join(unjudged) or 'no primary metric was measured'}"
    room = [shift for shift in primary if shift.ruled_out is False]
    return f"cannot be ruled out: {'; '.join(map(may_be_harmful, room))}" if room else None


def remedy(deployment: Deployment, others: Iterable[Deployment], within: timedelta) -> Deployment | None:
    """The first of `others` that took it back, within the given time, as a rollback or hotfix of its service."""
    around = filter(deployment.same_target, others)
    return remedies((*around, deployment), within).get(deployment.id)


def stability(measured: Iterable[MeasuredDeployment], *, within: timedelta = timedelta(days=1)) -> Stability:
    """Change failure rate and time to restore over deployments, as DORA defines them.

    A deployment counts once its outcome is known; degradations count as failures where a rollback or hotfix followed,
    unless a human has labelled them.
    Restored is the service with the remedy's end, else when the last worse metric was back; the median over failures
    that are restored. The interval is Wilson's at 90 %.
    """
    records = tuple(measured)
    fixes = remedies((record.deployment for record in records), within)
    known = failed = 0
    restored: list[timedelta] = []
    for record in records:
        outcome = record.decision.outcome
        vouched = record.deployment.labelled_outcome is not None
        fix = None if vouched else fixes.get(record.deployment.id)
        if outcome is Outcome.UNKNOWN and fix is None:
            continue
        known += 1
        if outcome is Outcome.FAILURE or fix is not None:
            failed += 1
            until = _restored_at(record, fix)
            if until is not None:
                restored.append(until - record.deployment.started_at)
    return Stability(
        deployments=known,
        failures=failed,
        change_failure_ratio=wilson(failed, known) if known else None,
        restored=len(restored),
        time_to_restore=sorted(restored)[len(restored) // 2] if restored else None,
    )


def wilson(count: int, total: int) -> Estimate:
    """A share with Wilson's interval (1927), 5 % and 95 % points."""
    z = NORMAL_REACH
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    return Estimate(low=max(middle - half, 0.0), median=share, high=min(middle + half, 1.0))


def _reported_or_reverted(worse: Sequence[Shift], context: AnalysisContext) -> str | None:
    deployment, within = context.deployment, context.settings.remedy_within
    if deployment.reported_failure is not None:
        return deployment.reported_failure
    fix = remedy(deployment, context.others, within)
    ends = {shift.ended_by for shift in worse if shift.state is ShiftState.RECOVERED}
    if fix is not None and not worse and _fixed_another(fix, context):
        return None
    if fix is None:
        fixes = (other for other in context.others if other.id in ends and declares_remedy(other))
        fix = next((other for other in fixes if other.started_at <= deployment.ended_at + within), None)
    if fix is None:
        return None
    what = "a rollback" if returns_to(fix, deployment) else "a rollback or hotfix"
    return f"{what} followed: {fix.name} at {format_time(fix.started_at)}"


def _fixed_another(fix: Deployment, context: AnalysisContext) -> bool:
    """Whether a fix, which names no version to return to, came while the harm of an earlier deployment went on."""
    deployment = context.deployment
    if returns_to(fix, deployment):
        return False
    return any(
        shift.primary and shift.moved and shift.harmful and (shift.recovered_at is None or shift.ended_by == fix.id)
        for record in context.past
        if record.deployment.same_target(deployment)
        and fix.started_at <= record.deployment.ended_at + context.settings.remedy_within
        for shift in (record.impact.shifts if record.impact else ())
    )


def _incident(context: AnalysisContext) -> CalendarEntry | None:
    """The first incident that names this service and begins no later than a metric could respond."""
    deployment = context.deployment
    last = deployment.ended_at + context.short_window
    named = [
        event
        for event in context.calendar
        if event.kind is CalendarEntryKind.INCIDENT
        and deployment.service in event.services
        and deployment.started_at < event.start <= last
    ]
    return min(named, key=lambda event: event.start, default=None)


def _unjudged(shift: Shift) -> bool:
    """Whether nothing is known of a metric: not measured, or not distinguished from another cause."""
    if shift.verdict is Attribution.INCONCLUSIVE:
        return shift.change is None
    return shift.verdict in {Attribution.NOT_DISTINGUISHABLE, Attribution.INSUFFICIENT_HISTORY}


def _severe(shift: Shift, settings: ImpactSettings) -> bool:
    """Whether a lasting change is large enough to be called a failure; what is only spent more never is.

    What came to its end by itself did not last; what another deployment had to end did.
    """
    if shift.verdict is Attribution.TRANSIENT or (shift.recovered_at is not None and shift.ended_by is None):
        return False
    if shift.layer is Layer.SYSTEM or (shift.layer is Layer.BUSINESS and shift.worse is Worse.UP):
        return False
    if shift.metric.endswith("_ratio"):
        return abs(shift.change or 0.0) >= settings.severe_points
    if shift.before == 0.0:
        return abs(shift.change or 0.0) >= settings.severe_from_zero
    felt = shift.layer in {Layer.USER, Layer.BUSINESS} and shift.worse is Worse.DOWN
    limit = settings.severe_user_ratio if felt else settings.severe_ratio
    return abs(shift.change_ratio or 0.0) >= limit


def _restored_at(record: MeasuredDeployment, fix: Deployment | None) -> datetime | None:
    if fix is not None:
        return fix.ended_at
    if record.impact is None:
        return None
    worse = [shift.recovered_at for shift in record.impact.shifts if shift.moved and shift.harmful]
    back = [at for at in worse if at is not None]
    return max(back) if back and len(back) == len(worse) else None
