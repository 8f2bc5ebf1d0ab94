"""Where the finding about each metric stands over the checks of a deployment."""

from collections.abc import Iterable
from dataclasses import replace

from afdp_exporter.impact.case import Case
from afdp_exporter.model import Attribution, Shift, ShiftState

_DOUBTFUL = frozenset({Attribution.INCONCLUSIVE, Attribution.NOT_DISTINGUISHABLE})


def with_states(shifts: Iterable[Shift], case: Case) -> tuple[Shift, ...]:
    """The shifts of one check, each with its state as of that check."""
    return tuple(replace(shift, state=_state(shift), as_of=case.now) for shift in shifts)


def _state(shift: Shift) -> ShiftState | None:
    if shift.moved:
        return ShiftState.ACTIVE if shift.recovered_at is None else ShiftState.RECOVERED
    return ShiftState.SUSPECTED if shift.harmful and shift.verdict in _DOUBTFUL else None
