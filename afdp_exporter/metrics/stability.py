"""DORA's measures of stability, as metric families: change failure rate and time to restore."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from afdp_exporter.model import Stability

_PLACE = ("service", "environment")
_OF_PLACES = 50  # of so many series of the cap, one place is shown
_FAMILIES = {
    "afdp_change_failure_ratio": "Share of the judged deployments of the last 30 days that failed.",
    "afdp_change_failure_ratio_lower": "5 % point of the change failure rate of the last 30 days.",
    "afdp_change_failure_ratio_upper": "95 % point of the change failure rate of the last 30 days.",
    "afdp_change_failure_deployments": "Judged deployments behind the change failure rate.",
    "afdp_time_to_restore_seconds": "Median time from a failed deployment to its remedy or recovery, of 30 days.",
    "afdp_time_to_restore_deployments": "Restored failed deployments behind the time to restore.",
}


class StabilityBoard(Collector):
    """Holds the measures of each service and environment, replaced as a whole; under a cap, of those with most."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self._places: Mapping[tuple[str, str], Stability] = {}

    def show(self, places: Mapping[tuple[str, str], Stability]) -> None:
        """Show these instead of those before."""
        ordered = sorted(places.items(), key=lambda item: item[1].deployments)
        self._places = dict(ordered[-(self.cap // _OF_PLACES) :])

    def describe(self) -> Iterator[Metric]:
        """The names, for whoever asks for some of them only."""
        return iter(_families().values())

    def collect(self) -> Iterator[Metric]:
        """All families that hold anything."""
        families = _families()
        for place, stability in self._places.items():
            for name, value in _figures(stability):
                families[name].add_metric(place, value)
        return (family for family in families.values() if family.samples)


def _families() -> dict[str, GaugeMetricFamily]:
    return {name: GaugeMetricFamily(name, meaning, labels=_PLACE) for name, meaning in _FAMILIES.items()}


def _figures(stability: Stability) -> Iterator[tuple[str, float]]:
    ratio, restored = stability.change_failure_ratio, stability.time_to_restore
    if ratio is not None:
        yield "afdp_change_failure_ratio", ratio.median
        yield "afdp_change_failure_ratio_lower", ratio.low
        yield "afdp_change_failure_ratio_upper", ratio.high
        yield "afdp_change_failure_deployments", stability.deployments
    if restored is not None:
        yield "afdp_time_to_restore_seconds", restored.total_seconds()
        yield "afdp_time_to_restore_deployments", stability.restored
