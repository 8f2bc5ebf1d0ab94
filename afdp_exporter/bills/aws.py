"""The bill of AWS by Cost Explorer, which charges $0.01 for each page of an answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from afdp_exporter.aws import AWS
from afdp_exporter.bills import Billed, in_one_currency
from afdp_exporter.errors import ActionError, BillError

_NO_PRICE = ("Credit", "Refund", "Tax")  # types of a bill's lines that change nothing of what a machine costs


@dataclass(frozen=True, kw_only=True)
class CostExplorer(AWS):
    """The lines of these services, tags and linked accounts; the role needs `ce:GetCostAndUsage` and nothing else.

    `cost` is `AmortizedCost`, which spreads reservations and savings plans over their days, or `NetAmortizedCost`,
    which has the discounts of a private agreement, too.
    """

    service: ClassVar[str] = "ce"

    region: str = "us-east-1"
    services: Annotated[tuple[str, ...], Field(min_length=1)] = ("Amazon Elastic Compute Cloud - Compute",)
    accounts: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    cost: Literal["AmortizedCost", "NetAmortizedCost"] = "AmortizedCost"

    async def daily(self, since: date, until: date) -> Billed:
        """As `Bill.daily`."""
        try:
            days = await self.listed(
                "GetCostAndUsage",
                "ResultsByTime",
                ("NextPageToken", "NextPageToken"),
                TimePeriod={"Start": since.isoformat(), "End": until.isoformat()},
                Granularity="DAILY",
                Metrics=[self.cost],
                Filter=self._filter(),
            )
        except ActionError as error:
            raise BillError(str(error)) from None
        try:
            rows = [
                (date.fromisoformat(day["TimePeriod"]["Start"][:10]), str(total["Unit"]), float(total["Amount"]))
                for day in days
                if (total := day.get("Total", {}).get(self.cost)) is not None
            ]
        except (KeyError, TypeError, ValueError):
            raise BillError("its answer holds no costs by day") from None
        return in_one_currency(rows)

    def _filter(self) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [
            {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": list(_NO_PRICE)}}},
            {"Dimensions": {"Key": "SERVICE", "Values": list(self.services)}},
        ]
        if self.accounts:
            parts.append({"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": list(self.accounts)}})
        parts += [{"Tags": {"Key": key, "Values": [value]}} for key, value in sorted(self.tags.items())]
        return {"And": parts}


PLUGIN = CostExplorer
