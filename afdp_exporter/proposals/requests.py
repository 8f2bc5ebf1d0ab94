"""Rate, errors and duration of requests: what a service tells of itself, then what a proxy tells of it."""

from afdp_exporter.model import Worse
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
