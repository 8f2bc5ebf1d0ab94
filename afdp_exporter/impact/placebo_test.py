"""Placebo tests on a user's own series: the false alarm rate and the smallest detectable change, both measured.

Placebo deployments are judged at past instants at which nothing was deployed (placebo in time, Abadie, Diamond and
Hainmueller 2010), and steps of growing size are added to the series there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

import numpy as np

from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.impact.attribution import judge
from afdp_exporter.impact.verdict import Finding
from afdp_exporter.model import Attribution, Floats

_CLEAR_OF_DEPLOYMENTS = 7200.0  # seconds: what a real deployment did must not count as a false alarm
_APART = 300.0  # seconds between placebos, and the share of the time after them:
_APART_SHARE = 1 / 6  # nearer ones see the same data, and would be counted twice
_POWER = 0.8  # the share of placebo instants at which a change must be seen to count as visible
LEAST_INSTANTS = 5  # placebo instants, from which on such a share means anything


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """How many of the `n` placebo deployments that could be judged had something attributed."""

    count: int
    n: int

    @property
    def ratio(self) -> float:
        """The share of false alarms; NaN where none could be judged."""
        return self.count / self.n if self.n else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlaceboTest:
    """A series on which placebo deployments are judged as real ones would be: with so much history, so long after.

    `times` (n,) Unix seconds, a `step` apart, `values` (n,), NaN where there is a gap, `control` (n,) or None, `of`
    (n,) as in `judge`; `step`, `history` and `after` in seconds; `zone` is the clock by which days are compared.
    """

    times: Floats
    values: Floats
    control: Floats | None
    of: Floats | None = None
    step: float
    history: float
    after: float
    zone: tzinfo = UTC

    def instants(self, deployments: Sequence[float], most: int) -> Floats:
        """Up to `most` evenly spaced instants at which a placebo can be judged, clear of `deployments` (Unix seconds).

        Each has data before it: the whole history, or half of what there is where there is less, and no less than a
        judgement needs; and data as long after it as the look goes. Returns (k,), k <= most.
        """
        there = self.times[np.isfinite(self.values)]
        if there.size == 0:
            return np.empty(0)
        spare = there[-1] - there[0] - self.after
        first = there[0] + max(LEAST_HISTORY * self.step, min(self.history, spare / 2))
        last = there[-1] - self.after
        if last < first:
            return np.empty(0)
        count = min(most, int((last - first) / max(self.step, _APART, _APART_SHARE * self.after)) + 1)
        instants = np.linspace(first, last, count) if count > 1 else np.array([last])
        known = np.asarray(deployments, dtype=np.float64)
        clear = np.all(np.abs(instants[:, None] - known[None, :]) > _CLEAR_OF_DEPLOYMENTS, axis=1)
        return instants[clear]

    def judged(self, instant: float, step_by: float = 0.0) -> Finding | None:
        """What is found of a placebo at `instant`, after a lasting step of this size was laid on the series there.

        None where it cannot be judged.
        """
        seen = (self.times >= instant - self.history) & (self.times <= instant + self.after)
        times = self.times[seen]
        values = self.values[seen] + np.where(times >= instant, step_by, 0.0)
        control = None if self.control is None else self.control[seen]
        of = None if self.of is None else self.of[seen]
        found = judge(times, values, instant, control=control, of=of, step=self.step, time_zone=self.zone)
        return None if _is_undecided(found) else found


def false_alarms(replay: PlaceboTest, instants: Floats) -> FalseAlarms:
    """Judge a placebo deployment at each of the `instants` (k,); those that cannot be judged do not count."""
    found = [finding for instant in instants if (finding := replay.judged(instant)) is not None]
    return FalseAlarms(count=sum(finding.verdict.moved for finding in found), n=len(found))


def empirical_detectable_effect(replay: PlaceboTest, instants: Floats) -> float | None:
    """The smallest lasting step, in the metric's unit, that is seen at four of five of the `instants` (k,).

    Steps of growing size (by a quarter each) are laid on the series. None where nothing up to ten times the range that
    the series covers by itself would be seen, or there are fewer than five instants at which it can be judged.
    """
    spread = _scale(replay.values)
    able = [instant for instant in instants if replay.judged(instant) is not None]
    if len(able) < LEAST_INSTANTS or spread <= 0:
        return None
    sizes = spread * np.geomspace(0.1, 10.0, 22)
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        found = [replay.judged(instant, sizes[middle]) for instant in able]
        seen = np.mean([finding is not None and finding.verdict.moved for finding in found])
        low, high = (low, middle) if seen >= _POWER else (middle + 1, high)
    return float(sizes[low]) if low < len(sizes) else None


def _is_undecided(finding: Finding) -> bool:
    """Whether there was too little data to judge; a spread that grew is doubtful, but it was judged."""
    unmeasured = finding.verdict is Attribution.INCONCLUSIVE and finding.shape is None
    return unmeasured or finding.verdict is Attribution.INSUFFICIENT_HISTORY


def _scale(values: Floats) -> float:
    """The 5 to 95 % range: what the series covers by itself."""
    finite = values[np.isfinite(values)]
    return float(np.diff(np.quantile(finite, [0.05, 0.95]))[0]) if finite.size else 0.0
