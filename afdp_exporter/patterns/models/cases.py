"""What a model keeps of the cases it was learned from: who they were, their traits as columns, and what they did."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats, Outcome, TrainingExample
from afdp_exporter.patterns.features.encoding import levels_of, numeric, part_of_day, signed_log
from afdp_exporter.patterns.features.extraction import TROUBLE, Features, FeatureValue
from afdp_exporter.patterns.models import targets

HOUR = timedelta(hours=1)  # the unit of how long costs last


@dataclass(frozen=True, slots=True)
class TraitColumn:
    """One trait of all cases: their `numbers` (n,), NaN for none, and for what is no number the places of their values
    (n,) among `words`, -1 for none."""

    numbers: Floats
    words: tuple[FeatureValue, ...]
    places: NDArray[np.int32]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which cases have the trait (n,)."""
        return np.isfinite(self.numbers) | (self.places >= 0)

    def value(self, case: int) -> FeatureValue | None:
        """The value of one case, None where it has none."""
        place = int(self.places[case])
        if place >= 0:
            return self.words[place]
        number = float(self.numbers[case])
        return number if math.isfinite(number) else None

    def agreement(self, name: str, value: FeatureValue, size: float | None) -> Floats:
        """How far each case agrees with a value of the trait, 0 to 1 (n,); `size` is how far apart its numbers usually
        lie, in powers of ten."""
        number = numeric(value)
        if number is None:
            alike = np.array([*(_agreement(value, word) for word in self.words), 0.0])
            return np.asarray(alike[self.places])
        if name == "hour":
            apart = np.abs(self.numbers - number)
            found = np.exp(-np.minimum(apart, 24.0 - apart) / 4.0)
        elif size is None:
            found = (self.numbers == number).astype(float)
        else:
            sizes = np.copysign(np.log10(1.0 + np.abs(self.numbers)), self.numbers)
            found = np.exp(-np.abs(sizes - signed_log(number)) / size)
        return np.where(np.isfinite(self.numbers), found, 0.0)


@dataclass(frozen=True, slots=True)
class CaseTable:
    """The cases in order of time, each field a column (n,); `loss_hours` is how long a loss usually lasted, 1 where
    none is known to have ended."""

    ids: tuple[str, ...]
    services: tuple[str, ...]
    versions: tuple[str | None, ...]
    started_at: tuple[datetime, ...]
    outcomes: tuple[Outcome, ...]
    costs: Floats  # per hour, NaN where unknown
    traits: Mapping[str, TraitColumn]
    loss_hours: float

    def of(self, service: str) -> NDArray[np.intp]:
        """Which are a service's own; all of them where it has none."""
        own = np.flatnonzero([each == service for each in self.services])
        return own if own.size else np.arange(len(self.ids))

    def rate(self, service: str) -> float:
        """How often trouble followed a service's own deployments."""
        own = self.of(service)
        return sum(self.outcomes[case] in TROUBLE for case in own) / own.size

    def parts_of_the_week(self, service: str) -> Counter[tuple[FeatureValue | None, str]]:
        """How many of a service's own cases there are on each weekday and in each part of the day."""
        weekday, hour = self.traits.get("weekday"), self.traits.get("hour")
        if weekday is None or hour is None:
            return Counter()
        own = [case for case, each in enumerate(self.services) if each == service]
        return Counter((weekday.value(case), part_of_day(float(hour.numbers[case]))) for case in own)

    def features(self, case: int, names: Set[str]) -> dict[str, FeatureValue]:
        """Some of the traits of one case, by name."""
        found = {name: self.traits[name].value(case) for name in sorted(names)}
        return {name: value for name, value in found.items() if value is not None}


def case_table(examples: Sequence[TrainingExample], traits: Sequence[Features], currency: str | None) -> CaseTable:
    """What is kept of examples with these traits; costs are those in one currency."""
    costs = [targets.cost_of(each, currency) if currency else math.nan for each in examples]
    lasted = [
        cost.duration / HOUR
        for each in examples
        for cost in each.impact.costs
        if cost.currency == currency and cost.duration is not None and cost.ended
    ]
    names = sorted({name for each in traits for name in each})
    return CaseTable(
        ids=tuple(each.deployment.id for each in examples),
        services=tuple(each.deployment.service for each in examples),
        versions=tuple(each.deployment.version for each in examples),
        started_at=tuple(each.deployment.started_at for each in examples),
        outcomes=tuple(each.decision.outcome for each in examples),
        costs=np.array(costs, dtype=float),
        traits={name: _column([each.get(name) for each in traits]) for name in names},
        loss_hours=float(np.median(lasted)) if lasted else 1.0,
    )


def _column(values: Sequence[FeatureValue | None]) -> TraitColumn:
    numbers = [numeric(value) for value in values]
    words: dict[FeatureValue, int] = {}
    places = [
        -1 if value is None or number is not None else words.setdefault(value, len(words))
        for value, number in zip(values, numbers, strict=True)
    ]
    return TraitColumn(
        numbers=np.array([math.nan if number is None else number for number in numbers], dtype=float),
        words=tuple(words),
        places=np.array(places, dtype=np.int32),
    )


def _agreement(one: FeatureValue, other: FeatureValue) -> float:
    """How far two values that are no numbers agree, 0 to 1."""
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return len(one & other) / len(one | other) if one | other else 1.0
    return float(levels_of(one) == levels_of(other))
