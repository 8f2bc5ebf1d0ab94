"""The bill of Google Cloud by its export to BigQuery."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field, StringConstraints

from afdp_exporter.bills import Api, Billed, in_one_currency
from afdp_exporter.errors import BillError
from afdp_exporter.http_config import Address
from afdp_exporter.logins.google_iam import GoogleIAM
from afdp_exporter.settings import STRICT

_WAIT = "20000"  # milliseconds that one call waits for a query
_WAITS = 3
_NO_DISCOUNT = ("FREE_TIER", "PROMOTION")  # credits that change nothing of what a machine costs


@dataclass(frozen=True, kw_only=True)
class BigQueryIAM(GoogleIAM):
    """A token for BigQuery."""

    scope: ClassVar[str] = "https://www.googleapis.com/auth/bigquery"


@dataclass(frozen=True, kw_only=True)
class BillingExport:
    """The table of the standard usage cost export, `project.dataset.table`, whose project pays for the query.

    The account needs BigQuery Job User there, and BigQuery Data Viewer of the data set.
    """

    __pydantic_config__: ClassVar = STRICT

    table: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9:.-]*\.[A-Za-z0-9_]+\.[A-Za-z0-9_*]+$")]
    google_iam: BigQueryIAM = field(default_factory=BigQueryIAM)
    services: Annotated[tuple[str, ...], Field(min_length=1)] = ("Compute Engine",)
    projects: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None
    url: Address = "https://bigquery.googleapis.com"

    async def daily(self, since: date, until: date) -> Billed:
        """As `Bill.daily`."""
        base = f"{self.url}/bigquery/v2/projects/{self.table.rsplit('.', 2)[0]}/queries"
        where = [("location", self.location)] if self.location else []
        found = await self._api.ask("POST", base, body=self._question(since, until))
        for _ in range(_WAITS):
            if found.get("jobComplete") is True:
                break
            found = await self._api.ask("GET", f"{base}/{_job(found)}", params=where)
        else:
            raise BillError("its query takes too long")
        try:
            rows = [[cell["v"] for cell in row["f"]] for row in found.get("rows", ())]
            return in_one_currency([(date.fromisoformat(day), str(unit), float(cost)) for day, unit, cost in rows])
        except (KeyError, TypeError, ValueError):
            raise BillError("its answer holds no costs by day") from None

    def _question(self, since: date, until: date) -> dict[str, Any]:
        """Values are parameters; the table's name, which cannot be one, is held to its pattern."""
        texts = {"since": since.isoformat(), "until": until.isoformat()}
        lists = {"services": self.services, "credits": _NO_DISCOUNT, "projects": self.projects}
        wanted = ["service.description IN UNNEST(@services)"]
        if self.projects:
            wanted.append("project.id IN UNNEST(@projects)")
        for number, (key, value) in enumerate(sorted(self.labels.items())):
            texts |= {f"key{number}": key, f"value{number}": value}
            of = f"label.key = @key{number} AND label.value = @value{number}"
            wanted.append(f"EXISTS (SELECT 1 FROM UNNEST(labels) AS label WHERE {of})")  # noqa: S608 - our own names
        return {
            "query": _QUERY.format(table=self.table, wanted=" AND ".join(wanted)),
            "useLegacySql": False,
            "parameterMode": "NAMED",
            "queryParameters": [
                *(_parameter(name, {"type": "STRING"}, {"value": value}) for name, value in texts.items()),
                *(
                    _parameter(
                        name,
                        {"type": "ARRAY", "arrayType": {"type": "STRING"}},
                        {"arrayValues": [{"value": each} for each in values]},
                    )
                    for name, values in lists.items()
                    if values
                ),
            ],
            "timeoutMs": _WAIT,
            **({"location": self.location} if self.location else {}),
        }

    @cached_property
    def _api(self) -> Api:
        return Api(self.google_iam)


_QUERY = """\
SELECT FORMAT_DATE('%F', DATE(usage_start_time)) AS day, currency, SUM(
  cost + IFNULL((SELECT SUM(credit.amount) FROM UNNEST(credits) AS credit WHERE credit.type NOT IN UNNEST(@credits)), 0)
) AS cost
FROM `{table}`
WHERE _PARTITIONTIME >= TIMESTAMP(@since)
  AND usage_start_time >= TIMESTAMP(@since) AND usage_start_time < TIMESTAMP(@until)
  AND cost_type = 'regular' AND {wanted}
GROUP BY day, currency
ORDER BY day"""


def _job(found: Mapping[str, Any]) -> str:
    """The query that an answer names. Raises BillError."""
    try:
        return quote(str(found["jobReference"]["jobId"]), safe="")
    except (KeyError, TypeError):
        raise BillError("its answer names no query") from None


def _parameter(name: str, kind: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "parameterType": kind, "parameterValue": value}


PLUGIN = BillingExport
