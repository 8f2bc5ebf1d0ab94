"""A Model and a planned deployment -> what it is expected to do, on what evidence, as ranges and sentences."""

from collections.abc import Sequence

from afdp_exporter.model import (
    Basis,
    Context,
    Deployment,
    Estimate,
    ExpectedCost,
    Forecast,
    Pattern,
    PatternKind,
    Prediction,
    Similar,
)
from afdp_exporter.patterns.conditions import holds
from afdp_exporter.patterns.joint import chance, event_of, expect
from afdp_exporter.patterns.learning import Model, Place
from afdp_exporter.patterns.similarity import similar
from afdp_exporter.patterns.traits import TROUBLE, traits
from afdp_exporter.patterns.typical import completed, rows_of
from afdp_exporter.wording.money import format_money, format_money_between
from afdp_exporter.wording.numbers import format_number, format_share, format_share_range

COLD_CHANGE_RATIO = 0.25
"""The prior: nine of ten changes move a metric by less than this share of its level."""
SURE = 0.99
"""From this chance on a figure is told as one that moves for sure."""
NOTABLE = 1.5
"""A risk this many times the service's usual one is worth a sentence."""


def predict(model: Model, planned: Deployment, context: Context, patterns: Sequence[Pattern] = ()) -> Prediction:
    """What `planned` would do if it started in `context`, averaged over what is not known of it.

    `patterns` that apply are told among the warnings.
    """
    known = traits(planned, context, salt=model.salt)
    candidates = completed(model, known)
    rows = rows_of(model, candidates.traits)
    evidence = similar(model, known, Place(planned.service, planned.team))
    risk = chance(model.trouble, rows, candidates.weights, candidates.untold)
    event = event_of(model.trouble, rows, candidates.weights)
    applying = [pattern for pattern in patterns if all(holds(one, known) for one in pattern.conditions)]
    cold = {name: _cold(level) for name, level in context.levels.items()}
    cost = None
    if model.cost and model.currency:
        cost = ExpectedCost(currency=model.currency, per_hour=expect(model.cost, event))
    return Prediction(
        deployment_id=planned.id,
        basis=model.basis,
        n=model.n,
        risk=risk,
        failure=_share_of(chance(model.failure, rows, candidates.weights, candidates.untold), risk),
        metrics=cold | {name: expect(response, event) for name, response in model.metrics.items()},
        cost=cost,
        similar=evidence,
        patterns=tuple(pattern.sentence for pattern in applying if _harmful(pattern)),
        warnings=(*_evidence(model, evidence, cost), *_risk(model, risk), *(pattern.sentence for pattern in applying)),
    )


def _harmful(pattern: Pattern) -> bool:
    """Whether it is a pattern, no hint, and surely makes deployments dearer or riskier."""
    judged = pattern.target in {"cost_per_hour", "outcome"}
    return judged and pattern.kind is PatternKind.PATTERN and pattern.effect.low > 0


def _cold(level: float) -> Forecast:
    reach = COLD_CHANGE_RATIO * abs(level)
    return Forecast(low=-reach, median=0.0, high=reach)


def _share_of(share: Estimate, whole: Estimate) -> Estimate:
    """A share of a probability; its range is as wide as both together can make it."""
    return Estimate(low=share.low * whole.low, median=share.median * whole.median, high=share.high * whole.high)


def _beside(cost: ExpectedCost | None) -> str:
    """What is predicted beside the evidence, where it is a loss: its chance, and how much it is then."""
    size = cost.per_hour.if_moved if cost is not None else None
    if cost is None or size is None or size.median <= 0:
        return ""
    amount = format_money(cost.currency, size, per_hour=True)
    if cost.per_hour.chance > SURE:
        return f"; this one is predicted to cost {amount}"
    return f"; this one costs something with a chance of {format_share(cost.per_hour.chance)}, and then {amount}"


def _evidence(model: Model, evidence: Sequence[Similar], cost: ExpectedCost | None) -> list[str]:
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
