"""Harm is alerted on while it goes on and resolves with its fix, with nothing in it that is not real."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from afdp_exporter.alerts import AlertSettings, one_file
from afdp_exporter.model import Floats, Series
from real_parts.exporter import Exporter
from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.servers import Alertmanager, Prometheus
from real_parts.waiting import until
from shipped.alertmanager import rewired
from shipped.prometheus import scraping

MINUTE = timedelta(minutes=1)
HISTORY = timedelta(hours=30)
METRICS = [
    {
        "name": "request_latency_seconds",
        "layer": "technical",
        "query": 'request_latency_seconds{service="$service"}',
        "worse": "up",
    },
    {
        "name": "revenue_usd_per_hour",
        "layer": "business",
        "query": 'revenue_usd_per_hour{service="$service"}',
        "worse": "down",
        "money": {"currency": "USD", "per_unit": 1},
    },
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Shop:
    """Two services; `checkout` is twice as slow and sells a sixth less from `deployed` until `fixed`."""

    def __init__(self, now: datetime) -> None:
        self.now, self.deployed, self.fixed = now, now - 80 * MINUTE, now - 20 * MINUTE
        self._chance = np.random.default_rng(now.minute)

    def between(self, start: datetime, end: datetime) -> list[Series]:
        """What was measured from an instant until before another one."""
        times = np.arange(start.timestamp(), end.timestamp(), 60.0)
        harmed = (times >= self.deployed.timestamp()) & (times < self.fixed.timestamp())

        def values(level: float, harm: float, service: str) -> Floats:
            share = harm * harmed if service == "checkout" else 0.0
            return level * (1 + 0.02 * self._chance.normal(size=times.size) + share)

        return [
            Series(
                metric=metric,
                labels={"service": service},
                times=times,
                values=level
                * (1 + 0.02 * self._chance.normal(size=times.size) + harm * harmed * (service == "checkout")),
            )
            for service in ("checkout", "search")
            for metric, level, harm in (("request_latency_seconds", 0.2, 1.0), ("revenue_usd_per_hour", 9000.0, -0.17))
        ]


def deployment(name: str, service: str, at: datetime, **words: str) -> dict[str, Any]:
    return {
        "id": name,
        "service": service,
        "environment": "production",
        "started_at": at.isoformat(),
        "finished_at": (at + MINUTE).isoformat(),
        **words,
    }


def alerts(receiver: Receiver, status: str) -> list[dict[str, Any]]:
    """Those that the pager was sent in this state."""
    posts = [body for path, body in list(receiver.posts) if path == "/on-call"]
    return [alert for body in posts for alert in body["alerts"] if alert["status"] == status]


def test_a_harmful_deployment_is_alerted_on_until_its_fix_and_an_innocent_one_never(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    shop = Shop(datetime.fromtimestamp(time.time() // 60 * 60, UTC))
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(shop.between(shop.now - HISTORY, shop.fixed))
    alertmanager = start(Alertmanager(tmp_path / "alertmanager", rewired(receiver.url)))
    source = {"name": "prometheus", "kind": "prometheus", "url": prometheus.url}
    exporter = start(Exporter(tmp_path / "exporter", {"sources": [source], "metrics": METRICS}))
    rules = tmp_path / "rules.yml"
    rules.write_text(one_file(AlertSettings(exporter_url=exporter.url)))
    prometheus.kill()
    prometheus.config = scraping(exporter, alertmanager) | {"rule_files": [str(rules)]}
    prometheus.start()

    words = {"version": "v2", "previous_version": "v1"}
    assert exporter.curl("/api/v1/deployments", deployment("slow", "checkout", shop.deployed, **words))[0] == 201
    assert exporter.curl("/api/v1/deployments", deployment("calm", "search", shop.deployed))[0] == 201
    until(lambda: alerts(receiver, "firing"), lambda: exporter.get("/api/v1/deployments/slow")["story"])
    (firing,) = {str(each["labels"]): each for each in alerts(receiver, "firing")}.values()
    assert (firing["labels"]["alertname"], firing["labels"]["deployment_id"]) == ("AFDPDeploymentImpact", "slow")
    assert "and it goes on, as of" in firing["annotations"]["description"]
    for link in ("report_url", "runbook_url"):
        assert exporter.http.request("GET", firing["annotations"][link]).status == 200, link
    of_slow = '{deployment_id="slow"}'
    assert {sample["metric"]["metric"] for sample in prometheus.query(f"afdp_impact_active{of_slow} == 1")} == {
        "request_latency_seconds",
        "revenue_usd_per_hour",
    }
    assert 1000 < float(prometheus.query(f"afdp_cost_per_hour{of_slow}")[0]["value"][1]) < 2100

    prometheus.remote_write(shop.between(shop.fixed, shop.now))
    fix = deployment("fix", "checkout", shop.fixed, version="v1", previous_version="v2")
    assert exporter.curl("/api/v1/deployments", fix)[0] == 201
    until(lambda: alerts(receiver, "resolved"), lambda: exporter.get("/api/v1/deployments/slow")["harm"])
    assert {each["labels"]["deployment_id"] for each in alerts(receiver, "resolved")} == {"slow"}
    assert prometheus.query(f"afdp_impact_active{of_slow} == 1") == []
    assert prometheus.query(f"afdp_cost_per_hour{of_slow}") == []
    assert 1000 < float(prometheus.query(f"afdp_cost_total{of_slow}")[0]["value"][1]) < 2100
    for sample in prometheus.query(f"afdp_impact_recovered_timestamp_seconds{of_slow}"):
        assert abs(float(sample["value"][1]) - shop.fixed.timestamp()) <= 120, sample
    assert prometheus.query('ALERTS{deployment_id="calm"}') == []
    assert not [body for _, body in receiver.posts if "calm" in str(body)]
