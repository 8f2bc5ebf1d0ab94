"""Numbers, arrays and stretches of time."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


NORMAL_REACH = 1.6449
"""Standard deviations from the middle of a normal distribution to its 95 % point, the end of a 90 % interval."""

Trait: TypeAlias = bool | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its range."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast(Estimate):
    """A figure that may not move at all: the points of both possibilities together, the chance that it moves, and the
    points of how far it does then."""

    chance: float = 1.0
    if_moved: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time, both ends included."""

    start: datetime
    end: datetime
