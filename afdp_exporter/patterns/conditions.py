"""Conditions on traits: whether one holds, and which are worth asking about."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Condition
from afdp_exporter.patterns.encoding import as_number, has, levels, period
from afdp_exporter.patterns.traits import Traits, Value

UNASKED = frozenset({"actor", "team", "recent_trouble_ratio"})
"""Traits that no pattern speaks of: people, since a rule that names one teaches only to hide; and the service's own
history, which is its base rate already."""
_LATE = {"strategy": 1, "hours_since_last": 2, "in_flight": 2, "load_ratio": 2, "load_season_ratio": 2}
_LATE |= {"event": 3, "holiday": 3, "weekday": 4, "hour": 5}
"""Of conditions that the same deployments meet the one is told that comes first: what is changed before how it is
rolled out, that before when."""
SHARES = (0.25, 0.5, 0.75, 0.85)
"""Where a number is cut: at round figures near these quantiles."""


def holds(condition: Condition, traits: Traits) -> bool:
    """Whether a deployment meets a condition; a trait that is unknown meets none."""
    value = traits.get(condition.trait)
    if value is None:
        return False
    if condition.op in {">=", "<"}:
        number = as_number(value)
        return number is not None and (number >= float(condition.value)) is (condition.op == ">=")
    if isinstance(condition.value, bool):
        return value is condition.value
    return has(value, condition.trait, str(condition.value))


def mask(condition: Condition, rows: Sequence[Traits]) -> NDArray[np.bool_]:
    """Which rows meet a condition (n,)."""
    return np.array([holds(condition, row) for row in rows], dtype=bool)


def candidates(rows: Sequence[Traits], least: int) -> list[Condition]:
    """Every condition that at least `least` rows meet and as many do not; what is changed comes first."""
    names = sorted({name for row in rows for name in row} - UNASKED, key=lambda name: (_LATE.get(name, 0), name))
    found = [one for name in names for one in _conditions(name, [row[name] for row in rows if name in row], least)]
    return [one for one in found if least <= int(mask(one, rows).sum()) <= len(rows) - least]


def _conditions(name: str, values: Sequence[Value], least: int) -> list[Condition]:
    numbers = [number for value in values if (number := as_number(value)) is not None]
    if name == "hour":
        words = Counter(period(number) for number in numbers)
    elif numbers:
        return _cuts(name, numbers)
    elif any(isinstance(value, bool) for value in values):
        return [Condition(trait=name, op="=", value=True)]
    else:
        words = Counter(word for value in values for word in levels(value))
    op = "has" if any(isinstance(value, frozenset) for value in values) and name != "event" else "="
    return [Condition(trait=name, op=op, value=word) for word, count in sorted(words.items()) if count >= least]


def _cuts(name: str, numbers: Sequence[float]) -> list[Condition]:
    cuts = sorted({round_figure(float(np.quantile(numbers, share))) for share in SHARES})
    return [Condition(trait=name, op=">=", value=cut) for cut in cuts if min(numbers) < cut <= max(numbers)]


def round_figure(number: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten; whole numbers below ten stay as they are."""
    if number == 0 or (float(number).is_integer() and abs(number) < 10):
        return number
    power = 10.0 ** math.floor(math.log10(abs(number)))
    steps = (1.0, 2.0, 5.0, 10.0)
    return math.copysign(min((step * power for step in steps), key=lambda step: abs(step - abs(number))), number)
