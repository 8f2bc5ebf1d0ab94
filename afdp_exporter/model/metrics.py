"""Watched metrics and their series."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BeforeValidator

from afdp_exporter.model.figures import Floats

_SHARE = re.compile(r"\d+(\.\d+)?\s*%")


class Layer(StrEnum):
    """Where a metric stands on the way from the machine to the money."""

    TECHNICAL = "technical"
    SYSTEM = "system"
    USER = "user"
    BUSINESS = "business"
    CUSTOM = "custom"


class Worse(StrEnum):
    """The direction in which a metric hurts."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What one unit of a metric is worth: one unit less (or more, as it hurts) costs `per_unit` an hour.

    Where that is at list prices, `bill` names the bill whose ratio to them it is multiplied by.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    currency: str
    per_unit: float
    bill: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Denominator:
    """What events are counted in: a query beside that of the metric, one for the canary, one for the stable version."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    query: str | Mapping[str, Any] | None = None
    canary: str | Mapping[str, Any] | None = None
    stable: str | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if (self.canary is None) is not (self.stable is None):
            raise ValueError("canary and stable are needed together")
        if self.query is None and self.canary is None:
            raise ValueError("of needs a query, or canary and stable")


def _denominator(given: object) -> object:
    """As text alone it is the query beside that of the metric."""
    return {"query": given} if isinstance(given, str) else given


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure that is watched. Its name ends in its unit; its query may hold `$service` and the like."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    layer: Layer
    query: str | Mapping[str, Any]  # in the language of its source
    worse: Worse = Worse.EITHER
    money: Money | None = None
    source: str | None = None  # the name of its source; None: the first one
    control: str | Mapping[str, Any] | None = None  # of what the deployment cannot have touched
    leads_to: tuple[str, ...] = ()  # names of the metrics that may follow this one
    primary: bool = True  # judged for the outcome; the others only "also moved"
    environments: tuple[str, ...] = ()  # empty: every environment
    canary: str | Mapping[str, Any] | None = None  # the same of a canary alone, and ...
    stable: str | Mapping[str, Any] | None = None  # ... of the stable version
    of: Annotated[
        Denominator | None, BeforeValidator(_denominator, json_schema_input_type=str | Denominator | None)
    ] = None  # what `query`, `canary` and `stable` are counted in
    preview: str | Mapping[str, Any] | None = None  # of a version that has no users yet (`$version`): its warm-up
    worth: float | str | None = None  # the smallest change that matters: in its unit, or "10%" of its level

    def __post_init__(self) -> None:
        share = self.worth_share
        if self.worth is not None and not 0 < (float(self.worth) if share is None else share) < inf:
            raise ValueError('worth has to be a positive number or a share such as "10%"')
        if (self.canary is None) is not (self.stable is None):
            raise ValueError("canary and stable are needed together")
        if self.arms_of is not None and self.canary is None:
            raise ValueError("of needs canary and stable, which are counted in it")

    @property
    def query_of(self) -> str | Mapping[str, Any] | None:
        """What `query` is counted in: the metric is then the one by the other. None where `query` is the metric."""
        return None if self.of is None else self.of.query

    @property
    def arms_of(self) -> Denominator | None:
        """What `canary` and `stable` are counted in, where they are counts of a minute."""
        return self.of if self.of is not None and self.of.canary is not None else None

    @property
    def worth_share(self) -> float | None:
        """The smallest change that matters as a share of the level; None where it is given in the metric's unit.

        Raises ValueError for words that are no share.
        """
        if not isinstance(self.worth, str):
            return None
        if not _SHARE.fullmatch(self.worth):
            raise ValueError('worth has to be a positive number or a share such as "10%"')
        return float(self.worth.rstrip("% ")) / 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One metric over time: `times` float64 Unix seconds (n,), `values` float64 (n,), NaN where there is a gap.

    Both arrays are read-only and in order of time. Where the values are ratios of counted events, `of` (n,) are their
    denominators. `warnings` are the source's own words about partial data, `notes`
    those about the query itself, of which nothing is missing.
    """

    metric: str
    labels: Mapping[str, str]
    times: Floats
    values: Floats
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    of: Floats | None = None

    @property
    def measured(self) -> int:
        """How many of its points are no gaps."""
        return int(np.isfinite(self.values).sum())

    def until(self, end: datetime) -> "Series":
        """Its points up to and with an instant."""
        count = int(np.searchsorted(self.times, end.timestamp(), side="right"))
        return self if count == len(self.times) else self._part(slice(count))

    def every(self, stride: int, first: int) -> "Series":
        """Every so many-th of its points, from one on."""
        return self._part(slice(first, None, stride))

    def by(self, other: "Series") -> "Series":
        """The ratio of this series to another: a gap where that is not above 0, or one of both was not measured."""
        place = np.minimum(np.searchsorted(other.times, self.times), len(other.times) - 1)
        known = other.times[place] == self.times if len(other.times) else np.zeros(len(self.times), dtype=np.bool_)
        of = np.where(known, other.values[place], np.nan) if len(other.times) else np.full(len(self.times), np.nan)
        with np.errstate(all="ignore"):
            values = np.where(of > 0.0, self.values / of, np.nan)
        return replace(
            self,
            values=values,
            of=of,
            warnings=tuple(dict.fromkeys(self.warnings + other.warnings)),
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )

    def _part(self, some: slice) -> "Series":
        of = None if self.of is None else self.of[some]
        return replace(self, times=self.times[some], values=self.values[some], of=of)
