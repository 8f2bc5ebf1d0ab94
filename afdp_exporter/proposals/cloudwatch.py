"""What AWS' own services report to CloudWatch: Application Signals, load balancers, functions, containers, databases.

In a query `<of>` stands for the dimensions of the service. Sources: AWS' list of metrics and dimensions of each.
"""

from collections.abc import Mapping

from afdp_exporter.proposals.convention import (
    DATABASE,
    TARGET_GROUP,
    Candidate,
    Integration,
    Question,
    Role,
    requests_of,
    system,
)


def selector(labels: Mapping[str, str]) -> Question:
    """The dimensions of a service, all of which have to be named."""
    return labels


def _statistic(namespace: str, metric: str, stat: str) -> Question:
    return {"namespace": namespace, "metric": metric, "stat": stat, "dimensions": "<of>"}


def _count(namespace: str, metric: str) -> Question:
    """A sum that is zero where nothing was counted."""
    return {"metrics": {"m": _statistic(namespace, metric, "Sum")}, "expression": "FILL(m, 0)"}


def _listing(namespace: str, metric: str, *dimensions: str) -> Question:
    return {"namespace": namespace, "metric": metric, "dimensions": dimensions}


def _mean(role: Role, namespace: str, metric: str, name: str) -> Candidate:
    return system(role, metric, name, _statistic(namespace, metric, "Average"))


def _requests(namespace: str, latency: tuple[str, str], failed: Question, every: Question) -> tuple[Candidate, ...]:
    metric, name = latency
    slow = Candidate(role=Role.LATENCY, metric=metric, name=name, query=_statistic(namespace, metric, "p95"))
    return requests_of(slow, failed, every, metrics=(metric, metric))


_SIGNALS, _ALB, _LAMBDA, _ECS, _RDS = "ApplicationSignals", "AWS/ApplicationELB", "AWS/Lambda", "AWS/ECS", "AWS/RDS"

INTEGRATIONS = (
    Integration(
        title="CloudWatch Application Signals",
        key="signals",
        service=("Service",),
        listing=_listing(_SIGNALS, "Latency", "Environment", "Service"),
        candidates=_requests(
            _SIGNALS,
            ("Latency", "request_latency_p95_milliseconds"),
            _count(_SIGNALS, "Fault"),
            _statistic(_SIGNALS, "Latency", "SampleCount"),
        ),
    ),
    Integration(
        title="AWS Application Load Balancer",
        key="alb",
        service=("TargetGroup",),
        listing=_listing(_ALB, "RequestCount", "LoadBalancer", "TargetGroup"),
        named=TARGET_GROUP,
        candidates=_requests(
            _ALB,
            ("TargetResponseTime", "request_latency_p95_seconds"),
            _count(_ALB, "HTTPCode_Target_5XX_Count"),
            _statistic(_ALB, "RequestCount", "Sum"),
        ),
    ),
    Integration(
        title="AWS Lambda",
        key="lambda",
        service=("FunctionName",),
        listing=_listing(_LAMBDA, "Invocations", "FunctionName"),
        candidates=(
            *_requests(
                _LAMBDA,
                ("Duration", "duration_p95_milliseconds"),
                _statistic(_LAMBDA, "Errors", "Sum"),
                _statistic(_LAMBDA, "Invocations", "Sum"),
            ),
            system(Role.SATURATION, "Throttles", "throttles_per_second", _statistic(_LAMBDA, "Throttles", "Sum")),
        ),
    ),
    Integration(
        title="AWS ECS",
        key="ecs",
        service=("ServiceName",),
        listing=_listing(_ECS, "CPUUtilization", "ClusterName", "ServiceName"),
        candidates=(
            _mean(Role.CPU, _ECS, "CPUUtilization", "cpu_percent"),
            _mean(Role.MEMORY, _ECS, "MemoryUtilization", "memory_percent"),
        ),
    ),
    Integration(
        title="AWS RDS",
        key="rds",
        service=("DBInstanceIdentifier",),
        listing=_listing(_RDS, "CPUUtilization", "DBInstanceIdentifier"),
        named=DATABASE,
        leading=False,
        shared=True,
        candidates=(
            _mean(Role.SATURATION, _RDS, "DatabaseConnections", "db_connections"),
            _mean(Role.CPU, _RDS, "CPUUtilization", "db_cpu_percent"),
            _mean(Role.DISK, _RDS, "WriteLatency", "db_write_latency_seconds"),
        ),
    ),
)

REVENUE = "{namespace: Shop, metric: RevenuePerHour, stat: Average, dimensions: {Service: $service}}"
