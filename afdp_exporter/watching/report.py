"""A deployment and what it did, as the API tells it: JSON types only, times in RFC 3339 with Z, no NaN."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from afdp_exporter.model import (
    Cost,
    Course,
    Deployment,
    Estimate,
    Event,
    Harm,
    Impact,
    Level,
    Link,
    Look,
    LookState,
    Measured,
    Rival,
    SeenBefore,
    Shift,
    Usual,
)

_ENDED = {LookState.DONE, LookState.FAILED, LookState.SKIPPED}


def deployment_json(deployment: Deployment) -> dict[str, Any]:
    """The stored object: the fields under the names by which they are told."""
    return {
        "id": deployment.id,
        "service": deployment.service,
        "environment": deployment.environment,
        "version": deployment.version,
        "previous_version": deployment.previous_version,
        "started_at": time_json(deployment.started_at),
        "finished_at": time_json(deployment.finished_at),
        "status": deployment.status.value,
        "actor": deployment.actor,
        "team": deployment.team,
        "change_types": [change_type.value for change_type in deployment.change_types],
        "strategy": deployment.strategy.value if deployment.strategy else None,
        "traffic_ratio": deployment.traffic_ratio,
        "url": deployment.url,
        "commit": deployment.commit,
        "description": deployment.description,
        "traits": dict(deployment.traits),
        "labels": dict(deployment.labels),
        "labelled_outcome": deployment.labelled_outcome.value if deployment.labelled_outcome else None,
        "note": deployment.note,
        "received_at": time_json(deployment.received_at),
        "received_from": deployment.received_from,
    }


def event_json(event: Event) -> dict[str, Any]:
    """An event as the API tells it."""
    return {
        "id": event.id,
        "name": event.name,
        "kind": event.kind,
        "start": time_json(event.start),
        "end": time_json(event.end),
        "services": list(event.services),
        "description": event.description,
        "url": event.url,
        "told_at": time_json(event.told_at),
        "received_from": event.received_from,
    }


def report_json(deployment: Deployment, impact: Impact | None, looks: Sequence[Look]) -> dict[str, Any]:
    """The whole report. As long as nothing is measured, the outcome is unknown and the story says what is awaited."""
    costs = [_cost(cost) for cost in impact.costs] if impact else []
    measured = Measured(deployment=deployment, impact=impact)
    decision, known = measured.decision, measured.known
    return {
        "deployment": deployment_json(deployment),
        "outcome": decision.outcome.value,
        "outcome_reason": decision.reason if known else _awaited(deployment, looks),
        "outcome_source": decision.label_source if known else None,
        "measured_at": time_json(impact.measured_at) if impact else None,
        "harm": _harm(impact.harm) if impact and impact.harm else None,
        "impacts": [_shift(shift) for shift in impact.shifts] if impact else [],
        "sequence": [_link(link) for link in impact.links] if impact else [],
        "cost_per_hour": costs[0]["per_hour"] if costs else None,
        "costs": costs,
        "rivals": [_rival(rival) for rival in impact.rivals] if impact else [],
        "seen_before": {
            "count": impact.seen_before.count if impact else 0,
            "deployments": list(impact.seen_before.deployment_ids) if impact else [],
            "scope": impact.seen_before.scope if impact else SeenBefore().scope,
        },
        "story": list(impact.story) if impact else [_awaited(deployment, looks)],
        "looks": [_look(look) for look in looks],
    }


def series_json(deployment: Deployment, impact: Impact | None, courses: Iterable[Course]) -> dict[str, Any]:
    """What each metric did around a deployment, point by point, beside what was to be expected without it."""
    shifts = {shift.metric: shift for shift in impact.shifts} if impact else {}
    return {
        "deployment_id": deployment.id,
        "started_at": time_json(deployment.started_at),
        "finished_at": time_json(deployment.finished_at),
        "measured_at": time_json(impact.measured_at) if impact else None,
        "series": [_course(course, shifts.get(course.metric)) for course in courses],
    }


def _course(course: Course, shift: Shift | None) -> dict[str, Any]:
    first = len(course.measured) - len(course.expected)
    points = []
    for index, measured in enumerate(course.measured):
        expected = course.expected[index - first] if index >= first else None
        points.append(
            {
                "time": time_json(course.start + index * course.step),
                "measured": measured,
                "expected": expected,
                "low": None if expected is None else expected - course.below,
                "high": None if expected is None else expected + course.above,
            }
        )
    return {
        "metric": course.metric,
        "verdict": shift.verdict.value if shift else None,
        "onset": time_json(shift.onset) if shift else None,
        "recovered_at": time_json(shift.recovered_at) if shift else None,
        "step_seconds": course.step.total_seconds(),
        "level": _level(course.level) if course.level else None,
        "points": points,
    }


def _level(level: Level) -> dict[str, Any]:
    return {
        "start": time_json(level.start),
        "end": time_json(level.end),
        "measured": level.measured,
        "expected": level.expected,
        "low": level.low,
        "high": level.high,
    }


def time_json(time: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z") if time else None


def _awaited(deployment: Deployment, looks: Sequence[Look]) -> str:
    if deployment.planned:
        return f"{deployment.name} is planned for {time_json(deployment.started_at)}; it is measured once it is done."
    failed = [look for look in looks if look.state is LookState.FAILED]
    ahead = [look for look in looks if look.state not in _ENDED]
    if ahead:
        first = ahead[0]
        why = f" It waits: {first.reason}." if first.state is LookState.WAITING and first.reason else ""
        return f"Nothing is known of {deployment.name} yet: the first look is due at {time_json(first.due_at)}.{why}"
    if failed:
        return f"Nothing is known of {deployment.name}: its looks failed, the last one with: {failed[-1].reason}."
    return f"Nothing is known of {deployment.name}: no look at it is planned."


def _shift(shift: Shift) -> dict[str, Any]:
    return {
        "metric": shift.metric,
        "layer": shift.layer.value,
        "verdict": shift.verdict.value,
        "reason": shift.reason,
        "worse": shift.worse.value,
        "harmful": shift.harmful,
        "primary": shift.primary,
        "onset": time_json(shift.onset),
        "onset_low": time_json(shift.onset_low),
        "onset_high": time_json(shift.onset_high),
        "before": number_json(shift.before),
        "after": number_json(shift.after),
        "change": number_json(shift.change),
        "low": number_json(shift.low),
        "high": number_json(shift.high),
        "change_ratio": number_json(shift.change_ratio),
        "p_value": number_json(shift.p_value),
        "attribution_ratio": number_json(shift.attribution_ratio),
        "usual": _usual(shift.usual) if shift.usual else None,
        "minimum_detectable_effect": number_json(shift.minimum_detectable_effect),
        "shape": shift.shape,
        "duration_seconds": shift.duration.total_seconds() if shift.duration is not None else None,
        "recovered_at": time_json(shift.recovered_at),
        "state": shift.state.value if shift.state else None,
        "as_of": time_json(shift.as_of),
        "ended_by": shift.ended_by,
        "worth": number_json(shift.worth),
        "ruled_out": shift.ruled_out,
    }


def _harm(harm: Harm) -> dict[str, Any]:
    return {
        "state": harm.state.value,
        "metrics": list(harm.metrics),
        "since": time_json(harm.since),
        "over_at": time_json(harm.over_at),
        "as_of": time_json(harm.as_of),
        "ended_by": harm.ended_by,
    }


def _usual(usual: Usual) -> dict[str, Any]:
    return {
        "count": usual.count,
        "compared": usual.compared,
        "change": number_json(usual.change),
        "duration_seconds": usual.duration.total_seconds() if usual.duration is not None else None,
    }


def _link(link: Link) -> dict[str, Any]:
    return {
        "from": link.cause,
        "to": link.effect,
        "lag_seconds": link.lag.total_seconds(),
        "together": link.together,
        "seen_before": link.seen_before,
        "sentence": link.sentence,
    }


def _cost(cost: Cost) -> dict[str, Any]:
    return {
        "currency": cost.currency,
        "per_hour": estimate_json(cost.per_hour) | {"currency": cost.currency},
        "total": estimate_json(cost.total) | {"currency": cost.currency} if cost.total else None,
        "duration_seconds": cost.duration.total_seconds() if cost.duration is not None else None,
        "ended": cost.ended,
        "as_of": time_json(cost.as_of),
        "metrics": list(cost.metrics),
    }


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """A number with its range."""
    return {
        "low": number_json(estimate.low),
        "median": number_json(estimate.median),
        "high": number_json(estimate.high),
    }


def _rival(rival: Rival) -> dict[str, Any]:
    return {
        "deployment_id": rival.deployment_id,
        "service": rival.service,
        "started_at": time_json(rival.started_at),
        "share_ratio": number_json(rival.share_ratio),
    }


def _look(look: Look) -> dict[str, Any]:
    return {
        "after_seconds": look.after.total_seconds(),
        "due_at": time_json(look.due_at),
        "state": look.state.value,
        "attempts": look.attempts,
        "done_at": time_json(look.done_at),
        "outcome": look.outcome.value if look.outcome else None,
        "reason": look.reason,
        "account": dict(look.account),
    }


def number_json(value: float | None) -> float | None:
    """A number that JSON knows; null for the others."""
    return value if value is not None and isfinite(value) else None
