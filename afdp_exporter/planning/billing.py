"""How what is paid for a cloud compares with list prices: the ratio of its bill to what was listed on the same days."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from math import sqrt

import numpy as np
from scipy.special import stdtrit

from afdp_exporter.bills import BilledCloud
from afdp_exporter.errors import BillError, SourceError
from afdp_exporter.model import BillRatio, Estimate, Series, Window
from afdp_exporter.sources import Source, ask

_LATEST = timedelta(days=2)  # bills of a day come up to so much later
_DAYS = 30  # of a bill that are compared at most
_LEAST_DAYS = 7  # that both have
_HOUR = timedelta(hours=1)  # by which list prices are asked
_HOURS = 20  # of a day that are measured at least


async def compare(name: str, cloud: BilledCloud, sources: Mapping[str, Source], now: datetime) -> BillRatio:
    """The bill of the last 30 days that are complete beside their list prices. Raises BillError.

    It takes seven days that both have: a Prometheus often keeps fifteen.
    """
    until = (now - _LATEST).astimezone(UTC).date()
    since = until - timedelta(days=_DAYS)
    source = sources[cloud.listed.source or next(iter(sources))]
    window = Window(start=_midnight(since), end=_midnight(until) - _HOUR)
    try:
        series = await ask(source, cloud.listed.list_price, {}, window, _HOUR)
    except SourceError as error:
        raise BillError(f"list_price: {error}") from None
    if len(series) != 1:
        raise BillError(f"list_price gives {len(series)} series; one is needed, such as that of sum(...)")
    billed = await cloud.bill.daily(since, until)
    return ratio_to_list(name, billed.currency, billed.days, listed_days(series[0]))


def listed_days(series: Series) -> dict[date, float]:
    """The sums of days (UTC) of a rate an hour, for days of which 20 hours are known."""
    found: dict[date, list[float]] = {}
    for at, rate in zip(series.times, series.values, strict=True):
        if np.isfinite(rate):
            found.setdefault(datetime.fromtimestamp(at, UTC).date(), []).append(float(rate))
    return {day: 24.0 * float(np.mean(rates)) for day, rates in found.items() if len(rates) >= _HOURS}


def ratio_to_list(name: str, currency: str, billed: Mapping[date, float], listed: Mapping[date, float]) -> BillRatio:
    """The ratio of the sums over the days that both have, with its 90 % range. Raises BillError for too few days.

    The ratio estimator and its standard error (Cochran 1977, 6.3), with Student's quantiles.
    """
    days = sorted(day for day, price in listed.items() if price > 0.0 and day in billed)
    if len(days) < _LEAST_DAYS:
        raise BillError(f"{len(days)} days are both billed and measured; {_LEAST_DAYS} are needed")
    paid, price = (np.array([each[day] for day in days]) for each in (billed, listed))
    ratio = float(paid.sum() / price.sum())
    error = sqrt(float(np.var(paid - ratio * price, ddof=1)) / len(days)) / float(price.mean())
    reach = error * float(stdtrit(len(days) - 1, 0.95))
    return BillRatio(
        bill=name, currency=currency, ratio=Estimate(low=max(ratio - reach, 0.0), median=ratio, high=ratio + reach),
        days=len(days), since=days[0], until=days[-1],
    )  # fmt: skip


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
