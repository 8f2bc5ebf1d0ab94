"""What the detectors found about one metric, and how much it weighs against the deployment."""

from dataclasses import dataclass, replace
from math import log, log1p, log10

import numpy as np

from afdp_exporter.detectors.excursion import Excursion, excursion
from afdp_exporter.detectors.grid import Grid
from afdp_exporter.detectors.jump import Jump, jump
from afdp_exporter.detectors.level import Level, level, step_at
from afdp_exporter.detectors.onset import Changepoint, Onset, Path, around, around_raw, changepoint, locate
from afdp_exporter.detectors.robust import median

UNUSUAL = 0.1  # p-value of the level: what the series does by itself more often is blamed on nobody
COMMON = 0.4  # share of the step that the control makes too, from which on a common cause is suspected
NEAR = (6, 24)  # steps compared on either side of the onset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What the detectors found about one metric; `common`: the control moved along.

    `step` is the level measured again from the onset on, where the deployment is likely to be blamed. `weight` is in
    powers of ten; from 0 on it is more likely than not that the deployment made a lasting shift.
    """

    grid: Grid
    level: Level
    onset: Onset
    away: Excursion | None
    step: Level | None
    p_value: float
    persistence: float
    end_share: float
    weight: float
    common: bool

    @property
    def attributed(self) -> bool:
        """Whether the deployment is to blame for a lasting shift."""
        return self.weight >= 0.0 and self.p_value < UNUSUAL and not self.common

    @property
    def score(self) -> float:
        """The weight, lifted above every other when attributed."""
        return 100.0 + self.weight if self.attributed else self.weight


def weigh(grid: Grid) -> Evidence | None:
    """Ask every detector; None when the history is too short for an answer."""
    path = around(grid)
    measured, onset = level(grid), locate(path)
    if measured is None or onset is None:
        return None
    shares, away = _shares(path, measured, onset), excursion(grid)
    raw = around_raw(grid)
    weight = sum(
        (
            OFFSET,
            _weight_of_level(measured.p_value, shares),
            _weight_of_onset(onset, locate(raw), changepoint(raw)),
            -0.75 * max(log10(path.window_share / USUAL_WINDOW), 0.0),
            _weight_of_jump(jump(grid)),
            _weight_of_excursion(away, measured),
        )
    )
    step = step_at(grid, onset.position) if weight >= 0.0 and measured.p_value < UNUSUAL else None
    return Evidence(
        grid=grid,
        level=measured,
        onset=onset,
        away=away,
        step=step,
        p_value=measured.p_value,
        persistence=min(shares),
        end_share=shares[-1],
        weight=weight + _weight_of_agreement(measured, step),
        common=False,
    )


# The weight is a sum of bounded terms, so that no single one can convict. Their factors were fitted by logistic
# regression to known shifts against placebos, shifts at other times, excursions and grown spreads on real series
# (`benchmarks/attribution.py`), a series' cases always judged by factors that other series gave, then rounded. The
# term for the window keeps a wide one (an early look, a slow response) from finding by chance what a narrow one would
# not: its factor shares one budget of false alarms among the looks.
OFFSET = -2.1
USUAL_WINDOW = 0.12  # share of the path in which an onset counts


def _weight_of_level(p_value: float, shares: list[float]) -> float:
    """How unusual the change is; that each third after the onset shows it; and that the last does not run away."""
    unusual = min(max(-log10(max(p_value, 1e-12)), 0.3), 2.0)
    return 0.4 * unusual + 0.75 * min(max(min(shares), 0.0), 0.6) - 0.75 * log(min(max(shares[-1], 1.25), 5.0))


def _weight_of_onset(onset: Onset, longer: Onset | None, change: Changepoint | None) -> float:
    """How surely it moved in the window: on the path, on a longer one as it was measured, and by its kernel."""
    share = min(max(onset.share, 1e-3), 1.0 - 1e-3)
    odds = min(max(log10(share / (1.0 - share)), -2.0), 1.5)
    gain = min(max(log1p(change.gain) if change else 0.0, 2.0), 3.8)
    return 0.35 * odds + 0.3 * log10(max(longer.share if longer else 0.0, 0.01)) + 0.5 * gain


def _weight_of_jump(largest: Jump | None) -> float:
    if largest is None:
        return 0.4 * -1.0 + 0.3 * -1.2
    any_length, longest = (log(max(size, 1e-3)) for size in (largest.any_length, largest.longest))
    return 0.4 * min(max(any_length, -1.0), 1.0) + 0.3 * min(max(longest, -1.2), 1.0)


def _weight_of_excursion(away: Excursion | None, measured: Level) -> float:
    """An excursion takes for itself what it moved the level by; one to the other side has moved nothing that way."""
    rarity = away.rarity if away is not None and away.height * measured.change > 0.0 else 0.0
    return -0.65 * log(min(max(rarity, 0.9), 6.0))


def _weight_of_agreement(measured: Level, step: Level | None) -> float:
    """A change of the level that is not made by a step at the onset comes from elsewhere."""
    if step is None or measured.change == 0.0:
        return 0.0
    return 0.5 * log(min(max(step.change / measured.change, 0.25), 1.0))


def _shares(path: Path, measured: Level, onset: Onset) -> list[float]:
    """The medians of three parts after the onset, as shares of the change; a lasting shift has a good part of each.

    Season and control are taken out of the path: else the slope of the day hides a shift, or passes for one.
    """
    if measured.change == 0.0:
        return [0.0]
    at = onset.position - path.begin
    base = median(path.values[max(0, at - measured.back) : at])
    parts = np.array_split(path.values[at:], 3)
    return [(median(part) - base) / measured.change for part in parts if len(part)]


def moved_along(evidence: Evidence, control: Grid | None) -> bool:
    """Whether the control made a good part of the same step, as a share of its level, at the same time."""
    if control is None or control.n != evidence.grid.n:
        return False
    for near in NEAR:
        own, other = (_step_share(grid, evidence.onset.position, near) for grid in (evidence.grid, control))
        if own != 0.0 and other / own >= COMMON:
            return True
    return False


def _step_share(grid: Grid, position: int, near: int) -> float:
    """The step at a position, as a share of the level before it; so many steps are compared on either side."""
    before = median(grid.values[max(0, position - near) : position])
    after = median(grid.values[position : position + near])
    level_before = abs(grid.centre + grid.scale * before)
    return (after - before) * grid.scale / level_before if level_before > 0 else 0.0


def beside_control(evidence: Evidence, ratio: Evidence | None) -> Evidence:
    """The evidence that is left when the series is seen in units of a control that moved along."""
    if ratio is None:
        return replace(evidence, weight=min(evidence.weight, -1.0), p_value=1.0, common=True)
    return replace(
        evidence,
        weight=min(evidence.weight, ratio.weight),
        persistence=min(evidence.persistence, ratio.persistence),
        p_value=max(evidence.p_value, ratio.p_value),
        common=not ratio.attributed,
    )
