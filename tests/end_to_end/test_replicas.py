"""Two replicas on one PostgreSQL, scraped by a real Prometheus: no sum doubles, and one takes over from the other."""

import time
from pathlib import Path
from typing import Any

import pytest

from real_parts.exporter import Exporter
from real_parts.fixtures import Start
from real_parts.servers import Prometheus
from real_parts.waiting import until

SCRAPE = 5  # seconds
CONFIG: dict[str, Any] = {
    "sources": [{"name": "prometheus", "kind": "prometheus", "url": "http://127.0.0.1:1"}],
    "metrics": [{"name": "up", "layer": "technical", "query": "sum(up)"}],
    "policy": {"analysis": {"workers": 1}},
}
SHOWN = "sum(afdp_deployment_info)"


def _leader(replicas: list[Exporter]) -> Exporter | None:
    leading = [each for each in replicas if 'afdp_leader{task="metrics"} 1.0' in each.page()]
    assert len(leading) < 2
    return leading[0] if leading else None


def _deployments(prometheus: Prometheus, start: float, end: float) -> dict[int, float]:
    """By second, how many deployments Prometheus had; seconds in which it had none are left out."""
    answer = prometheus.get("/api/v1/query_range", query=SHOWN, start=str(start), end=str(end), step="1")
    return {int(at): float(value) for series in answer["data"]["result"] for at, value in series["values"]}


@pytest.mark.slow
def test_two_replicas_are_never_counted_twice_and_one_takes_over_within_two_scrapes(
    tmp_path: Path, database: str, start: Start
) -> None:
    replicas = [start(Exporter(tmp_path / name, CONFIG, f"--storage.url={database}")) for name in ("one", "two")]
    targets = [{"targets": [each.url.removeprefix("http://") for each in replicas]}]
    job = {"job_name": "afdp", "honor_labels": True, "static_configs": targets}
    config = {"global": {"scrape_interval": f"{SCRAPE}s"}, "scrape_configs": [job]}
    for number in range(3):
        status, body = replicas[number % 2].curl("/api/v1/deployments", {"service": "shop", "id": f"d{number}"})
        assert status == 201, body
    began = time.time()
    prometheus = start(Prometheus(tmp_path / "prometheus", config))

    def shown() -> float | None:
        found = prometheus.get("/api/v1/query", query=SHOWN)["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    until(lambda: shown() == 3)
    for each in replicas:
        assert {one["id"] for one in each.get("/api/v1/deployments")["deployments"]} == {"d0", "d1", "d2"}
    leader = _leader(replicas)
    assert leader is not None
    (other,) = (each for each in replicas if each is not leader)
    status, _ = other.curl("/api/v1/deployments", {"service": "shop", "id": "d3"})
    assert status == 201
    until(lambda: shown() == 4)  # the leader shows what the other took in

    killed = time.time()
    leader.kill()
    until(lambda: shown() is None)
    until(lambda: shown() == 4)
    back = time.time()
    assert _leader([other]) is other
    seen = _deployments(prometheus, began, back)
    assert max(seen.values()) == 4
    missing = [second for second in range(int(killed), int(back)) if second not in seen]
    assert 0 < len(missing) <= 3 * SCRAPE  # two scrapes are missed, so that it is three intervals from value to value


class Analyst(Exporter):
    """`afdp analyse`."""

    def arguments(self) -> list[str]:
        return [word if word != "serve" else "analyse" for word in super().arguments()]


def test_a_process_that_only_analyses_shows_how_it_goes_and_nothing_else(
    tmp_path: Path, database: str, start: Start
) -> None:
    analyst = start(Analyst(tmp_path / "analyst", CONFIG, f"--storage.url={database}"))
    assert 'afdp_leader{task="metrics"} 1.0' not in analyst.page()
    assert "afdp_analyses_pending 0.0" in analyst.page()
    assert analyst.http.request("GET", f"{analyst.url}/api/v1/deployments").status == 404
