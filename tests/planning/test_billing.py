"""How a bill compares with list prices: the ratio, its range, and what must not be compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from afdp_exporter.bills import Billed, BilledCloud, ListPrice
from afdp_exporter.errors import BillError
from afdp_exporter.model import BillRatio, Estimate, Series
from afdp_exporter.planning.billing import compare, listed_days, ratio_to_list
from afdp_exporter.planning.cloud_cost import CloudRates, cloud_cost
from afdp_exporter.settings import build
from afdp_exporter.sources import Source

FIRST = date(2026, 10, 1)
NOW = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)
TRAITS = {"replicas_delta": 3, "cpu_request_delta_cores": 6}


def by_day(amounts: Sequence[float]) -> dict[date, float]:
    return {FIRST + timedelta(days=number): float(amount) for number, amount in enumerate(amounts)}


@dataclass(frozen=True)
class Paid:
    """A bill of the same amount each day."""

    amount: float

    async def daily(self, since: date, until: date) -> Billed:
        days = (since + timedelta(days=number) for number in range((until - since).days))
        return Billed(currency="USD", days=dict.fromkeys(days, self.amount))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Two dollars an hour at list prices, of which the last eight days are known."""
    end = int(NOW.timestamp())
    lines = [f"{at},node_total_hourly_cost,2" for at in range(end - 10 * 86400, end, 3600)]
    (tmp_path / "prices.csv").write_text("\n".join(["timestamp,metric,value", *lines]))
    built: Source = build("sources", "recording", {"path": str(tmp_path)}, "")
    return built


async def test_a_bill_is_held_against_the_days_that_were_measured(source: Source) -> None:
    cloud = BilledCloud(bill=Paid(36.0), listed=ListPrice(list_price="node_total_hourly_cost"))
    found = await compare("aws", cloud, {"recorded": source}, NOW)
    assert found.ratio == Estimate(low=pytest.approx(0.75), median=pytest.approx(0.75), high=pytest.approx(0.75))
    assert (found.bill, found.currency, found.until) == ("aws", "USD", date(2026, 10, 30))  # the last that is complete
    assert 7 <= found.days <= 8


async def test_what_was_measured_for_less_than_a_week_is_not_compared(source: Source) -> None:
    cloud = BilledCloud(bill=Paid(36.0), listed=ListPrice(list_price="node_total_hourly_cost"))
    with pytest.raises(BillError, match="days are both billed and measured; 7 are needed"):
        await compare("aws", cloud, {"recorded": source}, NOW - timedelta(days=4))
    nothing = replace(cloud, listed=ListPrice(list_price="unknown_metric"))
    with pytest.raises(BillError, match="list_price gives 0 series"):
        await compare("aws", nothing, {"recorded": source}, NOW)


def test_nine_of_ten_ranges_hold_the_planted_ratio() -> None:
    """On fresh months each: list prices of other days, a bill that scatters around 0.7 of them."""
    rng, held = np.random.default_rng(90_411), 0
    for _ in range(400):
        listed = rng.gamma(20.0, 5.0, 28)
        found = ratio_to_list("aws", "USD", by_day(listed * rng.normal(0.7, 0.1, 28)), by_day(listed))
        held += found.ratio.low <= 0.7 <= found.ratio.high
    assert 0.86 <= held / 400 <= 0.94


def test_a_day_counts_where_most_of_it_was_measured() -> None:
    hours = np.arange(48.0)
    values = np.where((hours >= 24) & (hours < 30), np.nan, 2.0)
    start = datetime(2026, 10, 1, tzinfo=UTC).timestamp()
    found = listed_days(Series(metric="m", labels={}, times=start + 3600 * hours, values=values))
    assert found == {FIRST: 48.0}


def test_a_bill_brings_prices_to_what_is_paid_and_says_so() -> None:
    billed = BillRatio(
        bill="aws", currency="USD", ratio=Estimate(low=0.6, median=0.7, high=0.8), days=28, since=FIRST,
        until=date(2026, 10, 28),
    )  # fmt: skip
    plain, paid = cloud_cost(TRAITS, CloudRates()), cloud_cost(TRAITS, CloudRates(), billed)
    assert plain is not None
    assert paid is not None
    assert paid.per_hour.median == pytest.approx(0.7 * plain.per_hour.median)
    assert paid.per_hour.low < 0.7 * plain.per_hour.low
    assert paid.per_hour.high > 0.7 * plain.per_hour.high
    assert paid.sentence.endswith(", as aws was billed: 70 % [60, 80] of list prices over 28 days")
    assert cloud_cost(TRAITS, CloudRates(currency="EUR"), billed) == cloud_cost(TRAITS, CloudRates(currency="EUR"))
