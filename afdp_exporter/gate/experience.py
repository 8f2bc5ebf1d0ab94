"""What earlier harm of a service teaches a decision: how long it lasts, what a rollback costs, when it is redone.

Each is the median of what was measured, once three are known; below that the settings count.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from afdp_exporter.model import Deployment, MeasuredDeployment, Outcome, is_rollback

_LEAST = 3  # measured ones, for a median
_HARM = {Outcome.DEGRADATION, Outcome.FAILURE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Experience:
    """Medians with how many they are of; None where too few are known.

    `repair_time` is how long harm lasted that no automation took back, `rollback_costs` what a rollback cost in all by
    currency, `redo_time` how long after a rollback the next deployment came that was none.
    """

    repair_time: timedelta | None = None
    repairs: int = 0
    rollback_costs: Mapping[str, float] | None = None
    rollbacks: int = 0
    redo_time: timedelta | None = None

    def rollback_cost(self, currency: str) -> float | None:
        """What one cost: nothing where none ever cost money in this currency; None where too few are known."""
        return None if self.rollback_costs is None else self.rollback_costs.get(currency, 0.0)


def learned(past: Sequence[MeasuredDeployment], taken_back: Collection[str]) -> Experience:
    """From the measured deployments of one service and environment, oldest first.

    `taken_back` are the ids of those that automation took back: their harm says nothing of how long people take.
    """
    repairs, costs, redone = list[timedelta](), list[Mapping[str, float]](), list[timedelta]()
    earlier: Deployment | None = None
    rollback: Deployment | None = None
    for each in past:
        deployment = each.deployment
        if is_rollback(deployment, [earlier] if earlier is not None else []):
            rollback, cost = deployment, _cost(each)
            costs += [cost] if cost is not None else []
        else:
            redone += [deployment.started_at - rollback.ended_at] if rollback is not None else []
            rollback, lasted = None, _lasted(each)
            repairs += [lasted] if lasted is not None and deployment.id not in taken_back else []
        earlier = deployment
    currencies = {currency for cost in costs for currency in cost}
    return Experience(
        repair_time=_middle(repairs),
        repairs=len(repairs),
        rollback_costs=None
        if len(costs) < _LEAST
        else {currency: median(cost.get(currency, 0.0) for cost in costs) for currency in currencies},
        rollbacks=len(costs),
        redo_time=_middle(redone),
    )


def _lasted(record: MeasuredDeployment) -> timedelta | None:
    """How long its harm lasted; so far, where it was not over when it was seen last."""
    harm = record.impact.harm if record.impact is not None else None
    if harm is None or harm.since is None or record.decision.outcome not in _HARM:
        return None
    end = harm.over_at or harm.as_of
    return None if end is None else end - harm.since


def _cost(record: MeasuredDeployment) -> Mapping[str, float] | None:
    """What a rollback itself cost, by currency; None where that was not measured."""
    impact = record.impact
    if impact is None or impact.outcome is Outcome.UNKNOWN:
        return None
    return {cost.currency: max(cost.total.median, 0.0) for cost in impact.costs if cost.total is not None}


def _middle(lengths: Sequence[timedelta]) -> timedelta | None:
    """Their median; None where too few are known."""
    if len(lengths) < _LEAST:
        return None
    return timedelta(seconds=median(each.total_seconds() for each in lengths))
