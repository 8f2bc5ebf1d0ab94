"""What exporters really expose, scraped by a real Prometheus: each instrumentation is found with its full labels."""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from afdp_exporter import cli
from real_parts.fixtures import Start
from real_parts.servers import Prometheus
from real_parts.waiting import until

EXPOSITIONS = {path.stem: path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("expositions/*.prom"))}
RED = ("request_latency_p95_seconds", "error_ratio", "requests_per_second")
KEEP_THEIR_LABELS = {"cadvisor", "kube-state-metrics", "opencost"}
"""Scraped with `honor_labels`, as their charts do."""

WANTED = {
    "reviews": {f"istio_{name}" for name in RED},
    "web": {f"ingress_{name}" for name in RED} | {"cpu_throttled_ratio", "cpu_cores"},
    "shop/cart": set(RED),
    "billing": {f"spring_{name}" for name in RED} | {"db_connections_waiting", "cpu_ratio"},
    "fastapi": {
        "http_request_latency_p95_seconds",
        "fastapi_error_ratio",
        "fastapi_requests_per_second",
        "process_cpu_cores",
        "process_memory_bytes",
    },
    "flask": {f"flask_{name}" for name in RED} | {"cpu_cores", "memory_bytes"},
    "aspnet": {f"http_{name}" for name in RED},
    "express": {
        "http_request_latency_p95_seconds",
        "express_error_ratio",
        "express_requests_per_second",
        "process_cpu_cores",
    },
    "grpc": {f"grpc_{name}" for name in RED},
    "quote": {f"envoy_{name}" for name in RED} | {"restarts_per_hour", "infra_cost_usd_per_hour"},
}


@contextmanager
def exposed() -> Iterator[int]:
    """The port of a server of all expositions, whose counters grow as their files say."""
    began = time.time()

    class Exporter(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = grown(EXPOSITIONS[self.path.strip("/")], time.time() - began).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002, ANN401
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def grown(exposition: str, seconds: float) -> str:
    """The page after so many seconds: the numbers of counters and histograms are what they grow by each second."""
    lines, counted = [], False
    for line in exposition.splitlines():
        if line.startswith("#"):
            counted = line.endswith((" counter", " histogram")) if line.startswith("# TYPE") else counted
            lines.append(line)
            continue
        series, _, value = line.rpartition(" ")
        lines.append(f"{series} {float(value) * (seconds if counted else 1)}")
    return "\n".join(lines) + "\n"


def job(name: str, port: int) -> dict[str, Any]:
    """A scrape as the Prometheus Operator writes it for a ServiceMonitor."""
    operator = {"namespace": "shop", "service": name, "endpoint": "http", "container": name, "pod": f"{name}-7d4d9-abc"}
    return {
        "job_name": name,
        "metrics_path": f"/{name}",
        "honor_labels": name in KEEP_THEIR_LABELS,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": operator}],
    }


@pytest.mark.real
def test_each_exporter_is_known_as_it_is_scraped_and_every_query_answers(start: Start, tmp_path: Path) -> None:
    with exposed() as port:
        prometheus = start(
            Prometheus(tmp_path / "prometheus", {"scrape_configs": [job(name, port) for name in EXPOSITIONS]})
        )

        def scraped() -> int:
            """How many were scraped often enough for a rate at the last full minute, which is what queries ask for."""
            return len(prometheus.query("count_over_time(up{pod!=''}[30s]) > 4", at=time.time() // 60 * 60))

        until(lambda: scraped() == len(EXPOSITIONS), lambda: prometheus.query("up"), 180.0)
        file = tmp_path / "afdp.yml"
        proposed = CliRunner().invoke(cli._afdp, ["init", f"--url={prometheus.url}", f"--output={file}"])
        assert proposed.exit_code == 0, proposed.output
        written = yaml.safe_load(file.read_text("utf-8"))
        services = {each["name"]: set(each["metrics"]) for each in written["services"]}
        assert services == WANTED
        queries = {metric["name"]: metric["query"] for metric in written["metrics"]}
        for service, names in services.items():
            for name in names:
                (sample,) = prometheus.query(queries[name].replace("$service", service))
                assert math.isfinite(float(sample["value"][1])), (service, name)
        of = {metric["name"]: metric["of"] for metric in written["metrics"] if "of" in metric}
        assert set(of) == {name for name in queries if name.endswith("error_ratio")}
