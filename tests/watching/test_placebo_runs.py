"""The false alarms on a user's own series, through sources and workers."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from afdp_exporter.compute import ComputePool
from afdp_exporter.model import Deployment, Layer, Metric, Series, Service
from afdp_exporter.sources.recording import InMemorySource
from afdp_exporter.watching.evidence import AnalysisSettings, MonitoringConfig
from afdp_exporter.watching.placebo_runs import false_alarms_by_metric, measure

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)
TIMES = np.arange((NOW - timedelta(days=4)).timestamp(), NOW.timestamp() + 1, STEP.total_seconds())
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='latency{service="$service"}')
MAIL = Metric(name="mails_per_second", layer=Layer.USER, query='mails{service="$service"}')


@pytest.fixture
def watched() -> MonitoringConfig:
    chance = np.random.default_rng(8)
    series = [
        Series(
            metric="latency",
            labels={"service": service},
            times=TIMES,
            values=chance.normal(100, 3, TIMES.size),
        )
        for service in ("api", "web")
    ]
    return MonitoringConfig(
        sources={"tape": InMemorySource(series)},
        metrics=(LATENCY, MAIL),
        services={name: Service(name=name) for name in ("api", "web")},
        settings=AnalysisSettings(history=timedelta(days=2), step=STEP),
    )


async def test_placebos_of_all_services_are_counted_together_and_a_metric_without_data_is_left_out(
    compute: ComputePool, watched: MonitoringConfig
) -> None:
    places = [("api", "production"), ("web", "production")]
    found = await false_alarms_by_metric(watched, places, (), compute=compute, now=NOW)
    assert set(found) == {"latency_seconds"}
    alarms = found["latency_seconds"]
    assert 150 < alarms.n <= 200
    assert alarms.ratio <= 0.05


async def test_placebos_keep_clear_of_the_deployments_of_every_service(
    compute: ComputePool, watched: MonitoringConfig
) -> None:
    starts = [NOW - timedelta(hours=hour) for hour in range(3, 46)]
    known = [
        Deployment(id=f"d{at:%d%H}", service="web", environment="production", started_at=at, received_at=at)
        for at in starts
    ]
    found = await false_alarms_by_metric(watched, [("api", "production")], known, compute=compute, now=NOW)
    assert found["latency_seconds"].n < 20


async def test_the_smallest_change_that_ten_minutes_show_is_reported_on_request(
    compute: ComputePool, watched: MonitoringConfig
) -> None:
    values = {"service": "api", "environment": "production"}
    trust = await measure(LATENCY, values, watched, (), compute=compute, now=NOW, sized=True)
    assert trust is not None
    assert trust.smallest_change is not None
    assert 1 < trust.smallest_change < 100


def young(minutes: float) -> MonitoringConfig:
    """A service of which so many minutes are known, scraped every 15 seconds."""
    step = timedelta(seconds=15)
    times = np.arange((NOW - timedelta(days=1)).timestamp(), NOW.timestamp() + 1, 15.0)
    values = np.random.default_rng(3).normal(100, 3, times.size)
    values[times < NOW.timestamp() - 60 * minutes] = np.nan
    series = Series(metric="latency", labels={"service": "api"}, times=times, values=values)
    settings = AnalysisSettings(history=timedelta(hours=12), step=step)
    return MonitoringConfig(sources={"tape": InMemorySource([series])}, metrics=(LATENCY,), settings=settings)


@pytest.mark.parametrize(("minutes", "least", "most"), [(5, 0, 0), (14, 0, 0), (22, 1, 3), (120, 4, 4)])
async def test_only_placebos_that_could_be_judged_are_counted(
    compute: ComputePool, minutes: float, least: int, most: int
) -> None:
    values = {"service": "api", "environment": "production"}
    trust = await measure(LATENCY, values, young(minutes), (), compute=compute, now=NOW)
    assert trust is not None
    assert least <= trust.alarms.n <= most
    began = NOW - timedelta(minutes=minutes)
    assert trust.since == began
    assert trust.judged_from == began + timedelta(minutes=5.25)
    assert trust.measured_from == began + timedelta(minutes=15.25)
