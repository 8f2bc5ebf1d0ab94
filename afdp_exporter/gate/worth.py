"""What a rollback or a hold was worth: the loss that it surely spared, and what it cost.

A spared loss counts once it is confirmed, at the lower end of its interval: the lower bound of the loss per hour, times
how much shorter it lasted than earlier failures surely do, times the share of the traffic that the version had not
reached.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from scipy.special import bdtr

from afdp_exporter.gate.ladder import STOPS
from afdp_exporter.model import (
    CanaryVerdict,
    Estimate,
    GateDecision,
    Impact,
    MeasuredDeployment,
    Outcome,
    Rollout,
)
from afdp_exporter.wording.numbers import format_duration, format_money, format_share

HARM = frozenset({Outcome.DEGRADATION, Outcome.FAILURE})
_HOUR = timedelta(hours=1)  # the unit of what money is lost in
_CAUTION = 0.05  # how often the length of earlier failures that is booked may lie above their true 5 % point


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """How long harm surely lasts where no automation ends it: in the median of `n` earlier failures, and of whom.

    Without any it is assumed.
    """

    duration: timedelta
    n: int = 0
    whose: str = ""

    @property
    def basis(self) -> str:
        """What it rests on."""
        if not self.n:
            return "assumed, since no earlier failure says"
        failures = "failure" if self.n == 1 else "failures"
        return f"surely the median of {self.n} earlier {failures} of {self.whose}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prevented:
    """An amount of money at its lower point, and how it comes about as a sentence."""

    amount: float
    currency: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The enforced verdicts that kept a deployment waiting: the first one, how long in all, and up to its end."""

    first: GateDecision
    lasted: timedelta
    to_the_end: bool


def usual_duration(past: Iterable[MeasuredDeployment]) -> tuple[timedelta, int] | None:
    """How long harm surely lasted in the median of earlier failures that nobody took back automatically; of how many.

    The 5 % point of the median; of fewer than five the shortest. None without any.
    """
    lengths = sorted(
        record.impact.harm.over_at - record.impact.harm.since
        for record in past
        if record.impact is not None
        and record.decision.outcome in HARM
        and record.impact.harm is not None
        and record.impact.harm.over_at is not None
        and record.impact.harm.since is not None
        and record.deployment.received_from != "automation"
    )
    n = len(lengths)
    below = sum(float(bdtr(k, n, 0.5)) <= _CAUTION for k in range(n))
    return (lengths[max(below - 1, 0)], n) if lengths else None


def prevented(impact: Impact, *, usual: Usual, reached: float, taken_back_at: datetime) -> Prevented | None:
    """What the harm would have cost beyond what it did; None where no money or no end is known.

    `reached` is the share of the traffic that met the bad version. Harm that was over before it was taken back has
    ended by itself.
    """
    harm = impact.harm
    if not impact.costs or harm is None or harm.since is None or harm.over_at is None:
        return None
    cost = impact.costs[0]
    if harm.over_at < taken_back_at:
        return Prevented(amount=0.0, currency=cost.currency, sentence="the metrics were back before it was taken back")
    share = 1.0 if reached >= 1.0 else (1.0 - reached) / reached if reached > 0.0 else 0.0
    lasted = harm.over_at - harm.since
    return _spared(cost.currency, cost.per_hour, share, usual=usual, lasted=lasted, reached=reached)


def hold_of(decisions: Sequence[GateDecision], end: datetime) -> Hold | None:
    """From the enforced decisions before a deployment had all the traffic, oldest first; None where none stopped it."""
    first: GateDecision | None = None
    since: datetime | None = None
    lasted = timedelta(0)
    for decision in decisions:
        stops = decision.enforced_verdict in STOPS
        if stops and since is None:
            first, since = first or decision, decision.decided_at
        elif not stops and since is not None:
            lasted, since = lasted + (decision.decided_at - since), None
    if first is None:
        return None
    if since is not None:
        lasted += max(end - since, timedelta(0))
    return Hold(first=first, lasted=lasted, to_the_end=since is not None)


def held_back(
    impact: Impact | None, rollout: Rollout | None, *, reached: float, usual: Usual, lasted: timedelta
) -> Prevented | None:
    """What a version would have cost whose harm was seen at a share of the traffic, and that never went on.

    None where no harm or no money was measured. `lasted` is how long that share suffered.
    """
    full = rollout.extrapolation if rollout is not None else None
    is_worse = rollout is not None and any(one.verdict is CanaryVerdict.WORSE for one in rollout.comparisons)
    if is_worse and full is not None and full.cost_per_hour is not None and full.currency is not None:
        return _spared(
            full.currency, full.cost_per_hour, 1.0 - reached, usual=usual, lasted=lasted, reached=reached, is_full=True
        )
    if impact is None or impact.outcome not in HARM or not impact.costs or not 0.0 < reached < 1.0:
        return None
    cost, share = impact.costs[0], (1.0 - reached) / reached
    return _spared(cost.currency, cost.per_hour, share, usual=usual, lasted=lasted, reached=reached)


def _spared(
    currency: str,
    per_hour: Estimate,
    share: float,
    *,
    usual: Usual,
    lasted: timedelta,
    reached: float,
    is_full: bool = False,
) -> Prevented:
    spared = max(usual.duration - lasted, timedelta(0))
    amount = max(per_hour.low, 0.0) * (spared / _HOUR) * share
    at_full = " at full traffic" if is_full else ""
    share_left = "" if reached >= 1.0 else f" at {format_share(1.0 - reached)} of the traffic not reached"
    sentence = (
        f"{format_money(currency, per_hour, per_hour=True)}{at_full}, of which the lower point, x "
        f"{format_duration(spared)} not suffered ({usual.basis}: {format_duration(usual.duration)}; here "
        f"{format_duration(lasted)}){share_left} = at least {format_money(currency, amount)}"
    )
    return Prevented(amount=amount, currency=currency, sentence=sentence)


def delay_cost(lasted: timedelta, per_hour: float) -> float:
    """What it cost that a deployment waited."""
    return per_hour * (lasted / _HOUR)


def in_one_sentence(spared: Prevented | None, spent: float | None, currency: str | None, what: str) -> str:
    """The whole arithmetic: what was spared, less what it cost, and what is left."""
    if spent is None or currency is None:
        return spared.sentence if spared is not None else what
    cost = f"{format_money(currency, spent)} for {what}"
    if spared is None:
        return cost
    return f"{spared.sentence}, less {cost} = {format_money(currency, spared.amount - spent)} net"
