"""The first user's hour in its own time, an hour long: processes, scrapes, commands and checks as they are."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from real_parts.exporter import Exporter
from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.servers import Alertmanager, Prometheus, free_port
from real_parts.waiting import until
from shipped import ROOT
from shipped.alertmanager import rewired

HOUR = 3600.0  # seconds of patience
CHECKS = (120, 300, 600, 900)  # seconds after the end of a rollout


class Processes:
    """The services, each one process at a time on a port of its own."""

    def __init__(self) -> None:
        self.ports = {"checkout": free_port(), "search": free_port()}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def release(self, name: str, *, slower_ms: float = 0.0) -> None:
        """End the process of a service, and start another one."""
        self.end(name)
        words = [name, str(self.ports[name]), str(name == "checkout"), str(slower_ms)]
        command = [sys.executable, "-m", "real_parts.webshop", *words]
        self._running[name] = subprocess.Popen(command, cwd=ROOT / "tests")

    def end(self, name: str) -> None:
        if name in self._running:
            self._running[name].kill()
            self._running.pop(name).wait()


@pytest.fixture
def processes() -> Iterator[Processes]:
    started = Processes()
    with ExitStack() as running:
        for name in started.ports:
            running.callback(started.end, name)
            started.release(name)
        yield started


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def afdp(*words: str) -> str:
    """A command as people run it; what it prints."""
    done = subprocess.run([sys.executable, "-m", "afdp_exporter", *words], capture_output=True, text=True, check=True)
    return done.stdout


def checked(exporter: Exporter, deployment_id: str, after: float) -> dict[str, Any]:
    """The report of a deployment, as soon as a check is done."""

    def looks() -> list[dict[str, Any]]:
        report = exporter.get(f"/api/v1/deployments/{deployment_id}")
        return [each for each in report["looks"] if each["after_seconds"] == after and each["state"] == "done"]

    until(looks, lambda: (deployment_id, after), HOUR)
    return dict(exporter.get(f"/api/v1/deployments/{deployment_id}"))


def harmful(report: dict[str, Any]) -> bool:
    return report["outcome"] in {"degradation", "failure"}


@pytest.mark.slow
def test_the_first_hour_in_its_own_time(start: Start, processes: Processes, receiver: Receiver, tmp_path: Path) -> None:
    alertmanager = start(Alertmanager(tmp_path / "alertmanager", rewired(receiver.url)))
    exporter_port = free_port()
    (job,) = yaml.safe_load((ROOT / "alerting/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    jobs = [
        {"job_name": name, "scrape_interval": "15s", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
        for name, port in processes.ports.items()
    ]
    jobs.append(job | {"static_configs": [{"targets": [f"127.0.0.1:{exporter_port}"]}]})
    at = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}
    prometheus = start(
        Prometheus(
            tmp_path / "prometheus",
            {
                "scrape_configs": jobs,
                "rule_files": [str(ROOT / "alerting/rules/*.yml")],
                "alerting": {"alertmanagers": [at]},
            },
        )
    )
    until(lambda: prometheus.query("min(count_over_time(up[20m])) >= 79"), lambda: prometheus.query("up"), HOUR)
    file = tmp_path / "afdp.yml"
    afdp("init", f"--url={prometheus.url}", f"--output={file}")
    afdp("check", f"--config.file={file}")
    exporter = Exporter(tmp_path / "exporter", yaml.safe_load(file.read_text("utf-8")))
    exporter.port = exporter_port
    start(exporter)

    def deploy(deployment_id: str, service: str, *, slower_ms: float = 0.0) -> None:
        words = ["--service", service, "--version", deployment_id, "--id", deployment_id, "--fail"]
        afdp("annotate", f"--url={exporter.url}", *words, "--status", "started")
        processes.release(service, slower_ms=slower_ms)
        afdp("annotate", f"--url={exporter.url}", *words, "--status", "succeeded")

    deploy("innocent", "checkout")
    for after in CHECKS[:3]:
        assert not harmful(checked(exporter, "innocent", after))
    deploy("slow", "checkout", slower_ms=15.0)
    deploy("beside", "search")
    for after in CHECKS:
        report = checked(exporter, "slow", after)
        assert harmful(report), report["outcome_reason"]
        assert report["harm"]["state"] == "active"
    assert not harmful(checked(exporter, "beside", CHECKS[-1]))
    receiver.wait_for(lambda _, body: "'slow'" in str(body) and "firing" in str(body))
    assert prometheus.query('afdp_cost_per_hour{deployment_id="slow"} > 0')

    deploy("fix", "checkout")
    assert not harmful(checked(exporter, "fix", CHECKS[-1]))
    until(lambda: exporter.get("/api/v1/deployments/slow")["harm"]["state"] == "recovered", lambda: "slow", HOUR)
    report = exporter.get("/api/v1/deployments/slow")
    assert report["harm"]["ended_by"] == "fix"
    receiver.wait_for(lambda _, body: "'slow'" in str(body) and "resolved" in str(body))
    until(lambda: not prometheus.query('afdp_cost_per_hour{deployment_id="slow"}'), exporter.page, 60.0)
    delivered = [alert["labels"] for _, body in receiver.posts for alert in body.get("alerts", ())]
    assert {labels["deployment_id"] for labels in delivered if "deployment_id" in labels} == {"slow"}
