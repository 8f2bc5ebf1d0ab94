"""The bill of Azure by Cost Management."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from afdp_exporter.bills import Api, Billed, in_one_currency
from afdp_exporter.errors import BillError
from afdp_exporter.http_config import Address
from afdp_exporter.logins.azuread import AzureAD
from afdp_exporter.settings import STRICT

_SCOPE = "https://management.azure.com/.default"
_VERSION = "2023-11-01"
_PAGES = 20
_DAY, _CURRENCY = "UsageDate", "Currency"


@dataclass(frozen=True, kw_only=True)
class CostManagement:
    """The costs of a scope by day, with reservations spread over theirs; the role needed is Cost Management Reader.

    `scope` is such as `/subscriptions/ID` or `/subscriptions/ID/resourceGroups/NAME`.
    """

    __pydantic_config__: ClassVar = STRICT

    scope: Annotated[str, StringConstraints(pattern=r"^/(subscriptions|providers)/[0-9A-Za-z-][\w./:()-]*$")]
    azuread: AzureAD
    services: Annotated[tuple[str, ...], Field(min_length=1)] = ("Virtual Machines",)
    tags: Mapping[str, str] = field(default_factory=dict)
    url: Address = "https://management.azure.com"

    async def daily(self, since: date, until: date) -> Billed:
        """As `Bill.daily`."""
        url: object = f"{self.url}{self.scope}/providers/Microsoft.CostManagement/query?api-version={_VERSION}"
        rows: list[tuple[date, str, float]] = []
        for _ in range(_PAGES):
            if not isinstance(url, str) or not url.startswith(f"{self.url}/"):
                raise BillError("its next page is at another address")
            found = await self._api.ask("POST", url, body=self._question(since, until))
            try:
                rows += _rows(found["properties"])
                url = found["properties"].get("nextLink")
            except (KeyError, TypeError, ValueError, StopIteration, AttributeError):
                raise BillError("its answer holds no costs by day") from None
            if not url:
                return in_one_currency([row for row in rows if since <= row[0] < until])
        raise BillError(f"its answer has more than {_PAGES} pages")

    def _question(self, since: date, until: date) -> dict[str, Any]:
        filters: list[dict[str, Any]] = [_among("dimensions", "ServiceName", self.services)]
        filters += [_among("tags", key, (value,)) for key, value in sorted(self.tags.items())]
        return {
            "type": "AmortizedCost",
            "timeframe": "Custom",
            "timePeriod": {"from": f"{since}T00:00:00Z", "to": f"{until}T00:00:00Z"},
            "dataset": {
                "granularity": "Daily",
                "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
                "filter": {"and": filters} if len(filters) > 1 else filters[0],
            },
        }

    @cached_property
    def _api(self) -> Api:
        return Api(self.azuread.reading(_SCOPE))


def _among(kind: str, name: str, values: tuple[str, ...]) -> dict[str, Any]:
    return {kind: {"name": name, "operator": "In", "values": list(values)}}


def _rows(table: Mapping[str, Any]) -> list[tuple[date, str, float]]:
    """Day, currency and amount of each row, whose columns are named in the answer alone."""
    names = [column["name"] for column in table["columns"]]
    day, currency = names.index(_DAY), names.index(_CURRENCY)
    amount = next(place for place, name in enumerate(names) if "cost" in name.lower())
    return [
        (datetime.strptime(str(row[day]), "%Y%m%d").date(), str(row[currency]), float(row[amount]))  # noqa: DTZ007 - a day
        for row in table["rows"]
    ]


PLUGIN = CostManagement
