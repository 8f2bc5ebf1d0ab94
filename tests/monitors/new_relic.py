"""NerdGraph, as far as NRQL over time of one average or count goes."""

import re
from dataclasses import dataclass, field
from typing import Any

import graphql
import numpy as np
import orjson
from aiohttp import web

from monitors import Monitor, buckets

KEYS = {"account_id": 7, "api_key": "NRAK-the-key"}
_QUERY = re.compile(
    r"SELECT (\w+)\((?:`?([\w.]+)`?|\*)(?:, \d+)?\)(?: \* ([\d.]+))? FROM (\w+)(?: WHERE (.*?))?(?: FACET ([\w., ]+?))?"
    r"(?: LIMIT MAX)? SINCE (\d+) UNTIL (\d+) TIMESERIES (\d+) SECONDS",
    re.DOTALL,
)
_EQUAL = re.compile(r"([\w.]+) = '((?:\\.|[^'\\])*)'", re.DOTALL)
_TRUE = re.compile(r"(\w+) IS TRUE")
SCHEMA = graphql.build_schema(
    """
    scalar Nrql
    scalar Seconds
    scalar NrdbResult
    scalar EpochMilliseconds
    type NrdbMetadata { facets: [String!] messages: [String!] }
    type NrdbResultContainer { results: [NrdbResult!] metadata: NrdbMetadata }
    type Account { nrql(query: Nrql!, timeout: Seconds): NrdbResultContainer }
    type Actor { account(id: Int!): Account }
    type RequestContext { userId: String }
    type Query { actor: Actor requestContext: RequestContext }
    """
)


@dataclass
class NewRelic(Monitor):
    """As the double of it; `fails` are errors by what stands in the query that they are about."""

    fails: dict[str, tuple[str, str]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    refuses: list[web.Response] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """One document, checked and carried out by graphql-core."""
        body = orjson.loads(await self.note(request))
        if request.headers.get("API-Key") != KEYS["api_key"]:
            return web.json_response({"errors": [{"message": "Unauthorized"}]}, status=401)
        if self.refuses:
            refusal = self.refuses.pop(0)
            return web.Response(status=refusal.status, body=refusal.body, headers=refusal.headers)
        found = await graphql.graphql(
            SCHEMA, body["query"], root_value=self._root(), variable_values=body.get("variables")
        )
        document: dict[str, Any] = {"data": found.data}
        if found.errors:
            document["errors"] = [each.formatted for each in found.errors]
        return web.json_response(document)

    def _root(self) -> dict[str, Any]:
        def nrql(_: object, query: str, timeout: object) -> dict[str, Any]:
            return self._nrql(query)

        return {"actor": {"account": lambda _, id: {"nrql": nrql}}, "requestContext": {"userId": "1"}}  # noqa: A006 - its name

    def _nrql(self, query: str) -> dict[str, Any]:
        self.queries.append(query)
        for words, (message, kind) in self.fails.items():
            if words in query:
                raise graphql.GraphQLError(message, extensions={"errorClass": kind})
        parts = _QUERY.fullmatch(query).groups()  # type: ignore[union-attr]
        function, name, factor, kind, where, facets, since, until, width = parts
        wanted = {label: re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) for label, text in _EQUAL.findall(where or "")}
        wanted |= dict.fromkeys(_TRUE.findall(where or ""), "true")
        name = wanted.pop("metricName", name)
        labels = [each.strip() for each in facets.split(",")] if facets else []
        first, last, seconds = int(since) / 1000, int(until) / 1000, int(width) * self.widened
        rows: list[dict[str, Any]] = []
        for series in self.selected(kind if name is None else name, wanted):
            known = buckets(series, first, last, seconds)
            for begin in np.arange(np.floor(first / seconds) * seconds, last, seconds).tolist():
                row = {"beginTimeSeconds": begin, "endTimeSeconds": begin + seconds}
                if labels:
                    row["facet"] = [series.labels.get(label) for label in labels]
                empty = 0 if function == "count" else None
                value = known.get(begin, empty)
                if value is not None:
                    value *= float(factor or 1) * (seconds if function in {"count", "sum"} else 1)
                row[f"{function}.{name}"] = {"95": value} if function == "percentile" else value
                rows.append(row)
        return {"results": rows, "metadata": {"facets": labels, "messages": self.messages}}
