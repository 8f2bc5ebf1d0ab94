"""What the first hour showed, kept where a longer look can no longer tell.

Over a day a metric wanders further by itself than within an hour, so a look after a day may lose what a look after an
hour saw clearly. Not to see it any more is no evidence that it was not there: only a range that excludes it is.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.shift import may_be_as_large
from afdp_exporter.model import Attribution, Shift

_FIRST = timedelta(hours=1)
_LONGER = timedelta(hours=4)  # a look that reaches less far still compares stretches of an hour
_SILENT = frozenset({Attribution.INCONCLUSIVE, Attribution.INSUFFICIENT_HISTORY})


def first_hour(case: Case) -> Case | None:
    """The case as it was known an hour after the rollout; None where the look hardly reaches further than that."""
    if case.now < case.deployment.ended_at + _LONGER:
        return None
    now = case.deployment.ended_at + _FIRST
    return replace(case, now=now, others=tuple(other for other in case.others if other.started_at <= now))


def kept(shifts: Iterable[Shift], moved: Iterable[Shift]) -> tuple[Shift, ...]:
    """The shifts of a long look; where it cannot tell, what moved in the first hour, as it was known then."""
    seen = {shift.metric: shift for shift in moved}
    return tuple(
        _kept(seen[shift.metric]) if shift.metric in seen and _lost(shift, seen[shift.metric]) else shift
        for shift in shifts
    )


def _lost(shift: Shift, early: Shift) -> bool:
    """Whether the long look is silent about a metric, and does not rule out what the first hour showed."""
    silent = shift.verdict in _SILENT or (shift.verdict is Attribution.NO_EFFECT and shift.onset is None)
    return silent and may_be_as_large(shift, early)


def _kept(early: Shift) -> Shift:
    return replace(
        early, reason=f"in the first hour {early.reason}; since then it cannot be told from its own wandering"
    )
