"""Was it this deployment? The answers of the detectors, weighed into one finding for one metric."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log1p, log10
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from afdp_exporter.detectors.alignment import align
from afdp_exporter.detectors.drift import drifts
from afdp_exporter.detectors.excursion import Excursion, excursion
from afdp_exporter.detectors.grid import Grid, prepare
from afdp_exporter.detectors.level import Level, level, step_at
from afdp_exporter.detectors.onset import Onset, Path, around, around_raw, changepoint, locate
from afdp_exporter.detectors.spread import Spread, spread
from afdp_exporter.impact.finding import Finding
from afdp_exporter.model import Attribution, Floats, Worse

LEAST_BEFORE = 20
LEAST_AFTER = 3
STEADY = 0.25
THRESHOLD = 1.0  # weight from which on the deployment is blamed
USUAL_WINDOW = 0.12  # share of the path in which an onset counts
COMMON = 0.4  # share of the step that the control makes too, from which on a common cause is suspected
RARE = 1.55  # rarity of an excursion from which on it is reported
CLEARLY_RARE = 1.8  # the same, where it could also be a lasting shift
RETURNED = 0.5  # share of an excursion that may be left when it is over
SCATTERED = 0.12  # p-value of a grown spread
DRIFTED = 0.05  # p-value of the level for a gradual change
NEAR = 6  # steps compared on either side of the onset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Evidence:
    """What the detectors found about one metric; `common`: the control moved along; `over`: it came back."""

    grid: Grid
    level: Level
    onset: Onset
    p_value: float
    persistence: float
    end_share: float
    weight: float
    common: bool
    over: bool = False

    @property
    def attributed(self) -> bool:
        """Whether the deployment is to blame for a lasting shift."""
        possible = self.persistence >= STEADY and self.p_value < 0.3 and self.onset.share > 0.05
        return possible and self.weight >= THRESHOLD and not (self.common or self.over)

    @property
    def score(self) -> float:
        """The weight, lifted above every other when attributed; else the place counts less, and lasting counts."""
        if self.attributed:
            return 100.0 + self.weight
        return self.weight - log10(max(self.onset.share, 0.01)) + 2.0 * min(max(self.persistence, 0.0), 0.5)


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
    evidence = _weigh(grid)
    if evidence is None:
        return _short(grid)
    if other is not None and evidence.attributed and _moved_along(evidence, on_grid(other, None)):
        ratio = on_grid(_ratio(raw, other), None)
        evidence = _beside(evidence, None if ratio is None else _weigh(ratio))
    return _decide(evidence)


def _array(data: ArrayLike, name: str) -> Floats:
    array = np.asarray(data, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {array.ndim}")
    return array


def _ratio(values: Floats, control: Floats) -> Floats:
    """The series in units of its control, NaN where the control is not positive."""
    with np.errstate(all="ignore"):
        return np.where(control > 0, values / control, np.nan)


def _moved_along(evidence: _Evidence, control: Grid | None) -> bool:
    """Whether the control made a good part of the same step, as a share of its level, at the same time."""
    if control is None or control.n != evidence.grid.n:
        return False
    own, other = (_step_share(grid, evidence.onset.position) for grid in (evidence.grid, control))
    return own != 0.0 and other / own >= COMMON


def _step_share(grid: Grid, position: int) -> float:
    """The step right at a position, as a share of the level before it."""
    before = float(np.median(grid.values[max(0, position - NEAR) : position]))
    after = float(np.median(grid.values[position : position + NEAR]))
    level_before = abs(grid.centre + grid.scale * before)
    return (after - before) * grid.scale / level_before if level_before > 0 else 0.0


def _beside(evidence: _Evidence, ratio: _Evidence | None) -> _Evidence:
    """The evidence that is left when the series is seen in units of a control that moved along."""
    if ratio is None:
        return replace(evidence, weight=min(evidence.weight, THRESHOLD - 1.0), p_value=1.0, common=True)
    return replace(
        evidence,
        weight=min(evidence.weight, ratio.weight),
        persistence=min(evidence.persistence, ratio.persistence),
        p_value=max(evidence.p_value, ratio.p_value),
        common=not ratio.attributed,
    )


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


def _weigh(grid: Grid) -> _Evidence | None:
    """Ask level and onset; None when the history is too short for an answer."""
    path = around(grid)
    measured, onset = level(grid), locate(path)
    if measured is None or onset is None:
        return None
    shares = _shares(grid, measured, onset)
    return _Evidence(
        grid=grid,
        level=measured,
        onset=onset,
        p_value=measured.p_value,
        persistence=min(shares),
        end_share=shares[-1],
        weight=_weight(grid, path, onset, measured.p_value),
        common=False,
    )


def _decide(evidence: _Evidence) -> Finding:
    grid = evidence.grid
    away = excursion(grid)
    rare = away is not None and away.left < RETURNED and away.rarity > RARE
    if evidence.attributed and not (rare and away is not None and away.rarity > CLEARLY_RARE):
        return _level_shift(evidence)
    if evidence.common:
        return _common(evidence)
    scatter = spread(grid, away if rare else None)
    if scatter is not None and scatter.p_value < SCATTERED and scatter.ratio > 1.0:
        return _scattered(replace(evidence, over=True), scatter)
    if rare and away is not None:
        return _transient(replace(evidence, over=True), away)
    if evidence.p_value < DRIFTED and evidence.end_share >= 0.5 and drifts(around(grid)):
        return _gradual(evidence)
    return _nothing(evidence)


def _weight(grid: Grid, path: Path, onset: Onset, p_value: float) -> float:
    """The weight of the evidence, in powers of ten: how unusual the level is, and how surely it moved in the window.

    The factors were fitted by logistic regression to known shifts and placebos on real series, then rounded. The last
    term keeps a wide window (an early look, a slow response) from finding by chance what a narrow one would not.
    """
    raw = around_raw(grid)
    wide = locate(raw)
    change = changepoint(raw)
    terms = (
        min(-log10(max(p_value, 1e-12)), 4.0),
        2.0 * log10(max(onset.share, 0.01)),
        log10(max(wide.share if wide else 0.0, 0.01)),
        0.4 * log1p(change.gain if change else 0.0),
        -1.5 * max(0.0, log10(path.window_share / USUAL_WINDOW)),
    )
    return sum(terms)


def _shares(grid: Grid, measured: Level, onset: Onset) -> list[float]:
    """The medians of three parts after the onset, as shares of the change; a lasting shift has a good part of each."""
    if measured.change == 0.0:
        return [0.0]
    base = float(np.median(grid.values[max(0, onset.position - measured.back) : onset.position]))
    parts = np.array_split(grid.values[onset.position :], 3)
    return [(float(np.median(part)) - base) / measured.change for part in parts if len(part)]


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
    again = step_at(evidence.grid, evidence.onset.position)
    figures = _figures(evidence if again is None else replace(evidence, level=again))
    figure = figures["change"] / max(evidence.level.error * evidence.grid.scale, 1e-300)
    alone = "" if evidence.grid.control is not None else "; without a control a common cause cannot be excluded"
    reason = (
        f"its level moved when the deployment came and stayed, {abs(figure):.1f} times as far as it usually moves "
        f"by itself{alone}"
    )
    lasting = evidence.grid.time(evidence.grid.n) - evidence.grid.time(evidence.onset.position)
    return Finding(
        attributed=True, verdict=Attribution.ATTRIBUTED, reason=reason, shape="level",
        duration_seconds=lasting, **_timing(evidence), **figures,
    )  # fmt: skip


def _transient(evidence: _Evidence, away: Excursion) -> Finding:
    grid = evidence.grid
    timing: dict[str, Any] = {
        "onset": grid.time(away.begin),
        "onset_low": grid.time(away.begin - 1),
        "onset_high": grid.time(away.begin + 1),
    }
    before, change = grid.centre + grid.scale * away.level, grid.scale * away.height
    figures = _figures(evidence) | {
        "before": before,
        "after": before + change,
        "change": change,
        "low": change - grid.scale * away.error,
        "high": change + grid.scale * away.error,
        "change_ratio": change / abs(before) if before else None,
    }
    return Finding(
        attributed=False, verdict=Attribution.TRANSIENT, shape="transient",
        reason="it left its level after the deployment and came back",
        duration_seconds=grid.time(away.end) - grid.time(away.begin), recovered_at=grid.time(away.end),
        **timing, **figures,
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


def _common(evidence: _Evidence) -> Finding:
    reason = "what the deployment cannot have touched moved along with it: the cause is a common one"
    return Finding(
        attributed=False, verdict=Attribution.NOT_DISTINGUISHABLE, reason=reason, **_figures(evidence)
    )  # fmt: skip


def _nothing(evidence: _Evidence) -> Finding:
    reason = "it moved no further than it moves by itself"
    return Finding(attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, **_figures(evidence))
