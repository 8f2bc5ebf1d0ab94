"""Datadog: metric queries and formulas over them, many in one call."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, FilePath, SecretStr, StringConstraints

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.http_client import Answer
from afdp_exporter.http_config import Address, TLSConfig, read_text
from afdp_exporter.model import Floats, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import Bound, Fetched, RepeatsNothing, grid
from afdp_exporter.sources._buckets import Buckets, SeriesBuckets, pieces, width_of
from afdp_exporter.sources._calls import Budget, Calls, each_for_itself, reaching, waiting
from afdp_exporter.sources._prometheus_json import plain
from afdp_exporter.sources._variables import VARIABLE, filled, variables

_POINTS = 1440  # of a series in one answer: Datadog widens its intervals beyond 1,500
_OURS = 0.25  # of the organisation's limit, which its dashboards need, too
_CALLS = 400.0  # an hour, before Datadog has named its limit: a quarter of the documented 1,600
_PROBE = 10.0  # seconds
_NAME = re.compile(r"[a-z][a-z0-9_]{0,29}")
_WORD = re.compile(r"(?<![\w'])[A-Za-z_][A-Za-z0-9_]*(?!\w)(?!\s*\()")
_FORMULA = re.compile(r"[A-Za-z0-9_+\-*/().,'\s]{1,2000}")
_METRIC = re.compile(r"^\s*[a-z0-9]+(?:\.\d+)?:([A-Za-z][\w.]*)\{[^{}]*\}(?:\s*by\s*\{[^{}]*\})?\S*$")
_QUERY = re.compile(r"[^{}]*:[A-Za-z][\w.]*\{[^{}]+\}[^{}]*(?:\{[^{}]*\}[^{}]*)*")
_SCOPE = re.compile(r"\{[^{}]*\}")
_RATE = re.compile(r"\b(per_second|per_minute|per_hour|rate|derivative)\s*\(")
_ROLLUP = re.compile(r"\.rollup\(\s*(?:\w+\s*,\s*)?(\d{1,6})\s*\)")
_IN_TAG = re.compile(r"[A-Za-z][\w./-]*:[\w./*-]*\$[a-zA-Z_]\w*")
_VALUE = re.compile(r"[A-Za-z0-9_./-]{1,200}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A bound query: metric queries by name, and the formula over them."""

    queries: tuple[tuple[str, str], ...]
    formula: str
    ranges: ClassVar[tuple[tuple[str, timedelta], ...]] = ()

    @property
    def text(self) -> str:
        """As people read it."""
        return _WORD.sub(lambda match: dict(self.queries).get(match[0], match[0]), self.formula)

    @property
    def metric(self) -> str:
        """The metric's name, where there is one."""
        found = _METRIC.match(self.queries[0][1]) if len(self.queries) == 1 and _NAME.fullmatch(self.formula) else None
        return found[1] if found else ""

    @property
    def counts(self) -> bool:
        """Whether its values grow with the interval: counts that are neither divided nor made a rate."""
        text = self.text_outside_scopes
        return ".as_count()" in text and "/" not in text and _RATE.search(text) is None

    def width(self, step: float) -> float:
        """How many seconds a value stands for where the answer does not show it: its own `rollup`, or the step."""
        return max((float(found) for _, text in self.queries for found in _ROLLUP.findall(text)), default=step)

    @property
    def text_outside_scopes(self) -> str:
        """Without what stands in braces."""
        return _SCOPE.sub("", self.text)


@dataclass(frozen=True, slots=True)
class DatadogQuery:
    """As `sources.Query`."""

    asked: Asked
    rate_window: ClassVar[timedelta | None] = None
    averages_over: ClassVar[timedelta | None] = None

    @property
    def variables(self) -> frozenset[str]:
        """As `Query.variables`."""
        return variables(*(text for _, text in self.asked.queries))

    def bind(self, values: Mapping[str, str]) -> Asked:
        """As `Query.bind`: a tag's value has no escapes, so that one of other characters is refused."""
        place = "a tag of Datadog, which takes letters, digits and _ . / -"
        queries = tuple((name, filled(text, values, _VALUE, place)) for name, text in self.asked.queries)
        return Asked(queries, self.asked.formula)


@dataclass(frozen=True, kw_only=True)
class Datadog(RepeatsNothing):
    """An organisation at `site`, asked with keys that may `timeseries_query`; `url` is for a proxy before it.

    `calls_per_hour` is at most asked; a quarter of the organisation's limit at most.
    """

    __pydantic_config__: ClassVar = STRICT
    remote: ClassVar[bool] = True
    queries_per_call: ClassVar[int] = 10

    site: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*$")] = "datadoghq.com"
    url: Address | None = None
    api_key: SecretStr | None = None
    api_key_file: FilePath | None = None
    app_key: SecretStr | None = None
    app_key_file: FilePath | None = None
    tls_config: TLSConfig = TLSConfig()
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    concurrency: Annotated[int, Field(ge=1, le=16)] = 2
    max_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    settles_after: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(minutes=2)
    calls_per_hour: Annotated[float, Field(gt=0)] | None = None

    def __post_init__(self) -> None:
        for name in ("api_key", "app_key"):
            if (getattr(self, name) is None) is (getattr(self, f"{name}_file") is None):
                raise ValueError(f"exactly one of {name} and {name}_file is needed")

    def prepare(self, query: str | Mapping[str, Any]) -> DatadogQuery:
        """As `Source.prepare`: a metric query, or `{queries: {a: ..., b: ...}, formula: a / b}`."""
        if isinstance(query, str):
            query = {"queries": {"a": query}, "formula": "a"}
        queries, formula = query.get("queries"), query.get("formula")
        if set(query) != {"queries", "formula"} or not isinstance(queries, Mapping) or not isinstance(formula, str):
            raise SourceRefused("bad_query", "a query is a text, or {queries: {NAME: QUERY}, formula: ...}")
        for name, text in queries.items():
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise SourceRefused("bad_query", f"{plain(name)!r} is no name of a query: small letters, digits and _")
            _check(text)
        if not _FORMULA.fullmatch(formula):
            raise SourceRefused("bad_query", "a formula holds names, numbers, functions and + - * / ( )")
        words = set(_WORD.findall(formula))
        if not queries or words - set(queries):
            unknown = ", ".join(sorted(words - set(queries))) or "no query"
            raise SourceRefused("bad_query", f"the formula needs what queries does not hold: {unknown}")
        return DatadogQuery(Asked(tuple(sorted(queries.items())), formula))

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`: all queries of a window in one call, and one call for each day of it."""

        async def ask(some: Sequence[Bound]) -> list[Fetched]:
            points = grid(window, step)
            parts = pieces(points, _POINTS)
            self._calls.budget.spend(len(parts))
            known = [each for each in some if isinstance(each, Asked)]
            answers = await asyncio.gather(*(self._ask(known, part, step.total_seconds()) for part in parts))
            gathered = [SeriesBuckets.empty() for _ in known]
            for answer in answers:
                _put_away(answer, known, gathered, step.total_seconds())
            return [own.series(points, step) for own in gathered]

        return await each_for_itself(ask, asked, self._address)

    async def reach(self) -> None:
        """As `Source.reach`; what is over the budget is not asked either."""
        async with reaching(self._address):
            self._calls.budget.spend(0)
            await self._calls.json("GET", f"{self._address}/api/v1/validate", self._headers, seconds=_PROBE)

    async def _ask(self, asked: Sequence[Asked], points: Floats, step: float) -> Any:  # noqa: ANN401 - JSON
        """The buckets that end at the points."""
        queries, formulas = [], []
        for number, each in enumerate(asked):
            names = {name: f"q{number}_{name}" for name, _ in each.queries}
            queries += [{"data_source": "metrics", "name": names[name], "query": text} for name, text in each.queries]
            formulas.append({"formula": _WORD.sub(lambda match: names.get(match[0], match[0]), each.formula)})  # noqa: B023 - used at once
        attributes = {
            "from": round((points[0] - step) * 1000),
            "to": round(points[-1] * 1000),
            "interval": round(step * 1000),
            "queries": queries,
            "formulas": formulas,
        }
        body = {"data": {"type": "timeseries_request", "attributes": attributes}}
        return await self._calls.json("POST", f"{self._address}/api/v2/query/timeseries", self._headers, body=body)

    def _headers(self) -> dict[str, str]:
        return {
            "DD-API-KEY": read_text(self.api_key, self.api_key_file),
            "DD-APPLICATION-KEY": read_text(self.app_key, self.app_key_file),
        }

    def _heed(self, answer: Answer) -> Answer:
        """Stay within our part of what the organisation may ask, by what Datadog says of it."""
        limits = {name: _number(answer.headers.get(f"X-RateLimit-{name}")) for name in ("Limit", "Period", "Reset")}
        limit, period, reset = limits["Limit"], limits["Period"], limits["Reset"]
        if limit and period:
            most = _OURS * limit * 3600 / period
            self._calls.budget.most = min(self.calls_per_hour or most, most)
        if reset is not None and _number(answer.headers.get("X-RateLimit-Remaining")) == 0:
            self._calls.budget.close(reset)
        return waiting(answer, reset)

    @property
    def _address(self) -> str:
        return self.url or f"https://api.{self.site}"

    @cached_property
    def _calls(self) -> Calls:
        return Calls(
            budget=Budget(self.calls_per_hour or _CALLS, "calls"),
            seconds=self.timeout.total_seconds(),
            concurrency=self.concurrency,
            most=self.max_bytes,
            words=_words,
            tls=self.tls_config,
            heed=self._heed,
        )


def _check(text: object) -> None:
    """Raises SourceRefused for what is no metric query, or has a variable where its value could become another word."""
    if not isinstance(text, str) or not text.isprintable() or not _QUERY.fullmatch(text):
        raise SourceRefused("bad_query", "this is no metric query of Datadog: avg:NAME{tag:value} is expected")
    variables(text)
    scopes = "".join(_SCOPE.findall(text))
    if len(VARIABLE.findall(text)) != len(_IN_TAG.findall(scopes)):
        raise SourceRefused("bad_query", "a variable stands for a tag's value, once in each: {service:$service}")


def _put_away(document: Any, asked: Sequence[Asked], gathered: Sequence[SeriesBuckets], step: float) -> None:  # noqa: ANN401 - JSON
    """Raises SourceUnavailable for what is no answer, or one that only reports an error."""
    try:
        attributes = document["data"]["attributes"]
        times = [each / 1000 for each in attributes["times"] or ()]
        at = np.array(times, dtype=np.float64)
        for series, values in zip(attributes["series"] or (), attributes["values"] or (), strict=True):
            number = series["query_index"]
            query, labels = asked[number], dict(tag.partition(":")[::2] for tag in series.get("group_tags") or ())
            found = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            width = width_of(times, query.width(step))
            gathered[number].add(query.metric, labels, Buckets(at, found.reshape(at.shape), width, query.counts))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        if isinstance(document.get("errors"), str | list) and not document.get("data"):
            raise SourceUnavailable("partial", plain(_words(document))) from None
        raise SourceUnavailable("malformed", "its answer holds no series over time") from None
    if document.get("errors"):
        for own in gathered:
            own.warnings.append(plain(_words(document)))


def _words(document: Any) -> str:  # noqa: ANN401 - JSON
    errors = document.get("errors")
    limits = errors if isinstance(errors, list) else [errors] if errors else []
    return "; ".join(
        str(each.get("detail") or each.get("title") or "") if isinstance(each, dict) else str(each) for each in limits
    )


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and re.fullmatch(r"\d{1,9}(\.\d+)?", text, re.ASCII) else None


PLUGIN = Datadog
