"""What moved everything at once: a sale, an outage of a provider. It blames nobody."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from datetime import timedelta

from afdp_exporter.impact.case import Case, possible_onsets
from afdp_exporter.impact.sequence import ordered
from afdp_exporter.model import Attribution, Occasion, OccasionKind, Shift

_NO_CAUSE = frozenset(
    {OccasionKind.FREEZE, OccasionKind.INCIDENT}
)  # a freeze moves nothing, an incident is opened after
_BESIDE = 0.1  # what is left of the chance that the deployment did it


def common_shock(shifts: Iterable[Shift], case: Case) -> tuple[Shift, ...]:
    """Blame nobody for what moved everything at once.

    That is: the same metric of at least half of the other services (two of them, where there are as many) moved the
    same way at the same time; or an event of the calendar begins or ends at the onset.
    """
    return tuple(
        replace(
            shift,
            verdict=Attribution.NOT_DISTINGUISHABLE,
            reason=reason,
            attribution_ratio=None if shift.attribution_ratio is None else _BESIDE * shift.attribution_ratio,
        )
        if shift.moved and (reason := _shock(shift, case))
        else shift
        for shift in shifts
    )


def hear_witnesses(
    shift: Shift, watched: Collection[str], ask: Callable[[str], Shift | None], step: timedelta
) -> dict[str, Shift]:
    """What other services' series of the same metric did, of as few as settle whether a common cause is seen.

    `watched` are all that could be asked about any metric; `ask` gives None for one that has no such series.
    """
    heard, moved = dict[str, Shift](), 0
    for asked, service in enumerate(watched):
        if moved >= _majority(len(watched)) or moved + len(watched) - asked < _majority(len(watched)):
            break
        if (found := ask(service)) is not None:
            heard[service] = found
            moved += _together(shift, found, step)
    return heard


def _majority(watched: int) -> float:
    return max(min(2, watched), watched / 2)


def _shock(shift: Shift, case: Case) -> str | None:
    occasion = next((entry for entry in case.calendar if _at_edge(shift, entry, case)), None)
    elsewhere = [
        service
        for service, found in case.elsewhere.items()
        if service != case.deployment.service and any(_together(shift, other, case.step) for other in found)
    ]
    watched = [service for service in case.elsewhere if service != case.deployment.service]
    spread = bool(watched) and len(elsewhere) >= _majority(len(watched))
    if occasion is not None:
        also = f", and {', '.join(elsewhere)} moved the same way" if spread else ""
        return f"at the same time as {occasion.name} ({occasion.kind}){also}: it is not told apart from that"
    if spread:
        return f"{', '.join(elsewhere)} moved the same way at the same time: a common cause, not this deployment"
    return None


def _at_edge(shift: Shift, occasion: Occasion, case: Case) -> bool:
    """Whether the shift began when the event began or ended."""
    if occasion.kind in _NO_CAUSE:
        return False
    low, high = possible_onsets(shift, case)
    return any(low - case.short_window <= edge <= high + 2 * case.step for edge in (occasion.start, occasion.end))


def _together(shift: Shift, other: Shift, step: timedelta) -> bool:
    """Whether another service's metric moved the same way, at the same time as far as that is known.

    It is no matter of blame there: a change that began before this deployment's window is a witness, too.
    """
    changed = other.low is not None and other.high is not None and other.low * other.high > 0
    if other.metric != shift.metric or not (other.moved or changed):
        return False
    if (shift.change or 0.0) * (other.change or 0.0) <= 0:
        return False
    return ordered(shift, other, step) == 0
