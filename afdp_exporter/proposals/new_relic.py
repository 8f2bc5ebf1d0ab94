"""What New Relic's usual integrations report: the events of APM agents, spans of OpenTelemetry, metrics of AWS.

In a query `<of>` stands for the condition on the service. Sources: New Relic's dictionary of events and attributes, and
the golden metrics of its entity definitions.
"""

from collections.abc import Mapping

from afdp_exporter.model import Layer
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


def selector(labels: Mapping[str, str]) -> str:
    """The condition on a service."""
    return " AND ".join(f"{name} = '{value}'" for name, value in labels.items())


def _listing(event: str, label: str, where: str = "") -> str:
    return f"SELECT count(*) FROM {event}{where} FACET {label} LIMIT MAX"  # noqa: S608 - NRQL, of what stands below


def _listing_of_metric(metric: str, label: str) -> str:
    return _listing("Metric", label, f" WHERE metricName = '{metric}'")


def _of_metric(function: str, metric: str) -> str:
    return f"SELECT {function}({metric}) FROM Metric WHERE <of>"  # noqa: S608 - as above


def _latency(metric: str, name: str, query: str) -> Candidate:
    return Candidate(role=Role.LATENCY, metric=metric, name=name, query=query)


def _gauge(role: Role, metric: str, name: str) -> Candidate:
    return system(role, metric, name, _of_metric("average", "<m>"))


def _counted(latency: Candidate, failed: str, every: str) -> tuple[Candidate, ...]:
    return requests_of(latency, _of_metric("sum", failed), _of_metric("sum", every), metrics=(failed, every))


INTEGRATIONS = (
    Integration(
        title="New Relic APM",
        key="apm",
        service=("appName",),
        listing=_listing("Transaction", "appName"),
        candidates=(
            *requests_of(
                _latency(
                    "duration",
                    "request_latency_p95_seconds",
                    "SELECT percentile(duration, 95) FROM Transaction WHERE <of>",
                ),
                "SELECT count(*) FROM Transaction WHERE <of> AND error IS TRUE",
                "SELECT count(*) FROM Transaction WHERE <of>",
                metrics=("Transaction", "Transaction"),
            ),
            system(
                Role.MEMORY,
                "apm.service.memory.physical",
                "memory_bytes",
                "SELECT average(<m>) * 1048576 FROM Metric WHERE <of>",  # it comes in MiB
            ),
        ),
    ),
    Integration(
        title="OpenTelemetry spans",
        key="otel",
        service=("service.name",),
        listing=_listing("Span", "service.name"),
        candidates=requests_of(
            _latency(
                "duration.ms",
                "request_latency_p95_milliseconds",
                "SELECT percentile(duration.ms, 95) FROM Span WHERE <of> AND span.kind = 'server'",
            ),
            "SELECT count(*) FROM Span WHERE <of> AND span.kind = 'server' AND otel.status_code = 'ERROR'",
            "SELECT count(*) FROM Span WHERE <of> AND span.kind = 'server'",
            metrics=("Span", "Span"),
        ),
    ),
    Integration(
        title="New Relic Browser",
        key="browser",
        service=("appName",),
        listing=_listing("PageView", "appName"),
        leading=False,
        candidates=(
            Candidate(
                role=Role.USERS,
                metric="PageView",
                name="page_load_p75_seconds",
                query="SELECT percentile(duration, 75) FROM PageView WHERE <of>",
                layer=Layer.USER,
            ),
        ),
    ),
    load_balancer(
        "aws.applicationelb.TargetGroup",
        _listing_of_metric("aws.applicationelb.RequestCount", "aws.applicationelb.TargetGroup"),
        _counted(
            _latency(
                "aws.applicationelb.TargetResponseTime", "request_latency_mean_seconds", _of_metric("average", "<m>")
            ),
            "aws.applicationelb.HTTPCode_Target_5XX_Count",
            "aws.applicationelb.RequestCount",
        ),
    ),
    functions(
        "entity.name",
        _listing_of_metric("aws.lambda.Invocations.byFunction", "entity.name"),
        _counted(
            _latency("aws.lambda.Duration.byFunction", "duration_mean_milliseconds", _of_metric("average", "<m>")),
            "aws.lambda.Errors.byFunction",
            "aws.lambda.Invocations.byFunction",
        ),
        throttles=("aws.lambda.Throttles.byFunction", _of_metric("sum", "<m>")),
    ),
    containers(
        "aws.ecs.ServiceName",
        _listing_of_metric("aws.ecs.CPUUtilization.byService", "aws.ecs.ServiceName"),
        _gauge,
        cpu="aws.ecs.CPUUtilization.byService",
        memory="aws.ecs.MemoryUtilization.byService",
    ),
    database(
        "aws.rds.DBInstanceIdentifier",
        _listing_of_metric("aws.rds.CPUUtilization", "aws.rds.DBInstanceIdentifier"),
        _gauge,
        connections="aws.rds.DatabaseConnections",
        cpu="aws.rds.CPUUtilization",
        write_latency="aws.rds.WriteLatency",
    ),
)

REVENUE = "SELECT rate(sum(amount), 1 hour) FROM Purchase WHERE service = '$service'"
