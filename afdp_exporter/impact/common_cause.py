"""Common causes: shifts shared by control services, or at calendar boundaries, are attributed to no deployment.

Control services neither call the deployed service nor are called by it: they are negative controls (Lipsitch,
Tchetgen Tchetgen and Cohen 2010). The median of their series is the control of a difference in differences.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from afdp_exporter.detectors.robust import median, row_medians
from afdp_exporter.impact.causal_chain import onset_order, reachable
from afdp_exporter.impact.context import AnalysisContext, possible_onsets
from afdp_exporter.model import Attribution, CalendarEntry, CalendarEntryKind, Floats, Service, Shift

_NO_CAUSE = frozenset(
    {CalendarEntryKind.FREEZE, CalendarEntryKind.INCIDENT}
)  # a freeze moves nothing, an incident is opened after
_REMAINING = 0.1  # what is left of the chance that the deployment did it


def drop_common_causes(shifts: Iterable[Shift], context: AnalysisContext) -> tuple[Shift, ...]:
    """Attribute to no deployment what moved everything at once.

    That is: the same metric of at least half of the other services (two of them, where there are as many) moved the
    same way at the same time; or an event of the calendar begins or ends at the onset.
    """
    return tuple(
        replace(
            shift,
            verdict=Attribution.NOT_DISTINGUISHABLE,
            reason=reason,
            attribution_ratio=None if shift.attribution_ratio is None else _REMAINING * shift.attribution_ratio,
        )
        if shift.moved and (reason := _common_cause(shift, context))
        else shift
        for shift in shifts
    )


def sample_controls(
    shifts: Sequence[Shift],
    services: Collection[str],
    shifts_of: Callable[[Sequence[str], str], Mapping[str, Shift]],
    step: timedelta,
) -> list[dict[str, Shift]]:
    """What other services' series of the same metrics did, of as few as decide whether a shift has a common cause.

    `services` are all that could be asked about any metric; `shifts_of` gives the shifts of some metrics of one of
    them, by metric, without those of which it has no series. Returns what was heard of each shift, by service.
    """
    heard, moved = [dict[str, Shift]() for _ in shifts], [0] * len(shifts)
    quorum = _quorum(len(services))
    for asked, service in enumerate(services):
        left = len(services) - asked
        open_ones = [place for place, count in enumerate(moved) if count < quorum <= count + left]
        if not open_ones:
            break
        found = shifts_of([shifts[place].metric for place in open_ones], service)
        for place in open_ones:
            other = found.get(shifts[place].metric)
            if other is not None:
                heard[place][service] = other
                moved[place] += _coincide(shifts[place], other, step)
    return heard


def _quorum(services: int) -> float:
    return max(min(2, services), services / 2)


def _common_cause(shift: Shift, context: AnalysisContext) -> str | None:
    occasion = next((entry for entry in context.calendar if _at_edge(shift, entry, context)), None)
    elsewhere = [
        service
        for service, found in context.control_shifts.items()
        if service != context.deployment.service and any(_coincide(shift, other, context.step) for other in found)
    ]
    services = [service for service in context.control_shifts if service != context.deployment.service]
    spread = bool(services) and len(elsewhere) >= _quorum(len(services))
    if occasion is not None:
        also = f", and {', '.join(elsewhere)} moved the same way" if spread else ""
        return f"at the same time as {occasion.name} ({occasion.kind}){also}: it is not told apart from that"
    if spread:
        return f"{', '.join(elsewhere)} moved the same way at the same time: a common cause, not this deployment"
    return None


def _at_edge(shift: Shift, occasion: CalendarEntry, context: AnalysisContext) -> bool:
    """Whether the shift began when the event began or ended."""
    if occasion.kind in _NO_CAUSE:
        return False
    low, high = possible_onsets(shift, context)
    return any(low - context.short_window <= edge <= high + 2 * context.step for edge in (occasion.start, occasion.end))


def _coincide(shift: Shift, other: Shift, step: timedelta) -> bool:
    """Whether another service's metric moved the same way, at the same time as far as that is known.

    Its attribution there does not matter: a change that began before this deployment's window counts, too.
    """
    changed = other.low is not None and other.high is not None and other.low * other.high > 0
    if other.metric != shift.metric or not (other.moved or changed):
        return False
    if (shift.change or 0.0) * (other.change or 0.0) <= 0:
        return False
    return onset_order(shift, other, step) == 0


_MOST_CONTROLS = 5  # control services of one metric; more cost queries and add little to a median


def control_services(service: str, services: Mapping[str, Service]) -> tuple[str, ...]:
    """Up to five services that neither call `service` nor are called by it, however indirectly."""
    calls = {name: known.depends_on for name, known in services.items()}
    callers: dict[str, list[str]] = {}
    for name, known in services.items():
        for called in known.depends_on:
            callers.setdefault(called, []).append(name)
    touched = {service} | reachable(service, calls) | reachable(service, callers)
    return tuple(name for name in services if name not in touched)[:_MOST_CONTROLS]


def control_series(courses: Sequence[Floats]) -> Floats | None:
    """The median of several series (n,) on one grid, each over its own median size; None without any.

    A control for series of the same kind: what the deployment cannot have touched (difference in differences).
    """
    rows = np.array(courses, dtype=np.float64)
    if not rows.size:
        return None
    whole = np.isfinite(rows).all()
    sizes = row_medians(np.abs(rows)) if whole else np.array([_size(course) for course in rows])
    scaled = rows[sizes > 0.0] / sizes[sizes > 0.0, None]
    if not len(scaled):
        return None
    if np.isfinite(scaled).all():
        ranked = _ranked(scaled)
        return (ranked[(len(scaled) - 1) // 2] + ranked[len(scaled) // 2]) / 2.0
    ordered = np.sort(scaled.T, axis=1)  # NaN comes last; nanmedian takes three times as long
    known = (~np.isnan(ordered)).sum(axis=1)
    places = np.arange(len(ordered))
    lower, upper = np.maximum(known - 1, 0) // 2, np.minimum(known // 2, len(scaled) - 1)
    middle: Floats = (ordered[places, lower] + ordered[places, upper]) / 2.0
    middle[~np.isfinite(ordered).any(axis=1)] = np.nan
    return middle


def _ranked(courses: Iterable[Floats]) -> list[Floats]:
    """The least of all courses at each instant, the second, and so on: sorted by transposition, as they are few."""
    ranked = [*courses]
    for turn in range(len(ranked)):
        for low in range(turn % 2, len(ranked) - 1, 2):
            pair = ranked[low : low + 2]
            ranked[low : low + 2] = np.minimum(*pair), np.maximum(*pair)
    return ranked


def _size(course: Floats) -> float:
    finite = course[np.isfinite(course)]
    return median(np.abs(finite)) if finite.size else 0.0
