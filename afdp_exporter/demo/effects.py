"""What was planted: how a deployment changes a series, as a value."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from afdp_exporter.model import Floats


class Shape(StrEnum):
    """The course of an effect."""

    LEVEL = "level"  # at once, and it stays
    PULSE = "pulse"  # at once, and gone after its duration
    HUMP = "hump"  # grows for the first two fifths of its duration, then drains to nothing
    RAMP = "ramp"  # grows over the first half of its duration, then stays until the end of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One change of one series by one deployment, added to what the series would have been.

    `size` is in the metric's own unit (of a hump and a ramp: the peak). `duration` None: it lasts. An effect that
    `undoes` an earlier one is that one's end seen from the deployment that fixed it, and is not added a second time.
    """

    deployment_id: str
    metric: str
    service: str | None  # the label of the series; None: a series of the whole shop
    shape: Shape
    onset: datetime
    size: float
    duration: timedelta | None = None
    undoes: str | None = None

    def course(self, times: Floats) -> Floats:
        """What it adds at `times` (n,)."""
        since = times - self.onset.timestamp()
        length = self.duration.total_seconds() if self.duration else np.inf
        inside = (since >= 0) & (since < length)
        if self.shape is Shape.HUMP:
            height = np.interp(since / length, [0, 0.4, 1], [0, 1, 0])
        elif self.shape is Shape.RAMP:
            height = np.clip(since / (0.5 * length), 0, 1)
        else:
            height = np.ones_like(since)
        return np.asarray(np.where(inside, self.size * height, 0.0))
