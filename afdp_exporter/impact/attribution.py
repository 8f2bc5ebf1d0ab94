"""Was it this deployment? The answers of the detectors, weighed into one finding for one metric."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

import numpy as np
from numpy.typing import ArrayLike

from afdp_exporter.detectors.alignment import align
from afdp_exporter.detectors.drift import drifts
from afdp_exporter.detectors.excursion import Excursion
from afdp_exporter.detectors.grid import REACH_SECONDS, Grid, prepare
from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.detectors.onset import around
from afdp_exporter.detectors.repetition import without_repeats
from afdp_exporter.detectors.spread import Spread, spread
from afdp_exporter.impact.answers import (
    common_cause,
    gradual,
    level_shift,
    no_effect,
    scattered,
    too_short,
    transient,
    unusable,
)
from afdp_exporter.impact.artefacts import beside_dip, increments, of_counter, without_dip
from afdp_exporter.impact.evidence import Evidence, beside_control, moved_along, weigh
from afdp_exporter.impact.finding import Finding
from afdp_exporter.impact.likelihood import NOTHING_MOVED, likelihood
from afdp_exporter.impact.recurring import after_a_night, beyond_the_clock
from afdp_exporter.impact.usual import Habit, after_restart, habit, told, without
from afdp_exporter.model import Attribution, Floats, Worse

LEAST_AFTER = 3
RARE = 1.3  # rarity of an excursion from which on it is reported
SCATTERED = 0.17  # p-value of a grown spread
_OF_WINDOW = 0.75  # of the query's window that an excursion shows at least
DRIFTED = 0.05  # p-value of the level for a gradual change


def judge(
    times: ArrayLike,
    values: ArrayLike,
    deployed_at: float,
    *,
    finished_at: float | None = None,
    control: ArrayLike | None = None,
    earlier_deployments: Sequence[float] = (),
    worse: str = "either",
    step: float | None = None,
    respond_within: float | None = None,
    rate_window: float | None = None,
    time_zone: tzinfo = UTC,
) -> Finding:
    """Judge whether a deployment shifted a metric; pure, and silent about data that cannot tell.

    `times` are Unix seconds (n,) and `values` float64 (n,), NaN where there is a gap, in any order. `control` (n,) is
    what the deployment cannot have touched, at the same times. `worse` (up, down, either) decides on `harmful` alone: a
    change for the better is looked for alike. `respond_within` is how many seconds after the rollout the onset may come
    (default: the longer of 15 minutes and 4 steps). `rate_window` are the seconds over which the
    query takes a rate: a dip no longer than that, while instances are replaced, is no loss. What follows the
    `earlier_deployments` alike is usual, and only what goes beyond it is judged; so is what the same minutes of earlier
    days did, by the clock of the `time_zone`. Repetitions of the last sample are no measurements. Raises ValueError
    only for arrays whose shapes do not fit together.
    """
    at, raw, other = _in_order(times, values, control)
    raw = without_repeats(at, raw)
    asked = _Asked(
        deployed_at=float(deployed_at),
        finished_at=finished_at,
        earlier=tuple(earlier_deployments),
        step=step,
        respond_within=respond_within,
        zone=time_zone,
        rate_window=rate_window,
    )
    with np.errstate(all="ignore"):
        growth = increments(at, raw, asked.deployed_at, asked.last_onset)
        dip = None
        if rate_window is not None:
            raw, dip = without_dip(at, raw, asked.deployed_at, finished_at, rate_window)
    finding = _judged(at, raw, other, asked) if growth is None else of_counter(_judged(at, growth, other, asked))
    if growth is None and dip is not None and rate_window is not None:
        finding = beside_dip(finding, dip, rate_window)
    return _directed(finding, Worse(worse))


def _directed(finding: Finding, worse: Worse) -> Finding:
    """The finding, with whether its change goes where it hurts."""
    if not finding.change or worse is Worse.EITHER:
        return finding
    return replace(finding, harmful=(finding.change > 0) is (worse is Worse.UP))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The rollout that is judged, Unix seconds; the rest as `judge` was given it."""

    deployed_at: float
    finished_at: float | None
    earlier: tuple[float, ...]
    step: float | None
    respond_within: float | None
    zone: tzinfo
    rate_window: float | None

    @property
    def shortest(self) -> float:
        """Seconds that any excursion lasts: what a query over a window shows stays in it as long as the window is."""
        return _OF_WINDOW * (self.rate_window or 0.0)

    @property
    def last_onset(self) -> float:
        """The last instant at which a restart belongs to the rollout."""
        ended = self.deployed_at if self.finished_at is None else max(self.finished_at, self.deployed_at)
        return ended + (self.respond_within or REACH_SECONDS)

    def grid(self, at: Floats, series: Floats, beside: Floats | None) -> Grid | None:
        """A series as it was measured around the rollout."""
        return prepare(
            at, series, self.deployed_at, finished_at=self.finished_at, control=beside, step=self.step,
            respond_within=self.respond_within, zone=self.zone,
        )  # fmt: skip

    def natural(self, grid: Grid, found: Habit | None) -> Grid:
        """The grid without what earlier deployments did and what usually follows one."""
        return align(grid if found is None else without(found, self.earlier), self.earlier)


def _judged(at: Floats, raw: Floats, other: Floats | None, asked: _Asked) -> Finding:
    measured = asked.grid(at, raw, other)
    silent = _silent(measured)
    if measured is None or silent is not None:
        return silent or unusable()
    found = habit(measured, asked.earlier)
    if found is not None and found.response.restarts:
        restarted = after_restart(found, asked.earlier)
        if restarted is not None:
            return restarted
        found = None
    grid = asked.natural(measured, found)
    evidence = weigh(grid)
    if evidence is None:
        return too_short(grid)
    if other is not None and evidence.attributed:
        beside = asked.grid(at, other, None)
        if moved_along(evidence, None if beside is None else align(beside, asked.earlier)):
            ratio = asked.grid(at, _ratio(raw, other), None)
            evidence = beside_control(
                evidence, None if ratio is None else weigh(asked.natural(ratio, habit(ratio, asked.earlier)))
            )
    finding = _decide(evidence, asked.shortest)
    finding = beyond_the_clock(finding, evidence, asked.earlier)
    finding = after_a_night(finding, evidence, asked.earlier)
    return finding if found is None else told(finding, found)


def _in_order(times: ArrayLike, values: ArrayLike, control: ArrayLike | None) -> tuple[Floats, Floats, Floats | None]:
    at, raw = _array(times, "times"), _array(values, "values")
    other = None if control is None else _array(control, "control")
    if at.shape != raw.shape or (other is not None and other.shape != at.shape):
        raise ValueError(f"times {at.shape}, values {raw.shape} and control must have the same length")
    if len(at) > 1 and not (at[1:] > at[:-1]).all():
        order = np.argsort(at, kind="stable")
        at, raw, other = at[order], raw[order], None if other is None else other[order]
    return at, raw, other


def _array(data: ArrayLike, name: str) -> Floats:
    array = np.asarray(data, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {array.ndim}")
    return array


def _ratio(values: Floats, control: Floats) -> Floats:
    """The series in units of its control, NaN where the control is not positive."""
    with np.errstate(all="ignore"):
        return np.where(control > 0, values / control, np.nan)


def _silent(grid: Grid | None) -> Finding | None:
    """The finding for data on which nothing can be judged."""
    if grid is None:
        return unusable()
    if grid.deployed < LEAST_HISTORY:
        return too_short(grid)
    if grid.n_after < LEAST_AFTER:
        reason = f"only {grid.n_after} points after the deployment, at least {LEAST_AFTER} are needed"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, n_history=grid.deployed)
    if not grid.real[grid.deployed :].mean() > 0.5:
        reason = "most of the data after the deployment is missing"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, n_history=grid.deployed)
    if np.ptp(grid.values) == 0.0:
        reason = "the metric has not moved at all"
        return Finding(
            attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, n_history=grid.deployed,
            log_factor=NOTHING_MOVED,
        )  # fmt: skip
    return None


def _against_the_level(away: Excursion, evidence: Evidence) -> bool:
    """Whether it went to the other side than a level that moved unusually far: then it is not what happened here."""
    return evidence.p_value < DRIFTED and away.height * evidence.level.change < 0.0


def _decide(evidence: Evidence, shortest: float) -> Finding:
    away = evidence.away
    if away is not None and _against_the_level(away, evidence):
        away = None
    if away is not None and (away.end - away.begin) * evidence.grid.step < shortest:
        away = None
    rare = away is not None and away.rarity > RARE
    scatter = None if evidence.attributed else spread(evidence.grid, away if rare else None)
    likely = likelihood(evidence, away, scatter)
    score = evidence.score if evidence.attributed else likely.rank
    return replace(_verdict(evidence, away if rare else None, scatter), log_factor=likely.log_factor, score=score)


def _verdict(evidence: Evidence, away: Excursion | None, scatter: Spread | None) -> Finding:
    if evidence.attributed:
        return level_shift(evidence)
    if evidence.common:
        return common_cause(evidence)
    if scatter is not None and scatter.p_value < SCATTERED and scatter.ratio > 1.0:
        return scattered(evidence, scatter)
    if away is not None:
        return transient(evidence, away)
    if evidence.p_value < DRIFTED and evidence.end_share >= 0.5 and drifts(around(evidence.grid)):
        return gradual(evidence)
    return no_effect(evidence)
