"""Canary analysis: a canary compared with the stable version, one metric at a time.

Means are compared minute by minute: the paired difference, in which common shocks cancel, against a confidence
sequence. Counts are compared by an e-process. Both are valid at every check (anytime-valid inference).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, hypot, log, sqrt

import numpy as np
from scipy.special import ndtr

from afdp_exporter.gate.sequential import (
    LEAST_MINUTES,
    exceeds,
    fano_factor,
    interval,
    log_e_values,
    margin,
    minutes_to_count,
    minutes_to_decide,
    noise_of,
    rate_ratio,
)
from afdp_exporter.model import (
    NORMAL_REACH,
    CanaryComparison,
    CanaryVerdict,
    CarryOver,
    Estimate,
    Floats,
    Layer,
    Metric,
    Worse,
)

ALPHA = 0.05  # of false holds, over all checks together
DOUBLING = 2.0  # of a rate: the change for which a count says when it can be decided
_LEAST_EARLIER = 3  # canaries before what they have in common is taken off
_MINUTE = 60.0  # seconds
_WORTH = 0.1  # of the level: the difference that matters where none is configured
_LEAST_RATIO = 1.05  # of the stable rate: a smaller one never matters


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CanarySeries:
    """Both arms of one metric, minute by minute, float64 (n,), NaN where there is a gap.

    With `canary_of` and `stable_of`, what they are counted in, `canary` and `stable` are counts of each minute.
    `stable_history` (h,) is the stable arm before the canary began, in the same unit (for counts: counts, beside
    `history_of`). `earlier` are the differences of earlier canaries of this service, each by minutes of age.
    """

    metric: str
    worse: Worse
    canary: Floats
    stable: Floats
    canary_of: Floats | None = None
    stable_of: Floats | None = None
    stable_history: Floats
    history_of: Floats | None = None
    earlier: tuple[Floats, ...] = ()
    worth: float | None = None  # the smallest change that matters, in the metric's unit; None: a tenth of its level
    warm_up_minutes: int = 0  # of the canary's life that its means leave out

    @property
    def counted(self) -> bool:
        """Whether it is compared by counts."""
        return self.canary_of is not None and self.stable_of is not None


def compare(series: CanarySeries) -> CanaryComparison:
    """Compare the two arms of one metric with all that is known by now; pure."""
    if series.counted:
        return _compare_counts(series)
    return _compare_means(series)


def _compare_means(series: CanarySeries) -> CanaryComparison:
    bias, bias_error = _usual_difference(series)
    known = np.isfinite(series.canary) & np.isfinite(series.stable)
    known[: series.warm_up_minutes] = False
    canary, stable = series.canary[known], series.stable[known]
    n = canary.size
    if n < LEAST_MINUTES:
        missing = LEAST_MINUTES - n
        reason = f"{n} of {LEAST_MINUTES} minutes are there in which both versions were measured"
        return CanaryComparison(
            metric=series.metric, verdict=CanaryVerdict.UNDECIDED, reason=reason, minutes=n,
            decidable_in_seconds=missing * _MINUTE if n or series.canary.size == 0 else None,
        )  # fmt: skip
    difference = canary - stable - bias[known]
    history = series.stable_history[np.isfinite(series.stable_history)]
    noise = noise_of(difference, history, _noise_record(series))
    middle = float(difference.mean())
    reach = float(np.hypot(margin(n, noise.cautious, 2.0 * ALPHA, noise.degrees_of_freedom), bias_error * NORMAL_REACH))
    half = float(np.hypot(interval(n, noise.likely, noise.degrees_of_freedom), bias_error * NORMAL_REACH))
    level = float(stable.mean())
    worth = series.worth if series.worth is not None else _WORTH * abs(level)
    verdict = _verdict(middle, reach, worth, series.worse)
    wait = None
    if verdict is CanaryVerdict.UNDECIDED:
        after = minutes_to_decide(worth, noise.cautious, 2.0 * ALPHA)
        wait = None if after is None else max(after - n, 1) * _MINUTE
    spread = max(half / NORMAL_REACH, 1e-300)
    return CanaryComparison(
        metric=series.metric,
        verdict=verdict,
        reason=_reason(verdict, n),
        minutes=n,
        canary=float(canary.mean()),
        stable=level,
        difference=Estimate(low=middle - half, median=middle, high=middle + half),
        harm_ratio=_harm(middle / spread, series.worse),
        decidable_in_seconds=wait,
    )


def _compare_counts(series: CanarySeries) -> CanaryComparison:
    counts = _Counts.of(series)
    if counts is None:
        return CanaryComparison(
            metric=series.metric, verdict=CanaryVerdict.UNDECIDED, minutes=0,
            reason="nothing was counted in one of the two versions yet",
        )  # fmt: skip
    x, y, share = counts.canary[-1], counts.stable[-1], float(counts.share[-1])
    low, middle, high = rate_ratio(x, y, share)
    above = exceeds(x, y, share)
    higher, lower = (float(evidence.max()) for evidence in log_e_values(counts.canary, counts.stable, counts.share))
    matters = _change_that_matters(series, counts.rate)
    if max(higher, lower) >= np.log(1.0 / ALPHA):
        verdict = _side(higher > lower, series.worse)
    else:
        verdict = CanaryVerdict.SAME if 1.0 / matters < low and high < matters else CanaryVerdict.UNDECIDED
    wait = None
    if verdict is CanaryVerdict.UNDECIDED:
        after = minutes_to_count(counts.expected_per_minute, share, matters, ALPHA)
        wait = None if after is None else max(after - counts.minutes, 1) * _MINUTE
    return CanaryComparison(
        metric=series.metric,
        verdict=verdict,
        reason=_reason(verdict, counts.minutes),
        minutes=counts.minutes,
        canary=counts.canary_rate,
        stable=counts.rate,
        difference=_rate_difference(low, middle, high, counts),
        harm_ratio=1.0 - above if series.worse is Worse.DOWN else above,
        decidable_in_seconds=wait,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Counts:
    """Cumulative counts of both arms (n,), each in independent events, and the canary's share of what was counted."""

    canary: Floats
    stable: Floats
    share: Floats
    minutes: int
    canary_rate: float
    rate: float
    expected_per_minute: float

    @classmethod
    def of(cls, series: CanarySeries) -> "_Counts | None":
        canary_of, stable_of = _present(series.canary_of), _present(series.stable_of)
        known = np.isfinite(series.canary + series.stable + canary_of + stable_of)
        x, y = np.cumsum(series.canary[known]), np.cumsum(series.stable[known])
        m, n = np.cumsum(canary_of[known]), np.cumsum(stable_of[known])
        used = (m > 0.0) & (n > 0.0)
        if not used.any():
            return None
        minutes, rate = int(known.sum()), float(y[-1] / n[-1])
        pooled = float((x[-1] + y[-1]) / (m[-1] + n[-1]))
        bursts = _fano_factors(series)
        mine, theirs = (1.0 + bursts * pooled * float(of[-1]) / minutes for of in (m, n))
        return cls(
            canary=x[used] / mine,
            stable=y[used] / theirs,
            share=m[used] / mine / (m[used] / mine + n[used] / theirs),
            minutes=minutes,
            canary_rate=float(x[-1] / m[-1]),
            rate=rate,
            expected_per_minute=rate * float(m[-1]) / minutes / mine,
        )


def _change_that_matters(series: CanarySeries, base: float) -> float:
    """The rate, in units of the stable version's, from which on a difference matters."""
    if series.worth is None or base <= 0.0:
        return DOUBLING
    return max(1.0 + series.worth / base, _LEAST_RATIO)


def _rate_difference(low: float, middle: float, high: float, counts: _Counts) -> Estimate:
    """The ratio of two rates as their difference; bounded by what the canary itself shows where the other has none."""
    if counts.rate <= 0.0 or not np.isfinite(high):
        return Estimate(low=0.0, median=counts.canary_rate, high=3.0 * counts.canary_rate)
    return Estimate(low=(low - 1.0) * counts.rate, median=(middle - 1.0) * counts.rate, high=(high - 1.0) * counts.rate)


def _fano_factors(series: CanarySeries) -> float:
    """From the stable arm's history, else from the stable arm during the canary."""
    counts, exposure = series.stable_history, series.history_of
    if exposure is None or counts.size < LEAST_MINUTES:
        counts, exposure = series.stable, _present(series.stable_of)
    known = np.isfinite(counts) & np.isfinite(exposure)
    return fano_factor(counts[known], exposure[known])


def _verdict(middle: float, reach: float, worth: float, worse: Worse) -> CanaryVerdict:
    if abs(middle) > reach:
        return _side(middle > 0.0, worse)
    if abs(middle) + reach <= worth:
        return CanaryVerdict.SAME
    return CanaryVerdict.UNDECIDED


def _side(above: bool, worse: Worse) -> CanaryVerdict:
    harmful = worse is Worse.EITHER or above is (worse is Worse.UP)
    return CanaryVerdict.WORSE if harmful else CanaryVerdict.BETTER


def _harm(standardised: float, worse: Worse) -> float:
    above = float(ndtr(standardised))
    if worse is Worse.EITHER:
        return max(above, 1.0 - above)
    return above if worse is Worse.UP else 1.0 - above


def _usual_difference(series: CanarySeries) -> tuple[Floats, float]:
    """How earlier canaries differed at the same age, (n,), and the error of that; none of it with fewer than three."""
    n = series.canary.size
    table = _table(series.earlier, n)
    if len(table) < _LEAST_EARLIER:
        return np.zeros(n), 0.0
    means = np.nanmean(table, axis=1)
    error = float(np.std(means, ddof=1) * np.sqrt(1.0 + 1.0 / len(means)))
    return _by_age(table), error


def _table(earlier: tuple[Floats, ...], n: int) -> Floats:
    """The first n minutes of earlier canaries, one a row; those that ended before go on at their mean."""
    rows = [one for one in earlier if np.isfinite(one[:n]).any()]
    table = np.full((len(rows), n), np.nan)
    for row, one in zip(table, rows, strict=True):
        row[: one.size] = one[:n]
        row[one.size :] = np.nanmean(one)
    return table


def _by_age(table: Floats) -> Floats:
    known = np.isfinite(table).any(axis=0)
    usual = np.full(table.shape[1], np.nanmean(table))
    usual[known] = np.nanmean(table[:, known], axis=0)
    return usual


def _noise_record(series: CanarySeries) -> Floats | None:
    """The differences of earlier canaries in one row, each without what is usual at its age and around its own mean."""
    longest = max((one.size for one in series.earlier), default=0)
    table = _table(series.earlier, longest)
    usual = _by_age(table) if len(table) >= _LEAST_EARLIER else np.zeros(longest)
    known = [(one - usual[: one.size])[np.isfinite(one)] for one in series.earlier]
    parts = [one - one.mean() for one in known if one.size >= LEAST_MINUTES]
    return np.concatenate(parts) if parts else None


def _present(values: Floats | None) -> Floats:
    if values is None:
        raise ValueError("a count needs what it is counted in")
    return values


def _reason(verdict: CanaryVerdict, minutes: int) -> str:
    said = {
        CanaryVerdict.WORSE: "the canary is worse than the stable version",
        CanaryVerdict.BETTER: "the canary is better than the stable version",
        CanaryVerdict.SAME: "a change that matters is ruled out",
        CanaryVerdict.UNDECIDED: "it cannot be decided yet whether there is a change that matters",
    }
    return f"{said[verdict]}, after {minutes} minutes"


PRIOR_ROLLOUTS = 5.0  # that a factor of one counts as (prior), next to the service's own rollouts
PRIOR_SPREAD = 0.2  # of the logarithm of the factor, before any rollout was measured at both stages
NOT_LINEAR = 0.8  # of its capacity: above, latency grows faster than load


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
    factor = Estimate(
        low=exp(middle - NORMAL_REACH * spread), median=exp(middle), high=exp(middle + NORMAL_REACH * spread)
    )
    return CarryOver(factor=factor, n=n)


def at_full_traffic(difference: Estimate, carried: CarryOver, *, crowding: float = 1.0) -> Estimate:
    """A difference at full traffic; `crowding` stretches the harmful end where a shared part is nearly full."""
    factor = carried.factor
    middle = difference.median * factor.median
    relative = max(log(factor.high / factor.low) / (2.0 * NORMAL_REACH), 0.0)
    low = hypot((difference.median - difference.low) * factor.median, NORMAL_REACH * relative * middle)
    high = hypot((difference.high - difference.median) * factor.median, NORMAL_REACH * relative * middle)
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
