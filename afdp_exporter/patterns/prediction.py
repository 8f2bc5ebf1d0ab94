"""Prediction of a planned deployment: risk, change of each metric and cost, with intervals, evidence and warnings.

Unknown features are imputed from the service's newest deployments (hot-deck multiple imputation: Rubin 1987), of the
same kind of change where there are a few: each donor in turn and whole, so that what goes together stays together,
weighted by its agreement with the known features. A feature that fewer than half of the donors have counts as absent
where anything of the change is known, since a sender that reports features reports those that apply. Similar earlier
deployments are shown as evidence.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

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
from afdp_exporter.patterns.features.encoding import PERIODS, numeric, part_of_day
from afdp_exporter.patterns.features.extraction import TROUBLE, Features, FeatureValue, features_of, is_intrinsic
from afdp_exporter.patterns.mining.candidates import holds
from afdp_exporter.patterns.mining.statements import COUNTED, number_words
from afdp_exporter.patterns.models.hurdle import OutcomeMixture, expected_change, risk_estimate
from afdp_exporter.patterns.models.ridge import single_threaded_blas
from afdp_exporter.patterns.models.training import Model
from afdp_exporter.wording.numbers import (
    format_money,
    format_money_between,
    format_number,
    format_share,
    format_share_range,
)

T = TypeVar("T")

COLD_CHANGE_RATIO = 0.25
"""The prior: nine of ten changes move a metric by less than this share of its level."""
SURE = 0.99
"""From this probability on a figure is said to move for certain."""
NOTABLE = 1.5
"""A risk this many times the service's usual one is worth a sentence."""


@single_threaded_blas()
def predict(model: Model, planned: Deployment, context: Context, patterns: Sequence[Pattern] = ()) -> Prediction:
    """What `planned` would do if it started in `context`, averaged over what is not known of it.

    `patterns` that apply are among the warnings.
    """
    known = features_of(planned, context, salt=model.salt)
    candidates = impute(model, known)
    rows, weights = design_rows(model, candidates.traits), candidates.weights
    evidence = similar(model, known, planned.service)
    trouble = model.trouble.log_odds(rows)
    risk = risk_estimate(trouble, weights, model.trouble.unreported(candidates.imputed_share))
    unreported = model.failure.unreported(candidates.imputed_share)
    failure = risk_estimate(model.failure.log_odds(rows), weights, unreported)
    event = OutcomeMixture(rows, weights, trouble.probability)
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
        failure=_product(failure, risk),
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
    usual = model.cases.rate(model.home.service)
    if usual == 0 or risk.median < NOTABLE * usual:
        return []
    times, n = risk.median / usual, model.cases.of(model.home.service).size
    comparison = f"{format_number(times, 2)} times the usual {format_share(usual)} (n = {n})"
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


def similar(model: Model, traits: Features, service: str) -> tuple[Similar, ...]:
    """The most similar cases from ALIKE on, the nearest first, with the traits that they share."""
    weights, cases = feature_weights(model), model.cases
    score = SAME_SERVICE * np.array([float(each == service) for each in cases.services])
    total = np.full(score.size, SAME_SERVICE)
    shared = agreements(model, traits)
    for name in (traits.keys() | cases.traits.keys()) - {"team"}:
        weight = weights.get(name, LEAST_WEIGHT)
        total += weight if name in traits else weight * cases.traits[name].known
        score += weight * shared.get(name, 0.0)
    score /= total
    nearest = np.lexsort((-np.arange(score.size), -score))[:SHOWN]
    return tuple(
        _similar(model, case, float(score[case]), _explain(traits, shared, case, weights))
        for case in nearest.tolist()
        if score[case] >= ALIKE
    )


def agreements(model: Model, traits: Features) -> dict[str, Floats]:
    """How far each case agrees with each of these traits, 0 to 1 (n,); what no case has is left out."""
    sizes = {column.trait: column.scale for column in model.design.encoder.columns if column.kind == "linear"}
    return {
        name: model.cases.traits[name].agreement(name, value, sizes.get(name))
        for name, value in sorted(traits.items())
        if name != "team" and name in model.cases.traits
    }


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


def _explain(
    traits: Features, shared: Mapping[str, Floats], case: int, weights: Mapping[str, float]
) -> tuple[str, ...]:
    """The shared traits that say most, in words; what nearly everything shares says little."""
    informative = sorted(
        (name for name, agreed in shared.items() if agreed[case] >= 0.5 and _is_informative(traits[name])),
        key=lambda name: (-weights.get(name, LEAST_WEIGHT) * shared[name][case], name),
    )
    return tuple(_shared_words(name, traits[name]) for name in informative[:MOST_REASONS])


def _is_informative(value: FeatureValue) -> bool:
    return value is not False and value != frozenset()


def _shared_words(name: str, value: FeatureValue) -> str:
    plain = name.removeprefix("traits.").replace("_", " ")
    number = numeric(value)
    if name == "hour" and number is not None:
        return f"also {PERIODS[part_of_day(number)]}"
    if name == "weekday":
        return f"also on a {value}"
    if name == "event" and isinstance(value, frozenset):
        return f"also during: {', '.join(sorted(value))}"
    if isinstance(value, frozenset):
        return f"same {plain}: {', '.join(sorted(value))}"
    if number is not None:
        return f"{'about as many' if name in COUNTED else 'similar'} {number_words(name)} ({format_number(number)})"
    return f"also {plain}" if value is True else f"same {plain}: {value}"


def _similar(model: Model, case: int, score: float, why: tuple[str, ...]) -> Similar:
    cases = model.cases
    amount = float(cases.costs[case])
    return Similar(
        deployment_id=cases.ids[case],
        service=cases.services[case],
        version=cases.versions[case],
        started_at=cases.started_at[case],
        similarity_ratio=round(score, 3),
        why=why,
        outcome=cases.outcomes[case],
        cost_per_hour=amount if math.isfinite(amount) else None,
    )


TYPICAL = 20
"""How many of the service's newest deployments stand for what it usually deploys."""
FEW = 3
"""From so many deployments of the same kind of change on they alone stand for it."""
_KIND = "change_types"
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


def impute(model: Model, known: Features) -> Imputations:
    """The possible full features of a planned deployment of which only `known` is reported."""
    columns, donors = model.cases.traits, _donors(model, known)
    if not donors.size:
        return Imputations((known,), np.ones(1))
    apart = np.zeros(donors.size)
    for name, agreed in agreements(model, _of_the_change(known)).items():
        apart += np.where(columns[name].known, 1.0 - agreed, 0.0)[donors]
    weights = np.exp(-FOCUS * apart)
    weights /= weights.sum()
    least = 0.5 if _of_the_change(known) else 0.0
    shares = {name: float(weights @ columns[name].known[donors]) for name in _of_the_change(columns)}
    names = {name for name, share in shares.items() if name not in known and share > 0 and share >= least}
    if not names:
        return Imputations((known,), np.ones(1))
    filled = tuple({**model.cases.features(donor, names), **known} for donor in donors.tolist())
    return Imputations(filled, weights, _imputed_share(model, names))


def _donors(model: Model, known: Features) -> NDArray[np.intp]:
    """The service's newest cases (n,); those of the same kind of change alone where there are a few: what is reported
    of a change, such as the rows of a migrated table, goes with its kind.
    """
    own, kind = model.cases.of(model.home.service), model.cases.traits.get(_KIND)
    if kind is not None and _KIND in known:
        alike = own[kind.agreement(_KIND, known[_KIND], None)[own] == 1.0]
        own = alike if alike.size >= FEW else own
    return own[-TYPICAL:]


def _imputed_share(model: Model, names: Set[str]) -> float:
    columns = model.design.encoder.columns
    lengths = (model.trouble.scales[0] * model.varying)[: len(columns)] ** 2
    missing = sum(length for column, length in zip(columns, lengths, strict=True) if column.trait in names)
    return float(missing / max(lengths.sum(), 1e-12))


def _of_the_change(traits: Mapping[str, T]) -> dict[str, T]:
    return {name: value for name, value in traits.items() if is_intrinsic(name) and name != "team"}


def design_rows(model: Model, candidates: Sequence[Features]) -> Floats:
    """The rows that the fits know (m, p)."""
    return model.design.rows(candidates, [model.home] * len(candidates))
