"""Candidate rules: conditions on features, alone and in pairs, and the examples that meet them."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Condition, Floats
from afdp_exporter.patterns.features.encoding import has_level, levels_of, numeric, part_of_day
from afdp_exporter.patterns.features.extraction import Features, FeatureValue, is_intrinsic

RARE = 0.2
"""What a candidate counts that can only become a hint, against 1 for one that can become a pattern."""


@dataclass(frozen=True, slots=True)
class RuleSpace:
    """`members` (n, m): which examples meet each candidate; `time_dependent` (m,): conditions on the context.

    `adjusted_for` names, for each, the columns of `covariates` (n, k) that must not explain it: a pair's own
    halves, and whether a number is known at all where it is not always.
    """

    conditions: tuple[tuple[Condition, ...], ...]
    members: Floats
    time_dependent: NDArray[np.bool_]
    adjusted_for: tuple[tuple[int, ...], ...]
    covariates: Floats

    def weights(self, support: int) -> Floats:
        """How much each candidate counts (m,), 1 on the mean: all pairs together a ninth of all single ones, and one
        with fewer than `support` cases, which makes a hint at most, RARE of one with more."""
        single = np.array([len(one) == 1 for one in self.conditions])
        worth = np.where(self.members.sum(axis=0) >= support, 1.0, RARE)
        shares = worth * np.where(single, 0.9 / worth[single].sum(), 0.1 / max(float(worth[~single].sum()), RARE))
        return np.asarray(shares / shares.mean())


def enumerate_rules(rows: Sequence[Features], least: int) -> RuleSpace:
    """Every candidate that at least `least` rows meet; of a pair, as many must meet one half and not the other."""
    singles = enumerate_conditions(rows, least)
    masks = [mask(one, rows) for one in singles]
    covariates = list(masks)
    known: dict[str, int] = {}
    for trait in sorted({one.trait for one in singles if one.op == ">="}):
        column = np.array([trait in row for row in rows], dtype=bool)
        if not column.all():
            known[trait] = len(covariates)
            covariates.append(column)
    conditions: list[tuple[Condition, ...]] = [(one,) for one in singles]
    adjusted_for = [_known(known, (one,)) for one in singles]
    members = list(masks)
    for first, second in combinations(range(len(singles)), 2):
        both = masks[first] & masks[second]
        fewest = min(int(masks[first].sum()), int(masks[second].sum()))
        if singles[first].trait != singles[second].trait and least <= int(both.sum()) <= fewest - least:
            pair = (singles[first], singles[second])
            conditions.append(pair)
            adjusted_for.append((first, second, *_known(known, pair)))
            members.append(both)
    return RuleSpace(
        conditions=tuple(conditions),
        members=_table(members, len(rows)),
        time_dependent=np.array([not all(is_intrinsic(one.trait) for one in each) for each in conditions], dtype=bool),
        adjusted_for=tuple(adjusted_for),
        covariates=_table(covariates, len(rows)),
    )


def _known(known: dict[str, int], conditions: Sequence[Condition]) -> tuple[int, ...]:
    return tuple(known[one.trait] for one in conditions if one.op == ">=" and one.trait in known)


def _table(columns: Sequence[np.ndarray[tuple[int], np.dtype[np.bool_]]], rows: int) -> Floats:
    return np.array(columns, dtype=float).reshape(len(columns), rows).T


EXCLUDED_TRAITS = frozenset({"actor", "team", "recent_trouble_ratio"})
"""Traits that no pattern speaks of: people, since a rule that names one teaches only to hide; and the service's own
history, which is its base rate already."""
_REPORTING_ORDER = {
    "strategy": 1,
    "hours_since_last": 2,
    "in_flight": 2,
    "load_ratio": 2,
    "load_season_ratio": 2,
    "event": 3,
    "holiday": 3,
    "weekday": 4,
    "hour": 5,
}
"""Of conditions that the same deployments meet the first is reported: what is changed before how it is rolled out,
that before when."""
CUT_QUANTILES = (0.25, 0.5, 0.75, 0.85)
"""Where a number is cut: at round figures near these quantiles."""


def holds(condition: Condition, traits: Features) -> bool:
    """Whether a deployment meets a condition; a trait that is unknown meets none."""
    value = traits.get(condition.trait)
    if value is None:
        return False
    if condition.op in {">=", "<"}:
        number = numeric(value)
        return number is not None and (number >= float(condition.value)) is (condition.op == ">=")
    if isinstance(condition.value, bool):
        return value is condition.value
    return has_level(value, condition.trait, str(condition.value))


def mask(condition: Condition, rows: Sequence[Features]) -> NDArray[np.bool_]:
    """Which rows meet a condition (n,)."""
    return np.array([holds(condition, row) for row in rows], dtype=bool)


def enumerate_conditions(rows: Sequence[Features], least: int) -> list[Condition]:
    """Every condition that at least `least` rows meet and as many do not; what is changed comes first."""
    names = sorted(
        {name for row in rows for name in row} - EXCLUDED_TRAITS, key=lambda name: (_REPORTING_ORDER.get(name, 0), name)
    )
    found = [one for name in names for one in _conditions(name, [row[name] for row in rows if name in row], least)]
    return [one for one in found if least <= int(mask(one, rows).sum()) <= len(rows) - least]


def _conditions(name: str, values: Sequence[FeatureValue], least: int) -> list[Condition]:
    numbers = [number for value in values if (number := numeric(value)) is not None]
    if name == "hour":
        words = Counter(part_of_day(number) for number in numbers)
    elif numbers:
        return _cuts(name, numbers)
    elif any(isinstance(value, bool) for value in values):
        return [Condition(trait=name, op="=", value=True)]
    else:
        words = Counter(word for value in values for word in levels_of(value))
    op = "has" if any(isinstance(value, frozenset) for value in values) and name != "event" else "="
    return [Condition(trait=name, op=op, value=word) for word, count in sorted(words.items()) if count >= least]


def _cuts(name: str, numbers: Sequence[float]) -> list[Condition]:
    cuts = sorted({round_figure(float(np.quantile(numbers, share))) for share in CUT_QUANTILES})
    return [Condition(trait=name, op=">=", value=cut) for cut in cuts if min(numbers) < cut <= max(numbers)]


def round_figure(number: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten; whole numbers below ten stay as they are."""
    if number == 0 or (float(number).is_integer() and abs(number) < 10):
        return number
    power = 10.0 ** math.floor(math.log10(abs(number)))
    steps = (1.0, 2.0, 5.0, 10.0)
    return math.copysign(min((step * power for step in steps), key=lambda step: abs(step - abs(number))), number)
