"""Where the finding about each metric stands over the checks of a deployment.

What an earlier check found fades by evidence alone: the metric is back, another cause explains it, or the range that
is measured now excludes it. A check that cannot tell keeps it, as of the data that it rests on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.horizons import lost
from afdp_exporter.impact.recovery import Recovery, successors
from afdp_exporter.model import Attribution, Shift, ShiftState

_DOUBTFUL = frozenset({Attribution.INCONCLUSIVE, Attribution.NOT_DISTINGUISHABLE})


def with_states(shifts: Iterable[Shift], case: Case, recoveries: Mapping[str, Recovery]) -> tuple[Shift, ...]:
    """The shifts of one check, in the light of the last one, each with its state and the data that rests on."""
    known = {shift.metric: shift for shift in (case.before.shifts if case.before else ()) if _found(shift)}
    return tuple(_stands(shift, known.get(shift.metric), recoveries.get(shift.metric), case) for shift in shifts)


def _found(shift: Shift) -> bool:
    return shift.state is not None and shift.state.found


def _stands(shift: Shift, known: Shift | None, since: Recovery | None, case: Case) -> Shift:
    if shift.moved:
        return _lasting(shift, since, case)
    if known is None:
        doubtful = shift.harmful and shift.verdict in _DOUBTFUL
        return replace(shift, state=ShiftState.SUSPECTED if doubtful else None, as_of=case.now)
    if lost(shift, known, since):
        return _lasting(known, since, case)
    found = f"{known.reason}, as an earlier check found; since then: {shift.reason}"
    return replace(shift, state=ShiftState.WITHDRAWN, as_of=case.now, reason=found)


def _lasting(shift: Shift, since: Recovery | None, case: Case) -> Shift:
    """What moved, with its end: it came and went, or has returned since, or was replaced, or goes on."""
    if shift.verdict is Attribution.TRANSIENT and shift.recovered_at is not None:
        return replace(shift, state=ShiftState.RECOVERED, as_of=case.now, ended_by=_ended_by(shift, case))
    if since is None:
        return replace(shift, state=shift.state or ShiftState.ACTIVE, as_of=shift.as_of or case.now)
    end = since.at or since.as_of
    if since.state is ShiftState.REPLACED:
        end = next(other.started_at for other in successors(case) if other.id == since.ended_by)
    return replace(
        shift,
        state=since.state,
        as_of=since.as_of,
        recovered_at=since.at,
        ended_by=since.ended_by if since.state is not ShiftState.ACTIVE else None,
        duration=max(end - (shift.onset or case.deployment.started_at), timedelta(0)),
    )


def _ended_by(shift: Shift, case: Case) -> str | None:
    """The deployment of the service in whose window a metric was back."""
    back = shift.recovered_at
    inside = (
        other.id
        for other in successors(case)
        if back is not None and other.started_at - case.step <= back <= other.ended_at + case.short_window
    )
    return next(inside, None)
