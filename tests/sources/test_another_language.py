"""A source that speaks another language, in the place of Prometheus: nothing else of the program notices."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from afdp_exporter.errors import SourceError, SourceUnavailable
from afdp_exporter.model import Deployment, Layer, Metric, Series, Service, Window
from afdp_exporter.source_access import Breaker
from afdp_exporter.watching.evidence import Cause, MonitoringConfig, gather
from trial.graphite_like import GraphiteLike

START = datetime(2026, 11, 2, 14, tzinfo=UTC)
NOW = START + timedelta(hours=1)
WINDOW = Window(start=START - timedelta(hours=2), end=NOW)
DEPLOYMENT = Deployment(id="d", service="shop", environment="production", started_at=START, received_at=START)


class Notes:
    """Nobody notes anything."""

    def queried(self, source: str, seconds: float) -> None: ...

    def query_failed(self, source: str, error: SourceError) -> None: ...


def metric(name: str, where: Mapping[str, str], target: str = "latency") -> Metric:
    return Metric(name=name, layer=Layer.TECHNICAL, query={"target": target, "where": where})


METRICS = (
    metric("own", {"service": "{{service}}"}),
    metric("of_all", {"service": "shop"}),
    metric("by_version", {"service": "{{version}}"}),
    metric("none", {"service": "{{service}}"}, target="absent"),
)


@pytest.fixture
def source() -> GraphiteLike:
    times = np.arange(WINDOW.start.timestamp(), NOW.timestamp() + 1, 60.0)
    values = np.arange(times.size, dtype=np.float64)
    names = ("shop", "search", "shop*")
    return GraphiteLike(
        [Series(metric="latency", labels={"service": each}, times=times, values=values) for each in names]
    )


async def test_metrics_are_asked_in_few_calls_up_to_what_has_settled_with_other_services_beside(
    source: GraphiteLike,
) -> None:
    services = {name: Service(name=name) for name in ("shop", "search")}
    watched = MonitoringConfig(sources={"only": source}, metrics=METRICS, services=services)
    found = {
        each.metric.name: each for each in await gather(DEPLOYMENT, WINDOW, watched=watched, observer=Notes(), now=NOW)
    }
    assert source.calls == [3, 1]  # three queries that could be bound, then one about the other service
    own = found["own"]
    assert own.series is not None
    assert own.series.times[-1] == (NOW - source.settles_after).timestamp()
    assert (own.per_service, set(own.peers)) == (True, {"search"})
    assert (found["of_all"].per_service, found["of_all"].peers) == (False, {})
    assert (found["by_version"].cause, found["none"].cause) == (Cause.REFUSED, Cause.REFUSED)
    assert "{{version}}" in (found["by_version"].problem or "")


async def test_it_is_away_as_every_source_is(source: GraphiteLike) -> None:
    watched = MonitoringConfig(sources={"only": Breaker(source)}, metrics=METRICS[:2])
    source.away = True
    for _ in range(3):
        with pytest.raises(SourceUnavailable, match="no connection"):
            await gather(DEPLOYMENT, WINDOW, watched=watched, observer=Notes(), now=NOW)
    assert source.calls == [2]  # after that nothing is sent
