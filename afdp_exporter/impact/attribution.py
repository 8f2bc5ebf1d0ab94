"""Was it this deployment? The answers of the detectors, weighed into one finding for one metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from afdp_exporter.detectors.alignment import align
from afdp_exporter.detectors.excursion import Excursion, excursion
from afdp_exporter.detectors.grid import Grid, prepare
from afdp_exporter.detectors.level import Level, level
from afdp_exporter.detectors.onset import Onset, around, changepoint, locate
from afdp_exporter.detectors.spread import Spread, spread
from afdp_exporter.impact.finding import Finding
from afdp_exporter.model import Attribution, Floats, Worse

LEAST_BEFORE = 20
LEAST_AFTER = 3
STEADY = 0.35
TOGETHER = 0.1  # p-value of the ratio to the control, above which the two moved together


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Evidence:
    """What the detectors found about one metric."""

    grid: Grid
    level: Level
    onset: Onset
    p_value: float
    persistence: float
    score: float
    excursion: Excursion | None
    spread: Spread | None


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
) -> Finding:
    """Judge whether a deployment shifted a metric; pure, and silent about data that cannot tell.

    `times` are Unix seconds (n,) and `values` float64 (n,), NaN where there is a gap, in any order. `control` (n,) is
    what the deployment cannot have touched, at the same times. `respond_within` is how many seconds after the rollout
    the onset may come (default: the longer of 15 minutes and 4 steps). Raises ValueError only for arrays whose shapes
    do not fit together.
    """
    at, raw = _array(times, "times"), _array(values, "values")
    other = None if control is None else _array(control, "control")
    if at.shape != raw.shape or (other is not None and other.shape != at.shape):
        raise ValueError(f"times {at.shape}, values {raw.shape} and control must have the same length")
    Worse(worse)

    def on_grid(series: Floats, beside: Floats | None) -> Grid | None:
        grid = prepare(
            at, series, float(deployed_at),
            finished_at=finished_at, control=beside, step=step, respond_within=respond_within,
        )  # fmt: skip
        return None if grid is None else align(grid, earlier_deployments)

    grid = on_grid(raw, other)
    silent = _silent(grid)
    if grid is None or silent is not None:
        return silent or _unusable()
    measured, onset = level(grid), locate(around(grid))
    if measured is None or onset is None:
        return _short(grid)
    beside = None if other is None else _ratio(raw, other)
    compared = None if beside is None else on_grid(beside, None)
    p_value = _with_control(measured.p_value, None if compared is None else level(compared))
    return _decide(grid, measured, onset, p_value)


def _array(data: ArrayLike, name: str) -> Floats:
    array = np.asarray(data, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {array.ndim}")
    return array


def _ratio(values: Floats, control: Floats) -> Floats | None:
    """The series in units of its control; None where the control is not always positive."""
    known = control[np.isfinite(control)]
    if not len(known) or known.min() <= 0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        return values / control


def _with_control(p_value: float, ratio: Level | None) -> float:
    """The larger p-value, where the ratio to the control shows nothing: then both moved together."""
    return max(p_value, ratio.p_value) if ratio is not None and ratio.p_value > TOGETHER else p_value


def _silent(grid: Grid | None) -> Finding | None:
    """The finding for data on which nothing can be judged."""
    if grid is None:
        return _unusable()
    if grid.deployed < LEAST_BEFORE:
        return _short(grid)
    if grid.n_after < LEAST_AFTER:
        reason = f"only {grid.n_after} points after the deployment, at least {LEAST_AFTER} are needed"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, n_history=grid.deployed)
    if not grid.real[grid.deployed :].mean() > 0.5:
        reason = "most of the data after the deployment is missing"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, n_history=grid.deployed)
    if np.ptp(grid.values) == 0.0:
        reason = "the metric has not moved at all"
        return Finding(attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, n_history=grid.deployed)
    return None


def _unusable() -> Finding:
    return Finding(
        attributed=False, verdict=Attribution.INSUFFICIENT_HISTORY, reason="there is no usable data for this metric"
    )


def _short(grid: Grid) -> Finding:
    reason = f"{grid.deployed} points before the deployment are too few to know what is natural for this metric"
    return Finding(attributed=False, verdict=Attribution.INSUFFICIENT_HISTORY, reason=reason, n_history=grid.deployed)


def _decide(grid: Grid, measured: Level, onset: Onset, p_value: float) -> Finding:
    scatter = spread(grid)
    away = excursion(grid)
    steady = _persistence(grid, measured, onset)
    likely = -log10(max(p_value, 1e-12))
    weight = likely + 1.5 * log10(max(onset.share, 1e-9)) - 1.0
    attributed = steady >= STEADY and p_value < 0.1 and onset.share >= 0.2 and weight >= 0.0
    if not attributed and steady >= STEADY and p_value < 0.01:
        attributed = changepoint(around(grid)) is not None
    score = 100.0 + weight if attributed else min(weight, 50.0)
    evidence = _Evidence(
        grid=grid, level=measured, onset=onset, p_value=p_value, persistence=steady, score=score,
        excursion=away, spread=scatter,
    )  # fmt: skip
    if attributed:
        return _level_shift(evidence)
    if away is not None and away.end is not None and away.rarity > 1.6 and away.p_value < 0.03:
        return _transient(evidence, away)
    if p_value < 0.03 and steady >= STEADY:
        return _gradual(evidence)
    if scatter is not None and scatter.p_value < 0.02 and not 0.7 < scatter.ratio < 1.4:
        return _scattered(evidence, scatter)
    return _nothing(evidence)


def _persistence(grid: Grid, measured: Level, onset: Onset) -> float:
    """The least of the medians of three parts after the onset, as a share of the change."""
    if measured.change == 0.0:
        return 0.0
    base = float(np.median(grid.values[max(0, onset.position - measured.back) : onset.position]))
    parts = np.array_split(grid.values[onset.position :], 3)
    return min((float(np.median(part)) - base) / measured.change for part in parts if len(part))


def _figures(evidence: _Evidence) -> dict[str, Any]:
    """Every field that a measured change has, in the metric's own unit."""
    grid, measured, onset = evidence.grid, evidence.level, evidence.onset
    base = float(grid.values[grid.deployed - measured.back : grid.deployed].mean())
    before = grid.centre + grid.scale * base
    change, half = measured.change * grid.scale, measured.half_width() * grid.scale
    return {
        "p_value": evidence.p_value,
        "score": evidence.score,
        "before": before,
        "after": before + change,
        "change": change,
        "low": change - half,
        "high": change + half,
        "change_ratio": change / abs(before) if before else None,
        "n_history": grid.deployed,
        "account": {
            "step_seconds": grid.step,
            "placebo_error": measured.error * grid.scale,
            "independent_windows": measured.independent,
            "forward_steps": measured.forward,
            "back_steps": measured.back,
            "onset_share": onset.share,
            "persistence": evidence.persistence,
        },
    }


def _timing(evidence: _Evidence) -> dict[str, Any]:
    grid, onset = evidence.grid, evidence.onset
    return {
        "onset": grid.time(onset.position),
        "onset_low": grid.time(onset.low),
        "onset_high": grid.time(onset.high),
        "onset_share": onset.share,
    }


def _level_shift(evidence: _Evidence) -> Finding:
    figures = _figures(evidence)
    reason = "its level moved when the deployment came, further than it moves by itself, and stayed"
    lasting = evidence.grid.time(evidence.grid.n) - evidence.grid.time(evidence.onset.position)
    return Finding(
        attributed=True, verdict=Attribution.ATTRIBUTED, reason=reason, shape="level",
        duration_seconds=lasting, **_timing(evidence), **figures,
    )  # fmt: skip


def _transient(evidence: _Evidence, away: Excursion) -> Finding:
    grid = evidence.grid
    end = away.end or grid.n
    timing: dict[str, Any] = {
        "onset": grid.time(away.begin),
        "onset_low": grid.time(away.begin - 1),
        "onset_high": grid.time(away.begin),
    }
    return Finding(
        attributed=False, verdict=Attribution.TRANSIENT, shape="transient",
        reason="it left its level after the deployment and came back",
        duration_seconds=grid.time(end) - grid.time(away.begin), recovered_at=grid.time(end),
        **timing, **_figures(evidence),
    )  # fmt: skip


def _gradual(evidence: _Evidence) -> Finding:
    return Finding(
        attributed=False, verdict=Attribution.GRADUAL, shape="gradual",
        reason="it drifted further than it does by itself, without a clear beginning", **_figures(evidence),
    )  # fmt: skip


def _scattered(evidence: _Evidence, scatter: Spread) -> Finding:
    reason = (
        f"its level did not shift, but its spread grew {scatter.ratio:.1f} times "
        f"[{scatter.low:.1f}, {scatter.high:.1f}]"
    )
    return Finding(
        attributed=False, verdict=Attribution.INCONCLUSIVE, shape="spread", reason=reason, **_figures(evidence)
    )


def _nothing(evidence: _Evidence) -> Finding:
    reason = "it moved no further than it moves by itself"
    return Finding(attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, **_figures(evidence))
