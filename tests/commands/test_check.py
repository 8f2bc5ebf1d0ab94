"""`afdp check` on a real Prometheus: what it says of windows, of steps, and of a history that has just begun."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.model import Series
from real_parts.fixtures import Start
from real_parts.servers import Prometheus

SCRAPE = 15.0  # seconds
BLURRED = (
    "[5m] blurs a step into a drift at the check 2 minutes after a rollout; "
    "[1m] is enough for a scrape interval of 15 seconds"
)


def scraped(minutes: float, every: float = SCRAPE) -> list[Series]:
    """Requests and errors of a service that is known for so many minutes."""
    now = time.time()
    times = np.arange(now - 60 * minutes, now, every)
    requests = np.random.default_rng(5).poisson(5 * every, times.size).cumsum().astype(float)
    of = {"job": "shop"}
    return [
        Series(metric="requests_total", labels=of, times=times, values=requests),
        Series(metric="weight_bytes", labels=of, times=times, values=requests % 97),
    ]


def check(folder: Path, url: str, queries: dict[str, str], *flags: str, **blocks: object) -> Result:
    metrics = [{"name": name, "layer": "technical", "query": query} for name, query in queries.items()]
    content: dict[str, Any] = {
        "sources": [{"kind": "prometheus", "url": url}],
        "metrics": metrics,
        "services": [{"name": "shop"}],
        "policy": {"analysis": {"step": "15s", "history": "12h"}},
    }
    (folder / "afdp.yml").write_text(yaml.safe_dump(content | blocks))
    return CliRunner().invoke(cli._afdp, ["check", f"--config.file={folder / 'afdp.yml'}", *flags])


def rate(window: str) -> str:
    return f'sum(rate(requests_total{{job="$service"}}[{window}]))'


def notes(found: Result) -> dict[str, list[str]]:
    return {each["metric"]: each["warnings"] for each in json.loads(found.stdout)}


def test_windows_that_do_not_fit_the_scrape_interval_are_named_with_those_that_do(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(scraped(90))
    queries = {
        "a_per_second": rate("30s"),
        "b_per_second": rate("45s"),
        "c_per_second": rate("1m"),
        "d_per_second": rate("2m"),
        "e_per_second": rate("5m"),
        "f_bytes": 'sum(weight_bytes{job="$service"})',
    }
    found = check(tmp_path, prometheus.url, queries, "--quick", "--output=json")
    use = "use [1m] for a scrape interval of 15 seconds"
    assert notes(found) == {
        "a_per_second": [f"[30s] is less than four scrapes: a missed scrape leaves a gap; {use}"],
        "b_per_second": [f"[45s] is less than four scrapes: a missed scrape leaves a gap; {use}"],
        "c_per_second": [],
        "d_per_second": [],
        "e_per_second": [BLURRED],
        "f_bytes": [],
    }
    assert found.exit_code == 0


def test_a_long_window_is_needed_where_scrapes_are_rare(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(scraped(90, every=60.0))
    queries = {"a_per_second": rate("4m"), "b_per_second": rate("1m"), "c_per_second": rate("20m")}
    answered = check(tmp_path, prometheus.url, queries, "--quick", "--output=json")
    found = notes(answered)
    assert found["a_per_second"] == []
    (problem,) = [each["problem"] for each in json.loads(answered.stdout) if each["problem"]]
    assert problem == (
        "no data in the last day; [1m] is less than four scrapes: it has no value most of the time; "
        "use [4m] for a scrape interval of 1 minute"
    )
    assert "at the checks 2 minutes, 5 minutes, 10 minutes and 15 minutes after a rollout" in found["c_per_second"][0]


def test_a_step_longer_than_the_scrape_interval_is_named_with_what_it_costs(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(scraped(90))
    result = check(tmp_path, prometheus.url, {"a_per_second": rate("1m")}, "--quick", policy={})
    assert "policy.analysis.step is 1m; with 15s, as metrics are scraped," in result.output
    assert "after 5.2 minutes of history instead of 21 minutes" in result.output
    fits = check(tmp_path, prometheus.url, {"a_per_second": rate("1m")}, "--quick")
    assert "policy.analysis.step" not in fits.output


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (3, "nothing can be judged yet: 2 of 6 minutes of history; deployments from "),
        (10, "no placebo can be judged yet"),
    ],
)
def test_where_nothing_can_be_judged_yet_nothing_is_certified(
    start: Start, tmp_path: Path, minutes: float, expected: str
) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(scraped(minutes))
    found = check(tmp_path, prometheus.url, {"a_per_second": rate("1m")}, "--output=json")
    (answer,) = json.loads(found.stdout)
    assert (answer["placebos"], answer["false_alarms"], answer["smallest_change"]) == (0, None, None)
    assert answer["not_yet"].startswith(expected)
    assert found.exit_code == 1
    text = check(tmp_path, prometheus.url, {"a_per_second": rate("1m")}).output
    assert " of 0" not in text
    assert "can be judged yet" in text


def test_with_history_placebos_are_judged_and_the_latest_has_its_unit(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(scraped(240))
    found = check(tmp_path, prometheus.url, {"a_per_second": rate("1m")}, "--output=json")
    (answer,) = json.loads(found.stdout)
    assert answer["placebos"] > 5
    assert answer["smallest_change"] > 0
    assert 0 < answer["worth"] < answer["latest"]
    assert answer["not_yet"] is None
    assert found.exit_code == 0
    text = check(tmp_path, prometheus.url, {"a_per_second": rate("1m")}, "--quick").output
    assert "min. detectable change" in text
    assert "matters from" in text
    assert "/s" in text


def test_a_service_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    found = check(tmp_path, "http://127.0.0.1:9", {"a_per_second": rate("1m")}, "--service=shopp")
    assert "The service shopp is not known; did you mean shop?" in str(found.exception)
