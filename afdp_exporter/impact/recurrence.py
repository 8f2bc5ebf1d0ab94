"""Recurrence: whether the same shifts followed earlier deployments of the service, else of its team, else of all.

The fingerprint of a deployment is the first hour of its primary metrics, however far the look reaches. Shifts of an
earlier deployment that began later than this look reaches do not count, and a metric that moved after one of the two
only counts against them where the other's interval excludes it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import permutations

from afdp_exporter.impact.causal_chain import onset_order
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.verdict import ranges_overlap
from afdp_exporter.model import Deployment, MeasuredDeployment, SeenBefore, Shift

_SHARED = 2 / 3  # of the metrics that can be compared; chance moves one now and then
_SEEN = 1 / 2  # of the metrics that moved after either: the rest may be unknown
_FACTOR = 2.0  # sizes that differ by less are of the same range


def fingerprint(shifts: Iterable[Shift], first_hour: Iterable[Shift]) -> dict[str, Shift]:
    """The primary shifts by metric: what moved in the first hour (in the whole look, where nothing did), what did not.

    What moved only later is left out.
    """
    primary = [shift for shift in shifts if shift.primary]
    early = [shift for shift in first_hour if shift.primary]
    moved = early or [shift for shift in primary if shift.moved]
    return {shift.metric: shift for shift in (*(shift for shift in primary if not shift.moved), *moved)}


def seen_before(now: Mapping[str, Shift], context: AnalysisContext) -> SeenBefore:
    """Earlier deployments with the same fingerprint: metrics, directions, order, and sizes within range.

    The nearest scope in which there are any answers: the same service, its team, then all.
    """
    if not any(shift.moved for shift in now.values()):
        return SeenBefore()
    mine = context.deployment
    earlier = [
        record
        for record in context.past
        if record.deployment.started_at < mine.started_at and record.deployment.environment == mine.environment
    ]
    scopes: tuple[tuple[str, Callable[[Deployment], bool]], ...] = (
        ("service", lambda other: other.service == mine.service),
        ("team", lambda other: mine.team is not None and other.team == mine.team),
        ("all", lambda _: True),
    )
    order = _certain_order(now, context.step)
    for scope, belongs in scopes:
        found = [
            record.deployment
            for record in earlier
            if belongs(record.deployment) and _same_fingerprint(now, _as_of_now(record, context), order, context.step)
        ]
        if found:
            newest = sorted(found, key=lambda other: other.started_at, reverse=True)
            return SeenBefore(count=len(newest), deployment_ids=tuple(other.id for other in newest), scope=scope)
    return SeenBefore()


def _certain_order(shifts: Mapping[str, Shift], step: timedelta) -> list[tuple[str, str]]:
    """The pairs of metrics of which the first certainly moved before the second."""
    moved = [name for name in shifts if _moved(shifts, name)]
    return [(one, two) for one, two in permutations(moved, 2) if onset_order(shifts[one], shifts[two], step) > 0]


def _same_fingerprint(
    first: Mapping[str, Shift], second: Mapping[str, Shift], order: Iterable[tuple[str, str]], step: timedelta
) -> bool:
    """Whether two fingerprints are the same story: most of what moved is shared, and none of it contradicts.

    `order` is what is certain of the first.
    """
    moved = {name for each in (first, second) for name, shift in each.items() if shift.moved}
    shared = {name for name in moved if _moved(first, name) and _moved(second, name)}
    against = [name for name in moved if name not in shared and _ruled_out(first.get(name), second.get(name))]
    if not shared or len(shared) < max(_SEEN * len(moved), _SHARED * (len(shared) + len(against))):
        return False
    if not all(_same_size(first[name], second[name]) for name in shared):
        return False
    return not any(
        one in shared and two in shared and onset_order(second[one], second[two], step) < 0 for one, two in order
    )


def _as_of_now(record: MeasuredDeployment, context: AnalysisContext) -> dict[str, Shift]:
    """The fingerprint of an earlier deployment, as far as this look reaches after its own."""
    if record.impact is None:
        return {}
    reach = record.deployment.started_at + (context.now - context.deployment.started_at)
    found = fingerprint(record.impact.shifts, record.impact.first_hour)
    return {name: shift for name, shift in found.items() if shift.onset is None or shift.onset <= reach}


def _moved(shifts: Mapping[str, Shift], name: str) -> bool:
    return name in shifts and shifts[name].moved and bool(shifts[name].change)


def _ruled_out(first: Shift | None, second: Shift | None) -> bool:
    return first is not None and second is not None and not ranges_overlap(first, second)


def _same_size(first: Shift, second: Shift) -> bool:
    """In one direction, and within a factor of each other or with intervals that overlap."""
    one, other = first.change or 0.0, second.change or 0.0
    if one * other <= 0:
        return False
    if max(abs(one), abs(other)) <= _FACTOR * min(abs(one), abs(other)):
        return True
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return False
    return first.low <= second.high and second.low <= first.high
