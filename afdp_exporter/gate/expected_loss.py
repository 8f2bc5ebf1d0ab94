"""What each way is expected to cost, one step ahead: to go on, to wait until the next check, to go back."""

from datetime import timedelta
from math import exp, pi, sqrt

from scipy.special import ndtr

from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import NORMAL_REACH, Estimate, ExpectedLoss

_HOUR = timedelta(hours=1)  # the unit of what money is lost in


def expected_losses(
    cost: Estimate,
    currency: str,
    *,
    exposed: float,
    repair: timedelta,
    redo: timedelta,
    rollback_cost: float,
    settings: GateSettings,
) -> ExpectedLoss:
    """To go on until a person would have gone back, to wait until the next check, or to go back and redo it.

    `cost` is an hour's at full traffic, of which the share `exposed` is lost while it waits; `repair` is how long it
    takes until a person has gone back, `redo` until the deployment comes again. The next check is taken to say what it
    really costs, and the better of the other two is taken then.
    """
    harm, hours = _mean_of_positive_part(cost), repair / _HOUR
    delay = settings.delay_cost_per_hour
    rollback = rollback_cost + delay * (redo / _HOUR)
    wait = settings.next_check / _HOUR
    return ExpectedLoss(
        promote=harm * hours,
        hold=(harm * exposed + delay) * wait + _once_known(cost, hours, rollback),
        rollback=rollback,
        currency=currency,
    )


def _once_known(cost: Estimate, hours: float, rollback: float) -> float:
    """The mean of the smaller of both losses, once it is known what an hour costs: E min(cost x hours, rollback)."""
    enough = rollback / hours
    beyond = Estimate(low=cost.low - enough, median=cost.median - enough, high=cost.high - enough)
    return hours * max(_mean_of_positive_part(cost) - _mean_of_positive_part(beyond), 0.0)


def _mean_of_positive_part(estimate: Estimate) -> float:
    """The mean of what is positive of an estimate, its halves taken as those of two normal distributions."""
    middle = estimate.median
    low, high = (max(reach / NORMAL_REACH, 1e-12) for reach in (middle - estimate.low, estimate.high - middle))
    if middle < 0.0:
        return middle * float(ndtr(middle / high)) + high * _density(middle / high)
    upper = middle / 2.0 + high * _density(0.0)
    lower = middle * (0.5 - float(ndtr(-middle / low))) + low * (_density(middle / low) - _density(0.0))
    return upper + lower


def _density(x: float) -> float:
    return exp(-x * x / 2.0) / sqrt(2.0 * pi)
