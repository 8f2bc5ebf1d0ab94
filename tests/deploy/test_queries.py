"""The queries that are shipped, asked of a real Prometheus: a service that never failed is measured, and at zero."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from afdp_exporter.model import Series
from real_parts.fixtures import Start
from real_parts.servers import Prometheus
from shipped import ROOT

FILES = (
    "README.md",
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
    return [metric["query"] for each in contents for metric in each.get("metrics", [each])]


def never_failed() -> list[Series]:
    """An hour of a service that never answered with a 5xx."""
    times = np.arange(NOW - 3600, NOW, SCRAPE) + 4.0
    names = [("http_requests_total", {"code": "200"}, 5.0), ("shop_revenue_usd_total", {}, 0.2)]
    names += [("http_request_duration_seconds_bucket", {"le": le}, 5.0 * share) for le, share in BUCKETS]
    return [
        Series(metric=name, labels={"service": "quiet"} | labels, times=times, values=rate * (times - times[0]))
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
            (sample,) = prometheus.query(query.replace("$service", "quiet"), at=NOW - float(back))
            value = float(sample["value"][1])
            assert np.isfinite(value)
            assert (value == 0) is ("5.." in query)
    assert [query for query in asked if "5.." in query]


def test_each_rate_covers_four_scrapes_and_no_more() -> None:
    for file in FILES:
        for query in queries(ROOT / file):
            assert set(re.findall(r"\[(\w+)\]", query)) <= {"1m"}, (file, query)
