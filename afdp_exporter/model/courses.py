"""What a metric did around a deployment, beside what it would have done without it."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The mean over the stretch that was judged: as measured, and as expected without the deployment.

    Every figure is in the metric's own unit; `low` and `high` are the 5 % and 95 % points of `expected`.
    """

    start: datetime
    end: datetime
    measured: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One metric around a deployment, as its judgement saw it; all figures in the metric's own unit.

    `measured` has a value at `start`, `start + step` and so on, None where there is a gap. `expected` has the last of
    these instants, from the deployment on: the course without the deployment. Nine of ten single values were to lie
    between `expected - below` and `expected + above`. There is no `level` and no `expected` where nothing was judged.
    """

    metric: str
    start: datetime
    step: timedelta
    measured: tuple[float | None, ...]
    expected: tuple[float, ...] = ()
    below: float = 0.0
    above: float = 0.0
    level: Level | None = None
