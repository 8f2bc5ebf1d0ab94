"""The conventions by which metrics are named: requests, resources, money, each with what is worth watching of it."""

from afdp_exporter.model import Layer, Worse
from afdp_exporter.proposals.convention import (
    APPS,
    FAILED,
    PREFIX,
    Candidate,
    Convention,
    Role,
    errors,
    latency,
    mean,
    system,
    traffic,
)

_REQUESTS = f"{PREFIX}http_requests?_(?:received_)?total"
_CODES = ("code", "status", "status_code", "http_status_code", "response_code")

OPENTELEMETRY = Convention(
    title="OpenTelemetry http.server",
    key="otel",
    service=("service_name", "exported_job", "job"),
    status=("http_response_status_code", "http_status_code"),
    candidates=(
        latency("http_server_request_duration_seconds_bucket"),
        errors("http_server_request_duration_seconds_count", FAILED),
        traffic("http_server_request_duration_seconds_count"),
        latency("http_server_duration_milliseconds_bucket", milliseconds=True),
        errors("http_server_duration_milliseconds_count", FAILED),
        traffic("http_server_duration_milliseconds_count"),
    ),
)

SPRING = Convention(
    title="Spring Boot with Micrometer",
    key="spring",
    service=("application", "app", "service", "job"),
    status=("status",),
    candidates=(
        latency("http_server_requests_seconds_bucket"),
        mean("http_server_requests_seconds"),
        errors("http_server_requests_seconds_count", FAILED),
        traffic("http_server_requests_seconds_count"),
        system(
            Role.SATURATION,
            "hikaricp_connections_pending",
            "db_connections_waiting",
            "sum(hikaricp_connections_pending{<of>})",
        ),
        system(Role.CPU, "process_cpu_usage", "cpu_ratio", "avg(process_cpu_usage{<of>})"),
        system(
            Role.MEMORY,
            "jvm_memory_used_bytes",
            "heap_used_ratio",
            'sum(jvm_memory_used_bytes{<of>, area="heap"}) / sum(jvm_memory_max_bytes{<of>, area="heap"} > 0)',
        ),
    ),
)

GRPC = Convention(
    title="gRPC server",
    key="grpc",
    service=APPS,
    status=("grpc_code",),
    candidates=(
        latency("grpc_server_handling_seconds_bucket"),
        errors("grpc_server_handled_total", '<status>=~"Internal|Unavailable|Unknown|DataLoss|DeadlineExceeded"'),
        traffic("grpc_server_handled_total"),
    ),
)

PROMETHEUS_CLIENTS = Convention(
    title="Prometheus clients",
    key="http",
    service=APPS,
    status=_CODES,
    candidates=(
        latency(f"{PREFIX}http_requests?_(?:duration|latency)_seconds_bucket"),
        errors(_REQUESTS, FAILED),
        errors(f"{PREFIX}http_request_duration_seconds_count", FAILED),
        traffic(_REQUESTS),
        traffic(f"{PREFIX}http_request_duration_seconds_count"),
    ),
)

RECORDED = Convention(
    title="recording rules and gauges",
    key="recorded",
    service=APPS,
    shared=True,
    candidates=(
        Candidate(
            role=Role.LATENCY,
            metric=f"{PREFIX}(?P<what>request_latency|response_time|request_duration)_(?P<point>p9[059]|p50|mean)_seconds",
            name="<prefix><what>_<point>_seconds",
            query="max(<m>{<of>})",
        ),
        Candidate(
            role=Role.ERRORS, metric=f"{PREFIX}errors?_ratio", name="<prefix>error_ratio", query="max(<m>{<of>})"
        ),
        Candidate(
            role=Role.TRAFFIC,
            metric=f"{PREFIX}requests_per_second",
            name="<prefix>requests_per_second",
            query="sum(<m>{<of>})",
            worse=Worse.EITHER,
            primary=False,
        ),
        system(Role.CPU, f"{PREFIX}cpu_(?:usage_|utili[sz]ation_)?ratio", "<prefix>cpu_ratio", "max(<m>{<of>})"),
    ),
)

ISTIO = Convention(
    title="Istio",
    key="istio",
    service=("destination_canonical_service", "destination_service_name", "destination_workload"),
    status=("response_code",),
    candidates=(
        latency(
            "istio_request_duration_milliseconds_bucket", milliseconds=True, extra=', reporter=~"destination|waypoint"'
        ),
        errors("istio_requests_total", FAILED, extra=', reporter=~"destination|waypoint"'),
        traffic("istio_requests_total", extra=', reporter=~"destination|waypoint"'),
    ),
)

NGINX = Convention(
    title="NGINX ingress controller",
    key="ingress",
    service=("exported_service", "service", "ingress"),
    status=("status",),
    candidates=(
        latency("nginx_ingress_controller_request_duration_seconds_bucket"),
        errors("nginx_ingress_controller_requests", FAILED),
        traffic("nginx_ingress_controller_requests"),
    ),
)

ENVOY = Convention(
    title="Envoy",
    key="envoy",
    service=("envoy_cluster_name",),
    status=("envoy_response_code_class",),
    candidates=(
        latency("envoy_cluster_upstream_rq_time_bucket", milliseconds=True),
        errors("envoy_cluster_upstream_rq_xx", '<status>="5"'),
        traffic("envoy_cluster_upstream_rq_total"),
    ),
)


NODE = Convention(
    title="node-exporter",
    key="node",
    service=("job",),
    candidates=(
        system(
            Role.SATURATION,
            "node_load1",
            "load_per_core",
            'sum(node_load1{<of>}) / count(node_cpu_seconds_total{<of>, mode="idle"})',
        ),
        system(
            Role.CPU,
            "node_cpu_seconds_total",
            "cpu_ratio",
            '1 - avg(rate(node_cpu_seconds_total{<of>, mode="idle"}[<window>]))',
        ),
        system(
            Role.MEMORY,
            "node_memory_MemAvailable_bytes",
            "memory_used_ratio",
            "1 - sum(node_memory_MemAvailable_bytes{<of>}) / sum(node_memory_MemTotal_bytes{<of>})",
        ),
        system(
            Role.DISK,
            "node_disk_io_time_seconds_total",
            "disk_busy_ratio",
            "max(rate(node_disk_io_time_seconds_total{<of>}[<window>]))",
        ),
    ),
)

KUBERNETES = Convention(
    title="kube-state-metrics and cAdvisor",
    key="kube",
    service=("container", "pod_label_app", "label_app"),
    leading=False,
    candidates=(
        system(
            Role.SATURATION,
            "container_cpu_cfs_throttled_periods_total",
            "cpu_throttled_ratio",
            "sum(rate(<m>{<of>}[<window>])) / sum(rate(container_cpu_cfs_periods_total{<of>}[<window>]))",
        ),
        system(Role.CPU, "container_cpu_usage_seconds_total", "cpu_cores", "sum(rate(<m>{<of>}[<window>]))"),
        system(Role.MEMORY, "container_memory_working_set_bytes", "memory_bytes", "sum(<m>{<of>})"),
        system(
            Role.RESTARTS,
            "kube_pod_container_status_restarts_total",
            "restarts_per_hour",
            "3600 * sum(rate(<m>{<of>}[<window>]))",
        ),
    ),
)

PROCESS = Convention(
    title="the process, as Prometheus clients show it",
    key="process",
    service=APPS,
    leading=False,
    candidates=(
        system(Role.CPU, "process_cpu_seconds_total", "cpu_cores", "sum(rate(<m>{<of>}[<window>]))"),
        system(Role.MEMORY, "process_resident_memory_bytes", "memory_bytes", "sum(<m>{<of>})"),
    ),
)


_GAINED = f"{PREFIX}(?P<what>revenue|sales|turnover)_(?P<currency>usd|eur|gbp|jpy|inr)"


def _gain(metric: str, name: str, query: str) -> Candidate:
    """What the business lives on."""
    return Candidate(role=Role.MONEY, metric=metric, name=name, query=query, layer=Layer.BUSINESS, worse=Worse.DOWN)


def _cost(metric: str, name: str, query: str, layer: Layer = Layer.BUSINESS, currency: str | None = None) -> Candidate:
    """What the machines cost: shown, not judged."""
    return Candidate(
        role=Role.COST, metric=metric, name=name, query=query, layer=layer, primary=False, currency=currency
    )


BUSINESS = Convention(
    title="business figures",
    key="business",
    service=APPS,
    leading=False,
    shared=True,
    candidates=(
        _gain(f"{_GAINED}_total", "<prefix><what>_<currency>_per_hour", "3600 * sum(rate(<m>{<of>}[<window>]))"),
        _gain(f"{_GAINED}_per_hour", "<prefix><what>_<currency>_per_hour", "sum(<m>{<of>})"),
        _gain(
            f"{PREFIX}(?P<what>orders|checkouts|purchases|payments|bookings|signups)_total",
            "<prefix><what>_per_hour",
            "3600 * sum(rate(<m>{<of>}[<window>]))",
        ),
        Candidate(
            role=Role.USERS,
            metric=f"{PREFIX}(?P<what>[a-z]+_abandonment)_ratio",
            name="<prefix><what>_ratio",
            query="max(<m>{<of>})",
            layer=Layer.USER,
        ),
        Candidate(
            role=Role.USERS,
            metric=f"{PREFIX}(?P<what>active_sessions|[a-z]+_sessions)",
            name="<prefix><what>",
            query="sum(<m>{<of>})",
            layer=Layer.USER,
            worse=Worse.DOWN,
        ),
    ),
)

_GIB = "container_memory_allocation_bytes{<of>} / 1073741824"


def _hourly(allocated: str, rate: str) -> str:
    """What is allocated on each node, at the node's price."""
    return f"sum(sum by (node) ({allocated}) * on (node) max by (node) ({rate}{{}}))"


OPENCOST = Convention(
    title="OpenCost",
    key="opencost",
    service=("container",),
    leading=False,
    candidates=(
        _cost(
            "container_cpu_allocation",
            "infra_cost_usd_per_hour",
            f"{_hourly('<m>{<of>}', 'node_cpu_hourly_cost')} + {_hourly(_GIB, 'node_ram_hourly_cost')}"
            f" + ({_hourly('container_gpu_allocation{<of>}', 'node_gpu_hourly_cost')} or vector(0))",
            Layer.SYSTEM,
            "USD",
        ),
    ),
)
"""What the containers of a service cost an hour: the metric has no label by which a volume is a service's."""

RECORDED_COST = Convention(
    title="recorded costs",
    key="recorded_cost",
    service=APPS,
    leading=False,
    candidates=(
        _cost(f"{PREFIX}cost_(?P<currency>usd|eur|gbp)_per_hour", "<prefix>cost_<currency>_per_hour", "sum(<m>{<of>})"),
    ),
)
