"""New Relic: NRQL by NerdGraph, a few queries in one document."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, FilePath, SecretStr

from afdp_exporter.errors import SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.http_config import Address, TLSConfig, read_text
from afdp_exporter.model import Floats, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import Bound, Fetched, RepeatsNothing, grid
from afdp_exporter.sources._buckets import Buckets, SeriesBuckets, pieces
from afdp_exporter.sources._calls import Budget, Calls, each_for_itself, reaching
from afdp_exporter.sources._prometheus_json import plain
from afdp_exporter.sources._variables import NUMBERS, VARIABLE, value, variables

_BUCKETS = 366  # of a TIMESERIES, at most
_AT_ONCE = 5  # queries in one document: as many as New Relic wants to be running for one account
_PROBE = 10.0  # seconds
_HOSTS = {"us": "https://api.newrelic.com", "eu": "https://api.eu.newrelic.com"}
_STRING = r"'(?:\\.|[^'\\])*'"
_TOKEN = re.compile(
    rf"(?P<string>{_STRING})|(?P<name>`[^`]*`)|(?P<comment>//|--|/\*)|(?P<bare>\$[a-zA-Z_]\w*)", re.DOTALL
)
_PATTERN_BEFORE = re.compile(r"\bR?LIKE\s*R?\s*$", re.IGNORECASE)
_OURS = re.compile(r"\b(SINCE|UNTIL|TIMESERIES|COMPARE\s+WITH|WITH\s+TIMEZONE|SLIDE\s+BY)\b", re.IGNORECASE)
_COUNT = re.compile(r"\b(count|sum|bytecountestimate)\s*\(", re.IGNORECASE)
_RATE = re.compile(r"\b(rate|percentage|derivative|apdex|cdfPercentage)\s*\(", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?")
_AWAY = ("TOO_MANY", "TIMEOUT", "SERVER", "UNAVAILABLE", "THROTTL", "INTERNAL", "ACCESS", "UNAUTHORIZED", "FORBIDDEN")
_OWN_FIELDS = {"beginTimeSeconds", "endTimeSeconds", "facet", "inspectedCount", "timestamp"}


@dataclass(frozen=True, slots=True)
class NRQL:
    """NRQL without times, ready to be sent."""

    text: str
    ranges: ClassVar[tuple[tuple[str, timedelta], ...]] = ()

    @property
    def counts(self) -> bool:
        """Whether its value grows with the bucket: a count or a sum that is neither a rate nor divided."""
        selected = _selected(self.text)
        return bool(_COUNT.search(selected)) and not _RATE.search(selected) and "/" not in selected


@dataclass(frozen=True, slots=True)
class NRQLQuery:
    """As `sources.Query`."""

    text: str
    rate_window: ClassVar[timedelta | None] = None
    averages_over: ClassVar[timedelta | None] = None

    @property
    def variables(self) -> frozenset[str]:
        """As `Query.variables`."""
        return variables(self.text)

    def bind(self, values: Mapping[str, str]) -> NRQL:
        """As `Query.bind`: inside a string a value is escaped."""

        def place(match: re.Match[str]) -> str:
            if match["string"]:
                return VARIABLE.sub(lambda name: _escaped(value(name[1], values)), match["string"])
            if match["bare"]:
                found = value(match["bare"][1:], values)
                if not _NUMBER.fullmatch(found):
                    raise SourceRefused("bad_value", f"{match['bare']} is {found!r}, which is no number")
                return found
            return match[0]

        return NRQL(_TOKEN.sub(place, self.text))


@dataclass(frozen=True, kw_only=True)
class NewRelic(RepeatsNothing):
    """An account, asked with a user's key; `url` is for a proxy before it. `calls_per_hour` are queries, not documents.

    A query that takes longer than `timeout` is given up by New Relic itself.
    """

    __pydantic_config__: ClassVar = STRICT
    remote: ClassVar[bool] = True
    queries_per_call: ClassVar[int] = _AT_ONCE

    account_id: Annotated[int, Field(ge=1)]
    region: Literal["us", "eu"] = "us"
    url: Address | None = None
    api_key: SecretStr | None = None
    api_key_file: FilePath | None = None
    tls_config: TLSConfig = TLSConfig()
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=70)
    max_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    settles_after: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(minutes=2)
    calls_per_hour: Annotated[float, Field(gt=0)] = 18_000.0  # a tenth of the documented 3,000 a minute

    def __post_init__(self) -> None:
        if (self.api_key is None) is (self.api_key_file is None):
            raise ValueError("exactly one of api_key and api_key_file is needed")

    def prepare(self, query: str | Mapping[str, Any]) -> NRQLQuery:
        """As `Source.prepare`: `SELECT ... FROM ...` of one value, without times."""
        if not isinstance(query, str):
            raise SourceRefused("bad_query", "a query in NRQL is a text")
        _check(query)
        return NRQLQuery(query)

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`: five queries in one document, each of at most 366 buckets."""

        async def ask(some: Sequence[Bound]) -> list[Fetched]:
            points, known = grid(window, step), [each for each in some if isinstance(each, NRQL)]
            parts = pieces(points, _BUCKETS)
            questions = [(number, part) for part in parts for number in range(len(known))]
            self._calls.budget.spend(len(questions))
            gathered, failed = [SeriesBuckets.empty() for _ in known], dict[int, SourceError]()
            documents = [questions[first : first + _AT_ONCE] for first in range(0, len(questions), _AT_ONCE)]
            answers = await asyncio.gather(
                *(self._ask([(known[number], part) for number, part in each], step) for each in documents)
            )
            for each, answer in zip(documents, answers, strict=True):
                for place, (number, _) in enumerate(each):
                    if (error := answer.put_away(known[number], f"q{place}", gathered[number])) is not None:
                        failed[number] = error
            return [failed.get(number) or of_one.series(points, step) for number, of_one in enumerate(gathered)]

        return await each_for_itself(ask, asked, self._address)

    async def reach(self) -> None:
        """As `Source.reach`; what is over the budget is not asked either."""
        async with reaching(self._address):
            self._calls.budget.spend(0)
            body = {"query": "query { requestContext { userId } }"}
            await self._calls.json("POST", f"{self._address}/graphql", self._headers, body=body, seconds=_PROBE)

    async def _ask(self, some: Sequence[tuple[NRQL, Floats]], step: timedelta) -> "_Answer":
        """What is answered. Texts go as variables: nothing is put into GraphQL."""
        seconds, texts = step.total_seconds(), {}
        for place, (query, points) in enumerate(some):
            since, until = round((points[0] - seconds) * 1000), round(points[-1] * 1000)
            texts[f"q{place}"] = f"{query.text} SINCE {since} UNTIL {until} TIMESERIES {seconds:.0f} SECONDS"
        declared = ", ".join(f"${name}: Nrql!" for name in texts)
        wanted = "{ results metadata { facets messages } }"
        asked = " ".join(f"{name}: nrql(query: ${name}, timeout: $timeout) {wanted}" for name in texts)
        head = f"query($account: Int!, $timeout: Seconds!, {declared})"
        document = f"{head} {{ actor {{ account(id: $account) {{ {asked} }} }} }}"
        given = {"account": self.account_id, "timeout": round(self.timeout.total_seconds()), **texts}
        body = {"query": document, "variables": given}
        answer = await self._calls.json("POST", f"{self._address}/graphql", self._headers, body=body)
        data = answer.get("data")
        actor = data.get("actor") if isinstance(data, dict) else None
        account = actor.get("account") if isinstance(actor, dict) else None
        if not isinstance(account, dict):
            raise next(
                (_error(each) for each in _errors(answer)),
                SourceUnavailable("malformed", "its answer holds no account"),
            )
        return _Answer(tuple(_errors(answer)), account)

    def _headers(self) -> dict[str, str]:
        return {"API-Key": read_text(self.api_key, self.api_key_file)}

    @property
    def _address(self) -> str:
        return self.url or _HOSTS[self.region]

    @cached_property
    def _calls(self) -> Calls:
        return Calls(
            budget=Budget(self.calls_per_hour, "queries"),
            seconds=self.timeout.total_seconds() + _PROBE,
            concurrency=1,
            most=self.max_bytes,
            words=lambda document: "; ".join(str(each.get("message")) for each in _errors(document)),
            tls=self.tls_config,
        )


def _escaped(text: str) -> str:
    """A value inside of quotes. Raises SourceRefused for what no string can hold."""
    if not text.isprintable():
        raise SourceRefused("bad_value", f"{text!r} cannot stand in a string of NRQL")
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _bare(query: str) -> str:
    """The query without what stands in strings and names, so that its words are those of the language."""
    return _TOKEN.sub(lambda match: "''" if match["string"] else "``" if match["name"] else match[0], query)


def _selected(query: str) -> str:
    """What a query selects: between SELECT and the next clause, without strings."""
    after = re.split(r"\bSELECT\b", _bare(query), maxsplit=1, flags=re.IGNORECASE)[-1]
    return re.split(r"\b(?:FROM|FACET|LIMIT|ORDER\s+BY)\b", after, maxsplit=1, flags=re.IGNORECASE)[0]


def _check(query: str) -> None:
    """Raises SourceRefused for what is no query, or has a variable where it could become something else."""
    variables(query)
    bare = _bare(query)
    if not all(re.search(rf"\b{word}\b", bare, re.IGNORECASE) for word in ("SELECT", "FROM")) or "'" in bare.replace(
        "''", ""
    ):
        raise SourceRefused("bad_query", "this is no NRQL: SELECT ... FROM ... is expected")
    if (ours := _OURS.search(bare)) is not None:
        raise SourceRefused("bad_query", f"{ours[0].upper()} is added to each question, and cannot stand in the query")
    for match in _TOKEN.finditer(query):
        text = match[0]
        if match["comment"] or ";" in bare:
            raise SourceRefused("bad_query", "a query holds no comment and no semicolon")
        if match["name"] and VARIABLE.search(text):
            raise SourceRefused("bad_query", "a variable stands for a value: appName = '$service'")
        if match["bare"] and text[1:] not in NUMBERS:
            raise SourceRefused("bad_query", f"{text} stands for a text, in quotes: '{text}'")
        if match["string"] and VARIABLE.search(text) and _PATTERN_BEFORE.search(query[: match.start()]):
            raise SourceRefused("bad_query", "a variable cannot stand in a pattern of LIKE: write = '$service'")


def _errors(document: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - JSON
    errors = document.get("errors")
    yield from (each for each in (errors if isinstance(errors, list) else []) if isinstance(each, dict))


def _error(fault: Mapping[str, Any]) -> SourceError:
    """What an error of GraphQL means, which comes with status 200."""
    more = fault.get("extensions")
    kind = str(more.get("errorClass") or "") if isinstance(more, dict) else ""
    words = plain(fault.get("message")) + (f" ({plain(kind)})" if kind else "")
    if "TOO_MANY" in kind:
        return SourceUnavailable("rate_limit", words)
    if "TIMEOUT" in kind:
        return SourceUnavailable("timeout", words)
    return (SourceUnavailable if any(each in kind for each in _AWAY) else SourceRefused)("nrql", words)


@dataclass(frozen=True, slots=True)
class _Answer:
    """The errors of a document, and what it holds of the account by alias."""

    errors: tuple[Mapping[str, Any], ...]
    account: Mapping[str, Any]

    def put_away(self, query: NRQL, alias: str, of_one: SeriesBuckets) -> SourceError | None:
        """The rows of one query to its buckets, or why it failed."""
        answer = self.account.get(alias)
        for error in self.errors:
            path = error.get("path") or ()
            if alias in path or (not path and answer is None):  # of no path: about all that is missing
                return _error(error)
        if not isinstance(answer, dict):
            return SourceUnavailable("malformed", "its answer leaves out a query")
        try:
            values = answer.get("metadata") or {}
            of_one.warnings += [plain(each) for each in values.get("messages") or ()]
            facets = [str(each) for each in values.get("facets") or ()]
            for (labels, width), rows in _series(answer["results"] or (), facets).items():
                starts, values = (np.array(each, dtype=np.float64) for each in zip(*rows, strict=True))
                of_one.add("", dict(labels), Buckets(starts, values, width, query.counts))
        except SourceRefused as error:
            return error
        except (KeyError, TypeError, ValueError, AttributeError):
            return SourceUnavailable("malformed", "its answer holds no results over time")
        return None


_Rows = dict[tuple[tuple[tuple[str, str], ...], float], list[tuple[float, float]]]


def _series(results: Any, facets: Sequence[str]) -> _Rows:  # noqa: ANN401 - JSON
    """The buckets' begins and values, by their labels and width."""
    found: _Rows = {}
    for row in results:
        named = row.get("facet")
        names = [
            "" if each is None else str(each)
            for each in (named if isinstance(named, list) else [named] if named is not None else [])
        ]
        labels = tuple(sorted((label, name) for label, name in zip(facets, names, strict=False) if name))
        begin, end = float(row["beginTimeSeconds"]), float(row["endTimeSeconds"])
        found.setdefault((labels, end - begin), []).append((begin, _value(row, facets)))
    return found


def _value(row: Mapping[str, Any], facets: Sequence[str]) -> float:
    """The one value of a row; that of a percentile stands in an object of its own. NaN where it is null."""
    values = {name: each for name, each in row.items() if name not in _OWN_FIELDS and name not in facets}
    found = next(iter(values.values()), None)
    if isinstance(found, dict):
        values = found
        found = next(iter(found.values()), None)
    if len(values) > 1:
        raise SourceRefused("bad_query", f"the query selects several values ({', '.join(values)}): one is expected")
    try:
        return np.nan if found is None else float(found)
    except (TypeError, ValueError):
        raise SourceRefused("bad_query", f"the query selects {plain(found)!r}, which is no number") from None


PLUGIN = NewRelic
