"""One file, read whole: a fault anywhere stops it and names its place."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from afdp_exporter import config
from afdp_exporter.errors import ConfigError
from afdp_exporter.model import BillRatio, CalendarEntryKind, Estimate, Layer, Money, Worse

GOOD = """
sources:
  - {name: shop, kind: recording, path: .}
metrics:
  - name: request_latency_p95_seconds
    layer: technical
    query: histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{service="$service"}[2m])))
    worse: up
    leads_to: [revenue_usd_per_hour]
  - name: revenue_usd_per_hour
    layer: business
    query: 3600 * sum(rate(shop_revenue_usd_total[2m]))
    worse: down
    money: {currency: USD, per_unit: 1}
services:
  - {name: checkout, metrics: [revenue_usd_per_hour], depends_on: [api], team: payments}
calendar:
  - {name: spring-sale, kind: sale, start: 2026-03-01T00:00:00Z, end: 2026-03-03T00:00:00Z}
policy:
  watch: {looks: [2m, 1h]}
  analysis: {history: 5d}
tokens:
  - {name: ci, token: s3cret, scopes: [annotate]}
"""


LOGIN = {"managed_identity": {}}
PROMETHEUS = {"sources": [{"kind": "prometheus", "url": "http://localhost:9090"}], "metrics": [], "services": []}
BILL = {"kind": "azure", "scope": "/subscriptions/1", "azuread": LOGIN, "list_price": "sum(node_total_hourly_cost)"}
COST = {
    "name": "infra_cost_usd_per_hour",
    "layer": "system",
    "query": "cost",
    "money": {"currency": "USD", "per_unit": 2, "bill": "azure"},
}


def read(**changes: object) -> config.Config:
    return config.read(yaml.safe_load(GOOD) | changes)


def test_a_good_file_becomes_one_config(tmp_path: Path) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text(GOOD)
    found = config.load(file)
    latency, revenue = found.metrics
    assert (latency.layer, latency.worse, latency.leads_to) == (Layer.TECHNICAL, Worse.UP, ("revenue_usd_per_hour",))
    assert revenue.money == Money(currency="USD", per_unit=1.0)
    assert found.services["checkout"].depends_on == ("api",)
    assert found.calendar[0].kind is CalendarEntryKind.SALE
    assert found.calendar[0].start == datetime(2026, 3, 1, tzinfo=UTC)
    assert found.policy.watch.looks == (timedelta(minutes=2), timedelta(hours=1))
    assert found.policy.analysis.history == timedelta(days=5)
    assert list(found.sources) == ["shop"]
    assert "s3cret" not in repr(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sourcez": []}, r"^sourcez: unknown key"),
        ({"sources": []}, r"^sources: "),
        ({"sources": [{"kind": "recording", "pathh": "."}]}, r"^sources\[0\]\.pathh: unknown key; known: "),
        ({"sources": [{"kind": "carbon"}]}, r"^sources\[0\]\.kind: unknown kind 'carbon'"),
        (
            {"sources": [{"kind": "recording", "path": "."}] * 2},
            r"^sources\[1\]\.name: each entry of sources needs",
        ),
        ({"metrics": [{"name": "a", "layer": "user", "query": "sum(a"}]}, r"^metrics\[0\]\.query: this is not PromQL"),
        (
            {"metrics": [{"name": "a", "layer": "user", "query": 'a{b="$srv"}'}]},
            r"^metrics\[0\]\.query: \$srv is unknown",
        ),
        ({"metrics": [{"name": "a", "layer": "usr", "query": "a"}]}, r"^metrics\[0\]\.layer: "),
        (
            {"metrics": [{"name": "a", "layer": "user", "query": "a", "of": "sum(a"}]},
            r"^metrics\[0\]\.of\.query: this is not PromQL",
        ),
        (
            {"metrics": [{"name": "a", "layer": "user", "query": "a", "of": {"stabel": "a"}}]},
            r"^metrics\[0\]\.of\.stabel: unknown key; known: query, canary, stable; did you mean stable\?",
        ),
        ({"metrics": [{"name": "a", "layer": "user", "query": "a", "of": {}}]}, r"^metrics\[0\]\.of: of needs a query"),
        ({"metrics": [{"name": "a", "layer": "user", "query": "a"}] * 2}, r"^metrics\[0\]\.name: a is there twice"),
        (
            {"metrics": [{"name": "a", "layer": "user", "query": "a", "source": "x"}]},
            r"^metrics\[0\]\.source: no source",
        ),
        ({"metrics": [{"name": "a", "layer": "user", "query": "a", "leads_to": ["b"]}]}, r"^metrics\[0\]\.leads_to: "),
        ({"services": [{"name": "x", "metrics": ["nope"]}]}, r"^services\[0\]\.metrics: no metric is named nope"),
        ({"policy": {"watch": {"looks": ["0s"]}}}, r"^policy\.watch: at least one look"),
        ({"policy": {"watch": {"looks": ["soon"]}}}, r"^policy\.watch\.looks\[0\]: a duration"),
        ({"policy": {"exposure": {"series": 1}}}, r"^policy\.exposure\.series: "),
        ({"tokens": [{"name": "ci"}]}, r"^tokens\[0\]: exactly one of token and token_file"),
        ({"tokens": [{"name": "ci", "token": "x", "scopes": ["root"]}]}, r"^tokens\[0\]\.scopes\[0\]: "),
    ],
)
def test_each_fault_is_a_line_that_names_its_place(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read(**changes)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.faults)
    assert all(re.match(r"[\w.\[\]]+: ", line) for line in lines)


def test_every_fault_of_a_file_is_found_at_once_with_its_line_and_what_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text(
        "sources:\n  - kind: recording\n    pathh: .\n  - {name: two, kind: promethius}\n"
        "metrics:\n  - name: a\n    layer: user\n    query: a\n    worze: up\n"
        "policy:\n  analysis: {step: soon, workers: many}\nnotify: {kind: grafana}\n"
    )
    with pytest.raises(ConfigError) as refused:
        config.load(file)
    found = {fault.field: fault.message for fault in refused.value.faults}
    assert {name: int(message.rpartition("(line ")[2].split()[0]) for name, message in found.items()} == {
        "sources[0].pathh": 3, "sources[1].kind": 4, "metrics[0].worze": 9, "policy.analysis.step": 11,
        "policy.analysis.workers": 11, "notify": 12,
    }  # fmt: skip
    assert "did you mean worse?" in found["metrics[0].worze"]
    assert "did you mean path?" in found["sources[0].pathh"]
    assert found["notify"].startswith("a list is expected")
    assert found["policy.analysis.workers"].startswith("a whole number is expected")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"afdp\.yml: No such file"):
        config.load(tmp_path / "afdp.yml")


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n- 2", "just words", "\x00"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file; `afdp init` writes one"),
        ("", "is empty; `afdp init` writes a configuration"),
        ("root:x:0:0", "holds no keys; `afdp init` writes a configuration"),
        ("[1, 2]", "holds no keys; `afdp init` writes a configuration"),
    ],
)
def test_a_file_that_is_no_configuration_is_named_with_what_writes_one(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "afdp.yml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as refused:
        config.load(file)
    assert str(refused.value) == f"{file}: {message}"


def test_a_fault_names_its_place_and_the_file(tmp_path: Path) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text("sourcez: []")
    with pytest.raises(ConfigError) as refused:
        config.load(file)
    assert str(refused.value).startswith("sourcez: unknown key; known: sources, ")
    assert str(refused.value).endswith(f" (line 1 in {file})")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"bills": [BILL | {"list_price": None}]}, "bills[0].list_price"),
        ({"bills": [BILL | {"source": "elsewhere"}]}, "bills[0].source: no source is named elsewhere"),
        ({"bills": [BILL | {"list_price": 'cost{service="$service"}'}]}, "$service has no value here"),
        ({"bills": [BILL | {"list_price": "sum("}]}, "bills[0].list_price"),
        ({"bills": [BILL | {"scope": "subscriptions/1"}]}, "bills[0].scope"),
        ({"policy": {"planning": {"cloud_rates": {"bill": "azur"}}}, "bills": [BILL]}, "did you mean azure?"),
        ({"metrics": [COST]}, "metrics[0].money.bill: no entry of bills is named azure"),
    ],
)
def test_a_bill_that_cannot_be_compared_is_a_fault_with_its_place(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)):
        read(**PROMETHEUS | changes)


def test_measured_money_is_brought_to_what_is_paid() -> None:
    watched = read(**PROMETHEUS | {"metrics": [COST], "bills": [BILL]}).watched
    day = date(2026, 10, 1)
    ratio = Estimate(low=0.6, median=0.7, high=0.8)
    known = BillRatio(bill="azure", currency="USD", ratio=ratio, days=28, since=day, until=day)

    def price(billed: Mapping[str, BillRatio]) -> float:
        (metric,) = replace(watched, billed=billed).metrics_at("api", "production")
        return metric.money.per_unit if metric.money else 0.0

    assert (price({}), price({"azure": known}), price({"azure": replace(known, currency="EUR")})) == (2.0, 1.4, 2.0)
