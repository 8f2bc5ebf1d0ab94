"""In what order the shifts came: a chain over layers, told only where time and layers allow it.

Tests of Granger's kind find 37 to 43 % false links between series that merely shift together, so nothing here looks
at correlation. A step of the chain needs a path that was declared beforehand (layers, `leads_to`, the call graph),
a gap of at least two samples, and onset intervals that do not touch; else it happened "at the same time".
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from afdp_exporter.impact.case import MOVED, Case, onset_range
from afdp_exporter.model import Layer, Link, Measured, Metric, Service, Shift

_RANK = {Layer.TECHNICAL: 0, Layer.SYSTEM: 0, Layer.USER: 1, Layer.BUSINESS: 2}
_GAP_SAMPLES = 2


class Paths:
    """Which metric may follow which, as declared: by the layers, by `leads_to`, and by the services' call graph."""

    def __init__(self, metrics: Iterable[Metric], services: Mapping[str, Service]) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        leads_to = {name: metric.leads_to for name, metric in self._metrics.items()}
        calls = {name: service.depends_on for name, service in services.items()}
        self._declared = {name: _reachable(name, leads_to) for name in leads_to}
        self._needs = {name: _reachable(name, calls) for name in calls}
        self._owners = {
            name: {service.name for service in services.values() if name in (service.metrics or ())}
            for name in leads_to
        }

    def allowed(self, cause: str, effect: str) -> bool:
        """Whether `effect` may follow `cause`. A declared `leads_to` beats the order of the layers."""
        if cause == effect or cause not in self._metrics or effect not in self._metrics:
            return False
        if self.declared(cause, effect):
            return True
        if self.declared(effect, cause):
            return False
        return self._by_layer(cause, effect) or self._by_calls(cause, effect)

    def declared(self, cause: str, effect: str) -> bool:
        """Whether `leads_to` names the effect, directly or over other metrics."""
        return effect in self._declared.get(cause, ())

    def _by_layer(self, cause: str, effect: str) -> bool:
        first, second = self._metrics[cause].layer, self._metrics[effect].layer
        if Layer.CUSTOM in (first, second) or {first, second} == {Layer.TECHNICAL, Layer.SYSTEM}:
            return first is not second
        return _RANK[first] < _RANK[second]

    def _by_calls(self, cause: str, effect: str) -> bool:
        """The caller suffers from what it calls."""
        return any(
            callee in self._needs.get(caller, ())
            for callee in self._owners[cause]
            for caller in self._owners[effect]
            if callee != caller
        )


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

    An upstream shift that is itself too late supports nothing.
    """
    stood: list[Shift] = []
    found: dict[str, bool] = {}
    by_name = {shift.metric: shift for shift in shifts}
    for metric in (metric for stage in stages(case.metrics) for metric in stage):
        shift = by_name.get(metric.name)
        if shift is None or shift.verdict not in MOVED:
            continue
        found[metric.name] = _in_time(shift, stood, case)
        if found[metric.name]:
            stood.append(shift)
    return found


def links(shifts: Iterable[Shift], case: Case) -> tuple[Link, ...]:
    """The steps of the chain, one cause an effect, in order of time; the sentences are left empty.

    Among several causes that came before, those with another one between them and the effect give way to it; then
    a declared path, how often the same step was seen before, and the later onset decide.
    """
    moved = sorted((shift for shift in shifts if shift.verdict in MOVED and shift.onset), key=_onset)
    paths = Paths(case.metrics, case.services)
    seen = _seen(case.past, case)
    found: list[Link] = []
    for effect in moved:
        allowed = [cause for cause in moved if paths.allowed(cause.metric, effect.metric)]
        before = [cause for cause in allowed if ordered(cause, effect, case.step) > 0]
        beside = [cause for cause in allowed if ordered(cause, effect, case.step) == 0]
        if before:
            nearest = [cause for cause in before if not _mediated(cause, before, paths, case.step)]
            cause = max(
                nearest,
                key=lambda cause: (
                    paths.declared(cause.metric, effect.metric),
                    seen.get((cause.metric, effect.metric), 0),
                    _onset(cause),
                ),
            )
            found.append(_link(cause, effect, seen, together=False))
        if beside:
            closest = min(beside, key=lambda cause: abs(_onset(cause) - _onset(effect)))
            found.append(_link(closest, effect, seen, together=True))
    return tuple(found)


def _link(cause: Shift, effect: Shift, seen: Mapping[tuple[str, str], int], *, together: bool) -> Link:
    return Link(
        cause=cause.metric,
        effect=effect.metric,
        lag=timedelta(0) if together else _onset(effect) - _onset(cause),
        together=together,
        seen_before=0 if together else seen.get((cause.metric, effect.metric), 0),
        sentence="",
    )


def _seen(past: Iterable[Measured], case: Case) -> dict[tuple[str, str], int]:
    """How many earlier deployments of this service each step followed."""
    counted: dict[tuple[str, str], int] = {}
    for measured in past:
        if measured.impact is None or measured.deployment.service != case.deployment.service:
            continue
        for step in {(link.cause, link.effect) for link in measured.impact.links if not link.together}:
            counted[step] = counted.get(step, 0) + 1
    return counted


def ordered(first: Shift, second: Shift, step: timedelta) -> int:
    """1 where `first` certainly began before `second`, -1 where after, 0 where the order cannot be told."""
    if first.onset is None or second.onset is None:
        return 0
    return int(_precedes(first, second, step)) - int(_precedes(second, first, step))


def _precedes(first: Shift, second: Shift, step: timedelta) -> bool:
    gap = _onset(second) - _onset(first)
    return gap >= _GAP_SAMPLES * step and onset_range(first, step)[1] < onset_range(second, step)[0]


def _mediated(cause: Shift, causes: list[Shift], paths: Paths, step: timedelta) -> bool:
    return any(paths.allowed(cause.metric, other.metric) and _precedes(cause, other, step) for other in causes)


def _upstream(name: str, shifts: Iterable[Shift], case: Case) -> list[Shift]:
    paths = Paths(case.metrics, case.services)
    return [shift for shift in shifts if shift.verdict in MOVED and shift.onset and paths.allowed(shift.metric, name)]


def _in_time(shift: Shift, stood: list[Shift], case: Case) -> bool:
    if shift.onset is None:  # gradual: the judge itself held the window
        return True
    first, _ = onset_range(shift, case.step)
    if first <= case.deployment.ended_at + case.short_window:
        return True
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


def _reachable(start: str, edges: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    found: set[str] = set()
    ahead = list(edges.get(start, ()))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += edges.get(name, ())
    return frozenset(found - {start})
