"""The names that common instrumentations give: rate, errors and duration of requests; use and saturation of resources.

In a query `<m>` stands for the metric's name, `<of>` for the selector of the service, `<status>` for the label that
says how a request ended, `<window>` for the range of a rate; a named group of `metric` stands for itself. Sources:
OpenTelemetry's semantic conventions, the documentation of each exporter, and the dashboards that are shipped with it.
"""

from dataclasses import dataclass
from enum import StrEnum

from afdp_exporter.model import Layer, Worse


class Role(StrEnum):
    """What a metric tells, the most telling first: one metric of each role is enough for a service."""

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
    query: str
    layer: Layer = Layer.TECHNICAL
    worse: Worse = Worse.UP
    primary: bool = True


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
    """The share of requests that `failed`; 0 where none did."""
    every = f"sum(rate(<m>{{<of>{extra}}}[<window>]))"
    return Candidate(
        role=Role.ERRORS,
        metric=counter,
        name="<prefix>error_ratio",
        query=f"(sum(rate(<m>{{<of>{extra}, {failed}}}[<window>])) or 0 * {every}) / {every}",
    )


def traffic(counter: str, *, extra: str = "") -> Candidate:
    """Requests a second: told, not judged."""
    return Candidate(
        role=Role.TRAFFIC,
        metric=counter,
        name="<prefix>requests_per_second",
        query=f"sum(rate(<m>{{<of>{extra}}}[<window>]))",
        worse=Worse.EITHER,
        primary=False,
    )


def system(role: Role, metric: str, name: str, query: str) -> Candidate:
    """A resource."""
    return Candidate(role=role, metric=metric, name=name, query=query, layer=Layer.SYSTEM)
