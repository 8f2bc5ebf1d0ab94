"""A person is warned before a deployment does harm: every part real, from the planned deployment to the message."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import yaml

from afdp_exporter.model import (
    Attribution,
    ChangeType,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Outcome,
    Shift,
    Worse,
)
from afdp_exporter.store.opening import DATABASE
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.wording.numbers import format_share_range
from real_parts.exporter import Exporter
from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.servers import Alertmanager, Prometheus
from real_parts.waiting import until
from remembering import remember
from shipped import ROOT
from shipped.alertmanager import rewired
from shipped.dashboards import FILES, load, queries
from shipped.names import NOT_IN_THE_DEMO, named

PATIENCE = 180.0  # seconds
ROLLBACK, FAILED = 8, 9  # numbers count into the past
LATENCY = "request_latency_p95_seconds"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def past(number: int, now: datetime) -> tuple[Deployment, Impact]:
    """A measured deployment: each third one migrates the database, which costs ten times as much."""
    migrates = number % 3 == 0
    at = now - timedelta(hours=8 * (number + 4))
    deployment = Deployment(
        id=f"past-{number}",
        service="api",
        environment="production",
        started_at=at,
        finished_at=at + timedelta(minutes=2),
        received_at=at,
        version=f"v1.{100 - number}",
        description="rollback" if number == ROLLBACK else None,
        change_types=((ChangeType.DATABASE, ChangeType.CODE, ChangeType.CONFIG)[number % 3],),
    )
    size = 0.02 + 0.001 * (number % 5) if migrates else 0.0
    dear = (1300.0 if migrates else 120.0) * (1 + 0.02 * (number % 7))
    shift = Shift(
        metric=LATENCY,
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED if migrates else Attribution.NO_EFFECT,
        reason="planted",
        worse=Worse.UP,
        before=0.2,
        change=size,
        low=size - 0.002,
        high=size + 0.002,
    )
    cost = Cost(currency="USD", per_hour=Estimate(low=0.8 * dear, median=dear, high=1.2 * dear))
    impact = Impact(
        deployment_id=deployment.id,
        measured_at=at + timedelta(hours=24),
        shifts=(shift,),
        outcome=Outcome.FAILURE if number == FAILED else Outcome.DEGRADATION if migrates else Outcome.SUCCESS,
        outcome_reason="planted",
        costs=(cost,),
    )
    return deployment, impact


async def remembers(folder: Path, count: int, now: datetime) -> None:
    """A store in the folder with that many measured deployments."""
    store = await SQLiteStore.open(folder / DATABASE)
    for number in range(count):
        await remember(store, *past(number, now))
    await store.close()


def scraping(exporter: Exporter, alertmanager: Alertmanager, folder: Path) -> dict[str, Any]:
    """The shipped scrape job and rules, and a user's own rule that fires all the time for two services."""
    (job,) = yaml.safe_load((ROOT / "alerting/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    own = [
        {"alert": "Slow", "expr": "vector(1)", "labels": {"severity": "warning", "environment": "production"} | of}
        for of in ({"service": "api"}, {"service": "cart"})
    ]
    (folder / "own.yml").write_text(yaml.safe_dump({"groups": [{"name": "own", "rules": own}]}))
    at = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}
    return {
        "scrape_configs": [job | {"static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}],
        "rule_files": [str(ROOT / "alerting/rules/*.yml"), str(folder / "own.yml")],
        "alerting": {"alertmanagers": [at]},
    }


def states(alertmanager: Alertmanager, name: str) -> dict[str, str]:
    """Service -> state of each alert of that name."""
    alerts: list[dict[str, Any]] = alertmanager.get("/api/v2/alerts")
    return {one["labels"]["service"]: one["status"]["state"] for one in alerts if one["labels"]["alertname"] == name}


async def test_a_risky_deployment_is_reported_before_and_while_it_happens_and_mutes_its_own_service_only(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    now = datetime.fromtimestamp(time.time(), UTC)
    (tmp_path / "exporter/store").mkdir(parents=True)
    await remembers(tmp_path / "exporter/store", 75, now)
    alertmanager = start(Alertmanager(tmp_path / "alertmanager", rewired(receiver.url)))
    watched = [{"name": LATENCY, "layer": "technical", "query": 'latency{service="$service"}', "worse": "up"}]
    source = {"kind": "prometheus", "url": "http://127.0.0.1:9"}
    exporter = start(Exporter(tmp_path / "exporter", {"sources": [source], "metrics": watched}))
    prometheus = start(Prometheus(tmp_path / "prometheus", scraping(exporter, alertmanager, tmp_path)))

    soon = (now + timedelta(minutes=30)).isoformat()
    planned = {"service": "api", "version": "v2.0", "status": "planned", "started_at": soon}
    harmless = planned | {"id": "code", "change_types": ["code"]}
    risky = planned | {"id": "migration", "change_types": ["database"]}
    for body in (harmless, risky):
        assert exporter.curl("/api/v1/deployments", body)[0] == 201
    before = receiver.wait_for(lambda path, body: path == "/chat" and "is planned for" in str(body))
    (message,) = before["attachments"]
    assert message["title"] == "api in production: A deployment has a high predicted risk or cost."
    assert "api v2.0 in production (deployment migration) is planned for" in message["text"]
    assert "past deployments (basis: service)" in message["text"]
    assert re.search(r"Expected loss: \d+ USD an hour \[\d+, \d+\]", message["text"]), message["text"]

    the_risk_is_the_same_wherever_it_is_read(exporter, risky)
    panels_that_the_demo_leaves_empty_are_answered(prometheus)
    until(lambda: states(alertmanager, "Slow") == {"api": "active", "cart": "active"}, lambda: "both", PATIENCE)
    begun = {"status": "started", "started_at": datetime.fromtimestamp(time.time(), UTC).isoformat()}
    exporter.patch("/api/v1/deployments/migration", begun)
    receiver.wait_for(lambda path, body: path == "/chat" and "(deployment migration) is under way" in str(body))
    muted = {"api": "suppressed", "cart": "active"}
    until(lambda: states(alertmanager, "Slow") == muted, lambda: states(alertmanager, "Slow"), PATIENCE)

    exporter.patch("/api/v1/deployments/migration", {"status": "succeeded"})
    until(lambda: states(alertmanager, "AFDPPredictedImpact") == {}, lambda: "over", PATIENCE)
    until(lambda: states(alertmanager, "Slow") == {"api": "active", "cart": "active"}, lambda: "both again", PATIENCE)
    assert "deployment code" not in str(receiver.posts)


def the_risk_is_the_same_wherever_it_is_read(exporter: Exporter, planned: dict[str, Any]) -> None:
    """In the API's answer, on `/metrics` and on the deployment's page."""
    asked = exporter.curl("/api/v1/predictions", planned)[1]

    def exposed(name: str) -> float:
        (value,) = re.findall(rf'^{name}{{[^}}]*"migration"[^}}]*}} (\S+)$', exporter.page("/metrics"), re.MULTILINE)
        return float(value)

    assert exposed("afdp_predicted_failure_ratio") == pytest.approx(asked["failure_ratio"], rel=0.01)
    chance = exposed("afdp_predicted_cost_chance_ratio")
    assert chance == pytest.approx(asked["cost_per_hour"]["chance_ratio"], rel=0.01)
    (link,) = re.findall(r'href="(/predictions\?[^"]+)"', exporter.page("/deployments/migration"))
    assert format_share_range(Estimate(**asked["risk"])) in exporter.page(unescape(link))


def panels_that_the_demo_leaves_empty_are_answered(prometheus: Prometheus) -> None:
    values = {"service": ".+", "environment": ".+", "deployment_id": "migration", "metric": LATENCY}
    every = [query for path in FILES for query in queries(load(path.name), values | {"__rate_interval": "10s"})]
    asked = [query for query in every if named(query.expr) & (NOT_IN_THE_DEMO - {"afdp_source_query_failures_total"})]
    assert len(asked) == 4

    def empty() -> list[str]:
        return [query.place for query in asked if not prometheus.query(query.expr)]

    until(lambda: not empty(), empty, PATIENCE)
