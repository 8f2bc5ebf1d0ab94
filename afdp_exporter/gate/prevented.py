"""What a rollback was worth: only what was carried out and confirmed counts, and only its lower point.

The loss an hour that is surely reached, times how much shorter it lasted than this service's failures usually do, times
the share of the traffic that had not met it yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from afdp_exporter.model import Impact, Measured, Outcome
from afdp_exporter.wording.durations import format_duration
from afdp_exporter.wording.money import format_money
from afdp_exporter.wording.numbers import format_share

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevented:
    """An amount of money at its lower point, and how it comes about as a sentence."""

    amount: float
    currency: str
    sentence: str


def usual_duration(past: Iterable[Measured]) -> tuple[timedelta, int] | None:
    """How long harm lasted in the median of earlier failures that nobody took back automatically; None without any."""
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
    return (lengths[len(lengths) // 2], len(lengths)) if lengths else None


def prevented(
    impact: Impact, *, usual: tuple[timedelta, int] | None, repair_time: timedelta, reached: float
) -> Prevented | None:
    """What the harm would have cost beyond what it did; None where no money or no end is known.

    `reached` is the share of the traffic that met the bad version, `repair_time` how long harm is taken to last where
    no earlier failure tells.
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
    basis = f"median of {n} earlier failures" if n else "assumed, since no earlier failure tells"
    sentence = (
        f"{format_money(cost.currency, cost.per_hour, per_hour=True)}, of which the lower point, x "
        f"{format_duration(spared)} not suffered ({basis}: {format_duration(without)}; here {format_duration(lasted)})"
        f"{'' if reached >= 1.0 else f' at {format_share(1.0 - reached)} of the traffic not reached'}"
        f" = at least {format_money(cost.currency, amount)}"
    )
    return Prevented(amount=amount, currency=cost.currency, sentence=sentence)
