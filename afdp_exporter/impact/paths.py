"""Which metric may follow which, as it was declared beforehand."""

from collections.abc import Iterable, Mapping

from afdp_exporter.model import Layer, Metric, Service

_RANK = {Layer.TECHNICAL: 0, Layer.SYSTEM: 0, Layer.USER: 1, Layer.BUSINESS: 2}


class Paths:
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


def reachable(start: str, edges: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """All that can be reached from `start` along the edges, itself left out."""
    found: set[str] = set()
    ahead = list(edges.get(start, ()))
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += edges.get(name, ())
    return frozenset(found - {start})
