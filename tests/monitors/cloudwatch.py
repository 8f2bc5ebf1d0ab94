"""CloudWatch's GetMetricData, in the JSON that AWS' own library speaks."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web

from monitors import Monitor, buckets

BLOCK = {"region": "eu-west-1"}
_FILL = re.compile(r"FILL\((\w+), 0\)")
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "the-secret-key",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass
class CloudWatch(Monitor):
    """As the double of it; `page` is how many values a result has in one answer, `status` that of its last page."""

    page: int = 1_000_000
    listed: int = 2
    status: str = "Complete"
    messages: list[dict[str, str]] = field(default_factory=list)
    refuses: list[tuple[int, str]] = field(default_factory=list)
    date: datetime | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """One operation."""
        body = await self.note(request)
        if self.refuses:
            status, code = self.refuses.pop(0)
            return _answer({"__type": code, "message": "no"}, status, self.date)
        if request.headers["X-Amz-Target"].endswith("ListMetrics"):
            return _answer(self._listed(orjson.loads(body)), 200, self.date)
        asked: dict[str, Any] = orjson.loads(body)
        self.calls.append(asked)
        first = int(asked.get("NextToken", "0"))
        results, more = [], False
        stats = {each["Id"]: each for each in asked["MetricDataQueries"]}
        if any("refused" in str(each) for each in stats.values()):
            return _answer({"__type": "ValidationError", "message": "no such"}, 400, self.date)
        for each in stats.values():
            if not each["ReturnData"]:
                continue
            if "Expression" in each and (filled := _FILL.fullmatch(each["Expression"])) is not None:
                found = self._values(stats[filled[1]], asked)
            elif "Expression" in each:
                above, below = (self._values(stats[name.strip()], asked) for name in each["Expression"].split("/"))
                found = {at: above[at] / below[at] for at in above if below.get(at)}
            else:
                found = self._values(each, asked)
            page = sorted(found.items())[first : first + self.page]
            last = first + self.page >= len(found)
            more = more or not last
            times, values = [at for at, _ in page], [value for _, value in page]
            result = {"Id": each["Id"], "Label": "x", "StatusCode": self.status if last else "PartialData"}
            results.append(result | {"Timestamps": times, "Values": values})
        document: dict[str, Any] = {"MetricDataResults": results, "Messages": self.messages}
        return _answer(
            document | ({"NextToken": str(first + self.page)} if more else {}),
            200,
            self.date or datetime.fromtimestamp(float(asked["EndTime"]), UTC),
        )

    def _listed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The dimensions of a metric, `listed` of them on a page."""
        known = [each for each in self.series if asked.get("MetricName") in {None, each.metric}]
        first = int(asked.get("NextToken", "0"))
        last = first + self.listed
        metrics = [
            {"Dimensions": [{"Name": name, "Value": value} for name, value in each.labels.items()]}
            for each in known[first:last]
        ]
        return {"Metrics": metrics} | ({"NextToken": str(last)} if last < len(known) else {})

    def _values(self, query: dict[str, Any], asked: dict[str, Any]) -> dict[float, float]:
        metric, period = query["MetricStat"]["Metric"], query["MetricStat"]["Period"]
        where = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        start, end = (float(asked[name]) for name in ("StartTime", "EndTime"))
        for series in self.selected(metric["MetricName"], where):
            if dict(series.labels) == where:
                counted = period if query["MetricStat"]["Stat"] == "Sum" else 1
                return {at: value * counted for at, value in buckets(series, start, end, period).items()}
        return {}


def _answer(document: object, status: int, date: datetime | None) -> web.Response:
    headers = {"Content-Type": "application/x-amz-json-1.0"}
    if date is not None:
        headers["Date"] = date.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return web.Response(status=status, body=orjson.dumps(document), headers=headers)
