"""What is watched, and the series that tell of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import Any, ClassVar

import numpy as np

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
    """What one unit of a metric is worth: one unit less (or more, as it hurts) costs `per_unit` an hour."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    currency: str
    per_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """A query for the canary and one for the stable version."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    canary: str | Mapping[str, Any]
    stable: str | Mapping[str, Any]


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
    primary: bool = True  # judged for the outcome; the others are told as "also moved"
    environments: tuple[str, ...] = ()  # empty: every environment
    canary: str | Mapping[str, Any] | None = None  # the same of a canary alone, and ...
    stable: str | Mapping[str, Any] | None = None  # ... of the stable version beside it
    of: Arms | None = None  # what `canary` and `stable` are counted in, where they are counts of a minute
    worth: float | str | None = None  # the smallest change that matters: in its unit, or "10%" of its level

    def __post_init__(self) -> None:
        share = self.worth_share
        if self.worth is not None and not 0 < (float(self.worth) if share is None else share) < inf:
            raise ValueError('worth has to be a positive number or a share such as "10%"')
        if (self.canary is None) is not (self.stable is None):
            raise ValueError("canary and stable are needed together")
        if self.of is not None and self.canary is None:
            raise ValueError("of needs canary and stable: what they are counted in")

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

    Both arrays are read-only and in order of time. `warnings` are the source's own words about partial data, `notes`
    those about the query itself, of which nothing is missing.
    """

    metric: str
    labels: Mapping[str, str]
    times: Floats
    values: Floats
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> int:
        """How many of its points are no gaps."""
        return int(np.isfinite(self.values).sum())

    def until(self, end: datetime) -> "Series":
        """Its points up to and with an instant."""
        count = int(np.searchsorted(self.times, end.timestamp(), side="right"))
        return replace(self, times=self.times[:count], values=self.values[:count])

    def every(self, stride: int, first: int) -> "Series":
        """Every so many-th of its points, from one on."""
        return replace(self, times=self.times[first::stride], values=self.values[first::stride])
