"""The names that common instrumentations give: rate, errors and duration of requests; use and saturation of resources.

In a query `<m>` stands for the metric's name, `<of>` for the selector of the service, `<status>` for the label that
says how a request ended, `<window>` for the range of a rate; a named group of `metric` stands for itself. Sources:
OpenTelemetry's semantic conventions, the documentation of each exporter, and the dashboards that are shipped with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from afdp_exporter.model import Layer, Worse

Question: TypeAlias = str | Mapping[str, Any]
"""A query as the configuration has it: a text, or a mapping of texts, as the source's language wants it."""


class Role(StrEnum):
    """What a metric measures, the most informative first: one metric of each role is enough for a service."""

    LATENCY = "latency"
    ERRORS = "errors"
    MONEY = "money"
    TRAFFIC = "traffic"
    USERS = "users"
    SATURATION = "saturation"
    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    RESTARTS = "restarts"
    COST = "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One metric as an instrumentation would give it; `metric` is an RE2 pattern of the whole name."""

    role: Role
    metric: str
    name: str
    query: Question
    of: Question | None = None  # what the query counts in, where it counts events
    layer: Layer = Layer.TECHNICAL
    worse: Worse = Worse.UP
    primary: bool = True
    currency: str | None = None  # of its unit, where that is money and its name does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """One instrumentation: the labels that may hold the service and the status, in order of preference.

    `leading` ones name services; the others only add to services that are known. `shared` metrics may lack any label
    that names a known service: they then belong to every one.
    """

    title: str
    key: str
    service: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    status: tuple[str, ...] = ()
    leading: bool = True
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration(Convention):
    """One integration of a monitor, whose metrics have names that are known exactly.

    `listing` is the query whose series show by their labels which services there are, or, where no query does, the
    metric whose dimensions do. `named` is an RE2 pattern of a label's whole value; its group is the service.
    """

    listing: Question
    named: str = "(.+)"


APPS = ("service", "service_name", "app", "application", "job")
"""Labels that name the service, where the application itself is scraped."""
PREFIX = "(?P<prefix>(?:[a-zA-Z0-9]+_)*?)"
"""What a framework puts before the name."""
FAILED = '<status>=~"5.."'


def latency(buckets: str, *, milliseconds: bool = False, extra: str = "") -> Candidate:
    """The 95 % point of a histogram of seconds or milliseconds."""
    quantile = f"histogram_quantile(0.95, sum by (le) (rate(<m>{{<of>{extra}}}[<window>])))"
    return Candidate(
        role=Role.LATENCY,
        metric=buckets,
        name="<prefix>request_latency_p95_seconds",
        query=f"{quantile} / 1000" if milliseconds else quantile,
    )


def mean(summary: str) -> Candidate:
    """The mean of a summary without buckets."""
    return Candidate(
        role=Role.LATENCY,
        metric=f"{summary}_count",
        name="<prefix>request_latency_mean_seconds",
        query=f"sum(rate({summary}_sum{{<of>}}[<window>])) / sum(rate({summary}_count{{<of>}}[<window>]))",
    )


def errors(counter: str, failed: str, *, extra: str = "") -> Candidate:
    """The share of requests that `failed`, as both are counted; 0 where none did."""
    every = f"sum(rate(<m>{{<of>{extra}}}[<window>]))"
    return Candidate(
        role=Role.ERRORS,
        metric=counter,
        name="<prefix>error_ratio",
        query=f"sum(rate(<m>{{<of>{extra}, {failed}}}[<window>])) or 0 * {every}",
        of=every,
    )


def traffic(counter: str, *, extra: str = "") -> Candidate:
    """Requests a second: shown, not judged."""
    return Candidate(
        role=Role.TRAFFIC,
        metric=counter,
        name="<prefix>requests_per_second",
        query=f"sum(rate(<m>{{<of>{extra}}}[<window>]))",
        worse=Worse.EITHER,
        primary=False,
    )


def system(role: Role, metric: str, name: str, query: Question) -> Candidate:
    """A resource."""
    return Candidate(role=role, metric=metric, name=name, query=query, layer=Layer.SYSTEM)


DATABASE = r"(.+?)(?:[-_.](?:db|database|postgres|postgresql|mysql|mariadb|aurora|rds|primary|writer))*"
"""How a database is usually called after the service that it belongs to."""
TARGET_GROUP = "(?:.*targetgroup/)?([^/]+?)(?:[-_]tg)?(?:/[^/]+)?"
"""How AWS names a target group, whose own name stands in the middle."""


def requests_of(
    latency: Candidate, failed: Question, every: Question, *, metrics: tuple[str, str]
) -> tuple[Candidate, ...]:
    """Duration, errors and rate of requests, where the last two are counted by two `metrics`."""
    return (
        latency,
        Candidate(role=Role.ERRORS, metric=metrics[0], name="error_ratio", query=failed, of=every),
        Candidate(
            role=Role.TRAFFIC,
            metric=metrics[1],
            name="requests_per_second",
            query=every,
            worse=Worse.EITHER,
            primary=False,
        ),
    )


def load_balancer(label: str, listing: Question, requests: tuple[Candidate, ...]) -> Integration:
    """AWS' load balancer of requests, as a monitor reports it; `label` names the target group."""
    title = "AWS Application Load Balancer"
    return Integration(
        title=title, key="alb", service=(label,), listing=listing, named=TARGET_GROUP, candidates=requests
    )


def functions(
    label: str, listing: Question, requests: tuple[Candidate, ...], throttles: tuple[str, Question]
) -> Integration:
    """AWS' functions, as a monitor reports them; `throttles` are a metric and what asks for it."""
    metric, query = throttles
    refused = system(Role.SATURATION, metric, "throttles_per_second", query)
    return Integration(
        title="AWS Lambda", key="lambda", service=(label,), listing=listing, candidates=(*requests, refused)
    )


def containers(
    label: str, listing: Question, gauge: Callable[[Role, str, str], Candidate], *, cpu: str, memory: str
) -> Integration:
    """AWS' container services, as a monitor reports them; `gauge` asks for the mean of a metric."""
    used = gauge(Role.CPU, cpu, "cpu_percent"), gauge(Role.MEMORY, memory, "memory_percent")
    return Integration(title="AWS ECS", key="ecs", service=(label,), listing=listing, candidates=used)


def database(
    label: str,
    listing: Question,
    gauge: Callable[[Role, str, str], Candidate],
    *,
    connections: str,
    cpu: str,
    write_latency: str,
) -> Integration:
    """AWS' relational databases, as a monitor reports them: each belongs to the service it is called after."""
    return Integration(
        title="AWS RDS",
        key="rds",
        service=(label,),
        listing=listing,
        named=DATABASE,
        leading=False,
        shared=True,
        candidates=(
            gauge(Role.SATURATION, connections, "db_connections"),
            gauge(Role.CPU, cpu, "db_cpu_percent"),
            gauge(Role.DISK, write_latency, "db_write_latency_seconds"),
        ),
    )
