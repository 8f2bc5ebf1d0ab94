"""Encoding of features as numeric columns, learned from the examples; one group of columns a feature."""

import math
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from afdp_exporter.model import Floats
from afdp_exporter.patterns.features.extraction import Features, FeatureValue

LEAST = 3
"""A level or a number is looked at once this many cases have it."""
LEVELS = 12
"""The most frequent levels of one trait that get a column."""
STEPPED = 15
"""A number has steps once so many cases have it; before, its size says enough."""
PAIRED = 5
"""A product of two columns is looked at once it is something in this many cases."""
PRODUCTS = 40
"""The most products of two columns."""
PERIODS = {
    "night": "at night",
    "early": "in the early morning",
    "morning": "in the morning",
    "noon": "at noon",
    "afternoon": "in the afternoon",
    "evening": "in the evening",
}
"""The hour of the day in steps of four hours, each with its words."""
TOGETHER = "together"
"""The group of all products."""
BELONGING = frozenset({"team"})
"""Traits that say where a deployment belongs: the levels of shrinkage speak of them, not columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a level that is there or not, a number on its scale, or whether a number is known."""

    trait: str
    kind: str  # level, linear, above, known
    level: str | float = 0.0
    centre: float = 0.0
    scale: float = 1.0

    def of(self, value: FeatureValue | None) -> float:
        """The column's entry for a trait's value; what is unknown sits at the mean of a number and is no level."""
        if self.kind == "known":
            return float(value is not None)
        if self.kind == "level":
            return float(has_level(value, self.trait, str(self.level)))
        number = numeric(value)
        if number is None:
            return 0.0
        if self.kind == "above":
            return float(number >= float(self.level)) - self.centre
        size = (signed_log(number) - self.centre) / self.scale
        return min(max(size, -3.0), 3.0)


@dataclass(frozen=True, slots=True)
class Encoder:
    """The columns, the group of each, and the pairs of columns whose products stand behind them."""

    columns: tuple[Column, ...]
    means: Floats
    products: tuple[tuple[int, int], ...] = ()

    @property
    def groups(self) -> list[str]:
        """The name of each column's group."""
        return [column.trait for column in self.columns] + [TOGETHER] * len(self.products)

    def encode(self, rows: Sequence[Features]) -> Floats:
        """The columns of each row, centred, shape (rows, columns + products)."""
        table = np.array([[column.of(row.get(column.trait)) for column in self.columns] for row in rows], dtype=float)
        table = table.reshape(len(rows), len(self.columns)) - self.means
        if not self.products:
            return table
        first, second = (np.array(side) for side in zip(*self.products, strict=True))
        return np.hstack([table, table[:, first] * table[:, second]])


def learn_columns(rows: Sequence[Features], without: Set[str] = frozenset()) -> Encoder:
    """The columns that these rows can say something about, `without` some traits."""
    names = sorted({name for row in rows for name in row} - BELONGING - without)
    columns = tuple(column for name in names for column in _columns(name, [row.get(name) for row in rows]))
    encoder = Encoder(columns=columns, means=np.zeros(len(columns)))
    table = encoder.encode(rows)
    means = table.mean(axis=0) if len(rows) else np.zeros(len(columns))
    return Encoder(columns=columns, means=means, products=_products(columns, table))


def has_level(value: FeatureValue | None, trait: str, level: str) -> bool:
    """Whether a trait's value is, or holds, a level."""
    if value is None:
        return False
    if trait == "hour":
        return isinstance(value, float) and part_of_day(value) == level
    return level in levels_of(value)


def levels_of(value: FeatureValue) -> frozenset[str]:
    """The words that a value holds; none for a number."""
    if isinstance(value, frozenset):
        return value
    if isinstance(value, bool):
        return frozenset({"yes"}) if value else frozenset({"no"})
    return frozenset({value}) if isinstance(value, str) else frozenset()


def numeric(value: FeatureValue | None) -> float | None:
    """A value as a number, where it is one."""
    return None if value is None or isinstance(value, bool | str | frozenset) else float(value)


def signed_log(number: float) -> float:
    """A number on the scale of its size in powers of ten: sizes span many."""
    return math.copysign(math.log10(1.0 + abs(number)), number)


def part_of_day(hour: float) -> str:
    """The part of the day."""
    return tuple(PERIODS)[int(hour // 4) % 6]


def _columns(name: str, values: Sequence[FeatureValue | None]) -> list[Column]:
    known = [value for value in values if value is not None]
    if name == "hour":
        found = _levels(name, [frozenset({part_of_day(float(value))}) for value in known if isinstance(value, float)])
    elif any(numeric(value) is not None for value in known):
        found = _number(name, [number for value in known if (number := numeric(value)) is not None])
    elif any(isinstance(value, bool) for value in known):
        found = [column for column in _levels(name, [levels_of(value) for value in known]) if column.level == "yes"]
    else:
        found = _levels(name, [levels_of(value) for value in known])
    informative = LEAST <= len(known) <= len(values) - LEAST
    return [*found, Column(name, "known")] if informative and not _is_set(known) else found


def _is_set(known: Sequence[FeatureValue]) -> bool:
    return any(isinstance(value, frozenset) for value in known)


def _levels(name: str, sets: Sequence[frozenset[str]]) -> list[Column]:
    counts = Counter(level for one in sets for level in one)
    usual = sorted((-count, level) for level, count in counts.items() if LEAST <= count < len(sets))
    return [Column(name, "level", level) for _, level in usual[:LEVELS]]


def _number(name: str, numbers: Sequence[float]) -> list[Column]:
    if len(numbers) < LEAST or len(set(numbers)) == 1:
        return []
    sizes = np.array([signed_log(number) for number in numbers])
    cuts = {float(np.quantile(numbers, share)) for share in (0.5, 0.75)} if len(numbers) >= STEPPED else set()
    steps = [
        Column(name, "above", cut, centre=float(np.mean(np.array(numbers) >= cut)))
        for cut in sorted(cuts)
        if cut > min(numbers)
    ]
    spread = float(sizes.std()) or 1.0
    return [Column(name, "linear", 0.0, float(sizes.mean()), spread), *steps]


def _products(columns: Sequence[Column], table: Floats) -> tuple[tuple[int, int], ...]:
    """Pairs of what changes with when it changes or how large it is: the most frequent ones."""
    what = [place for place, column in enumerate(columns) if column.trait == "change_types"]
    other = [
        place
        for place, column in enumerate(columns)
        if (column.kind == "level" and column.trait in {"weekday", "event", "hour"}) or column.kind == "linear"
    ]
    counted = []
    for first in what:
        for second in other:
            both = table[:, first] * table[:, second]
            support = int(np.count_nonzero(both))
            if support >= PAIRED:
                counted.append((-support, first, second))
    return tuple((first, second) for _, first, second in sorted(counted)[:PRODUCTS])
