"""A canary beside the stable version on a real Prometheus: compared by counts and by means, with its money."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from afdp_exporter.automation.answers import rollout_of, rollout_sentence
from afdp_exporter.automation.canaries import Canaries
from afdp_exporter.automation.following import Following
from afdp_exporter.config import read
from afdp_exporter.errors import ConfigError
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import CanaryVerdict, Deployment, Series, Status, Strategy
from afdp_exporter.store.sqlite import SQLiteStore
from real_parts.servers import Prometheus

METRICS = """
- name: error_ratio
  layer: technical
  worse: up
  query: sum(rate(NAME_errors{service="$service"}[1m]))
  canary: sum(increase(NAME_errors{service="$service", version="$version"}[1m]))
  stable: sum(increase(NAME_errors{service="$service", version="$previous_version"}[1m]))
  of:
    canary: sum(increase(NAME_requests{service="$service", version="$version"}[1m]))
    stable: sum(increase(NAME_requests{service="$service", version="$previous_version"}[1m]))
- name: revenue_usd_per_hour
  layer: business
  worse: down
  query: sum(NAME_revenue{service="$service"})
  canary: sum(NAME_revenue{service="$service", version="$version"}) / $traffic_ratio
  stable: sum(NAME_revenue{service="$service", version="$previous_version"}) / (1 - $traffic_ratio)
  money: {currency: USD, per_unit: 1}
"""


def written(prometheus: Prometheus, name: str, now: datetime, *, errors: float, income: float) -> None:
    """Ten hours of v1 and one of v2 at 5 % of 2,000 requests a minute; `errors` and `income` are of v2, v1 has 1."""
    chance = np.random.default_rng(5)
    end = int(now.timestamp()) // 60 * 60
    series: list[Series] = []
    for version, minutes, share, worse, less in (("v1", 600, 0.95, 1.0, 1.0), ("v2", 60, 0.05, errors, income)):
        times = np.arange(end - 60 * minutes, end + 1, 15)
        requests = chance.poisson(500 * share, times.size).cumsum()
        failed = chance.poisson(500 * share * 0.01 * worse, times.size).cumsum()
        revenue = 20_000 * share * less + chance.normal(0, 400 * share, times.size)
        labels = {"service": "api", "version": version}
        for part, values in (("requests", requests), ("errors", failed), ("revenue", revenue)):
            named = f"{name}_{part}"
            series.append(Series(metric=named, labels=labels, times=times.astype(float), values=values.astype(float)))
    prometheus.remote_write(series)


def deployment(now: datetime, **words: Any) -> Deployment:  # noqa: ANN401
    plain = Deployment(
        id="d2", service="api", environment="production", version="v2", previous_version="v1", traffic_ratio=0.05,
        strategy=Strategy.CANARY, status=Status.STARTED, started_at=now - timedelta(minutes=60), received_at=now,
    )  # fmt: skip
    return replace(plain, **words)


def canaries(store: SQLiteStore, prometheus: Prometheus, name: str, now: datetime) -> Following:
    content = {
        "sources": [{"name": "prometheus", "kind": "prometheus", "url": prometheus.url}],
        "metrics": yaml.safe_load(METRICS.replace("NAME", name)),
    }
    comparer = Canaries(store=store, watched=lambda: read(content).watched, settings=lambda _: GateSettings())
    return Following(
        store=store,
        comparers=(comparer,),
        clock=lambda: now,
    )


@pytest.mark.real
async def test_a_harmful_canary_is_worse_and_its_loss_at_full_traffic_is_in_range(
    prometheus: Prometheus, store: SQLiteStore
) -> None:
    now = datetime.now(UTC)
    written(prometheus, "harmful", now, errors=3.0, income=0.9)
    canary = deployment(now)
    await store.deployments.record(canary, ())
    comparing = canaries(store, prometheus, "harmful", now)
    await comparing.work()
    (rollout,) = await store.rollouts.newest(None, before=now + timedelta(minutes=1))
    verdicts = {one.metric: one.verdict for one in rollout.comparisons}
    assert verdicts == {"error_ratio": CanaryVerdict.WORSE, "revenue_usd_per_hour": CanaryVerdict.WORSE}
    assert rollout.extrapolation is not None
    cost = rollout.extrapolation.cost_per_hour
    assert cost is not None
    assert cost.low < 2000 < cost.high
    known = await store.rollouts.find("d2")
    assert known == rollout
    answer = rollout_of(canary, rollout).as_json()
    assert answer["cost_per_hour"]["currency"] == "USD"
    assert {each["metric"] for each in answer["metrics"]} == verdicts.keys()
    assert "$" in rollout_sentence(rollout)
    assert await comparing.work() == now + timedelta(minutes=1)


@pytest.mark.real
async def test_an_innocent_canary_is_not_worse(prometheus: Prometheus, store: SQLiteStore) -> None:
    now = datetime.now(UTC)
    written(prometheus, "innocent", now, errors=1.0, income=1.0)
    await store.deployments.record(deployment(now, previous_version=None), ())
    before = deployment(now - timedelta(days=1), id="d1", version="v1", previous_version="v0", status=Status.SUCCEEDED)
    await store.deployments.record(before, ())  # the version beside it is known from there
    await canaries(store, prometheus, "innocent", now).work()
    (rollout,) = await store.rollouts.newest(None, before=now + timedelta(minutes=1))
    assert all(one.verdict is not CanaryVerdict.WORSE for one in rollout.comparisons)
    assert len(rollout.comparisons) == 2
    assert rollout.trouble is None


@pytest.mark.real
async def test_what_cannot_be_asked_is_said_and_what_is_no_canary_is_left_alone(
    prometheus: Prometheus, store: SQLiteStore
) -> None:
    now = datetime.now(UTC)
    comparing = canaries(store, prometheus, "nothing", now)
    for each in (
        deployment(now, id="full", traffic_ratio=None, strategy=Strategy.ROLLING),
        deployment(now, id="over", status=Status.SUCCEEDED),
        deployment(now, id="runs"),
    ):
        await store.deployments.record(each, ())
    await comparing.work()
    (rollout,) = await store.rollouts.newest(None, before=now + timedelta(minutes=1))
    assert rollout.deployment_id == "runs"
    assert {one.verdict for one in rollout.comparisons} == {CanaryVerdict.UNDECIDED}


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        ({"canary": "up"}, "canary and stable are needed together"),
        ({"of": {"canary": "up", "stable": "up"}}, "of needs canary and stable"),
        ({"canary": "up{", "stable": "up"}, "metrics[0].canary"),
        ({"canary": "up", "stable": "up", "of": {"canary": "up", "stable": "up{"}}, "metrics[0].of.stable"),
    ],
)
def test_a_wrong_pair_of_queries_stops_the_start(
    metric: dict[str, Any], what: str, content: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError) as raised:
        read(content(metric))
    assert what in f"{raised.value.where}: {raised.value}"


@pytest.fixture
def content(tmp_path: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A configuration whose only metric has these words, too."""

    def made(metric: dict[str, Any]) -> dict[str, Any]:
        return {
            "sources": [{"name": "prometheus", "kind": "prometheus", "url": "http://127.0.0.1:9090"}],
            "metrics": [{"name": "latency_seconds", "layer": "technical", "query": "up", **metric}],
        }

    return made
