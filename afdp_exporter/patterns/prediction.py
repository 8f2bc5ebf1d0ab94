"""A Model and a planned deployment -> what it is expected to do, on what evidence, as ranges and sentences."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from afdp_exporter.model import (
    Basis,
    Context,
    Cost,
    Deployment,
    Estimate,
    Floats,
    Pattern,
    PatternKind,
    Prediction,
    Similar,
)
from afdp_exporter.patterns.conditions import holds
from afdp_exporter.patterns.intervals import error_at, weighted_points
from afdp_exporter.patterns.learning import Model, Place
from afdp_exporter.patterns.risk import RiskModel
from afdp_exporter.patterns.similarity import similar
from afdp_exporter.patterns.sizes import Response
from afdp_exporter.patterns.traits import TROUBLE, traits
from afdp_exporter.wording.money import format_money, format_money_between
from afdp_exporter.wording.numbers import format_number, format_share, format_share_range

COLD_CHANGE_RATIO = 0.25
"""The prior: nine of ten changes move a metric by less than this share of its level."""
REACH = 1.645
POINTS = np.array([0.05, 0.5, 0.95])
GRID = (np.arange(100) + 0.5) / 100
NOTABLE = 1.5
"""A risk this many times the service's usual one is worth a sentence."""


def predict(model: Model, planned: Deployment, context: Context, patterns: Sequence[Pattern] = ()) -> Prediction:
    """What `planned` would do if it started in `context`; `patterns` that apply are told among the warnings."""
    known = traits(planned, context, salt=model.salt)
    place = Place(planned.service, planned.team)
    row = model.design.rows([known], [place])
    evidence = similar(model, known, place)
    risk = chance(model.trouble, row)
    applying = [pattern for pattern in patterns if all(holds(one, known) for one in pattern.conditions)]
    cold = {name: _cold(level) for name, level in context.levels.items()}
    cost = None
    if model.cost and model.currency:
        cost = Cost(currency=model.currency, per_hour=expect(model.cost, row))
    return Prediction(
        deployment_id=planned.id,
        basis=model.basis,
        n=model.n,
        risk=risk,
        failure=_share_of(chance(model.failure, row), risk),
        metrics=cold | {name: expect(response, row) for name, response in model.metrics.items()},
        cost=cost,
        similar=evidence,
        patterns=tuple(pattern.sentence for pattern in applying if _harmful(pattern)),
        warnings=(*_evidence(model, evidence, cost), *_risk(model, risk), *(pattern.sentence for pattern in applying)),
    )


def expect(response: Response, row: Floats) -> Estimate:
    """The 5 %, 50 % and 95 % points of one figure; where it may not move at all, of both possibilities together."""
    if response.moves is None:
        points = _moved(response, row, POINTS)[0]
    else:
        sizes = _moved(response, row, GRID)[0]
        chance = float(response.moves.risk(row)[0])
        weights = [
            np.full(sizes.size, chance / sizes.size),
            np.full(response.still.size, (1 - chance) / response.still.size),
        ]
        points = weighted_points(np.concatenate([sizes, response.still]), np.concatenate(weights), POINTS)
    return Estimate(low=float(points[0]), median=float(points[1]), high=float(points[2]))


def mean(response: Response, rows: Floats) -> Floats:
    """The mean of one figure for each row (n,), its noise taken from left-out cases (Duan's smearing)."""
    sizes = _moved(response, rows, GRID).mean(axis=1)
    if response.moves is None:
        return np.asarray(sizes)
    chance = response.moves.risk(rows)
    return np.asarray(chance * sizes + (1.0 - chance) * response.still.mean())


def _moved(response: Response, rows: Floats, shares: Floats) -> Floats:
    """These points of the figure where it moves, shape (rows, shares)."""
    errors = error_at(response.errors, response.line.freedom, shares)
    centre, spread = response.line.mean(rows), response.line.spread(rows)
    return response.scale.back(centre[:, None] + spread[:, None] * errors[None, :])


def chance(fit: RiskModel, row: Floats) -> Estimate:
    """A probability with its range."""
    centre, spread = fit.odds(row)
    low, high = expit(centre - REACH * spread), expit(centre + REACH * spread)
    return Estimate(low=float(low[0]), median=float(fit.risk(row)[0]), high=float(high[0]))


def _harmful(pattern: Pattern) -> bool:
    """Whether it is a pattern, no hint, and surely makes deployments dearer or riskier."""
    judged = pattern.target in {"cost_per_hour", "outcome"}
    return judged and pattern.kind is PatternKind.PATTERN and pattern.effect.low > 0


def _cold(level: float) -> Estimate:
    reach = COLD_CHANGE_RATIO * abs(level)
    return Estimate(low=-reach, median=0.0, high=reach)


def _share_of(share: Estimate, whole: Estimate) -> Estimate:
    """A share of a probability; its range is as wide as both together can make it."""
    return Estimate(low=share.low * whole.low, median=share.median * whole.median, high=share.high * whole.high)


def _beside(cost: Cost | None) -> str:
    """What is predicted beside the evidence, where it is a loss."""
    if cost is None or cost.per_hour.median <= 0:
        return ""
    return f"; this one is predicted to cost {format_money(cost.currency, cost.per_hour, per_hour=True)}"


def _evidence(model: Model, evidence: Sequence[Similar], cost: Cost | None) -> list[str]:
    """What followed the similar deployments, when trouble followed at least half of three or more."""
    if len(evidence) < 3:
        return []
    troubled = [one for one in evidence if one.outcome in TROUBLE]
    if 2 * len(troubled) < len(evidence):
        return []
    amounts = [one.cost_per_hour for one in troubled if one.cost_per_hour is not None and one.cost_per_hour > 0]
    if amounts and model.currency:
        reach = format_money_between(model.currency, min(amounts), max(amounts))
        return [f"Similar deployments cost {reach} an hour (n = {len(amounts)}){_beside(cost)}"]
    return [f"{len(troubled)} of {len(evidence)} similar deployments were followed by degradation or failure"]


def _risk(model: Model, risk: Estimate) -> list[str]:
    if model.basis is Basis.COLD:
        known = f"Nothing is known of {model.home.service} yet"
        return [f"{known}: the risk of {format_share_range(risk)} is a prior, not a finding"]
    own = [case for case in model.cases if case.deployment.service == model.home.service] or list(model.cases)
    usual = sum(case.decision.outcome in TROUBLE for case in own) / len(own)
    if usual == 0 or risk.median < NOTABLE * usual:
        return []
    times = risk.median / usual
    beside = f"{format_number(times, 2)} times the usual {format_share(usual)} (n = {len(own)})"
    return [f"The risk of degradation or failure is {format_share_range(risk)}, {beside}"]
