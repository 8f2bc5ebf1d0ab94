"""What new versions show before they have all the traffic, as metric families: canaries, and greens before a switch."""

from collections.abc import Iterator
from math import isfinite

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from afdp_exporter.metrics.units import absolute_change
from afdp_exporter.model import CanaryVerdict, Deployment, Estimate, Rollout

_OF_DEPLOYMENT = ("deployment_id", "service", "environment")
_FAMILIES = {
    "afdp_rollout_traffic_ratio": ("The share of the traffic that a canary has.", ()),
    "afdp_rollout_confidence_ratio": ("How probable it is that going on with a rollout does no harm.", ()),
    "afdp_rollout_verdict": (
        "1 for what a canary's metric is beside the stable version's: worse, better, same or undecided.",
        ("metric", "verdict"),
    ),
    "afdp_rollout_change": (
        "What a canary's metric changes by at full traffic, in its own unit.",
        ("metric", "quantile"),
    ),
    "afdp_rollout_absolute_change_seconds": (
        "By how many seconds a canary's metric in seconds changes at full traffic.",
        ("metric", "quantile"),
    ),
    "afdp_rollout_absolute_change_ratio": (
        "By how much a canary's ratio changes at full traffic, 0.01 is one percentage point.",
        ("metric", "quantile"),
    ),
    "afdp_rollout_absolute_change_per_hour": (
        "By how much money per hour a canary's metric of money changes at full traffic.",
        ("metric", "currency", "quantile"),
    ),
    "afdp_rollout_cost_per_hour": ("What a canary costs an hour at full traffic.", ("currency", "quantile")),
    "afdp_rollout_decidable_seconds": (
        "How long until a change of a canary's metric that matters would show; absent where it is decided.",
        ("metric",),
    ),
}
_MOST = 100  # rollouts at once


class Rollouts(Collector):
    """Holds what each rollout under way shows by now, under a cap."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[Deployment, Rollout]] = {}

    def show(self, deployment: Deployment, rollout: Rollout) -> None:
        """Show a rollout as it is now."""
        self._shown.pop(deployment.id, None)
        self._shown[deployment.id] = deployment, rollout
        while len(self._shown) > _MOST:
            del self._shown[next(iter(self._shown))]

    def forget(self, deployment_id: str) -> None:
        """It is over: its series go stale."""
        self._shown.pop(deployment_id, None)

    def describe(self) -> Iterator[Metric]:
        """The families without samples."""
        return (_family(name) for name in _FAMILIES)

    def collect(self) -> Iterator[Metric]:
        """All that is under way; families without a sample are left out."""
        families = {name: _family(name) for name in _FAMILIES}
        for deployment, rollout in self._shown.values():
            whose = (deployment.id, deployment.service, deployment.environment)
            for name, labels, value in _samples(rollout):
                if isfinite(value):
                    families[name].add_metric((*whose, *labels), value)
        return (family for family in families.values() if family.samples)


def _family(name: str) -> GaugeMetricFamily:
    meaning, labels = _FAMILIES[name]
    return GaugeMetricFamily(name, meaning, labels=(*_OF_DEPLOYMENT, *labels))


def _samples(rollout: Rollout) -> Iterator[tuple[str, tuple[str, ...], float]]:
    if rollout.traffic_ratio is not None:
        yield "afdp_rollout_traffic_ratio", (), rollout.traffic_ratio
    if rollout.confidence_ratio is not None:
        yield "afdp_rollout_confidence_ratio", (), rollout.confidence_ratio
    for one in rollout.comparisons:
        yield "afdp_rollout_verdict", (one.metric, one.verdict), 1.0
        if one.verdict is CanaryVerdict.UNDECIDED and one.decidable_in_seconds is not None:
            yield "afdp_rollout_decidable_seconds", (one.metric,), one.decidable_in_seconds
    for metric, change in rollout.full.items():
        for quantile, value in _quantiles(change):
            yield "afdp_rollout_change", (metric, quantile), value
            if (named := absolute_change(metric)) is not None:
                unit, labels = named
                yield f"afdp_rollout_absolute_change_{unit}", (*labels, quantile), value
    full = rollout.extrapolation
    if full is not None and full.cost_per_hour is not None and full.currency is not None:
        for quantile, value in _quantiles(full.cost_per_hour):
            yield "afdp_rollout_cost_per_hour", (full.currency, quantile), value


def _quantiles(estimate: Estimate) -> tuple[tuple[str, float], ...]:
    return ("0.05", estimate.low), ("0.5", estimate.median), ("0.95", estimate.high)
