"""What is usual for a service by the reports of its earlier deployments, where the history of the series is shorter.

A movement that came and went, as it did after at least four earlier deployments and three in four of those that were
measured, is usual; so is a value that each of them brought to the same level, where that does no harm. What goes beyond
it is held against how much the earlier ones differed among themselves.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from statistics import median, stdev

from scipy.special import stdtrit

from afdp_exporter.detectors.epochs import ALIKE, LEAST, MOST
from afdp_exporter.impact.case import Case
from afdp_exporter.model import Attribution, Measured, Shift, Usual

_FACTOR = 2.0  # sizes, and durations, that differ by less from their median are alike
_SAME_LEVEL = 0.25  # of the change: levels that differ by less are the same
_EXPLAINED = 0.1  # what is left of the chance that this deployment did what all of them do
_RESOLUTION = 2  # steps by which durations always may differ


def usual_by_reports(shifts: Iterable[Shift], case: Case) -> tuple[Shift, ...]:
    """The shifts, without those that are usual for this service by what is known of its earlier deployments."""
    reports = [record for record in case.past if _comparable(record, case)][-MOST:]
    return tuple(_usual(shift, reports, case) if shift.moved and shift.usual is None else shift for shift in shifts)


def _comparable(record: Measured, case: Case) -> bool:
    own, other = case.deployment, record.deployment
    same = (own.service, own.environment) == (other.service, other.environment)
    return same and other.id != own.id and record.impact is not None


def _usual(shift: Shift, reports: list[Measured], case: Case) -> Shift:
    earlier = [
        entry
        for record in reports
        if record.impact is not None
        for entry in record.impact.shifts
        if entry.metric == shift.metric and entry.change is not None
    ]
    passes = shift.verdict is Attribution.TRANSIENT
    if len(earlier) < LEAST or shift.change is None or not (passes or shift.harmful is False):
        return shift
    alike = [entry for entry in earlier if _moved(entry) and _raw(entry) * shift.change > 0.0]
    alike = _near(alike, case.step) if passes else _same_level(alike, shift)
    if len(alike) < max(LEAST, ALIKE * len(earlier)):
        return shift
    return _beyond(shift, alike, len(earlier))


def _moved(entry: Shift) -> bool:
    return entry.moved or entry.usual is not None


def _raw(entry: Shift) -> float:
    """How far it moved in all: what was usual, and what went beyond it."""
    return (entry.change or 0.0) + (0.0 if entry.usual is None else entry.usual.change)


def _lasted(entry: Shift) -> timedelta | None:
    return entry.duration if entry.usual is None else entry.usual.duration


def _median(durations: list[timedelta]) -> timedelta:
    return timedelta(seconds=median(each.total_seconds() for each in durations))


def _near(entries: list[Shift], step: timedelta) -> list[Shift]:
    """Those that came and went, as far and as long as most of them."""
    passed = [(entry, _raw(entry), lasted) for entry in entries if (lasted := _lasted(entry)) is not None]
    if not passed:
        return []
    size, length = median(raw for _, raw, _ in passed), _median([lasted for _, _, lasted in passed])
    return [
        entry
        for entry, raw, lasted in passed
        if size / _FACTOR <= raw <= size * _FACTOR or size * _FACTOR <= raw <= size / _FACTOR
        if length / _FACTOR - _RESOLUTION * step <= lasted <= length * _FACTOR + _RESOLUTION * step
    ]


def _same_level(entries: list[Shift], shift: Shift) -> list[Shift]:
    """Those after which the metric was at one level, this shift as well; none where it is not."""
    after = [(entry, entry.after) for entry in entries if entry.after is not None]
    if not after or shift.after is None or shift.change is None:
        return []
    level, room = median(value for _, value in after), _SAME_LEVEL * abs(shift.change)
    return [entry for entry, value in after if abs(value - level) <= room] if abs(shift.after - level) <= room else []


def _beyond(shift: Shift, alike: list[Shift], compared: int) -> Shift:
    """The shift as far as it goes beyond the alike ones: a prediction interval for one more of them."""
    sizes = [_raw(entry) for entry in alike]
    usual, k = median(sizes), len(sizes)
    half = float(stdtrit(k - 1, 0.95)) * stdev(sizes) * (1.0 + 1.0 / k) ** 0.5
    lengths = [lasted for entry in alike if (lasted := _lasted(entry)) is not None]
    known = Usual(count=k, compared=compared, change=usual, duration=_median(lengths) if lengths else None)
    change = (shift.change or 0.0) - usual
    own = 0.0 if shift.high is None or shift.low is None else (shift.high - shift.low) / 2.0
    reach = (half**2 + own**2) ** 0.5
    further = replace(shift, usual=known, change=change, change_ratio=_ratio(change, shift))
    if abs(change) > reach and change * usual > 0.0:
        reason = f"{shift.reason}; further than usual for this service, as after {k} of {compared} earlier deployments"
        return replace(further, reason=reason, low=change - reach, high=change + reach)
    reason = f"usual for this service: the same followed {k} of {compared} earlier deployments"
    return replace(
        further,
        verdict=Attribution.NO_EFFECT,
        reason=reason,
        p_value=None,
        attribution_ratio=None if shift.attribution_ratio is None else _EXPLAINED * shift.attribution_ratio,
        onset=None,
        onset_low=None,
        onset_high=None,
        duration=None,
        recovered_at=None,
        shape=None,
        low=None,  # it came and went: how far such heights differ is no range of what has stayed
        high=None,
    )


def _ratio(change: float, shift: Shift) -> float | None:
    return change / abs(shift.before) if shift.before else None
