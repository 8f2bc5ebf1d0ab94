"""Datadog's timeseries query, as far as averages of one metric and ratios of them go."""

import re
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from monitors import Monitor, buckets

_QUERY = re.compile(
    r"(?:default_zero\()?\w+:([\w.]+)\{([^{}]*)\}(?: by \{([^{}]*)\})?(\.as_count\(\))?(?:\.rollup\(sum, (\d+)\))?\)?"
)
KEYS = {"api_key": "the-api-key", "app_key": "the-app-key"}


@dataclass
class Datadog(Monitor):
    """As the double of it."""

    headers: dict[str, str] = field(default_factory=dict)
    errors: str | None = None
    refuses: list[web.Response] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """One call."""
        body = await self.note(request)
        if request.headers.get("DD-API-KEY") != KEYS["api_key"]:
            return web.json_response({"errors": ["Forbidden"]}, status=403)
        if request.path == "/api/v1/validate":
            return web.json_response({"valid": True})
        if self.refuses:
            refusal = self.refuses.pop(0)
            return web.Response(status=refusal.status, body=refusal.body, headers=refusal.headers)
        asked = orjson.loads(body)["data"]["attributes"]
        found = [self._formula(each["formula"], asked) for each in asked["formulas"]]
        if None in found:
            return web.json_response({"errors": ["unknown"]}, status=400)
        times = sorted({at for each in found for _, values in each or () for at in values})
        attributes = {
            "times": [round(at * 1000) for at in times],
            "series": [
                {"group_tags": tags, "query_index": number, "unit": None}
                for number, each in enumerate(found)
                for tags, _ in each or ()
            ],
            "values": [[values.get(at) for at in times] for each in found for _, values in each or ()],
        }
        document: dict[str, Any] = {"data": {"type": "timeseries_response", "attributes": attributes}}
        if self.errors:
            document["errors"] = self.errors
        return web.json_response(document, headers=self.headers)

    def _formula(self, formula: str, asked: dict[str, Any]) -> list[tuple[list[str], dict[float, float]]] | None:
        queries = {each["name"]: each["query"] for each in asked["queries"]}
        if (ratio := re.fullmatch(r"(\w+) / (\w+)", formula)) is not None:
            (_, above), (_, below) = (self._query(queries[name], asked)[0] for name in ratio.groups())
            return [([], {at: above[at] / below[at] for at in above if below.get(at)})]
        if formula not in queries or "refused" in queries[formula]:
            return None
        return self._query(queries[formula], asked)

    def _query(self, query: str, asked: dict[str, Any]) -> list[tuple[list[str], dict[float, float]]]:
        name, scope, by, _, rollup = _QUERY.fullmatch(query).groups()  # type: ignore[union-attr]
        where = {} if scope == "*" else dict(each.split(":", 1) for each in scope.split(","))
        width = float(rollup or asked["interval"] / 1000) * self.widened
        tags = by.split(",") if by else []
        return [
            (
                [f"{tag}:{each.labels[tag]}" for tag in tags if tag in each.labels],
                buckets(each, asked["from"] / 1000, asked["to"] / 1000, width),
            )
            for each in self.selected(name, where)
        ]
