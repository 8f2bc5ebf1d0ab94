"""Whether the same thing happened before: in the past of this service, else of its team, else of all."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import combinations

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.sequence import ordered
from afdp_exporter.model import Deployment, SeenBefore, Shift

_SHARED = 2 / 3  # of the metrics that moved in either; a metric in three may have stayed below what can be seen
_FACTOR = 2.0  # sizes that differ by less are of the same range


def seen_before(shifts: Iterable[Shift], case: Case) -> SeenBefore:
    """Earlier deployments with the same fingerprint: metrics, directions, order, and sizes within range.

    The nearest scope in which there are any answers: the same service, its team, then all.
    """
    now = _moved(shifts)
    if not now:
        return SeenBefore()
    same = [
        record.deployment
        for record in case.past
        if record.impact is not None
        and record.deployment.started_at < case.deployment.started_at
        and record.deployment.environment == case.deployment.environment
        and alike(now, _moved(record.impact.shifts), case.step)
    ]
    mine = case.deployment
    scopes: tuple[tuple[str, Callable[[Deployment], bool]], ...] = (
        ("service", lambda other: other.service == mine.service),
        ("team", lambda other: mine.team is not None and other.team == mine.team),
        ("all", lambda _: True),
    )
    for scope, belongs in scopes:
        found = [other for other in same if belongs(other)]
        if found:
            newest = sorted(found, key=lambda other: other.started_at, reverse=True)
            return SeenBefore(count=len(newest), deployment_ids=tuple(other.id for other in newest), scope=scope)
    return SeenBefore()


def alike(first: dict[str, Shift], second: dict[str, Shift], step: timedelta) -> bool:
    """Whether two sets of shifts are the same story: two thirds of the metrics shared, none of them contradicting."""
    shared = first.keys() & second.keys()
    if not shared or len(shared) < _SHARED * len(first.keys() | second.keys()):
        return False
    if not all(_same_size(first[name], second[name]) for name in shared):
        return False
    return not any(
        ordered(first[one], first[other], step) * ordered(second[one], second[other], step) < 0
        for one, other in combinations(sorted(shared), 2)
    )


def _moved(shifts: Iterable[Shift]) -> dict[str, Shift]:
    return {shift.metric: shift for shift in shifts if shift.moved and shift.change}


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
