"""The whole way, with nothing in it that is not real: Prometheus, the exporter, curl, Alertmanager, a pager."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from afdp_exporter.demo.shop import LATENCY, METRICS, REVENUE, SERVICES
from afdp_exporter.model import Metric, Service
from real_parts.exporter import Exporter
from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.servers import Alertmanager, Prometheus
from real_parts.shop import Shop
from real_parts.waiting import until
from shipped.alertmanager import rewired
from shipped.dashboards import FILES, load, queries
from shipped.names import WHERE_AN_HOUR_MATTERS, named
from shipped.prometheus import scraping

PATIENCE = 180.0  # seconds
FROM_A_LONGER_PAST = {
    "afdp_predicted_change",
    "afdp_predicted_cost_per_hour",
    "afdp_prediction_coverage_ratio",
    "afdp_prediction_brier_score",
    "afdp_predictions_scored",
    "afdp_pattern_deployments",
    "afdp_pattern_cost_multiplier",
    "afdp_pattern_matched",
    "afdp_best_window_loss_avoided_per_hour",
    "afdp_time_to_restore_seconds",
    "afdp_time_to_restore_deployments",
    "afdp_impact_recovered_timestamp_seconds",  # what the update did goes on
}

NOBODY_ASKS_OR_ACTS = {
    "afdp_rollout_confidence_ratio",
    "afdp_rollout_traffic_ratio",
    "afdp_rollout_cost_per_hour",
    "afdp_rollout_verdict",
    "afdp_rollout_change",
    "afdp_gate_requests_total",
    "afdp_gate_decision_seconds",
    "afdp_gate_verdict",
    "afdp_action_timestamp_seconds",
    "afdp_actions_total",
}  # no gate, no canary, no executor: the demo has them answered
UNANSWERED = FROM_A_LONGER_PAST | WHERE_AN_HOUR_MATTERS | NOBODY_ASKS_OR_ACTS


@pytest.fixture(scope="session")
def shop() -> Shop:
    return Shop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def watching(source: str) -> dict[str, Any]:
    """The exporter's configuration: the shop's metrics, in the Prometheus at `source`."""
    return {
        "sources": [{"name": "prometheus", "kind": "prometheus", "url": source}],
        "metrics": plain(tuple[Metric, ...], METRICS),
        "services": plain(tuple[Service, ...], SERVICES),
    }


def plain(kind: Any, value: object) -> Any:  # noqa: ANN401 - a type, and its JSON
    return TypeAdapter(kind).dump_python(value, mode="json", exclude_defaults=True)


def answered(exporter: Exporter, deployment_id: str) -> dict[str, Any]:
    """The report of a deployment, as soon as its looks of the past are answered."""
    path = f"/api/v1/deployments/{deployment_id}"
    until(lambda: exporter.get(path)["impacts"], lambda: exporter.get(path), PATIENCE)
    return dict(exporter.get(path))


def checked(exporter: Exporter, deployment_id: str) -> bool:
    """Whether no check is due any more by now: a sale that is reported later may explain what it would find."""
    looks = exporter.get(f"/api/v1/deployments/{deployment_id}")["looks"]
    now = datetime.now(UTC)
    return all(look["state"] == "done" or datetime.fromisoformat(look["due_at"]) > now for look in looks)


def one(prometheus: Prometheus, query: str) -> float:
    """The value of the one sample that a query returns, as soon as there is one."""
    until(lambda: prometheus.query(query), lambda: query, PATIENCE)
    (sample,) = prometheus.query(query)
    return float(sample["value"][1])


def test_a_deployment_becomes_a_measured_impact_and_an_alert(
    start: Start, receiver: Receiver, shop: Shop, tmp_path: Path
) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(shop.series())
    alertmanager = start(Alertmanager(tmp_path / "alertmanager", rewired(receiver.url)))
    exporter = start(Exporter(tmp_path / "exporter", watching(prometheus.url)))

    prometheus.kill()  # a source that is away makes a look wait, and nothing else
    quiet = shop.quiet()
    assert exporter.curl("/api/v1/deployments", quiet)[0] == 201
    until(lambda: "afdp_source_query_failures_total{" in exporter.page(), exporter.page, PATIENCE)
    prometheus.config = scraping(exporter, alertmanager)
    prometheus.start()

    update = shop.update()
    status, stored = exporter.curl("/api/v1/deployments", update)
    assert (status, stored["id"]) == (201, update["id"])
    assert exporter.curl("/api/v1/deployments", update)[0] == 200
    assert exporter.curl("/api/v1/deployments", {"version": 1})[0] == 422

    for metric in (LATENCY, REVENUE):
        of = f'{{deployment_id="{update["id"]}", service="api", environment="production", metric="{metric}"}}'
        low, high = (one(prometheus, f"afdp_impact_change_{end}{of}") for end in ("lower", "upper"))
        assert low <= shop.true_change(update["id"], metric) <= high
        assert one(prometheus, f"afdp_impact_attribution_ratio{of}") > 0.9

    alert = str(receiver.wait_for(lambda _, body: update["id"] in str(body)))
    assert "api in production: A deployment made production worse." in alert
    assert "raised request latency p95 by 1" in alert

    of_quiet = f'{{deployment_id="{quiet["id"]}"}}'
    assert one(prometheus, f"afdp_deployment_outcome{of_quiet}") == 1
    assert prometheus.query(f"ALERTS{of_quiet}") == []
    assert [body for _, body in receiver.posts if quiet["id"] in str(body)] == []
    assert exporter.curl("/api/v1/deployments", shop.planned())[0] == 201
    until(
        lambda: checked(exporter, update["id"]), lambda: exporter.get(f"/api/v1/deployments/{update['id']}"), PATIENCE
    )
    day_before = datetime.fromisoformat(update["started_at"]) - timedelta(days=1)  # so that it explains nothing
    sale = {"name": "spring-sale", "kind": "sale", "start": day_before.isoformat()}
    assert exporter.curl("/api/v1/events", sale)[0] == 201
    assert one(prometheus, 'afdp_event_timestamp_seconds{event="spring-sale", kind="sale"}') > 0
    every_panel_is_answered(prometheus, update["id"])


def every_panel_is_answered(prometheus: Prometheus, deployment_id: str) -> None:
    values = {
        "service": ".+",
        "environment": ".+",
        "deployment_id": deployment_id,
        "metric": LATENCY,
        "__rate_interval": "10s",
    }
    every = [query for path in FILES for query in queries(load(path.name), values)]
    asked = [query for query in every if not named(query.expr) & UNANSWERED]
    assert len(asked) > 60

    def empty() -> list[str]:
        return [query.place for query in asked if not prometheus.query(query.expr)]

    until(lambda: not empty(), empty, PATIENCE)


def test_killing_the_exporter_between_the_post_and_the_analysis_changes_nothing(
    start: Start, shop: Shop, tmp_path: Path
) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(shop.series())
    update = shop.update()
    left_alone = start(Exporter(tmp_path / "left-alone", watching(prometheus.url)))
    assert left_alone.curl("/api/v1/deployments", update)[0] == 201
    undisturbed = answered(left_alone, update["id"])

    killed = start(Exporter(tmp_path / "killed", watching(prometheus.url)))
    prometheus.kill()  # so that nothing can be analysed before the exporter is killed, too
    assert killed.curl("/api/v1/deployments", update)[0] == 201
    killed.kill()
    prometheus.start()
    killed.start()
    assert answered(killed, update["id"])["impacts"] == undisturbed["impacts"]
