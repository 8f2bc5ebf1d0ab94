"""Which earlier deployments are like a planned one, and in what: the evidence shown beside a prediction."""

import math
from collections.abc import Mapping

from afdp_exporter.model import Similar
from afdp_exporter.patterns import responses
from afdp_exporter.patterns.encoding import as_number, compress, levels, period
from afdp_exporter.patterns.learning import Model, Place, place_of
from afdp_exporter.patterns.traits import Traits, Value
from afdp_exporter.wording.numbers import format_number

ALIKE = 0.6
"""From this similarity on a deployment counts as similar."""
SHOWN = 10
"""The most similar deployments that are shown."""
LEAST_WEIGHT = 0.1
"""What a trait without any learned effect counts, against 1 for the most telling one."""
SAME_SERVICE = 1.0
TELLING = 3


def similar(model: Model, traits: Traits, place: Place) -> tuple[Similar, ...]:
    """The most similar cases from ALIKE on, the nearest first, with the traits that they share."""
    weights = importance(model)
    spreads = scales_of(model)
    scored = []
    for index, (case, other) in enumerate(zip(model.cases, model.traits, strict=True)):
        shared = agreements(traits, other, spreads)
        near = place_of(case).service == place.service
        total = SAME_SERVICE + sum(weights.get(name, LEAST_WEIGHT) for name in shared)
        score = SAME_SERVICE * near + sum(weights.get(name, LEAST_WEIGHT) * one for name, one in shared.items())
        scored.append((score / total, index, shared))
    best = sorted(scored, key=lambda entry: (-entry[0], -entry[1]))[:SHOWN]
    return tuple(
        _similar(model, index, score, _why(traits, shared, weights)) for score, index, shared in best if score >= ALIKE
    )


def scales_of(model: Model) -> dict[str, float]:
    """By number, how far apart its sizes usually lie, in powers of ten."""
    return {column.trait: column.scale for column in model.design.encoder.columns if column.kind == "linear"}


def agreements(one: Traits, other: Traits, spreads: Mapping[str, float]) -> dict[str, float]:
    """How far two deployments agree in each trait that either has, 0 to 1."""
    names = sorted((one.keys() | other.keys()) - {"team"})
    return {name: _agreement(name, one.get(name), other.get(name), spreads) for name in names}


def importance(model: Model) -> dict[str, float]:
    """How much each trait was found to matter for risk and cost, 1 for the most telling one."""
    found: dict[str, float] = {}
    fits = [model.trouble.logistic.weights] + ([model.cost.line.weights / model.cost.line.sigma] if model.cost else [])
    for weights in fits:
        for place, column in enumerate(model.design.encoder.columns):
            effect = abs(float(weights[place + 1])) * float(model.varying[place])
            found[column.trait] = found.get(column.trait, 0.0) + effect
    most = max(found.values(), default=0.0)
    return {name: max(effect / most, LEAST_WEIGHT) if most > 0 else 1.0 for name, effect in found.items()}


def _agreement(name: str, one: Value | None, other: Value | None, spreads: Mapping[str, float]) -> float:
    if one is None or other is None:
        return 0.0
    first, second = as_number(one), as_number(other)
    if first is not None and second is not None:
        if name == "hour":
            apart = abs(first - second)
            return math.exp(-min(apart, 24.0 - apart) / 4.0)
        size = spreads.get(name)
        if size is None:
            return float(first == second)
        apart = compress(first) - compress(second)
        return math.exp(-abs(apart) / size)
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return len(one & other) / len(one | other) if one | other else 1.0
    return float(levels(one) == levels(other))


def _why(traits: Traits, shared: Mapping[str, float], weights: Mapping[str, float]) -> tuple[str, ...]:
    """The shared traits that say most, in words; what nearly everything shares says little."""
    telling = sorted(
        (name for name, one in shared.items() if one >= 0.5 and _is_telling(traits[name])),
        key=lambda name: (-weights.get(name, LEAST_WEIGHT) * shared[name], name),
    )
    return tuple(_same(name, traits[name]) for name in telling[:TELLING])


def _is_telling(value: Value) -> bool:
    return value is not False and value != frozenset()


def _same(name: str, value: Value) -> str:
    plain = name.removeprefix("traits.")
    number = as_number(value)
    if name == "hour" and number is not None:
        return f"also in the {period(number)}"
    if name == "weekday":
        return f"also on a {value}"
    if name == "event" and isinstance(value, frozenset):
        return f"also during: {', '.join(sorted(value))}"
    if isinstance(value, frozenset):
        return f"same {plain}: {', '.join(sorted(value))}"
    if number is not None:
        return f"similar {plain} ({format_number(number)})"
    return f"also {plain}" if value is True else f"same {plain}: {value}"


def _similar(model: Model, index: int, score: float, why: tuple[str, ...]) -> Similar:
    case = model.cases[index]
    amount = responses.cost_of(case, model.currency) if model.currency else math.nan
    return Similar(
        deployment_id=case.deployment.id,
        service=case.deployment.service,
        version=case.deployment.version,
        started_at=case.deployment.started_at,
        similarity_ratio=round(score, 3),
        why=why,
        outcome=case.decision.outcome,
        cost_per_hour=amount if math.isfinite(amount) else None,
    )
