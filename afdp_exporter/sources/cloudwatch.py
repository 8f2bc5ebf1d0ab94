"""Amazon CloudWatch: statistics of metrics and math over them, up to 500 in one call, each charged."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar

import botocore.session
import numpy as np
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as NoConnection
from pydantic import Field

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.http_config import Address
from afdp_exporter.model import Floats, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import Bound, Fetched, RepeatsNothing, grid
from afdp_exporter.sources._buckets import Buckets, SeriesBuckets, pieces
from afdp_exporter.sources._calls import Budget, each_for_itself, reaching
from afdp_exporter.sources._prometheus_json import plain
from afdp_exporter.sources._variables import VARIABLE, filled, variables

_POINTS = 100_800  # of all series in one answer
_QUERIES = 500  # in one call, with those that only go into the math
_PAGES = 100  # of one answer
_KEPT = ((60, 0.125), (300, 15), (3600, 63))  # periods below so many seconds are kept for so many days
_LONGEST_KEPT = 455.0  # days
_NAME = re.compile(r"[a-z][a-zA-Z0-9_]{0,29}")
_WORD = re.compile(r"(?<![\w'\"])[a-z][A-Za-z0-9_]*(?!\w)(?!\s*\()")
_STATISTIC = re.compile(
    r"Average|Sum|SampleCount|Minimum|Maximum|IQM|(p|tm|wm|tc|ts)\d{1,2}(\.\d+)?|(TM|WM|PR|TC|TS)\([\d.%:]+\)"
)
_VALUE = re.compile(r"[\x20-\x7e]{1,255}")  # as AWS takes values of dimensions
_COUNTS = {"Sum", "SampleCount"}
_FIELDS = {"namespace", "metric", "stat", "dimensions", "account"}
_REFUSED = {"ValidationError", "InvalidParameterValue", "InvalidParameterCombination", "MissingParameter"}


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic of one metric."""

    namespace: str
    metric: str
    stat: str
    dimensions: tuple[tuple[str, str], ...]
    account: str | None = None

    def query(self, name: str, period: int, *, shown: bool) -> dict[str, Any]:
        """As GetMetricData wants it."""
        named = [{"Name": name, "Value": value} for name, value in self.dimensions]
        metric = {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": named}
        more = {"AccountId": self.account} if self.account else {}
        stat = {"Metric": metric, "Period": period, "Stat": self.stat}
        return {"Id": name, "MetricStat": stat, "ReturnData": shown, **more}


@dataclass(frozen=True, slots=True)
class Asked:
    """A bound query: statistics by name, and the math over them; of one alone there is none."""

    metrics: tuple[tuple[str, Statistic], ...]
    expression: str | None = None
    ranges: ClassVar[tuple[tuple[str, timedelta], ...]] = ()

    @property
    def text(self) -> str:
        """As people read it."""
        parts = []
        for name, each in self.metrics:
            dimensions = ", ".join(f"{label}={value}" for label, value in each.dimensions)
            text = f"{each.stat}({each.namespace}/{each.metric}{{{dimensions}}})"
            parts.append(text if self.expression is None else f"{name} = {text}")
        return "; ".join([*([self.expression] if self.expression else []), *parts])

    @property
    def counts(self) -> bool:
        """Whether its values grow with the period: sums that are neither divided by anything nor made a rate."""
        counted = any(each.stat in _COUNTS for _, each in self.metrics)
        return counted and re.search(r"/|\bRATE\s*\(", self.expression or "") is None

    def queries(self, number: int, period: int) -> list[dict[str, Any]]:
        """As GetMetricData wants them, under names of their own; the one that is shown is `q` and the number."""
        if self.expression is None:
            return [self.metrics[0][1].query(f"q{number}", period, shown=True)]
        names = {name: f"q{number}_{name}" for name, _ in self.metrics}
        expression = _WORD.sub(lambda match: names.get(match[0], match[0]), self.expression)
        answer = {"Id": f"q{number}", "Expression": expression, "Period": period, "ReturnData": True}
        return [answer, *(each.query(names[name], period, shown=False) for name, each in self.metrics)]


@dataclass(frozen=True, slots=True)
class CloudWatchQuery:
    """As `sources.Query`."""

    asked: Asked
    rate_window: ClassVar[timedelta | None] = None
    averages_over: ClassVar[timedelta | None] = None

    @property
    def variables(self) -> frozenset[str]:
        """As `Query.variables`."""
        return variables(*(value for _, each in self.asked.metrics for _, value in each.dimensions))

    def bind(self, values: Mapping[str, str]) -> Asked:
        """As `Query.bind`: the value of a dimension is a field of its own, in which nothing has a meaning."""

        def bound(each: Statistic) -> Statistic:
            place = "a dimension of CloudWatch, which takes up to 255 printable characters of ASCII"
            dimensions = tuple((name, filled(text, values, _VALUE, place)) for name, text in each.dimensions)
            return Statistic(each.namespace, each.metric, each.stat, dimensions, each.account)

        return Asked(tuple((name, bound(each)) for name, each in self.asked.metrics), self.asked.expression)


@dataclass(frozen=True, kw_only=True)
class CloudWatch(RepeatsNothing):
    """A region of an account, asked with the keys that AWS' own tools find; `url` is for a VPC endpoint.

    `usd_per_hour` is at most spent, at `usd_per_1000_metrics`; the right needed is `cloudwatch:GetMetricData`, for
    `afdp check` and while the source is away also `cloudwatch:ListMetrics`.
    """

    __pydantic_config__: ClassVar = STRICT
    remote: ClassVar[bool] = True
    queries_per_call: ClassVar[int] = 100

    region: str
    profile: str | None = None
    url: Address | None = None
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    concurrency: Annotated[int, Field(ge=1, le=16)] = 4
    settles_after: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(minutes=3)
    calls_per_hour: Annotated[float, Field(gt=0)] = 3600.0
    usd_per_hour: Annotated[float, Field(gt=0)] = 0.5
    usd_per_1000_metrics: Annotated[float, Field(ge=0)] = 0.01

    def prepare(self, query: str | Mapping[str, Any]) -> CloudWatchQuery:
        """As `Source.prepare`: `{namespace, metric, stat, dimensions}`, or `{metrics: {m1: ...}, expression: ...}`."""
        if not isinstance(query, Mapping):
            raise SourceRefused(
                "bad_query", "a query is {namespace, metric, stat, dimensions}, or {metrics, expression}"
            )
        if "expression" not in query:
            return _checked(Asked((("a", _statistic(query)),)))
        metrics, expression = query.get("metrics"), query["expression"]
        if set(query) != {"metrics", "expression"} or not isinstance(metrics, Mapping) or not metrics:
            raise SourceRefused("bad_query", "beside expression stands metrics, and nothing else")
        if not isinstance(expression, str) or re.match(r"\s*(SELECT|SEARCH)\b", expression) or "$" in expression:
            raise SourceRefused("bad_query", "an expression is math over names of metrics, without SELECT and SEARCH")
        if unknown := sorted(set(_WORD.findall(expression)) - set(metrics)):
            raise SourceRefused("bad_query", f"the expression needs what metrics does not hold: {', '.join(unknown)}")
        if wrong := [name for name in metrics if not isinstance(name, str) or not _NAME.fullmatch(name)]:
            raise SourceRefused("bad_query", f"{plain(wrong[0])!r} is no name of a metric in an expression")
        return _checked(Asked(tuple((name, _statistic(each)) for name, each in sorted(metrics.items())), expression))

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`: as many points a call as CloudWatch gives, page after page."""

        async def ask(some: Sequence[Bound]) -> list[Fetched]:
            points, known = grid(window, step), [each for each in some if isinstance(each, Asked)]
            period = _period(step)
            queries = [query for number, each in enumerate(known) for query in each.queries(number, period)]
            if len(queries) > _QUERIES:
                raise SourceRefused("too_many", f"{len(queries)} metrics are more than {_QUERIES} in one call")
            parts = pieces(points, max(_POINTS // len(known), 1))
            gathered = [SeriesBuckets.empty() for _ in known]
            charged = sum("MetricStat" in each for each in queries)
            answers = await asyncio.gather(*(self._ask(queries, charged, part, period) for part in parts))
            for pages in answers:
                _put_away(pages, known, gathered, period)
            _warn_of_age(answers, gathered, points, period)
            return [of_one.series(points, step) for of_one in gathered]

        return await each_for_itself(ask, asked, self._where)

    async def reach(self) -> None:
        """As `Source.reach`; what is over the budget is not asked either."""
        async with reaching(self._where):
            self._money.spend(0)
            await self._called("list_metrics", Namespace="AWS/Usage", RecentlyActive="PT3H")

    async def dimensions(self, namespace: str, metric: str, names: Collection[str]) -> list[Mapping[str, str]]:
        """Each set of dimensions with exactly these names that a metric had in the last three hours.

        Raises SourceUnavailable and SourceRefused.
        """
        asked: dict[str, Any] = {"Namespace": namespace, "MetricName": metric, "RecentlyActive": "PT3H"}
        found: list[Mapping[str, str]] = []
        for _ in range(_PAGES):
            self._budget.spend()
            page = await self._called("list_metrics", **asked)
            for each in page.get("Metrics") or ():
                labels = {str(one["Name"]): str(one["Value"]) for one in each.get("Dimensions") or ()}
                if labels.keys() == set(names):
                    found.append(labels)
            if not (token := page.get("NextToken")):
                return found
            asked["NextToken"] = token
        raise SourceUnavailable("malformed", f"its answer has more than {_PAGES} pages")

    async def _ask(
        self, queries: Sequence[Mapping[str, Any]], charged: int, points: Floats, period: int
    ) -> list[dict[str, Any]]:
        """All pages of the stretches that end at the points."""
        asked: dict[str, Any] = {
            "MetricDataQueries": queries,
            "StartTime": datetime.fromtimestamp(float(points[0]) - period, UTC),
            "EndTime": datetime.fromtimestamp(float(points[-1]), UTC),
            "ScanBy": "TimestampAscending",
        }
        pages: list[dict[str, Any]] = []
        while len(pages) < _PAGES:
            self._budget.spend()
            self._money.spend(charged * self.usd_per_1000_metrics / 1000)
            pages.append(await self._called("get_metric_data", **asked))
            if not (token := pages[-1].get("NextToken")):
                return pages
            asked["NextToken"] = token
        raise SourceUnavailable("malformed", f"its answer has more than {_PAGES} pages")

    async def _called(self, operation: str, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - as the operation wants it
        """What an operation answers. Raises SourceUnavailable and SourceRefused."""
        try:
            async with self._slots:
                return dict(await asyncio.to_thread(lambda: getattr(self._client, operation)(**asked)))
        except ClientError as error:
            raise _error(error) from None
        except (ConnectTimeoutError, ReadTimeoutError):
            raise SourceUnavailable("timeout", f"no answer within {self.timeout.total_seconds():g} s") from None
        except (NoConnection, HTTPClientError) as error:
            raise SourceUnavailable("connection", f"no connection: {type(error).__name__}") from None
        except BotoCoreError as error:  # whose words may name what is configured
            raise SourceUnavailable("login", f"nothing was asked: {type(error).__name__}") from None

    @property
    def _where(self) -> str:
        return f"CloudWatch in {self.region}"

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401 - botocore makes its classes as it goes
        seconds = self.timeout.total_seconds()
        tries = {"mode": "standard", "total_max_attempts": 3}
        config = Config(
            connect_timeout=seconds, read_timeout=seconds, retries=tries, max_pool_connections=self.concurrency + 1
        )
        session = botocore.session.Session(profile=self.profile)
        return session.create_client("cloudwatch", region_name=self.region, endpoint_url=self.url, config=config)

    @cached_property
    def _slots(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.concurrency)

    @cached_property
    def _budget(self) -> Budget:
        return Budget(self.calls_per_hour, "calls")

    @cached_property
    def _money(self) -> Budget:
        return Budget(self.usd_per_hour, "USD")


def _statistic(block: object) -> Statistic:
    """Raises SourceRefused for what is no statistic of a metric."""
    if not isinstance(block, Mapping) or set(block) - _FIELDS or not {"namespace", "metric", "stat"} <= set(block):
        raise SourceRefused("bad_query", "a metric is {namespace, metric, stat, dimensions, account}")
    dimensions = block.get("dimensions", {})
    texts = [block["namespace"], block["metric"], block["stat"], block.get("account", "")]
    if not isinstance(dimensions, Mapping) or not all(isinstance(each, str) for each in [*texts, *dimensions.values()]):
        raise SourceRefused("bad_query", "namespace, metric, stat, account and the values of dimensions are texts")
    if VARIABLE.search("".join(map(str, [*texts, *dimensions]))):
        raise SourceRefused("bad_query", "a variable stands in the value of a dimension")
    if not _STATISTIC.fullmatch(block["stat"]):
        raise SourceRefused("bad_query", f"{plain(block['stat'])!r} is no statistic: Average, Sum, p95 and the like")
    named = tuple(sorted((str(name), text) for name, text in dimensions.items()))
    return Statistic(block["namespace"], block["metric"], block["stat"], named, block.get("account"))


def _checked(asked: Asked) -> CloudWatchQuery:
    found = CloudWatchQuery(asked)
    _ = found.variables  # raises where one is unknown
    return found


def _period(step: timedelta) -> int:
    """The step as a period. Raises SourceRefused where CloudWatch knows no such."""
    seconds = round(step.total_seconds())
    if seconds % 60 and seconds not in {1, 5, 10, 30}:
        raise SourceRefused("resolution", f"a period is 1, 5, 10, 30 or a multiple of 60 s, and no {seconds} s")
    return seconds


def _put_away(
    pages: Sequence[Mapping[str, Any]], asked: Sequence[Asked], gathered: Sequence[SeriesBuckets], period: int
) -> None:
    """Each result to the buckets of its query. Raises SourceUnavailable for what is no answer."""
    for page in pages:
        general = [_message(each) for each in page.get("Messages") or ()]
        for of_one in gathered:
            of_one.warnings += general
        for result in page.get("MetricDataResults") or ():
            number = int(str(result["Id"]).partition("_")[0].removeprefix("q"))
            query, of_one = asked[number], gathered[number]
            of_one.warnings += [_message(each) for each in result.get("Messages") or ()]
            if (status := result.get("StatusCode")) in {"InternalError", "Forbidden"}:
                of_one.warnings.append(f"CloudWatch says {status}")
            starts = np.array([at.timestamp() for at in result.get("Timestamps") or ()], dtype=np.float64)
            values = np.array(result.get("Values") or (), dtype=np.float64)
            name = query.metrics[0][1].metric if query.expression is None else ""
            if starts.shape != values.shape:
                raise SourceUnavailable("malformed", "its answer has times without values")
            of_one.add(name, {}, Buckets(starts, values, float(period), query.counts))
    _warn_of_parts(pages, gathered)


def _warn_of_parts(pages: Sequence[Mapping[str, Any]], gathered: Sequence[SeriesBuckets]) -> None:
    """A result is whole with its last page; one that stays partial is reported."""
    last = {each["Id"]: each.get("StatusCode") for page in pages for each in page.get("MetricDataResults") or ()}
    for name, status in last.items():
        if status == "PartialData":
            gathered[int(name[1:].partition("_")[0])].warnings.append("CloudWatch gave a part of the data")


def _warn_of_age(
    answers: Sequence[Sequence[Mapping[str, Any]]], gathered: Sequence[SeriesBuckets], points: Floats, period: int
) -> None:
    """What is no longer kept in such short periods is missing, and not absent."""
    days = next((days for beyond, days in _KEPT if period < beyond), _LONGEST_KEPT)
    now = max((at for at in map(_sent, answers) if at is not None), default=None)
    if now is not None and points[0] < now - days * 86_400:
        for of_one in gathered:
            of_one.warnings.append(
                f"CloudWatch keeps periods of {period} s for {days:g} days, and this reaches back further"
            )


def _sent(pages: Sequence[Mapping[str, Any]]) -> float | None:
    """When an answer was sent by the server's own clock."""
    headers = pages[-1].get("ResponseMetadata", {}).get("HTTPHeaders", {})
    try:
        return datetime.strptime(headers.get("date", ""), "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _message(message: Mapping[str, Any]) -> str:
    return plain(f"{message.get('Code', '')}: {message.get('Value', '')}")


def _error(error: ClientError) -> SourceUnavailable | SourceRefused:
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
    code = str(error.response.get("Error", {}).get("Code", ""))
    words = f"it answers {status}: {plain(code)}: {plain(error.response.get('Error', {}).get('Message', ''))}"
    if "Throttl" in code or "LimitExceeded" in code or "TooManyRequests" in code:
        return SourceUnavailable("rate_limit", words)
    if code in _REFUSED:
        return SourceRefused(f"http_{status}", words)
    if "Signature" in code:  # whose words quote what was signed
        words = f"it answers {status}: {plain(code)}"
    return SourceUnavailable(f"http_{status}", words)


PLUGIN = CloudWatch
