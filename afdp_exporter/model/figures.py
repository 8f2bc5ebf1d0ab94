"""Numbers, arrays and stretches of time."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


Trait: TypeAlias = bool | float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its range."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time, both ends included."""

    start: datetime
    end: datetime
