"""Prediction of a planned deployment: risk, change of each metric and cost, with intervals, evidence and warnings.

Unknown features are imputed from the service's newest deployments (hot-deck multiple imputation: Rubin 1987): each
donor in turn and whole, so that what goes together stays together, weighted by its agreement with the known features. A
feature that fewer than half of the donors have counts as absent where anything of the change is known, since a sender
that reports features reports those that apply. Similar earlier deployments are shown as evidence.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from afdp_exporter.model import (
    Context,
    Deployment,
    Estimate,
    ExpectedCost,
    Floats,
    Forecast,
    Pattern,
    PatternKind,
    PoolingLevel,
    Prediction,
    Similar,
)
from afdp_exporter.patterns.features.encoding import levels_of, numeric, part_of_day, signed_log
from afdp_exporter.patterns.features.extraction import TROUBLE, Features, FeatureValue, features_of, is_intrinsic
from afdp_exporter.patterns.mining.candidates import holds
from afdp_exporter.patterns.models.hurdle import expected_change, outcome_mixture, risk_estimate
from afdp_exporter.patterns.models.training import Case, GroupKey, Model
from afdp_exporter.wording.numbers import (
    format_money,
    format_money_between,
    format_number,
    format_share,
    format_share_range,
)

COLD_CHANGE_RATIO = 0.25
"""The prior: nine of ten changes move a metric by less than this share of its level."""
SURE = 0.99
"""From this probability on a figure is said to move for certain."""
NOTABLE = 1.5
"""A risk this many times the service's usual one is worth a sentence."""


def predict(model: Model, planned: Deployment, context: Context, patterns: Sequence[Pattern] = ()) -> Prediction:
    """What `planned` would do if it started in `context`, averaged over what is not known of it.

    `patterns` that apply are among the warnings.
    """
    known = features_of(planned, context, salt=model.salt)
    candidates = impute(model, known)
    rows = design_rows(model, candidates.traits)
    evidence = similar(model, known, GroupKey(planned.service, planned.team))
    risk = risk_estimate(model.trouble, rows, candidates.weights, candidates.imputed_share)
    event = outcome_mixture(model.trouble, rows, candidates.weights)
    applying = [pattern for pattern in patterns if all(holds(one, known) for one in pattern.conditions)]
    cold = {name: _prior_forecast(level) for name, level in context.levels.items()}
    cost = None
    if model.cost and model.currency:
        cost = ExpectedCost(currency=model.currency, per_hour=expected_change(model.cost, event))
    return Prediction(
        deployment_id=planned.id,
        basis=model.basis,
        n=model.n,
        risk=risk,
        failure=_product(risk_estimate(model.failure, rows, candidates.weights, candidates.imputed_share), risk),
        metrics=cold | {name: expected_change(response, event) for name, response in model.metrics.items()},
        cost=cost,
        similar=evidence,
        patterns=tuple(pattern.sentence for pattern in applying if _harmful(pattern)),
        warnings=(
            *_evidence_warnings(model, evidence, cost),
            *_risk_warnings(model, risk),
            *(pattern.sentence for pattern in applying),
        ),
    )


def _harmful(pattern: Pattern) -> bool:
    """Whether it is a pattern, no hint, and surely makes deployments dearer or riskier."""
    judged = pattern.target in {"cost_per_hour", "outcome"}
    return judged and pattern.kind is PatternKind.PATTERN and pattern.effect.low > 0


def _prior_forecast(level: float) -> Forecast:
    reach = COLD_CHANGE_RATIO * abs(level)
    return Forecast(low=-reach, median=0.0, high=reach)


def _product(share: Estimate, whole: Estimate) -> Estimate:
    """A share of a probability; its range is as wide as both together can make it."""
    return Estimate(low=share.low * whole.low, median=share.median * whole.median, high=share.high * whole.high)


def _cost_words(cost: ExpectedCost | None) -> str:
    """The predicted cost next to the evidence, where it is a loss: its probability, and its size then."""
    size = cost.per_hour.if_moved if cost is not None else None
    if cost is None or size is None or size.median <= 0:
        return ""
    amount = format_money(cost.currency, size, per_hour=True)
    if cost.per_hour.chance > SURE:
        return f"; this one is predicted to cost {amount}"
    return f"; this one costs something with a chance of {format_share(cost.per_hour.chance)}, and then {amount}"


def _evidence_warnings(model: Model, evidence: Sequence[Similar], cost: ExpectedCost | None) -> list[str]:
    """What followed the similar deployments, when trouble followed at least half of three or more."""
    if len(evidence) < 3:
        return []
    troubled = [one for one in evidence if one.outcome in TROUBLE]
    if 2 * len(troubled) < len(evidence):
        return []
    amounts = [one.cost_per_hour for one in troubled if one.cost_per_hour is not None and one.cost_per_hour > 0]
    if amounts and model.currency:
        reach = format_money_between(model.currency, min(amounts), max(amounts))
        return [f"Similar deployments cost {reach} an hour (n = {len(amounts)}){_cost_words(cost)}"]
    return [f"{len(troubled)} of {len(evidence)} similar deployments were followed by degradation or failure"]


def _risk_warnings(model: Model, risk: Estimate) -> list[str]:
    if model.basis is PoolingLevel.COLD:
        known = f"Nothing is known of {model.home.service} yet"
        return [f"{known}: the risk of {format_share_range(risk)} is a prior, not a finding"]
    own = _own_cases(model)
    usual = sum(case.outcome in TROUBLE for case in own) / len(own)
    if usual == 0 or risk.median < NOTABLE * usual:
        return []
    times = risk.median / usual
    comparison = f"{format_number(times, 2)} times the usual {format_share(usual)} (n = {len(own)})"
    return [f"The risk of degradation or failure is {format_share_range(risk)}, {comparison}"]


ALIKE = 0.6
"""From this similarity on a deployment counts as similar."""
SHOWN = 10
"""The most similar deployments that are shown."""
LEAST_WEIGHT = 0.1
"""What a trait without any learned effect counts, against 1 for the most informative one."""
SAME_SERVICE = 1.0
"""The weight of the service in the similarity, against 1 for the most informative trait."""
MOST_REASONS = 3
"""The shared traits that are named at most."""


def similar(model: Model, traits: Features, place: GroupKey) -> tuple[Similar, ...]:
    """The most similar cases from ALIKE on, the nearest first, with the traits that they share."""
    weights = feature_weights(model)
    spreads = scales_of(model)
    scored = []
    for index, case in enumerate(model.cases):
        shared = agreements(traits, case.traits, spreads)
        near = case.place.service == place.service
        total = SAME_SERVICE + sum(weights.get(name, LEAST_WEIGHT) for name in shared)
        score = SAME_SERVICE * near + sum(weights.get(name, LEAST_WEIGHT) * one for name, one in shared.items())
        scored.append((score / total, index, shared))
    best = sorted(scored, key=lambda entry: (-entry[0], -entry[1]))[:SHOWN]
    return tuple(
        _similar(model.cases[index], score, _explain(traits, shared, weights))
        for score, index, shared in best
        if score >= ALIKE
    )


def scales_of(model: Model) -> dict[str, float]:
    """By number, how far apart its sizes usually lie, in powers of ten."""
    return {column.trait: column.scale for column in model.design.encoder.columns if column.kind == "linear"}


def agreements(one: Features, other: Features, spreads: Mapping[str, float]) -> dict[str, float]:
    """How far two deployments agree in each trait that either has, 0 to 1."""
    names = sorted((one.keys() | other.keys()) - {"team"})
    return {name: _agreement(name, one.get(name), other.get(name), spreads) for name in names}


def feature_weights(model: Model) -> dict[str, float]:
    """The weight of each trait for risk and cost, 1 for the most informative one."""
    found: dict[str, float] = {}
    fits = [model.trouble.logistic.weights] + (
        [model.cost.size_model.weights / model.cost.size_model.sigma] if model.cost else []
    )
    for weights in fits:
        for place, column in enumerate(model.design.encoder.columns):
            effect = abs(float(weights[place + 1])) * float(model.varying[place])
            found[column.trait] = found.get(column.trait, 0.0) + effect
    most = max(found.values(), default=0.0)
    return {name: max(effect / most, LEAST_WEIGHT) if most > 0 else 1.0 for name, effect in found.items()}


def _agreement(name: str, one: FeatureValue | None, other: FeatureValue | None, spreads: Mapping[str, float]) -> float:
    if one is None or other is None:
        return 0.0
    first, second = numeric(one), numeric(other)
    if first is not None and second is not None:
        if name == "hour":
            apart = abs(first - second)
            return math.exp(-min(apart, 24.0 - apart) / 4.0)
        size = spreads.get(name)
        if size is None:
            return float(first == second)
        apart = signed_log(first) - signed_log(second)
        return math.exp(-abs(apart) / size)
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return len(one & other) / len(one | other) if one | other else 1.0
    return float(levels_of(one) == levels_of(other))


def _explain(traits: Features, shared: Mapping[str, float], weights: Mapping[str, float]) -> tuple[str, ...]:
    """The shared traits that say most, in words; what nearly everything shares says little."""
    informative = sorted(
        (name for name, one in shared.items() if one >= 0.5 and _is_informative(traits[name])),
        key=lambda name: (-weights.get(name, LEAST_WEIGHT) * shared[name], name),
    )
    return tuple(_shared_words(name, traits[name]) for name in informative[:MOST_REASONS])


def _is_informative(value: FeatureValue) -> bool:
    return value is not False and value != frozenset()


def _shared_words(name: str, value: FeatureValue) -> str:
    plain = name.removeprefix("traits.")
    number = numeric(value)
    if name == "hour" and number is not None:
        return f"also in the {part_of_day(number)}"
    if name == "weekday":
        return f"also on a {value}"
    if name == "event" and isinstance(value, frozenset):
        return f"also during: {', '.join(sorted(value))}"
    if isinstance(value, frozenset):
        return f"same {plain}: {', '.join(sorted(value))}"
    if number is not None:
        return f"similar {plain} ({format_number(number)})"
    return f"also {plain}" if value is True else f"same {plain}: {value}"


def _similar(case: Case, score: float, why: tuple[str, ...]) -> Similar:
    return Similar(
        deployment_id=case.deployment_id,
        service=case.place.service,
        version=case.version,
        started_at=case.started_at,
        similarity_ratio=round(score, 3),
        why=why,
        outcome=case.outcome,
        cost_per_hour=case.cost_per_hour if math.isfinite(case.cost_per_hour) else None,
    )


TYPICAL = 20
"""How many of the service's newest deployments stand for what it usually deploys."""
FOCUS = 2.0
"""How fast the weight of a deployment falls with each trait in which it differs from what is known."""


@dataclass(frozen=True, slots=True)
class Imputations:
    """What a planned deployment may be in full: the traits of each possibility, and its `weights` (m,), 1 in all.

    `imputed_share` is the share that was filled in, as the kernel of the risk weighs traits, 0 to 1.
    """

    traits: tuple[Features, ...]
    weights: Floats
    imputed_share: float = 0.0


def donor_features(model: Model) -> tuple[Features, ...]:
    """The newest deployments of the service, or of all where it has none, without what is of their moments."""
    return tuple(_of_the_change(case.traits) for case in _own_cases(model)[-TYPICAL:])


def _own_cases(model: Model) -> Sequence[Case]:
    """Those of the service, or all where it has none."""
    return [case for case in model.cases if case.place.service == model.home.service] or model.cases


def impute(model: Model, known: Features) -> Imputations:
    """The possible full features of a planned deployment of which only `known` is reported."""
    donors = donor_features(model)
    reported = _of_the_change(known)
    if not donors:
        return Imputations((known,), np.ones(1))
    sizes = scales_of(model)
    weights = np.array([_donor_weight(reported, donor, sizes) for donor in donors])
    weights /= weights.sum()
    names = {name for donor in donors for name in donor} - known.keys() - {"team"}
    if reported:
        shares = {name: sum(w for w, donor in zip(weights, donors, strict=True) if name in donor) for name in names}
        names = {name for name in names if shares[name] >= 0.5}
    if not names:
        return Imputations((known,), np.ones(1))
    filled = tuple({**{name: donor[name] for name in sorted(names & donor.keys())}, **known} for donor in donors)
    return Imputations(filled, weights, _imputed_share(model, names))


def _imputed_share(model: Model, names: Set[str]) -> float:
    columns = model.design.encoder.columns
    lengths = (model.trouble.scales * model.varying)[: len(columns)] ** 2
    missing = sum(length for column, length in zip(columns, lengths, strict=True) if column.trait in names)
    return float(missing / max(lengths.sum(), 1e-12))


def _donor_weight(reported: Features, donor: Features, sizes: Mapping[str, float]) -> float:
    agreed = agreements(reported, {name: donor[name] for name in reported.keys() & donor.keys()}, sizes)
    return float(np.exp(-FOCUS * sum(1.0 - each for each in agreed.values())))


def _of_the_change(traits: Mapping[str, FeatureValue]) -> dict[str, FeatureValue]:
    return {name: value for name, value in traits.items() if is_intrinsic(name) and name != "team"}


def design_rows(model: Model, candidates: Sequence[Features]) -> Floats:
    """The rows that the fits know (m, p)."""
    return model.design.rows(candidates, [model.home] * len(candidates))
