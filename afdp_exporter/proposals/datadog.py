"""What Datadog's usual integrations report: the trace metrics of APM, and AWS' load balancers, functions, containers.

In a query `<of>` stands for the tag of the service. Sources: Datadog's page on trace metrics, and the list of metrics
of each of its integrations.
"""

from collections.abc import Mapping

from afdp_exporter.proposals.convention import (
    Candidate,
    Integration,
    Role,
    containers,
    database,
    functions,
    load_balancer,
    requests_of,
    system,
)

_OPERATIONS = (
    "http.request",
    "web.request",
    "http.server.request",
    "servlet.request",
    "express.request",
    "flask.request",
    "django.request",
    "fastapi.request",
    "aiohttp.request",
    "rack.request",
    "laravel.request",
    "symfony.request",
    "aspnet.request",
    "aspnet_core.request",
    "grpc.server",
    "grpc.server.request",
)
"""What Datadog's tracers call the span of a request that comes in; those of plain HTTP first."""


def selector(labels: Mapping[str, str]) -> str:
    """The tags of a service."""
    return ",".join(f"{tag}:{value}" for tag, value in labels.items())


def _listing(metric: str, tag: str) -> str:
    return f"sum:{metric}{{*}} by {{{tag}}}"


def _gauge(role: Role, metric: str, name: str) -> Candidate:
    return system(role, metric, name, "avg:<m>{<of>}")


def _requests(latency: Candidate, failed: str, every: str) -> tuple[Candidate, ...]:
    """Where nothing was counted it is zero."""
    of, by = (f"default_zero(sum:{metric}{{<of>}}.as_count())" for metric in (failed, every))
    return requests_of(latency, of, by, metrics=(failed, every))


def _latency(metric: str, name: str, aggregated: str = "avg") -> Candidate:
    return Candidate(role=Role.LATENCY, metric=metric, name=name, query=f"{aggregated}:<m>{{<of>}}")


def _apm(operation: str) -> Integration:
    span = f"trace.{operation}"
    return Integration(
        title=f"Datadog APM, {operation}",
        key=operation.replace(".", "_"),
        service=("service",),
        listing=_listing(f"{span}.hits", "service"),
        candidates=_requests(_latency(span, "request_latency_p95_seconds", "p95"), f"{span}.errors", f"{span}.hits"),
    )


INTEGRATIONS = (
    *map(_apm, _OPERATIONS),
    load_balancer(
        "targetgroup",
        _listing("aws.applicationelb.request_count", "targetgroup"),
        _requests(
            _latency("aws.applicationelb.target_response_time.p95", "request_latency_p95_seconds"),
            "aws.applicationelb.httpcode_target_5xx",
            "aws.applicationelb.request_count",
        ),
    ),
    functions(
        "functionname",
        _listing("aws.lambda.invocations", "functionname"),
        _requests(
            _latency("aws.lambda.duration.p95", "duration_p95_milliseconds"),
            "aws.lambda.errors",
            "aws.lambda.invocations",
        ),
        throttles=("aws.lambda.throttles", "sum:<m>{<of>}.as_count()"),
    ),
    containers(
        "servicename",
        _listing("aws.ecs.service.cpuutilization", "servicename"),
        _gauge,
        cpu="aws.ecs.service.cpuutilization",
        memory="aws.ecs.service.memory_utilization",
    ),
    database(
        "dbinstanceidentifier",
        _listing("aws.rds.cpuutilization", "dbinstanceidentifier"),
        _gauge,
        connections="aws.rds.database_connections",
        cpu="aws.rds.cpuutilization",
        write_latency="aws.rds.write_latency",
    ),
)

REVENUE = "sum:shop.revenue_usd{service:$service}.as_count() * 3600"
