"""A first configuration from what a real Prometheus has: only what returned data, and nothing that check refuses."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.demo.shop import SERVICES
from afdp_exporter.model import Series
from real_parts.exporter import Exporter
from real_parts.fixtures import Start
from real_parts.servers import Alertmanager, NodeExporter, Prometheus, VictoriaMetrics
from real_parts.shop import Shop
from real_parts.waiting import until

BUCKETS = ("0.1", "1", "+Inf")


def afdp(*arguments: str) -> Result:
    return CliRunner().invoke(cli._afdp, arguments)


def growing(name: str, rate: float, **labels: str) -> Series:
    """A counter of two hours."""
    times = np.arange(time.time() // 30 * 30 - 7200, time.time(), 30)
    return Series(metric=name, labels=labels, times=times, values=rate * (times - times[0]))


def level(name: str, value: float, **labels: str) -> Series:
    """A gauge of two hours."""
    times = np.arange(time.time() // 30 * 30 - 7200, time.time(), 30)
    return Series(metric=name, labels=labels, times=times, values=np.full(times.size, value))


def histogram(name: str, **labels: str) -> Iterator[Series]:
    for place, bucket in enumerate(BUCKETS, 1):
        yield growing(f"{name}_bucket", 3.0 * place, le=bucket, **labels)
    yield growing(f"{name}_count", 9.0, **labels)
    yield growing(f"{name}_sum", 2.0, **labels)


def instrumented() -> Iterator[Series]:
    """One service for each instrumentation, with the names and labels that it gives."""
    otel = {"job": "shop/otel-service", "service_name": "otel-service", "http_route": "/"}
    yield from histogram("http_server_request_duration_seconds", http_response_status_code="200", **otel)
    yield growing("http_server_request_duration_seconds_count", 0.1, http_response_status_code="500", **otel)
    old = {"exported_job": "otel-old"}
    yield from histogram("http_server_duration_milliseconds", http_status_code="200", **old)
    yield from histogram("http_server_requests_seconds", application="spring-service", status="200", uri="/")
    for area in ("heap", "nonheap"):
        yield level("jvm_memory_used_bytes", 1e8, application="spring-service", area=area)
        yield level("jvm_memory_max_bytes", 4e8 if area == "heap" else -1, application="spring-service", area=area)
    yield level("process_cpu_usage", 0.3, application="spring-service")
    yield level("hikaricp_connections_pending", 2, application="spring-service")
    yield from histogram("http_request_duration_seconds", job="go-service", handler="/", code="200")
    yield growing("http_requests_total", 5, job="go-service", code="200")
    yield growing("process_cpu_seconds_total", 0.2, job="go-service")
    yield level("process_resident_memory_bytes", 1e8, job="go-service")
    yield from histogram("grpc_server_handling_seconds", job="grpc-service", grpc_method="Get")
    yield growing("grpc_server_handled_total", 5, job="grpc-service", grpc_code="OK")
    mesh = {"destination_canonical_service": "mesh-service", "reporter": "destination"}
    yield from histogram("istio_request_duration_milliseconds", response_code="200", **mesh)
    yield growing("istio_requests_total", 5, response_code="200", **mesh)
    yield growing("istio_requests_total", 1, response_code="503", **mesh)
    yield growing("container_cpu_usage_seconds_total", 0.5, container="mesh-service", pod="mesh-service-1")
    yield growing("container_cpu_cfs_throttled_periods_total", 1, container="mesh-service", pod="mesh-service-1")
    yield growing("container_cpu_cfs_periods_total", 10, container="mesh-service", pod="mesh-service-1")
    yield level("container_memory_working_set_bytes", 1e8, container="mesh-service", pod="mesh-service-1")
    yield growing("container_cpu_usage_seconds_total", 0.5, container="sidecar-of-nobody", pod="x")
    yield growing("kube_pod_container_status_restarts_total", 0.001, container="behind-ingress", pod="b-1")
    yield level("container_cpu_allocation", 2, container="behind-ingress", node="n1")
    yield level("container_memory_allocation_bytes", 2**31, container="behind-ingress", node="n1")
    yield level("container_gpu_allocation", 1, container="behind-ingress", node="n1")
    yield level("node_gpu_hourly_cost", 0.9, node="n1")
    yield level("node_cpu_hourly_cost", 0.03, node="n1")
    yield level("node_ram_hourly_cost", 0.004, node="n1")
    ingress = {"exported_service": "behind-ingress", "ingress": "web"}
    yield from histogram("nginx_ingress_controller_request_duration_seconds", status="200", **ingress)
    yield growing("nginx_ingress_controller_requests", 5, status="200", **ingress)
    yield from histogram("envoy_cluster_upstream_rq_time", envoy_cluster_name="envoy-service")
    yield growing("envoy_cluster_upstream_rq_xx", 5, envoy_cluster_name="envoy-service", envoy_response_code_class="2")
    yield growing("envoy_cluster_upstream_rq_total", 5, envoy_cluster_name="envoy-service")
    yield growing("shop_revenue_usd_total", 0.3, app="go-service")
    yield level("request_latency_p95_seconds", float("nan"), service="silent")


WANTED = {
    "otel-service": {"request_latency_p95_seconds", "error_ratio", "requests_per_second"},
    "otel-old": {"otel_request_latency_p95_seconds", "otel_error_ratio", "otel_requests_per_second"},
    "spring-service": {
        "spring_request_latency_p95_seconds",
        "spring_error_ratio",
        "spring_requests_per_second",
        "db_connections_waiting",
        "cpu_ratio",
    },
    "go-service": {
        "http_request_latency_p95_seconds",
        "http_error_ratio",
        "http_requests_per_second",
        "shop_revenue_usd_per_hour",
        "process_cpu_cores",
    },
    "grpc-service": {"grpc_request_latency_p95_seconds", "grpc_error_ratio", "grpc_requests_per_second"},
    "mesh-service": {
        "istio_request_latency_p95_seconds",
        "istio_error_ratio",
        "istio_requests_per_second",
        "cpu_throttled_ratio",
        "cpu_cores",
    },
    "behind-ingress": {
        "ingress_request_latency_p95_seconds",
        "ingress_error_ratio",
        "ingress_requests_per_second",
        "restarts_per_hour",
        "infra_cost_usd_per_hour",
    },
    "envoy-service": {"envoy_request_latency_p95_seconds", "envoy_error_ratio", "envoy_requests_per_second"},
}


def test_each_instrumentation_is_known_by_its_names_and_check_accepts_all_of_it(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(instrumented())
    file = tmp_path / "afdp.yml"
    proposed = afdp("init", f"--url={prometheus.url}", f"--output={file}")
    assert proposed.exit_code == 0, proposed.output
    content = yaml.safe_load(file.read_text())
    assert {each["name"]: set(each["metrics"]) for each in content["services"]} == WANTED
    metrics = {metric["name"]: metric for metric in content["metrics"]}
    assert metrics["shop_revenue_usd_per_hour"]["money"] == {"currency": "USD", "per_unit": 1}
    cost = metrics["infra_cost_usd_per_hour"]
    assert (cost["layer"], cost["primary"], cost["money"]) == ("system", False, {"currency": "USD", "per_unit": 1})
    value = prometheus.query(metrics["infra_cost_usd_per_hour"]["query"].replace("$service", "behind-ingress"))
    assert float(value[0]["value"][1]) == pytest.approx(2 * 0.03 + 2 * 0.004 + 1 * 0.9)
    failed, every = (
        prometheus.query(metrics["istio_error_ratio"][key].replace("$service", "mesh-service"))[0]["value"][1]
        for key in ("query", "of")
    )
    assert float(failed) / float(every) == pytest.approx(1 / 6, rel=1e-3)  # each as of the moment it was asked
    nothing_is_wrong(file)
    again = afdp("init", f"--url={prometheus.url}", f"--output={file}")
    assert "is there already; --force replaces it" in str(again.exception)


def nothing_is_wrong(file: Path) -> None:
    checked = afdp("check", f"--config.file={file}", "--quick", "--output=json")
    answers: list[dict[str, Any]] = json.loads(checked.stdout)
    assert [answer for answer in answers if answer["problem"]] == []
    assert checked.exit_code == 0


def test_a_prometheus_that_scrapes_itself_the_machine_and_the_exporter_and_holds_the_demo(
    start: Start, tmp_path: Path
) -> None:
    machine = start(NodeExporter(tmp_path / "node"))
    exporter = start(
        Exporter(tmp_path / "exporter", {"sources": [{"kind": "prometheus", "url": "http://127.0.0.1:9"}]})
    )
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    ports = {"prometheus": prometheus.port, "node": machine.port, "afdp-exporter": exporter.port}
    jobs = [{"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for name, port in ports.items()]
    prometheus.config = {"scrape_configs": jobs}
    prometheus.restart()
    prometheus.remote_write(Shop().series())

    def scraped() -> int:
        """How many jobs were scraped often enough for a rate at the last full minute, which is what queries ask for."""
        return len(prometheus.query("count_over_time(up[30s]) > 4", at=time.time() // 60 * 60))

    until(lambda: scraped() == len(jobs), lambda: prometheus.query("up"), 180.0)

    file = tmp_path / "afdp.yml"
    proposed = afdp("init", f"--url={prometheus.url}", f"--output={file}")
    assert proposed.exit_code == 0, proposed.output
    services = {each["name"]: each["metrics"] for each in yaml.safe_load(file.read_text())["services"]}
    assert set(services) == {service.name for service in SERVICES}
    judged = {name: [each for each in metrics if "infra_cost" not in each] for name, metrics in services.items()}
    assert all(3 <= len(metrics) <= 5 for metrics in judged.values()), services
    assert {"request_latency_p95_seconds", "error_ratio", "revenue_usd_per_hour"} <= set(services["checkout"])
    nothing_is_wrong(file)
    assert "Left out as infrastructure: node, prometheus;" in proposed.output

    every = afdp("init", f"--url={prometheus.url}", "--output=-", "--include-infrastructure")
    services = {each["name"]: each["metrics"] for each in yaml.safe_load(every.output)["services"]}
    assert {"prometheus", "node"} < set(services)
    alone = yaml.safe_load(afdp("init", f"--url={prometheus.url}", "--output=-", "--service=node").output)
    assert [each["name"] for each in alone["services"]] == ["node"]


def test_a_server_without_any_known_name_is_reported_as_such(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    found = afdp("init", f"--url={prometheus.url}", "--output=-")
    assert "has a name that is known here" in str(found.exception)


def counted(service: str, every: float, *, label: str = "job", revenue: float | None = None) -> Iterator[Series]:
    """An hour of a service that is scraped every so many seconds."""
    times = np.arange(time.time() // every * every - 3600, time.time(), every)
    names = {"http_requests_total": 5.0} | ({} if revenue is None else {"shop_revenue_usd_total": revenue})
    for name, rate in names.items():
        labels = {label: service} | ({"code": "200"} if "requests" in name else {})
        yield Series(metric=name, labels=labels, times=times, values=rate * (times - times[0]))


@pytest.mark.parametrize("kind", [Prometheus, VictoriaMetrics])
def test_rates_and_step_follow_the_scrape_interval_of_each_service(
    start: Start, tmp_path: Path, kind: type[Prometheus | VictoriaMetrics]
) -> None:
    prometheus = start(kind(tmp_path / "server"))
    for service, every in (("often", 5.0), ("usual", 15.0), ("also-usual", 15.0), ("seldom", 60.0)):
        prometheus.remote_write(counted(service, every))
    proposed = yaml.safe_load(afdp("init", f"--url={prometheus.url}", "--output=-").output)
    queries = {metric["name"]: metric["query"] for metric in proposed["metrics"]}
    traffic = {
        service["name"]: queries[name]
        for service in proposed["services"]
        for name in service["metrics"]
        if name.endswith("requests_per_second")
    }
    assert {service: query.split("[")[1].rstrip(")") for service, query in traffic.items()} == {
        "often": "20s]",
        "usual": "1m]",
        "also-usual": "1m]",
        "seldom": "4m]",
    }
    assert traffic["usual"] == traffic["also-usual"]
    assert proposed["policy"] == {"analysis": {"step": "15s"}}


def test_revenue_is_asked_of_its_own_service_where_a_label_names_one(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(counted("checkout", 15.0, revenue=3.0))
    prometheus.remote_write(counted("search", 15.0, revenue=1.0))
    proposed = yaml.safe_load(afdp("init", f"--url={prometheus.url}", "--output=-").output)
    (query,) = [metric["query"] for metric in proposed["metrics"] if "revenue" in metric["name"]]
    for service, rate in (("checkout", 3.0), ("search", 1.0)):
        (sample,) = prometheus.query(query.replace("$service", service))
        assert float(sample["value"][1]) == pytest.approx(3600 * rate)


def test_revenue_that_an_exporter_of_business_figures_gives_belongs_to_every_service(
    start: Start, tmp_path: Path
) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(counted("checkout", 15.0))
    prometheus.remote_write(counted("search", 15.0))
    prometheus.remote_write([growing("shop_revenue_usd_total", 3.0, job="warehouse")])
    proposed = yaml.safe_load(afdp("init", f"--url={prometheus.url}", "--output=-").output)
    (query,) = [metric["query"] for metric in proposed["metrics"] if "revenue" in metric["name"]]
    assert "$service" not in query
    assert all("shop_revenue_usd_per_hour" in service["metrics"] for service in proposed["services"])
    only = afdp("init", f"--url={prometheus.url}", "--output=-", "--service=search")
    assert [each["name"] for each in yaml.safe_load(only.output)["services"]] == ["search"]


def test_a_service_that_no_metric_names_is_refused_with_the_known_ones_and_the_nearest(
    start: Start, tmp_path: Path
) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write(counted("checkout", 15.0))
    prometheus.remote_write(counted("search", 15.0))
    found = afdp("init", f"--url={prometheus.url}", f"--output={tmp_path / 'afdp.yml'}", "--service=chekout")
    assert "chekout is not known; did you mean checkout? Known: checkout, search." in str(found.exception)
    assert not (tmp_path / "afdp.yml").exists()


def test_a_program_that_names_itself_a_tool_is_infrastructure_whatever_its_job_is_called(
    start: Start, tmp_path: Path
) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    for service in ("checkout", "metrics", "boxes"):
        prometheus.remote_write(counted(service, 15.0))
    prometheus.remote_write([level("prometheus_build_info", 1, job="metrics", version="3.0")])
    prometheus.remote_write([level("postgres_exporter_build_info", 1, job="boxes")])
    proposed = yaml.safe_load(afdp("init", f"--url={prometheus.url}", "--output=-").output)
    assert [each["name"] for each in proposed["services"]] == ["checkout"]


def test_each_metric_stands_under_what_it_measures(start: Start, tmp_path: Path) -> None:
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    prometheus.remote_write([growing("node_disk_io_time_seconds_total", 0.1, job="node", device="sda")])
    proposed = afdp("init", f"--url={prometheus.url}", "--output=-", "--include-infrastructure").output
    assert "# disk, by the convention of node-exporter; data for node; scraped every 30s" in proposed
    refused = afdp("init", f"--url={prometheus.url}", "--output=-")
    assert "only infrastructure is found" in str(refused.exception)


def test_a_server_without_the_api_is_reported_as_such(start: Start, tmp_path: Path) -> None:
    for other in (start(NodeExporter(tmp_path / "node")), start(Alertmanager(tmp_path / "alertmanager"))):
        found = afdp("init", f"--url={other.url}", "--output=-")
        assert str(found.exception).startswith(f"url: {other.url}: it")
        assert "is this a server with the Prometheus API?" in str(found.exception)
