"""Azure Monitor: metrics of resources, many of a kind in one call."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, StringConstraints

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.http_config import Address, TLSConfig
from afdp_exporter.logins.azuread import AzureAD
from afdp_exporter.model import Floats, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import Bound, Fetched, RepeatsNothing, grid
from afdp_exporter.sources._buckets import Buckets, SeriesBuckets, pieces
from afdp_exporter.sources._calls import Budget, Calls, each_for_itself, reaching
from afdp_exporter.sources._prometheus_json import plain
from afdp_exporter.sources._variables import VARIABLE, filled, value, variables

_POINTS = 1440  # of a series in one answer
_PROBE = 10.0  # seconds
_SCOPE = "https://metrics.monitor.azure.com/.default"
_VERSION = "2023-10-01"
_INTERVALS = {60: "PT1M", 300: "PT5M", 900: "PT15M", 1800: "PT30M", 3600: "PT1H", 21600: "PT6H", 43200: "PT12H"}
_AGGREGATIONS = {"average", "total", "count", "minimum", "maximum"}
_COUNTS = {"total", "count"}
_FIELDS = {"resource", "namespace", "metric", "aggregation", "dimensions"}
_RESOURCE = re.compile(r"/subscriptions/([0-9A-Za-z-]+)/resourceGroups/[^/]+/providers/[^/]+(?:/[^/]+/[^/]+)+")
_PART = re.compile(r"[A-Za-z0-9_.()-]{1,90}")
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_./ -]{0,127}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A bound query: an aggregation of a metric of a resource."""

    resource: str
    namespace: str
    metric: str
    aggregation: str
    dimensions: tuple[tuple[str, str], ...] = ()
    ranges: ClassVar[tuple[tuple[str, timedelta], ...]] = ()

    @property
    def text(self) -> str:
        """As people read it."""
        return f"{self.aggregation}({self.metric}) of {self.resource}" + (
            f" where {self.filter}" if self.filter else ""
        )

    @property
    def filter(self) -> str:
        """The dimensions as Azure's filter; quotes are doubled in it."""
        return " and ".join(f"{name} eq '{text.replace(chr(39), 2 * chr(39))}'" for name, text in self.dimensions)

    @property
    def subscription(self) -> str:
        """That of the resource."""
        return self.resource.split("/")[2]


@dataclass(frozen=True, slots=True)
class AzureQuery:
    """As `sources.Query`."""

    asked: Asked
    rate_window: ClassVar[timedelta | None] = None
    averages_over: ClassVar[timedelta | None] = None

    @property
    def variables(self) -> frozenset[str]:
        """As `Query.variables`."""
        return variables(self.asked.resource, *(text for _, text in self.asked.dimensions))

    def bind(self, values: Mapping[str, str]) -> Asked:
        """As `Query.bind`: the name of a resource has no escapes; a dimension's value loses its meaning."""
        asked = self.asked
        resource = filled(asked.resource, values, _PART, "the name of a resource of Azure")
        dimensions = tuple((name, _bound(text, values)) for name, text in asked.dimensions)
        return Asked(resource, asked.namespace, asked.metric, asked.aggregation, dimensions)


@dataclass(frozen=True, kw_only=True)
class AzureMonitor(RepeatsNothing):
    """The metrics of resources in one region, asked as `azuread` says; the role needed is Monitoring Reader."""

    __pydantic_config__: ClassVar = STRICT
    remote: ClassVar[bool] = True
    queries_per_call: ClassVar[int] = 20

    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+$")]
    azuread: AzureAD
    url: Address | None = None
    tls_config: TLSConfig = TLSConfig()
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    concurrency: Annotated[int, Field(ge=1, le=16)] = 4
    max_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    settles_after: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(minutes=3)
    calls_per_hour: Annotated[float, Field(gt=0)] = 3600.0

    def prepare(self, query: str | Mapping[str, Any]) -> AzureQuery:
        """As `Source.prepare`: `{resource, namespace, metric, aggregation, dimensions}`."""
        if not isinstance(query, Mapping) or set(query) - _FIELDS or not _FIELDS - {"dimensions"} <= set(query):
            raise SourceRefused("bad_query", "a query is {resource, namespace, metric, aggregation, dimensions}")
        dimensions = query.get("dimensions", {})
        texts = [query[name] for name in ("resource", "namespace", "metric", "aggregation")]
        if not isinstance(dimensions, Mapping) or not all(
            isinstance(each, str) for each in [*texts, *dimensions.values()]
        ):
            raise SourceRefused("bad_query", "the fields of a query and the values of dimensions are texts")
        resource, namespace, metric, aggregation = texts
        if not _RESOURCE.fullmatch(resource) or VARIABLE.search(resource.split("/providers/")[0]):
            raise SourceRefused("bad_query", "resource is /subscriptions/ID/resourceGroups/GROUP/providers/...")
        if aggregation not in _AGGREGATIONS:
            known = ", ".join(sorted(_AGGREGATIONS))
            raise SourceRefused("bad_query", f"aggregation is one of {known}: Azure knows no percentiles")
        for name in (namespace, metric, *map(str, dimensions)):
            if not _NAME.fullmatch(name):
                raise SourceRefused("bad_query", f"{plain(name)!r} is no name of Azure Monitor")
        found = AzureQuery(Asked(resource, namespace, metric, aggregation, tuple(sorted(dimensions.items()))))
        _ = found.variables  # raises where one is unknown
        return found

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`: what has a namespace and a filter in common goes in one call."""

        async def ask(some: Sequence[Bound]) -> list[Fetched]:
            points, known = grid(window, step), [each for each in some if isinstance(each, Asked)]
            interval = _interval(step)
            groups: dict[tuple[str, str, str], list[int]] = {}
            for number, each in enumerate(known):
                groups.setdefault((each.subscription, each.namespace, each.filter), []).append(number)
            parts = [(numbers, part) for numbers in groups.values() for part in pieces(points, _POINTS)]
            self._calls.budget.spend(len(parts))
            answers = await asyncio.gather(
                *(self._ask([known[each] for each in numbers], part, interval) for numbers, part in parts)
            )
            gathered = [SeriesBuckets.empty() for _ in known]
            for (numbers, _), answer in zip(parts, answers, strict=True):
                _put_away(answer, [(known[each], gathered[each]) for each in numbers])
            return [own.series(points, step) for own in gathered]

        return await each_for_itself(ask, asked, self._address)

    async def reach(self) -> None:
        """As `Source.reach`: an empty question, which is refused; what is over the budget is not asked either."""
        async with reaching(self._address):
            self._calls.budget.spend(0)
            url = f"{self._address}/subscriptions/none/metrics:getBatch"
            params = (("api-version", _VERSION),)
            try:
                await self._calls.json("POST", url, dict, body={"resourceids": []}, params=params, seconds=_PROBE)
            except SourceUnavailable as error:
                if error.reason not in {"http_403", "http_404"}:  # these say that there is no such subscription
                    raise

    async def _ask(self, some: Sequence[Asked], points: Floats, interval: str) -> Any:  # noqa: ANN401 - JSON
        """The stretches that end at the points, of all resources and metrics of a group."""
        step = float(next(seconds for seconds, each in _INTERVALS.items() if each == interval))
        first, resources = some[0], list(dict.fromkeys(each.resource for each in some))
        params = [
            ("starttime", _instant(points[0] - step)),
            ("endtime", _instant(points[-1])),
            ("interval", interval),
            ("metricnamespace", first.namespace),
            ("metricnames", ",".join(dict.fromkeys(each.metric for each in some))),
            ("aggregation", ",".join(dict.fromkeys(each.aggregation for each in some))),
            *([("filter", first.filter)] if first.filter else []),
            ("api-version", _VERSION),
        ]
        url = f"{self._address}/subscriptions/{first.subscription}/metrics:getBatch"
        return await self._calls.json("POST", url, dict, body={"resourceids": resources}, params=params)

    @property
    def _address(self) -> str:
        return self.url or f"https://{self.region}.metrics.monitor.azure.com"

    @cached_property
    def _calls(self) -> Calls:
        return Calls(
            budget=Budget(self.calls_per_hour, "calls"),
            seconds=self.timeout.total_seconds(),
            concurrency=self.concurrency,
            most=self.max_bytes,
            words=_words,
            tls=self.tls_config,
            login=self.azuread.reading(_SCOPE),
        )


def _bound(text: str, values: Mapping[str, str]) -> str:
    """A dimension's value. Raises SourceRefused for one that would mean all of them, or is no text of one line."""

    def place(match: re.Match[str]) -> str:
        found = value(match[1], values)
        if not found.isprintable() or not found.strip() or "*" in found:
            raise SourceRefused("bad_value", f"{match[0]} is {found!r}, which cannot stand in a dimension of Azure")
        return found

    return VARIABLE.sub(place, text)


def _interval(step: timedelta) -> str:
    """The step as Azure writes it. Raises SourceRefused where it knows no such."""
    found = _INTERVALS.get(round(step.total_seconds()))
    if found is None:
        known = ", ".join(f"{seconds // 60} min" for seconds in _INTERVALS)
        raise SourceRefused("resolution", f"Azure Monitor knows the steps {known}, and no {step.total_seconds():g} s")
    return found


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> float:
    """A duration of ISO 8601 of days or less. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(sum(int(count) * unit for count, unit in zip(match.groups("0"), (86400, 3600, 60, 1), strict=True)))


def _put_away(document: Any, asked: Sequence[tuple[Asked, SeriesBuckets]]) -> None:  # noqa: ANN401 - JSON
    """Each metric of each resource to the buckets of its queries. Raises SourceUnavailable for what is no answer."""
    try:
        for resource in document["values"] or ():
            width, name = _seconds(resource["interval"]), str(resource["resourceid"]).lower()
            for metric in resource["value"] or ():
                for query, own in asked:
                    if (query.resource.lower(), query.metric.lower()) == (name, metric["name"]["value"].lower()):
                        _shelve(metric, query, own, width)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise SourceUnavailable("malformed", "its answer holds no metrics over time") from None


def _shelve(metric: Mapping[str, Any], query: Asked, own: SeriesBuckets, width: float) -> None:
    if (code := metric.get("errorCode") or "Success") != "Success":
        own.warnings.append(plain(f"{code}: {metric.get('errorMessage') or 'no words'}"))
    for series in metric.get("timeseries") or ():
        labels = {each["name"]["value"]: each["value"] for each in series.get("metadatavalues") or ()}
        data = [each for each in series.get("data") or () if each.get(query.aggregation) is not None]
        starts = np.array([datetime.fromisoformat(each["timeStamp"]).timestamp() for each in data], dtype=np.float64)
        found = np.array([each[query.aggregation] for each in data], dtype=np.float64)
        own.add(query.metric, labels, Buckets(starts, found, width, query.aggregation in _COUNTS))


def _words(document: Any) -> str:  # noqa: ANN401 - JSON
    error = document.get("error")
    text = error if isinstance(error, dict) else document
    return ": ".join(str(text[name]) for name in ("code", "message") if isinstance(text.get(name), str))


PLUGIN = AzureMonitor
