"""The cost of the shifts: money per hour with its interval, so far while it lasts, in total once it is over.

One unit less of a metric (more, where `worse` is `up`) costs what its `money` says; a gain is a negative cost. Metrics
of one currency are added with independent errors (in quadrature, each side by itself); where their errors are
correlated the true interval is wider. Currencies are never added. A metric that leads to another money metric of the
same currency that also moved is not counted, since its money is included there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import hypot

from afdp_exporter.impact.causal_chain import CausalPaths
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Cost, Estimate, Money, Shift, ShiftState, Worse

_HOUR = timedelta(hours=1)  # the unit of what money is lost in


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


def costs(shifts: Iterable[Shift], context: AnalysisContext) -> tuple[Cost, ...]:
    """One cost for each currency, in the order of the metrics.

    Of shifts that last and shifts that are over, `per_hour` covers the lasting ones, `total` both; where all are
    over it is what they cost an hour while they lasted.
    """
    items = _items(shifts, context)
    paths = CausalPaths(context.metrics, context.services)
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
                as_of=min((item.shift.as_of or context.now for item in lasting), default=context.now),
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


def _items(shifts: Iterable[Shift], context: AnalysisContext) -> list[_Item]:
    metrics = {metric.name: metric for metric in context.metrics}
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
                lasted=_lasted(shift, context),
            )
        )
    return found


def _change(shift: Shift) -> Estimate | None:
    if shift.change is None or shift.low is None or shift.high is None:
        return None
    return Estimate(low=shift.low, median=shift.change, high=shift.high)


def _lasted(shift: Shift, context: AnalysisContext) -> timedelta:
    """How long it is known to have lasted."""
    if shift.duration is not None:
        return shift.duration
    start = shift.onset or context.deployment.started_at
    return max((shift.recovered_at or context.now) - start, timedelta(0))


def _counted_later(item: _Item, others: list[_Item], paths: CausalPaths) -> bool:
    """Whether its money arrives in another metric; of two that lead to each other the first is counted."""
    for other in others:
        if other is item or not paths.declared(item.shift.metric, other.shift.metric):
            continue
        circle = paths.declared(other.shift.metric, item.shift.metric)
        if not circle or others.index(other) < others.index(item):
            return True
    return False
