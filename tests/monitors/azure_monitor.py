"""Azure Monitor's metrics:getBatch, and the issuer of its tokens."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from issuing import Issuer
from monitors import Monitor, buckets

RESOURCE = "/subscriptions/s-1/resourceGroups/shop/providers/Microsoft.Web/sites/web"
BLOCK: dict[str, Any] = {"region": "westeurope", "azuread": {"managed_identity": {}}}
_EQUAL = re.compile(r"(\w+) eq '((?:[^']|'')*)'")
_WIDTHS = {"PT1M": 60, "PT5M": 300, "PT15M": 900, "PT30M": 1800, "PT1H": 3600}


@dataclass
class AzureMonitor(Monitor):
    """As the double of it; a value of `*` in the filter splits by that dimension."""

    issuer: Issuer = field(default_factory=Issuer)
    code: str = "Success"
    refuses: list[web.Response] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """One call, or a token."""
        if request.path.startswith("/metadata/"):
            return await self.issuer.issue(request)
        body = await self.note(request)
        if not self.issuer.knows(request.headers):
            return web.Response(status=401)
        if self.refuses:
            refusal = self.refuses.pop(0)
            return web.Response(status=refusal.status, body=refusal.body, headers=refusal.headers)
        asked, resources = request.query, orjson.loads(body)["resourceids"]
        names = asked.get("metricnames", "").split(",")
        if not resources or "refused" in names:
            error = {"code": "BadRequest", "message": "no such metric"}
            return web.json_response({"error": error}, status=400)
        width = _WIDTHS[asked["interval"]] * self.widened
        interval = next(text for text, seconds in [*_WIDTHS.items(), (f"PT{width // 60}M", width)] if seconds == width)
        values = [
            {
                "resourceid": each.lower(),
                "interval": interval,
                "value": [self._metric(name, asked, width) for name in names],
            }
            for each in resources
        ]
        return web.json_response({"values": values})

    def _metric(self, name: str, asked: Any, width: int) -> dict[str, Any]:  # noqa: ANN401 - as aiohttp has it
        where = {label: text.replace("''", "'") for label, text in _EQUAL.findall(asked.get("filter", ""))}
        split = [label for label, text in where.items() if text == "*"]
        start, end = (datetime.fromisoformat(asked[each]).timestamp() for each in ("starttime", "endtime"))
        series = []
        for each in self.selected(name, {label: text for label, text in where.items() if text != "*"}):
            found = sorted(buckets(each, start, end, width).items())
            data = [
                {"timeStamp": datetime.fromtimestamp(at, UTC).isoformat(), "average": one, "total": one * width}
                for at, one in found
            ]
            labels = [
                {"name": {"value": label}, "value": each.labels[label]} for label in split if label in each.labels
            ]
            series.append({"metadatavalues": labels, "data": data})
        return {"name": {"value": name}, "errorCode": self.code, "timeseries": series}
