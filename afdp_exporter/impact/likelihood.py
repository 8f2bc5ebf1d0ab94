"""How likely it is that the deployment did it: the evidence as a Bayes factor, and the chance that follows.

A deployment may shift a level, make it leave and come back, or make the values scatter. For each of the three the log
of the likelihood ratio against an innocent deployment is a bounded linear function of what the detectors found; a
constant stands for effects that leave no trace. Their sum is the Bayes factor of the mixture. The factors were fitted
by maximum likelihood to known effects against placebos, shifts at other times and common shocks, on production and on
generated series, then rounded; `benchmarks/calibration.py` measures them on fresh ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import exp, log, log10

from afdp_exporter.detectors.excursion import Excursion
from afdp_exporter.detectors.spread import Spread
from afdp_exporter.impact.case import Case
from afdp_exporter.impact.evidence import Evidence
from afdp_exporter.model import Measured, Shift

PRIOR = 0.3  # how often a deployment moves a metric, as long as nothing is known of the service: ...
PRIOR_CASES = 10  # ... worth so many deployments
NOTHING_MOVED = -4.0  # log Bayes factor of a metric that has not moved at all
_MOST = 4.3  # no hypothesis can be surer than that; there are causes that no detector sees
_NO_TRACE = -4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """The log of the Bayes factor for "the deployment did it", and its unbounded form, which only ranks."""

    log_factor: float
    rank: float


def likelihood(evidence: Evidence, away: Excursion | None, scatter: Spread | None) -> Likelihood:
    """Weigh the three kinds of effects; `away` is an excursion that is not against the level, or None."""
    hypotheses = [_NO_TRACE, _passing(away), _scattering(scatter)]
    if not evidence.common:
        hypotheses.append(_shifted(evidence))
    return Likelihood(
        log_factor=_mixture([min(each, _MOST) for each in hypotheses]), rank=_mixture(hypotheses) / log(10.0)
    )


def after_restart(p_value: float) -> Likelihood:
    """The same for a t-test against the earlier deployments, the only evidence on a value that starts again."""
    unlikely = min(-log10(max(p_value, 1e-12)), 4.0)
    shifted = _LEVEL + _LEVEL_WEIGHT * min(unlikely - 2.0, 2.0) + _LEVEL_P * unlikely
    hypotheses = [_NO_TRACE, shifted]
    return Likelihood(
        log_factor=_mixture([min(each, _MOST) for each in hypotheses]), rank=_mixture(hypotheses) / log(10.0)
    )


def chance(log_factor: float, prior: float = PRIOR) -> float:
    """The probability that this deployment did it, by Bayes' rule."""
    odds = prior / (1.0 - prior) * exp(log_factor)
    return odds / (1.0 + odds)


def informed(shifts: Iterable[Shift], case: Case) -> tuple[Shift, ...]:
    """The shifts with the chances that follow from how often earlier deployments of the service moved each metric."""
    earlier = [record.impact for record in case.past if record.impact is not None and _same_service(record, case)]
    known: dict[str, list[bool]] = {}
    for impact in earlier:
        for shift in impact.shifts:
            if shift.attribution_ratio is not None:
                known.setdefault(shift.metric, []).append(shift.moved)
    return tuple(_with_prior(shift, known.get(shift.metric, [])) for shift in shifts)


def _same_service(record: Measured, case: Case) -> bool:
    own, other = case.deployment, record.deployment
    return (own.service, own.environment) == (other.service, other.environment) and own.id != other.id


def _with_prior(shift: Shift, moved: list[bool]) -> Shift:
    if not moved or shift.attribution_ratio is None:
        return shift
    prior = (PRIOR * PRIOR_CASES + sum(moved)) / (PRIOR_CASES + len(moved))
    times = prior / (1.0 - prior) * (1.0 - PRIOR) / PRIOR
    odds = shift.attribution_ratio / (1.0 - shift.attribution_ratio) * times
    return replace(shift, attribution_ratio=odds / (1.0 + odds))


def _mixture(hypotheses: list[float]) -> float:
    return log(sum(exp(each) for each in hypotheses))


_LEVEL, _LEVEL_WEIGHT, _LEVEL_P = 0.6, 1.25, 0.85


def _shifted(evidence: Evidence) -> float:
    unlikely = min(-log10(max(evidence.p_value, 1e-12)), 4.0)
    return _LEVEL + _LEVEL_WEIGHT * min(max(evidence.weight, -2.5), 2.0) + _LEVEL_P * unlikely


def _passing(away: Excursion | None) -> float:
    rarity = 0.3 if away is None else min(max(away.rarity, 0.3), 16.0)
    return -2.6 + 12.0 * log10(rarity)


def _scattering(scatter: Spread | None) -> float:
    grown = scatter is not None and scatter.ratio > 1.0
    unlikely = min(-log10(max(scatter.p_value, 1e-12)), 3.0) if scatter is not None and grown else 0.0
    return -1.85 + 2.5 * unlikely
