"""How far to trust the verdicts on a user's own series: false alarms and the smallest change that would be seen.

Both are measured, not derived: placebo deployments are judged at instants of the past at which nothing was deployed
(placebo-in-time, Abadie, Diamond and Hainmueller 2010), and steps of growing size are laid on the series there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from afdp_exporter.impact.attribution import judge
from afdp_exporter.model import Floats

_CLEAR_OF_DEPLOYMENTS = 7200.0  # seconds: what a real deployment did must not count as a false alarm
_SEEN = 0.8  # the share of placebo instants at which a change must be seen to count as visible


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """How many of `n` placebo deployments were blamed."""

    count: int
    n: int

    @property
    def ratio(self) -> float:
        """The share that was blamed; NaN where none could be judged."""
        return self.count / self.n if self.n else float("nan")


def placebo_instants(times: Floats, deployments: Sequence[float], *, history: float, after: float, most: int) -> Floats:
    """Up to `most` evenly spaced instants with `history` seconds before and `after` behind them, clear of deployments.

    `times` (n,) Unix seconds, `deployments` the Unix seconds of the known ones. Returns (k,), k <= most.
    """
    if times.size == 0:
        return np.empty(0)
    first, last = times[0] + history, times[-1] - after
    if last <= first:
        return np.empty(0)
    instants = np.linspace(first, last, most)
    known = np.asarray(deployments, dtype=np.float64)
    clear = np.all(np.abs(instants[:, None] - known[None, :]) > _CLEAR_OF_DEPLOYMENTS, axis=1)
    return instants[clear]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """A series on which placebo deployments are judged as real ones would be: with so much history, so long after.

    `times` (n,) Unix seconds, `values` (n,), `control` (n,) or None; `history` and `after` in seconds.
    """

    times: Floats
    values: Floats
    control: Floats | None
    history: float
    after: float

    def blames(self, instant: float, step_by: float = 0.0) -> bool:
        """Whether a placebo at `instant` is blamed, after a lasting step of this size was laid on the series there."""
        seen = (self.times >= instant - self.history) & (self.times <= instant + self.after)
        times = self.times[seen]
        values = self.values[seen] + np.where(times >= instant, step_by, 0.0)
        control = None if self.control is None else self.control[seen]
        return judge(times, values, instant, control=control).attributed


def false_alarms(replay: Replay, instants: Floats) -> FalseAlarms:
    """Judge a placebo deployment at each of the `instants` (k,)."""
    return FalseAlarms(count=sum(replay.blames(instant) for instant in instants), n=int(instants.size))


def smallest_visible_change(replay: Replay, instants: Floats) -> float | None:
    """The smallest lasting step, in the metric's unit, that is seen at four of five of the `instants` (k,).

    Steps of growing size (by a quarter each) are laid on the series. None where nothing up to ten times the range that
    the series covers by itself would be seen, or there are no instants.
    """
    spread = _spread(replay.values)
    if instants.size == 0 or spread <= 0:
        return None
    sizes = spread * np.geomspace(0.1, 10.0, 22)
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        seen = [replay.blames(instant, sizes[middle]) for instant in instants]
        low, high = (low, middle) if np.mean(seen) >= _SEEN else (middle + 1, high)
    return float(sizes[low]) if low < len(sizes) else None


def _spread(values: Floats) -> float:
    """The 5 to 95 % range: what the series covers by itself."""
    finite = values[np.isfinite(values)]
    return float(np.diff(np.quantile(finite, [0.05, 0.95]))[0]) if finite.size else 0.0
