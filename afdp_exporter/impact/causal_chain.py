"""The causal chain: which metric moved after which, along paths declared beforehand.

Granger-type tests find 37 to 43 % false links between series that merely shift together, so correlation is not used. A
link needs a declared path (layers, `leads_to`, the call graph), a lag of at least two samples, and onset intervals that
do not overlap; otherwise the two moved "at the same time". Among several metrics that moved together, `leads_to` or
earlier deployments decide which one is the cause; where one deployment cannot tell the order of two metrics, their mean
lag over earlier deployments of the service may.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from math import copysign, hypot

from afdp_exporter.impact.context import AnalysisContext, onset_range
from afdp_exporter.model import NORMAL_REACH, Attribution, Impact, Layer, Link, Metric, Service, Shift

_RANK = {Layer.TECHNICAL: 0, Layer.SYSTEM: 0, Layer.USER: 1, Layer.BUSINESS: 2}  # of what can cause what


class CausalPaths:
    """Which metric may follow which, as declared: by the layers, by `leads_to`, and by the services' call graph."""

    def __init__(self, metrics: Iterable[Metric], services: Mapping[str, Service]) -> None:
        self._metrics = {metric.name: metric for metric in metrics}
        leads_to = {name: metric.leads_to for name, metric in self._metrics.items()}
        calls = {name: service.depends_on for name, service in services.items()}
        self._declared = {name: reachable(name, leads_to) & leads_to.keys() for name in leads_to}
        self._needs = {name: reachable(name, calls) for name in calls}
        self._owners = {
            name: {service.name for service in services.values() if name in (service.metrics or ())}
            for name in leads_to
        }

    def allowed(self, cause: str, effect: str) -> bool:
        """Whether `effect` may follow `cause`, directly or over metrics between them.

        A metric that declares what it leads to leads to nothing else; the others go by their layers.
        """
        if cause == effect or cause not in self._metrics or effect not in self._metrics:
            return False
        if self.declared(cause, effect):
            return True
        if self.declared(effect, cause):
            return False
        open_ends = [name for name in (cause, *self._declared[cause]) if not self._metrics[name].leads_to]
        return any(self._by_layer(name, effect) for name in open_ends) or self._by_calls(cause, effect)

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


def reachable(start: str, edges: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """All that can be reached from `start` along the edges, itself left out."""
    found: set[str] = set()
    ahead = list(edges.get(start, ()))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += edges.get(name, ())
    return frozenset(found - {start})


_GAP_SAMPLES = 2  # samples between two onsets whose order counts
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


def respond_within(
    metric: Metric, shifts: Iterable[Shift], context: AnalysisContext, paths: CausalPaths
) -> float | None:
    """How many seconds after the rollout the onset of `metric` may come, given what moved before it.

    The window of a layer opens at the onset of its attributed upstream shift and is as long as the layer's lag.
    None, the short window, where nothing upstream moved: else every later fluctuation would be attributed.
    """
    lag = context.settings.lags.of(metric.layer)
    ends = [onset_range(shift, context.step)[1] + lag for shift in _upstream(metric.name, shifts, paths)]
    within = max(ends) - context.deployment.ended_at if ends else context.short_window
    return within.total_seconds() if within > context.short_window else None


def supported(shifts: tuple[Shift, ...], context: AnalysisContext) -> dict[str, bool]:
    """Whether each shift that moved came in time: in the short window, or within its lag after an upstream shift.

    An upstream shift that is itself too late supports nothing, and what only came and went is never let in late.
    """
    paths = CausalPaths(context.metrics, context.services)
    stood: list[Shift] = []
    found: dict[str, bool] = {}
    by_name = {shift.metric: shift for shift in shifts}
    for metric in (metric for stage in stages(context.metrics) for metric in stage):
        shift = by_name.get(metric.name)
        if shift is None or not shift.moved:
            continue
        found[metric.name] = _in_time(shift, stood, context, paths)
        if found[metric.name]:
            stood.append(shift)
    return found


def causal_links(shifts: Iterable[Shift], context: AnalysisContext) -> tuple[Link, ...]:
    """The steps of the chain in order of time; the sentences are left empty.

    Of the metrics that began before an effect and may lead to it, the last ones may be its causes: those with no
    other of them between, and those whose order is unknown. Of several the declared ones are linked, else those
    that came before this effect most often after earlier deployments, else only what moved at the same time.
    """
    moved = sorted((shift for shift in shifts if shift.moved and shift.onset), key=_onset)
    paths = CausalPaths(context.metrics, context.services)
    own = context.deployment
    earlier = [_moved(measured.impact) for measured in context.past if measured.deployment.same_target(own)]
    found: list[Link] = []
    for effect in moved:
        causes = [cause for cause in moved if paths.allowed(cause.metric, effect.metric)]
        order = {cause.metric: _order(cause, effect, earlier, context.step) for cause in causes}
        before = _last_causes([cause for cause in causes if order[cause.metric] > 0], context.step)
        simultaneous = [cause for cause in causes if order[cause.metric] == 0]
        seen = {cause.metric: _times_seen(cause.metric, effect.metric, earlier) for cause in before}
        distinguished = _distinguished(before, simultaneous, effect, seen, paths)
        found += [_link(cause, effect, seen[cause.metric], together=False) for cause in distinguished]
        if simultaneous:
            closest = min(simultaneous, key=lambda cause: abs(_onset(cause) - _onset(effect)))
            found.append(_link(closest, effect, 0, together=True))
    return tuple(found)


def _order(first: Shift, second: Shift, earlier: Iterable[Mapping[str, Shift]], step: timedelta) -> int:
    """The order by this deployment; where that is unknown, by the mean lag over it and the earlier ones."""
    alone = onset_order(first, second, step)
    if alone or abs(_onset(second) - _onset(first)) < _GAP_SAMPLES * step:
        return alone
    pairs = [(first, second), *_pairs(first.metric, second.metric, earlier)]
    lags = [(_onset(two) - _onset(one)).total_seconds() for one, two in pairs]
    errors = [hypot(_error(one, step), _error(two, step)) for one, two in pairs]
    apart = abs(sum(lags)) > _APART * hypot(*errors) and len(pairs) > 1
    return int(copysign(1, sum(lags))) if apart and sum(lags) * lags[0] > 0 else 0


def _error(shift: Shift, step: timedelta) -> float:
    low, high = onset_range(shift, step)
    return max((high - low).total_seconds() / (2 * NORMAL_REACH), step.total_seconds() / 4)


def _last_causes(causes: list[Shift], step: timedelta) -> list[Shift]:
    return [cause for cause in causes if not any(onset_order(cause, other, step) > 0 for other in causes)]


def _distinguished(
    before: list[Shift], simultaneous: list[Shift], effect: Shift, seen: Mapping[str, int], paths: CausalPaths
) -> list[Shift]:
    """Which of the causes before the effect it followed; none where nothing distinguishes them."""
    if len(before) + len(simultaneous) < 2:
        return before
    evidence = {cause.metric: (paths.declared(cause.metric, effect.metric), seen[cause.metric]) for cause in before}
    rivalled = any(paths.declared(cause.metric, effect.metric) for cause in simultaneous)
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


def _moved(impact: Impact | None) -> dict[str, Shift]:
    return {shift.metric: shift for shift in (impact.shifts if impact else ()) if shift.moved}


def _pairs(first: str, second: str, earlier: Iterable[Mapping[str, Shift]]) -> list[tuple[Shift, Shift]]:
    """The two shifts after each earlier deployment after which both moved at a known time."""
    pairs = [(moved[first], moved[second]) for moved in earlier if first in moved and second in moved]
    return [(one, two) for one, two in pairs if one.onset and two.onset]


def _times_seen(cause: str, effect: str, earlier: Iterable[Mapping[str, Shift]]) -> int:
    """After how many earlier deployments the one moved before the other."""
    return sum(_onset(one) < _onset(two) for one, two in _pairs(cause, effect, earlier))


def onset_order(first: Shift, second: Shift, step: timedelta) -> int:
    """1 where `first` certainly began before `second`, -1 where after, 0 where the order is unknown."""
    if first.onset is None or second.onset is None:
        return 0
    return int(_precedes(first, second, step)) - int(_precedes(second, first, step))


def _precedes(first: Shift, second: Shift, step: timedelta) -> bool:
    gap = _onset(second) - _onset(first)
    return gap >= _GAP_SAMPLES * step and onset_range(first, step)[1] < onset_range(second, step)[0]


def _upstream(name: str, shifts: Iterable[Shift], paths: CausalPaths) -> list[Shift]:
    """What opens the window of a metric: lasting attributed shifts only; longer windows raise false alarms."""
    lasting = [shift for shift in shifts if shift.verdict is Attribution.ATTRIBUTED and shift.onset]
    return [shift for shift in lasting if paths.allowed(shift.metric, name)]


def _in_time(shift: Shift, stood: list[Shift], context: AnalysisContext, paths: CausalPaths) -> bool:
    if shift.onset is None:  # gradual: the judge itself held the window
        return True
    first, _ = onset_range(shift, context.step)
    if first <= context.deployment.ended_at + context.short_window:
        return True
    if shift.verdict is not Attribution.ATTRIBUTED:
        return False
    lag = context.settings.lags.of(shift.layer)
    return any(
        not _precedes(shift, cause, context.step) and first <= onset_range(cause, context.step)[1] + lag
        for cause in _upstream(shift.metric, stood, paths)
    )


def _onset(shift: Shift) -> datetime:
    if shift.onset is None:
        raise ValueError(f"{shift.metric} has no onset")
    return shift.onset


def _stage_of(metric: Metric) -> int:
    """Technical, system, user, business; a custom metric comes first where it declares what follows, else last."""
    order = {Layer.TECHNICAL: 0, Layer.SYSTEM: 1, Layer.USER: 2, Layer.BUSINESS: 3}
    return order.get(metric.layer, 0 if metric.leads_to else 4)
