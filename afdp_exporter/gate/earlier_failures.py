"""What earlier failures say: which of them the impact so far resembles, and what loss a rollback prevented.

A fingerprint is the change of each metric that moved, as a share of its level. Two fingerprints are as similar as their
metrics agree in direction and size, over all metrics that moved after either. A prevented loss counts for confirmed
rollbacks only, at the lower end of its interval: the lower bound of the loss per hour, times how much shorter it lasted
than this service's failures usually do, times the share of the traffic that had not reached the version yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from scipy.special import bdtr

from afdp_exporter.model import Impact, MatchedFailure, MeasuredDeployment, Outcome
from afdp_exporter.wording.numbers import format_duration, format_money, format_share

LEAST_SHARED = 1  # metrics that moved after both


def fingerprint(impact: Impact) -> dict[str, float]:
    """Metric -> its change as a share of its level, of those primary ones that this deployment moved for the worse."""
    first = impact.first_hour or impact.shifts
    return {
        shift.metric: shift.change_ratio if shift.change_ratio is not None else shift.change or 0.0
        for shift in first
        if shift.primary and shift.moved and shift.harmful
    }


def similarity(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """From 0 to 1: the mean agreement over the metrics of both; 1 for the same changes of the same metrics."""
    names = one.keys() | other.keys()
    return sum(_agreement(one.get(name, 0.0), other.get(name, 0.0)) for name in names) / len(names) if names else 0.0


def matched_failures(
    now: Mapping[str, float],
    past: Iterable[MeasuredDeployment],
    *,
    least: float,
    basis: Literal["service", "team", "all"] = "service",
    most: int = 5,
) -> tuple[MatchedFailure, ...]:
    """The earlier failures that are at least so similar to what is seen now, the most similar first.

    `basis` says whose the past is: the service's, its team's, or that of all.
    """
    found = []
    for record in past:
        if record.impact is None or record.decision.outcome is not Outcome.FAILURE:
            continue
        then = fingerprint(record.impact)
        shared = sorted(now.keys() & then.keys())
        ratio = similarity(now, then)
        if len(shared) >= LEAST_SHARED and ratio >= least:
            why = ", ".join(f"{name} {now[name]:+.0%} now and {then[name]:+.0%} then" for name in shared)
            found.append(
                MatchedFailure(deployment_id=record.deployment.id, similarity_ratio=ratio, why=why, basis=basis)
            )
    return tuple(sorted(found, key=lambda match: -match.similarity_ratio)[:most])


def _agreement(one: float, other: float) -> float:
    if one * other <= 0.0:
        return 0.0
    return min(abs(one), abs(other)) / max(abs(one), abs(other))


_HOUR = timedelta(hours=1)  # the unit of what money is lost in
_CAUTION = 0.05  # how often the length of earlier failures that is booked may lie above their true 5 % point


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevented:
    """An amount of money at its lower point, and how it comes about as a sentence."""

    amount: float
    currency: str
    sentence: str


def usual_duration(past: Iterable[MeasuredDeployment]) -> tuple[timedelta, int] | None:
    """How long harm surely lasted in the median of earlier failures that nobody took back automatically; of how many.

    The 5 % point of the median; of fewer than five the shortest. None without any.
    """
    lengths = sorted(
        record.impact.harm.over_at - record.impact.harm.since
        for record in past
        if record.impact is not None
        and record.decision.outcome in {Outcome.FAILURE, Outcome.DEGRADATION}
        and record.impact.harm is not None
        and record.impact.harm.over_at is not None
        and record.impact.harm.since is not None
        and record.deployment.received_from != "automation"
    )
    n = len(lengths)
    below = sum(float(bdtr(k, n, 0.5)) <= _CAUTION for k in range(n))
    return (lengths[max(below - 1, 0)], n) if lengths else None


def prevented(
    impact: Impact, *, usual: tuple[timedelta, int] | None, repair_time: timedelta, reached: float
) -> Prevented | None:
    """What the harm would have cost beyond what it did; None where no money or no end is known.

    `reached` is the share of the traffic that met the bad version, `repair_time` how long harm is taken to last where
    no earlier failure says.
    """
    harm = impact.harm
    if not impact.costs or harm is None or harm.since is None or harm.over_at is None:
        return None
    cost = impact.costs[0]
    lasted = harm.over_at - harm.since
    without, n = usual if usual is not None else (repair_time, 0)
    spared = max(without - lasted, timedelta(0))
    share = 1.0 if reached >= 1.0 else (1.0 - reached) / reached if reached > 0.0 else 0.0
    amount = max(cost.per_hour.low, 0.0) * (spared / _HOUR) * share
    basis = f"surely the median of {n} earlier failures" if n else "assumed, since no earlier failure says"
    sentence = (
        f"{format_money(cost.currency, cost.per_hour, per_hour=True)}, of which the lower point, x "
        f"{format_duration(spared)} not suffered ({basis}: {format_duration(without)}; here {format_duration(lasted)})"
        f"{'' if reached >= 1.0 else f' at {format_share(1.0 - reached)} of the traffic not reached'}"
        f" = at least {format_money(cost.currency, amount)}"
    )
    return Prevented(amount=amount, currency=cost.currency, sentence=sentence)
