"""What AWS' own services report to CloudWatch: Application Signals, load balancers, functions, containers, databases.

In a query `<of>` stands for the dimensions of the service. Sources: AWS' list of metrics and dimensions of each.
"""

from collections.abc import Callable, Mapping

from afdp_exporter.proposals.convention import (
    Candidate,
    Integration,
    Question,
    Role,
    containers,
    database,
    functions,
    load_balancer,
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


def _mean_of(namespace: str) -> Callable[[Role, str, str], Candidate]:
    return lambda role, metric, name: system(role, metric, name, _statistic(namespace, metric, "Average"))


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
    load_balancer(
        "TargetGroup",
        _listing(_ALB, "RequestCount", "LoadBalancer", "TargetGroup"),
        _requests(
            _ALB,
            ("TargetResponseTime", "request_latency_p95_seconds"),
            _count(_ALB, "HTTPCode_Target_5XX_Count"),
            _statistic(_ALB, "RequestCount", "Sum"),
        ),
    ),
    functions(
        "FunctionName",
        _listing(_LAMBDA, "Invocations", "FunctionName"),
        _requests(
            _LAMBDA,
            ("Duration", "duration_p95_milliseconds"),
            _statistic(_LAMBDA, "Errors", "Sum"),
            _statistic(_LAMBDA, "Invocations", "Sum"),
        ),
        throttles=("Throttles", _statistic(_LAMBDA, "Throttles", "Sum")),
    ),
    containers(
        "ServiceName",
        _listing(_ECS, "CPUUtilization", "ClusterName", "ServiceName"),
        _mean_of(_ECS),
        cpu="CPUUtilization",
        memory="MemoryUtilization",
    ),
    database(
        "DBInstanceIdentifier",
        _listing(_RDS, "CPUUtilization", "DBInstanceIdentifier"),
        _mean_of(_RDS),
        connections="DatabaseConnections",
        cpu="CPUUtilization",
        write_latency="WriteLatency",
    ),
)

REVENUE = "{namespace: Shop, metric: RevenuePerHour, stat: Average, dimensions: {Service: $service}}"
