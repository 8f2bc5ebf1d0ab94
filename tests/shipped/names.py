"""The names that dashboards, rules and other people's pipelines hang on, as the exporter itself shows them."""

import re
from functools import cache

from prometheus_client import ProcessCollector

from afdp_exporter.metrics import CardinalityLimits, SelfMetrics
from afdp_exporter.metrics.board import NAMES

NOT_IN_THE_DEMO = frozenset(
    {
        "afdp_source_query_failures_total",  # its source cannot fail
        "afdp_pattern_matched",  # eight weeks of 28 deployments with an effect hold no pattern of cost
        "afdp_pattern_cost_multiplier",
        "afdp_time_to_restore_seconds",  # no failure of its last 30 days is restored
        "afdp_time_to_restore_deployments",
    }
)
"""What panels show that a running demo has no data for; other tests have them answered."""

WHERE_AN_HOUR_MATTERS = frozenset(
    {
        "afdp_best_window_timestamp_seconds",
        "afdp_best_window_risk_ratio",
        "afdp_best_window_loss_avoided_per_hour",
    }
)
"""Names that have no series as long as no hour is known to be better, as in our worlds without a law of time."""

_NAME = re.compile(r"\bafdp_[a-z0-9_]+")
_PARTS = {"counter": "_total", "info": "_info"}
_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")
_NO_METRICS = {"afdp_exporter"}  # the package


def existing() -> frozenset[str]:
    """Every family of ours, by its full name."""
    return frozenset(_types())


@cache
def _types() -> dict[str, str]:
    metrics = SelfMetrics(CardinalityLimits())
    collectors = [each for registry in (metrics._beside, metrics._registry) for each in registry._collector_to_names]
    describing = [each for each in collectors if not isinstance(each, ProcessCollector)]
    families = [family for each in describing for family in each.describe()]
    types = {family.name + _PARTS.get(family.type, ""): family.type for family in families}
    types |= dict.fromkeys(NAMES, "gauge")
    return {name: kind for name, kind in types.items() if name.startswith("afdp_")}


def named(text: str) -> set[str]:
    """The metrics of ours that a text names; a histogram's parts count as the histogram."""
    found = set(_NAME.findall(text)) - _NO_METRICS
    return {_family(name) for name in found}


def _family(name: str) -> str:
    for part in _OF_A_HISTOGRAM:
        whole = name.removesuffix(part)
        if whole != name and _types().get(whole) == "histogram":
            return whole
    return name
