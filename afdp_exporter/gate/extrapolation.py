"""From a canary's difference to what the full rollout will do: the carry-over factor, and money."""

from collections.abc import Iterable, Mapping, Sequence
from math import exp, hypot, log, sqrt

from afdp_exporter.model import CanaryComparison, CarryOver, Estimate, Layer, Metric, Worse

PRIOR_ROLLOUTS = 5.0  # that a factor of one counts as, beside the service's own rollouts
PRIOR_SPREAD = 0.2  # of the logarithm of the factor, before any rollout was measured at both stages
NOT_LINEAR = 0.8  # of its capacity: above, latency grows faster than load
_Z = 1.6449


def carry_over(ratios: Iterable[float]) -> CarryOver:
    """The factor by which an effect grows or shrinks from the canary to full traffic.

    `ratios` are those of earlier rollouts of the service, effect at full traffic over effect of the canary. The factor
    is log-normal, shrunk towards one; its range holds a new rollout, not the mean.
    """
    logs = [log(ratio) for ratio in ratios if ratio > 0.0]
    n = len(logs)
    middle = sum(logs) / (n + PRIOR_ROLLOUTS)
    squares = sum((one - middle) ** 2 for one in logs) + PRIOR_ROLLOUTS * (PRIOR_SPREAD**2 + middle**2)
    spread = sqrt(squares / (n + PRIOR_ROLLOUTS) * (1.0 + 1.0 / (n + PRIOR_ROLLOUTS)))
    factor = Estimate(low=exp(middle - _Z * spread), median=exp(middle), high=exp(middle + _Z * spread))
    return CarryOver(factor=factor, n=n)


def at_full_traffic(difference: Estimate, carried: CarryOver, *, crowding: float = 1.0) -> Estimate:
    """A difference at full traffic; `crowding` stretches the harmful end where a shared part is nearly full."""
    factor = carried.factor
    middle = difference.median * factor.median
    relative = max(log(factor.high / factor.low) / (2.0 * _Z), 0.0)
    low = hypot((difference.median - difference.low) * factor.median, _Z * relative * middle)
    high = hypot((difference.high - difference.median) * factor.median, _Z * relative * middle)
    return Estimate(low=middle - low, median=middle, high=middle + high * crowding)


def crowding(metrics: Mapping[str, Metric], comparisons: Iterable[CanaryComparison]) -> float:
    """How much further a latency may move once everything carries the canary's load; 1 where no part is nearly full.

    A utilisation that would pass four fifths of its capacity makes waiting grow as 1 / (1 - utilisation), as in a
    queue with one server (M/M/1 with processor sharing: pessimistic for many).
    """
    most = 1.0
    for one in comparisons:
        metric = metrics[one.metric]
        if metric.layer is not Layer.SYSTEM or not metric.name.endswith("_ratio") or one.difference is None:
            continue
        now, then = one.stable or 0.0, (one.stable or 0.0) + max(one.difference.high, 0.0)
        if then > NOT_LINEAR and now < 1.0:
            most = max(most, (1.0 - now) / max(1.0 - then, 0.02))
    return most


def cost_at_full_traffic(metrics: Mapping[str, Metric], full: Mapping[str, Estimate]) -> tuple[Estimate, str] | None:
    """What the differences cost an hour at full traffic, in the first currency that a metric names; None without money.

    Errors of several metrics are taken as independent.
    """
    priced = [(metrics[name], change) for name, change in full.items() if metrics[name].money is not None]
    if not priced or priced[0][0].money is None:
        return None
    currency = priced[0][0].money.currency
    parts = [_loss(metric, change) for metric, change in priced if metric.money and metric.money.currency == currency]
    return _sum(parts), currency


def _loss(metric: Metric, change: Estimate) -> Estimate:
    per_unit = metric.money.per_unit if metric.money is not None else 0.0
    sign = per_unit if metric.worse is Worse.UP else -per_unit
    ends = sorted((change.low * sign, change.high * sign))
    return Estimate(low=ends[0], median=change.median * sign, high=ends[1])


def _sum(parts: Sequence[Estimate]) -> Estimate:
    middle = sum(part.median for part in parts)
    return Estimate(
        low=middle - hypot(*(part.median - part.low for part in parts)),
        median=middle,
        high=middle + hypot(*(part.high - part.median for part in parts)),
    )
