"""A green before its switch on a real Prometheus: its memory beside that of the service's earlier greens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from afdp_exporter.automation.answers import rollout_of
from afdp_exporter.automation.following import Following, kept
from afdp_exporter.automation.greens import Greens
from afdp_exporter.config import read
from afdp_exporter.gate.decision import GateInput, decide
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import Deployment, Outcome, Phase, Rollout, Series, SignalVerdict, Status, Strategy
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store.sqlite import SQLiteStore
from gated import impact, reader_of
from real_parts.servers import Prometheus
from remembering import remember

MINUTE = timedelta(minutes=1)
MEGABYTE = 1e6


def green(now: datetime, **words: Any) -> Deployment:  # noqa: ANN401
    plain = Deployment(
        id="green", service="api", environment="production", version="v20", strategy=Strategy.BLUE_GREEN,
        status=Status.STARTED, started_at=now - 12 * MINUTE, received_at=now,
    )  # fmt: skip
    return replace(plain, **words)


async def earlier(store: SQLiteStore, now: datetime, count: int) -> None:
    """So many switches that did no harm, each green with about 500 MB that grow with its age."""
    chance = np.random.default_rng(8)
    for number in range(count):
        at = now - timedelta(days=count - number)
        done = green(
            at, id=f"d{number}", version=f"v{number}", status=Status.SUCCEEDED, started_at=at, finished_at=at + MINUTE
        )
        found = replace(impact(Outcome.SUCCESS, deployment_id=done.id), measured_at=at + timedelta(hours=1))
        await remember(store, done, found)
        life = MEGABYTE * (500.0 + np.arange(20) + chance.normal(0, 5) + chance.normal(0, 1, 20))
        rollout = Rollout(deployment_id=done.id, as_of=at, comparisons=(), signals={"memory_bytes": kept(life)})
        await store.rollouts.keep("api", rollout)


def following(store: SQLiteStore, prometheus: Prometheus, now: datetime) -> Following:
    query = 'sum(green_memory_bytes{service="$service", version="$version"})'
    content = {
        "sources": [{"name": "prometheus", "kind": "prometheus", "url": prometheus.url}],
        "metrics": [
            {"name": "memory_bytes", "layer": "system", "worse": "up", "query": "sum(green_memory_bytes)",
             "preview": query},
            {"name": "latency_seconds", "layer": "technical", "query": "up"},
        ],
    }  # fmt: skip
    planner = Planner(reader_of(store))
    comparer = Greens(store=store, planner=planner, watched=lambda: read(content).watched, plans=Plans)
    return Following(store=store, comparers=(comparer,), clock=lambda: now)


@pytest.mark.real
@pytest.mark.parametrize(("megabytes", "verdict"), [(505.0, SignalVerdict.USUAL), (900.0, SignalVerdict.UNUSUAL)])
async def test_a_green_is_held_against_earlier_greens_of_its_age(
    prometheus: Prometheus, store: SQLiteStore, megabytes: float, verdict: SignalVerdict
) -> None:
    now = datetime.now(UTC)
    version = f"v{megabytes:.0f}"
    times = np.arange(int(now.timestamp()) - 900, int(now.timestamp()), 15).astype(float)
    labels = {"service": "api", "version": version}
    values = np.full(times.size, megabytes * MEGABYTE)
    prometheus.remote_write([Series(metric="green_memory_bytes", labels=labels, times=times, values=values)])
    await earlier(store, now, 12)
    deployment = green(now, version=version)
    await store.deployments.record(deployment, ())
    await following(store, prometheus, now).work()
    rollout = await store.rollouts.find("green")
    assert rollout is not None
    assert rollout.switch is not None
    (signal,) = rollout.switch.signals
    assert (signal.metric, signal.verdict, signal.n) == ("memory_bytes", verdict, 12)
    assert signal.value == pytest.approx(megabytes * MEGABYTE)
    answer = rollout_of(deployment, rollout).as_json()
    assert answer["confidence_ratio"] == rollout.switch.confidence_ratio
    assert ("Memory" in answer["sentence"] or "memory" in answer["sentence"]) is (verdict is SignalVerdict.UNUSUAL)
    assert len(rollout.signals["memory_bytes"]) >= 11


@pytest.mark.real
async def test_a_first_green_has_no_history_and_one_with_traffic_is_none(
    prometheus: Prometheus, store: SQLiteStore
) -> None:
    now = datetime.now(UTC)
    await earlier(store, now, 3)
    for each in (
        green(now),
        green(now, id="switched", traffic_ratio=1.0),
        green(now, id="over", status=Status.SUCCEEDED, finished_at=now),
        green(now, id="rolling", strategy=Strategy.ROLLING),
    ):
        await store.deployments.record(each, ())
    await following(store, prometheus, now).work()
    rollout = await store.rollouts.find("green")
    assert rollout is not None
    assert rollout.deployment_id == "green"
    assert rollout.switch is not None
    assert rollout.switch.confidence_ratio is None
    assert rollout.switch.signals[0].verdict is SignalVerdict.NO_HISTORY
    asked = GateInput(deployment=green(now), phase=Phase.PREVIEW, now=now, switch=rollout.switch)
    decision = decide(asked, GateSettings())
    await store.decisions.keep(decision, "test")
    (stored,) = await store.decisions.search(since=now)
    assert stored.decision == decision
