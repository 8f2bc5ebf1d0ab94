"""What the shifts cost: money an hour with its interval, so far while it lasts, in all once it is over.

One unit less of a metric (more, where `worse` is `up`) costs what its `money` says; a gain is a negative cost. Metrics
of one currency are added with independent errors (in quadrature, each side by itself): where their errors go together
the true range is wider. Currencies are never added. What leads to another money metric of the same currency that also
moved is not counted: its money is in there already.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import hypot

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.paths import Paths
from afdp_exporter.model import Cost, Estimate, Money, Shift, ShiftState, Worse

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    shift: Shift
    money: Money
    rate: Estimate
    lasted: timedelta

    @property
    def over(self) -> bool:
        """Whether it is back, or another deployment has taken its place."""
        return self.shift.recovered_at is not None or self.shift.state is ShiftState.REPLACED


def costs(shifts: Iterable[Shift], case: Case) -> tuple[Cost, ...]:
    """One cost for each currency, in the order of the metrics.

    Of shifts that last and shifts that are over, `per_hour` tells the lasting ones, `total` both; where all are over
    it tells what they cost an hour while they lasted.
    """
    items = _items(shifts, case)
    paths = Paths(case.metrics, case.services)
    found = []
    for currency in dict.fromkeys(item.money.currency for item in items):
        same = [item for item in items if item.money.currency == currency]
        ends = [item for item in same if not _counted_later(item, same, paths)]
        lasting = [item for item in ends if not item.over]
        found.append(
            Cost(
                currency=currency,
                per_hour=combined([item.rate for item in lasting or ends]),
                total=combined([scaled(item.rate, item.lasted / _HOUR) for item in ends]),
                duration=max(item.lasted for item in ends),
                ended=not lasting,
                as_of=min((item.shift.as_of or case.now for item in lasting), default=case.now),
                metrics=tuple(item.shift.metric for item in ends),
            )
        )
    return tuple(found)


def combined(estimates: Iterable[Estimate]) -> Estimate:
    """The sum of estimates with independent errors."""
    parts = tuple(estimates)
    middle = sum(part.median for part in parts)
    return Estimate(
        low=middle - hypot(*(part.median - part.low for part in parts)),
        median=middle,
        high=middle + hypot(*(part.high - part.median for part in parts)),
    )


def scaled(estimate: Estimate, factor: float) -> Estimate:
    """An estimate times a known factor; a negative one turns the range around."""
    ends = sorted((estimate.low * factor, estimate.high * factor))
    return Estimate(low=ends[0], median=estimate.median * factor, high=ends[1])


def _items(shifts: Iterable[Shift], case: Case) -> list[_Item]:
    metrics = {metric.name: metric for metric in case.metrics}
    found = []
    for shift in shifts:
        metric = metrics.get(shift.metric)
        change = _change(shift)
        if metric is None or metric.money is None or change is None or not shift.moved:
            continue
        sign = 1.0 if metric.worse is Worse.UP else -1.0
        found.append(
            _Item(
                shift=shift,
                money=metric.money,
                rate=scaled(change, sign * metric.money.per_unit),
                lasted=_lasted(shift, case),
            )
        )
    return found


def _change(shift: Shift) -> Estimate | None:
    if shift.change is None or shift.low is None or shift.high is None:
        return None
    return Estimate(low=shift.low, median=shift.change, high=shift.high)


def _lasted(shift: Shift, case: Case) -> timedelta:
    """How long it is known to have lasted."""
    if shift.duration is not None:
        return shift.duration
    start = shift.onset or case.deployment.started_at
    return max((shift.recovered_at or case.now) - start, timedelta(0))


def _counted_later(item: _Item, others: list[_Item], paths: Paths) -> bool:
    """Whether its money arrives in another metric; of two that lead to each other the first is counted."""
    for other in others:
        if other is item or not paths.declared(item.shift.metric, other.shift.metric):
            continue
        circle = paths.declared(other.shift.metric, item.shift.metric)
        if not circle or others.index(other) < others.index(item):
            return True
    return False
