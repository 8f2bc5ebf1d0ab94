"""In what order the shifts came: a chain over layers, told only where time and layers allow it.

Tests of Granger's kind find 37 to 43 % false links between series that merely shift together, so nothing here looks
at correlation. A step of the chain needs a path that was declared beforehand (layers, `leads_to`, the call graph),
a gap of at least two samples, and onset intervals that do not touch; else it happened "at the same time". Which of
several metrics that moved together it followed on is told only where `leads_to` or earlier deployments say so; where
one deployment is too few to tell the order of two metrics, their mean lag over earlier ones of the service may.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import copysign, hypot

from afdp_exporter.impact.case import Case, onset_range
from afdp_exporter.impact.paths import Paths
from afdp_exporter.model import Attribution, Impact, Layer, Link, Measured, Metric, Shift

_GAP_SAMPLES = 2
_APART = 2.33  # standard errors: as far apart as two normal onsets of one width whose 90 % ranges just touch


def stages(metrics: Iterable[Metric]) -> tuple[tuple[Metric, ...], ...]:
    """The order in which metrics are judged, so that each comes after all that it may follow."""
    ordered = tuple(metrics)
    known = {metric.name: metric for metric in ordered}
    place = {metric.name: (_stage_of(metric), 0) for metric in ordered}
    for _ in ordered:  # a longest path cannot be longer; declared circles end here too
        for metric in ordered:
            rank, depth = place[metric.name]
            for following in metric.leads_to:
                if following in known:
                    place[following] = max(place[following], (rank, depth + 1))
    return tuple(
        tuple(metric for metric in ordered if place[metric.name] == stage) for stage in sorted(set(place.values()))
    )


def respond_within(metric: Metric, shifts: Iterable[Shift], case: Case) -> float | None:
    """How many seconds after the rollout the onset of `metric` may come, given what moved before it.

    The window of a layer opens at the onset of its attributed upstream shift and is as long as the layer's lag.
    None, the short window, where nothing upstream moved: else every later wobble would be blamed.
    """
    lag = case.settings.lags.of(metric.layer)
    ends = [onset_range(shift, case.step)[1] + lag for shift in _upstream(metric.name, shifts, case)]
    within = max(ends) - case.deployment.ended_at if ends else case.short_window
    return within.total_seconds() if within > case.short_window else None


def supported(shifts: tuple[Shift, ...], case: Case) -> dict[str, bool]:
    """Whether each shift that moved came in time: in the short window, or within its lag after an upstream shift.

    An upstream shift that is itself too late supports nothing, and what only came and went is never let in late.
    """
    stood: list[Shift] = []
    found: dict[str, bool] = {}
    by_name = {shift.metric: shift for shift in shifts}
    for metric in (metric for stage in stages(case.metrics) for metric in stage):
        shift = by_name.get(metric.name)
        if shift is None or not shift.moved:
            continue
        found[metric.name] = _in_time(shift, stood, case)
        if found[metric.name]:
            stood.append(shift)
    return found


def links(shifts: Iterable[Shift], case: Case) -> tuple[Link, ...]:
    """The steps of the chain in order of time; the sentences are left empty.

    Of the metrics that began before an effect and may lead to it, the last ones may be its causes: those with no
    other of them between, and those whose order cannot be told. Of several the declared ones are told, else those
    that came before this effect most often after earlier deployments, else only what moved at the same time.
    """
    moved = sorted((shift for shift in shifts if shift.moved and shift.onset), key=_onset)
    paths = Paths(case.metrics, case.services)
    earlier = [_moved(measured.impact) for measured in case.past if _same_service(measured, case)]
    found: list[Link] = []
    for effect in moved:
        causes = [cause for cause in moved if paths.allowed(cause.metric, effect.metric)]
        order = {cause.metric: _order(cause, effect, earlier, case.step) for cause in causes}
        before = _last([cause for cause in causes if order[cause.metric] > 0], case.step)
        beside = [cause for cause in causes if order[cause.metric] == 0]
        seen = {cause.metric: _times_seen(cause.metric, effect.metric, earlier) for cause in before}
        told = _told(before, beside, effect, seen, paths)
        found += [_link(cause, effect, seen[cause.metric], together=False) for cause in told]
        if beside:
            closest = min(beside, key=lambda cause: abs(_onset(cause) - _onset(effect)))
            found.append(_link(closest, effect, 0, together=True))
    return tuple(found)


def _order(first: Shift, second: Shift, earlier: Iterable[Mapping[str, Shift]], step: timedelta) -> int:
    """The order by this deployment; where it cannot tell, by the mean lag over it and the earlier ones."""
    alone = ordered(first, second, step)
    if alone or abs(_onset(second) - _onset(first)) < _GAP_SAMPLES * step:
        return alone
    pairs = [(first, second), *_both(first.metric, second.metric, earlier)]
    lags = [(_onset(two) - _onset(one)).total_seconds() for one, two in pairs]
    errors = [hypot(_error(one, step), _error(two, step)) for one, two in pairs]
    apart = abs(sum(lags)) > _APART * hypot(*errors) and len(pairs) > 1
    return int(copysign(1, sum(lags))) if apart and sum(lags) * lags[0] > 0 else 0


def _error(shift: Shift, step: timedelta) -> float:
    low, high = onset_range(shift, step)
    return max((high - low).total_seconds() / (2 * 1.645), step.total_seconds() / 4)


def _last(causes: list[Shift], step: timedelta) -> list[Shift]:
    return [cause for cause in causes if not any(ordered(cause, other, step) > 0 for other in causes)]


def _told(
    before: list[Shift], beside: list[Shift], effect: Shift, seen: Mapping[str, int], paths: Paths
) -> list[Shift]:
    """Which of the causes before the effect it followed on; none where nothing tells."""
    if len(before) + len(beside) < 2:
        return before
    evidence = {cause.metric: (paths.declared(cause.metric, effect.metric), seen[cause.metric]) for cause in before}
    rivalled = any(paths.declared(cause.metric, effect.metric) for cause in beside)
    best = max(evidence.values(), default=(False, 0))
    if not any(best) or (rivalled and not best[1]):
        return []
    return [cause for cause in before if evidence[cause.metric] == best]


def _link(cause: Shift, effect: Shift, seen: int, *, together: bool) -> Link:
    return Link(
        cause=cause.metric,
        effect=effect.metric,
        lag=timedelta(0) if together else _onset(effect) - _onset(cause),
        together=together,
        seen_before=seen,
        sentence="",
    )


def _same_service(measured: Measured, case: Case) -> bool:
    mine, other = case.deployment, measured.deployment
    return (other.service, other.environment) == (mine.service, mine.environment)


def _moved(impact: Impact | None) -> dict[str, Shift]:
    return {shift.metric: shift for shift in (impact.shifts if impact else ()) if shift.moved}


def _both(first: str, second: str, earlier: Iterable[Mapping[str, Shift]]) -> list[tuple[Shift, Shift]]:
    """The two shifts after each earlier deployment after which both moved at a known time."""
    pairs = [(moved[first], moved[second]) for moved in earlier if first in moved and second in moved]
    return [(one, two) for one, two in pairs if one.onset and two.onset]


def _times_seen(cause: str, effect: str, earlier: Iterable[Mapping[str, Shift]]) -> int:
    """After how many earlier deployments the one moved before the other."""
    return sum(_onset(one) < _onset(two) for one, two in _both(cause, effect, earlier))


def ordered(first: Shift, second: Shift, step: timedelta) -> int:
    """1 where `first` certainly began before `second`, -1 where after, 0 where the order cannot be told."""
    if first.onset is None or second.onset is None:
        return 0
    return int(_precedes(first, second, step)) - int(_precedes(second, first, step))


def _precedes(first: Shift, second: Shift, step: timedelta) -> bool:
    gap = _onset(second) - _onset(first)
    return gap >= _GAP_SAMPLES * step and onset_range(first, step)[1] < onset_range(second, step)[0]


def _upstream(name: str, shifts: Iterable[Shift], case: Case) -> list[Shift]:
    """What opens the window of a metric: only what is blamed for good, since a window is an invitation to blame."""
    paths = Paths(case.metrics, case.services)
    return [
        shift
        for shift in shifts
        if shift.verdict is Attribution.ATTRIBUTED and shift.onset and paths.allowed(shift.metric, name)
    ]


def _in_time(shift: Shift, stood: list[Shift], case: Case) -> bool:
    if shift.onset is None:  # gradual: the judge itself held the window
        return True
    first, _ = onset_range(shift, case.step)
    if first <= case.deployment.ended_at + case.short_window:
        return True
    if shift.verdict is not Attribution.ATTRIBUTED:
        return False
    lag = case.settings.lags.of(shift.layer)
    return any(
        not _precedes(shift, cause, case.step) and first <= onset_range(cause, case.step)[1] + lag
        for cause in _upstream(shift.metric, stood, case)
    )


def _onset(shift: Shift) -> datetime:
    if shift.onset is None:
        raise ValueError(f"{shift.metric} has no onset")
    return shift.onset


def _stage_of(metric: Metric) -> int:
    """Technical, system, user, business; a custom metric comes first where it declares what follows, else last."""
    order = {Layer.TECHNICAL: 0, Layer.SYSTEM: 1, Layer.USER: 2, Layer.BUSINESS: 3}
    return order.get(metric.layer, 0 if metric.leads_to else 4)
