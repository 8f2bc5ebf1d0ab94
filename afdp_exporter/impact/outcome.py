"""What became of a deployment, by rule, and what follows for DORA's two measures of stability.

1. Its sender says that it failed or was rolled back, or a rollback or hotfix within a day takes it back (its version
   is left, or its harm ended then): failure. Its neighbours are no failures by that, and neither is the rollback.
2. A primary metric is severely worse and stays so: failure. Worse in any other way: degradation.
   So is an incident of this very service that begins while it is rolled out or soon after.
3. Something moved that cannot be told apart from another deployment or event, or a primary metric could not be
   judged: unknown. Missing data is never "no impact". So is what leaves room for a harmful change that matters (the
   metric's `worth`), or is doubtful in the harmful direction among so many metrics.
4. Else success, improvements included; what was measured and stays doubtful is named.

A human's label is kept apart and wins wherever an outcome is shown.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from afdp_exporter.impact.case import Case, ImpactSettings
from afdp_exporter.impact.worth import may_have
from afdp_exporter.model import (
    Attribution,
    Decision,
    Deployment,
    Estimate,
    Layer,
    Measured,
    Occasion,
    OccasionKind,
    Outcome,
    Shift,
    ShiftState,
    Stability,
    Worse,
    returns_to,
    says_that_it_mends,
    taken_back,
)


def decide(shifts: Iterable[Shift], case: Case) -> Decision:
    """The outcome by rule, without regard to what a human says."""
    primary = [shift for shift in shifts if shift.primary]
    worse = [shift for shift in primary if shift.moved and shift.harmful]
    sign = _sign_of_failure(worse, case)
    if sign is not None:
        return Decision(outcome=Outcome.FAILURE, reason=sign, label_source="rollback")
    severe = [shift.metric for shift in worse if _severe(shift, case.settings)]
    if severe:
        return Decision(outcome=Outcome.FAILURE, reason=f"severely worse: {', '.join(severe)}")
    if worse:
        return Decision(outcome=Outcome.DEGRADATION, reason=f"worse: {', '.join(shift.metric for shift in worse)}")
    incident = _incident(case)
    if incident is not None:
        reason = f"{incident.name} began at {incident.start:%H:%M}, while it was rolled out or soon after"
        return Decision(outcome=Outcome.DEGRADATION, reason=reason)
    unknown = _unknown(primary, case)
    if unknown is not None:
        return Decision(outcome=Outcome.UNKNOWN, reason=unknown)
    better = [shift.metric for shift in primary if shift.moved and shift.harmful is False]
    doubtful = [shift.metric for shift in primary if shift.verdict is Attribution.INCONCLUSIVE]
    also = f", better: {', '.join(better)}" if better else ""
    also += f", doubtful: {', '.join(doubtful)}" if doubtful else ""
    return Decision(outcome=Outcome.SUCCESS, reason=f"none of {len(primary)} primary metrics is worse{also}")


def _unknown(primary: Sequence[Shift], case: Case) -> str | None:
    """Why it cannot be said that nothing is worse; None where it can."""
    unjudged = [shift.metric for shift in primary if _unjudged(shift)]
    if not primary and case.unknown_service:
        return case.unknown_service.removesuffix(".")
    if unjudged or not primary:
        return f"could not be judged: {', '.join(unjudged) or 'no primary metric was measured'}"
    room = [shift for shift in primary if shift.ruled_out is False]
    return f"cannot be ruled out: {'; '.join(map(may_have, room))}" if room else None


def remedy(deployment: Deployment, others: Iterable[Deployment], within: timedelta) -> Deployment | None:
    """The first of `others` that took it back, within the given time, as a rollback or hotfix of its service."""
    around = sorted(others, key=lambda other: other.started_at)
    later = (other for other in around if other.started_at > deployment.started_at)
    return next((each for each in later if deployment in taken_back(each, (*around, deployment), within)), None)


def stability(measured: Iterable[Measured], *, within: timedelta = timedelta(days=1)) -> Stability:
    """Change failure rate and time to restore over deployments, as DORA defines them.

    A deployment counts once its outcome is known; degradations count as failures where a rollback or hotfix followed,
    unless a human has labelled them.
    Restored is the service with the remedy's end, else when the last worse metric was back; the median over failures
    that are restored. The interval is Wilson's at 90 %.
    """
    records = tuple(measured)
    deployments = [record.deployment for record in records]
    known = failed = 0
    restored: list[timedelta] = []
    for record in records:
        outcome = record.decision.outcome
        vouched = record.deployment.labelled_outcome is not None
        mended = None if vouched else remedy(record.deployment, deployments, within)
        if outcome is Outcome.UNKNOWN and mended is None:
            continue
        known += 1
        if outcome is Outcome.FAILURE or mended is not None:
            failed += 1
            until = _restored_at(record, mended)
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
    z = 1.6449
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * (share * (1 - share) / total + z * z / (4 * total * total)) ** 0.5
    return Estimate(low=max(middle - half, 0.0), median=share, high=min(middle + half, 1.0))


def _sign_of_failure(worse: Sequence[Shift], case: Case) -> str | None:
    deployment, within = case.deployment, case.settings.remedy_within
    if deployment.told_failure is not None:
        return deployment.told_failure
    mended = remedy(deployment, case.others, within)
    ends = {shift.ended_by for shift in worse if shift.state is ShiftState.RECOVERED}
    if mended is not None and not worse and _was_for_another(mended, case):
        return None
    if mended is None:
        fixes = (other for other in case.others if other.id in ends and says_that_it_mends(other))
        mended = next((other for other in fixes if other.started_at <= deployment.ended_at + within), None)
    if mended is None:
        return None
    what = "a rollback" if returns_to(mended, deployment) else "a rollback or hotfix"
    return f"{what} followed: {mended.name} at {mended.started_at:%Y-%m-%d %H:%M}"


def _was_for_another(mended: Deployment, case: Case) -> bool:
    """Whether a fix, which names no version to return to, came while the harm of an earlier deployment went on."""
    deployment = case.deployment
    if returns_to(mended, deployment):
        return False
    return any(
        shift.primary and shift.moved and shift.harmful and (shift.recovered_at is None or shift.ended_by == mended.id)
        for record in case.past
        if (record.deployment.service, record.deployment.environment) == (deployment.service, deployment.environment)
        and mended.started_at <= record.deployment.ended_at + case.settings.remedy_within
        for shift in (record.impact.shifts if record.impact else ())
    )


def _incident(case: Case) -> Occasion | None:
    """The first incident that names this service and begins no later than a metric could respond."""
    deployment = case.deployment
    last = deployment.ended_at + case.short_window
    named = [
        event
        for event in case.calendar
        if event.kind is OccasionKind.INCIDENT
        and deployment.service in event.services
        and deployment.started_at < event.start <= last
    ]
    return min(named, key=lambda event: event.start, default=None)


def _unjudged(shift: Shift) -> bool:
    """Whether nothing is known of a metric: not measured, or not told apart."""
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


def _restored_at(record: Measured, mended: Deployment | None) -> datetime | None:
    if mended is not None:
        return mended.ended_at
    if record.impact is None:
        return None
    worse = [shift.recovered_at for shift in record.impact.shifts if shift.moved and shift.harmful]
    back = [at for at in worse if at is not None]
    return max(back) if back and len(back) == len(worse) else None
