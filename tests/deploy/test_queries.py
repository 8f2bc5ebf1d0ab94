"""The queries that are shipped, asked of a real Prometheus: a service that never failed is measured, and at zero."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pytest
import yaml

from afdp_exporter.config import read
from afdp_exporter.model import Attribution, Deployment, Outcome, Series, Status, Window
from afdp_exporter.watching.analysis import assess, question_of
from afdp_exporter.watching.evidence import NullObserver, gather
from real_parts.fixtures import Start
from real_parts.servers import Prometheus
from shipped import ROOT

FILES = (
    "README.md",
    "docs/canary.md",
    "docs/configuration.md",
    "docs/first-steps.md",
    "deploy/docker/afdp.yml",
    "deploy/kubernetes/afdp.yml",
)
SCRAPE = 15.0  # seconds, as the shipped prometheus.yml has it
NOW = time.time() // SCRAPE * SCRAPE


def queries(path: Path) -> list[str]:
    """Every query of a configuration, or of the YAML examples of a page."""
    text = path.read_text("utf-8")
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL) if path.suffix == ".md" else []
    pieces = [block.replace(f"\n{indent}", "\n").removeprefix(indent) for indent, block in blocks] or [text]
    contents = [yaml.safe_load(piece) for piece in pieces if "query:" in piece]
    metrics = [each if isinstance(each, list) else each.get("metrics", [each]) for each in contents]
    return [query for some in metrics for metric in some for query in asked_by(metric)]


def asked_by(metric: Mapping[str, Any]) -> list[str]:
    """The query of a metric, what its events are counted in, and those that compare a canary."""
    of = metric.get("of", {})
    of = {"query": of} if isinstance(of, str) else of
    return [query for query in (metric["query"], metric.get("canary"), metric.get("stable"), *of.values()) if query]


def never_failed() -> list[Series]:
    """An hour and a half of a service that never answered with a 5xx."""
    times = np.arange(NOW - 5400, NOW, SCRAPE) + 4.0
    chance = np.random.default_rng(11)
    visits = chance.normal(1.0, 0.02, times.size)
    names = [("http_requests_total", {"code": "200", "version": version}, 2.5) for version in ("v1", "v2")]
    names += [("shop_revenue_usd_total", {}, 0.2), ("process_resident_memory_bytes", {}, 1e5)]
    names += [("http_request_duration_seconds_bucket", {"le": le}, 5.0 * share) for le, share in BUCKETS]
    return [
        Series(
            metric=name,
            labels={"service": "quiet"} | labels,
            times=times,
            values=np.cumsum(SCRAPE * rate * visits * chance.normal(1.0, 0.001, times.size)),
        )
        for name, labels, rate in names
    ]


BUCKETS = (("0.1", 0.9), ("0.5", 0.99), ("+Inf", 1.0))


@pytest.mark.real
def test_each_answers_for_a_service_that_never_failed_at_every_step(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(never_failed())
    asked = [query for file in FILES for query in queries(ROOT / file)]
    assert len(asked) >= 7
    for query in asked:
        for back in np.arange(60, 3000, 317):
            filled = Template(query).safe_substitute(service="quiet", version="v2", previous_version="v1")
            samples = prometheus.query(filled, at=NOW - float(back))
            assert len(samples) == 1, filled
            value = float(samples[0]["value"][1])
            assert np.isfinite(value)
            assert (value == 0) is ("5.." in query)
    assert [query for query in asked if "5.." in query]


@pytest.mark.real
@pytest.mark.parametrize("file", ["deploy/docker/afdp.yml", "deploy/kubernetes/afdp.yml"])
async def test_a_healthy_deployment_of_a_service_that_never_failed_is_a_success(
    start: Start, tmp_path: Path, file: str
) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(never_failed())
    shipped = yaml.safe_load((ROOT / file).read_text("utf-8"))
    sources = [{"kind": "prometheus", "url": prometheus.url}]
    watched = read({"sources": sources} | {key: shipped[key] for key in ("metrics", "policy")}).watched
    began = datetime.fromtimestamp(NOW - 1800, UTC)
    deployment = Deployment(
        id="d",
        service="quiet",
        environment="production",
        started_at=began,
        finished_at=began + timedelta(seconds=30),
        status=Status.SUCCEEDED,
        received_at=began,
    )
    window = Window(start=began - timedelta(hours=1), end=began + timedelta(minutes=20))
    evidence = await gather(deployment, window, watched=watched, observer=NullObserver(), now=window.end)
    question = question_of(deployment, evidence, others=(), now=window.end, watched=watched)
    impact = assess(question)
    verdicts = {shift.metric: shift.verdict for shift in impact.shifts}
    assert verdicts["error_ratio"] is Attribution.NO_EFFECT
    assert impact.outcome is Outcome.SUCCESS, impact.outcome_reason


def test_each_rate_covers_four_scrapes_and_no_more() -> None:
    for file in FILES:
        for query in queries(ROOT / file):
            assert set(re.findall(r"\[(\w+)\]", query)) <= {"1m"}, (file, query)
