"""The rig itself: what it starts is what answers, what it writes is what is read."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from afdp_exporter.model import Series
from real_parts.fixtures import Start
from real_parts.servers import SERVERS, Alertmanager, Prometheus, Server, VictoriaMetrics

HOUR = 3600.0


def counted(metric: str, end: float, hours: float) -> Series:
    times = np.arange(end - hours * HOUR, end, 60.0)
    return Series(
        metric=metric, labels={"service": "é\n\"'"}, times=times, values=np.arange(len(times), dtype=np.float64)
    )


def now(server: Server) -> float:
    return float(server.get("/api/v1/query", query="vector(time())")["data"]["result"][0]["value"][1])


def counted_over(server: Server, metric: str, end: float) -> float:
    (found,) = server.get("/api/v1/query", query=f"count_over_time({metric}[500h])", time=f"{end - 1}")["data"][
        "result"
    ]
    assert found["metric"] == {"service": "é\n\"'"}
    return float(found["value"][1])


@pytest.mark.parametrize("kind", [Prometheus, VictoriaMetrics])
def test_what_was_written_is_there_at_once_however_old(
    start: Start, tmp_path: Path, kind: type[Prometheus | VictoriaMetrics]
) -> None:
    server = start(kind(tmp_path))
    end = now(server)
    server.remote_write([counted("young", end, 1), counted("old", end - 60 * 24 * HOUR, 400)])
    assert counted_over(server, "young", end) == pytest.approx(60, abs=1)
    assert counted_over(server, "old", end - 60 * 24 * HOUR) == pytest.approx(400 * 60, abs=1)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_killed_server_comes_back_at_the_same_address(start: Start, tmp_path: Path, kind: type[Server]) -> None:
    server = start(kind(tmp_path))
    before = server.url
    server.restart()
    assert server.url == before
    assert server.http.request("GET", server.url + server.ready).status == 200


def test_alertmanager_takes_alerts(alertmanager: Alertmanager) -> None:
    alert = [{"labels": {"alertname": "RigTest"}}]
    assert alertmanager.http.request("POST", f"{alertmanager.url}/api/v2/alerts", json=alert).status == 200
    assert [found["labels"] for found in alertmanager.get("/api/v2/alerts")] == [{"alertname": "RigTest"}]


INNER = """
def test_with_a_real_part(prometheus):
    pass
def test_without():
    pass
"""


@pytest.mark.parametrize(("required", "status", "verdict"), [("0", 0, "1 skipped"), ("1", 1, "1 error")])
def test_a_run_without_the_real_parts_says_so_in_its_last_lines(
    tmp_path: Path, required: str, status: int, verdict: str
) -> None:
    tests = tmp_path / "tests"
    shutil.copytree(Path(__file__).parent / "real_parts", tests / "real_parts")
    (tests / "test_inner.py").write_text(INNER)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--rootdir", tests, tests],
        env={
            "PATH": "",
            "PYTHONPATH": str(tests),
            "PYTEST_PLUGINS": "real_parts.fixtures",
            "AFDP_REQUIRE_REAL": required,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == status, run.stdout + run.stderr
    lines = run.stdout.strip().splitlines()
    (end,) = (place for place, line in enumerate(lines) if verdict in line and line.startswith("==="))
    programs = ", ".join(["chromium", "kubectl", *(kind.programs[0] for kind in SERVERS)])
    assert any(line.startswith(f"NOT TESTED against the real {programs}") for line in lines[end + 1 :])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="Debian's packages come by apt-get, which is not here")
def test_the_real_parts_can_be_fetched_and_run_without_being_installed(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scripts").mkdir()
    script = shutil.copy(Path(__file__).parents[1] / "scripts/real-parts", tmp_path / "scripts")
    subprocess.run([script], check=True)
    monkeypatch.setenv("PATH", str(tmp_path / ".cache/real/usr/bin"))
    for kind in SERVERS:
        assert start(kind(tmp_path / kind.__name__)).program().startswith(str(tmp_path))
