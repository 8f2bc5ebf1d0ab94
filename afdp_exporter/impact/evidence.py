"""What the detectors found about one metric, and how much it weighs against the deployment."""

from dataclasses import dataclass, replace
from math import log1p, log10

import numpy as np

from afdp_exporter.detectors.grid import Grid
from afdp_exporter.detectors.level import Level, level
from afdp_exporter.detectors.onset import Onset, Path, around, around_raw, changepoint, locate

STEADY = 0.25  # share of the change that each third of the time after the onset must show
THRESHOLD = 1.0  # weight from which on the deployment is blamed
USUAL_WINDOW = 0.12  # share of the path in which an onset counts
COMMON = 0.4  # share of the step that the control makes too, from which on a common cause is suspected
NEAR = 6  # steps compared on either side of the onset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
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


def weigh(grid: Grid) -> Evidence | None:
    """Ask level and onset; None when the history is too short for an answer."""
    path = around(grid)
    measured, onset = level(grid), locate(path)
    if measured is None or onset is None:
        return None
    shares = _shares(path, measured, onset)
    return Evidence(
        grid=grid,
        level=measured,
        onset=onset,
        p_value=measured.p_value,
        persistence=min(shares),
        end_share=shares[-1],
        weight=_weight(grid, path, onset, measured.p_value),
        common=False,
    )


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


def _shares(path: Path, measured: Level, onset: Onset) -> list[float]:
    """The medians of three parts after the onset, as shares of the change; a lasting shift has a good part of each.

    Season and control are taken out of the path: else the slope of the day hides a shift, or passes for one.
    """
    if measured.change == 0.0:
        return [0.0]
    at = onset.position - path.begin
    base = float(np.median(path.values[max(0, at - measured.back) : at]))
    parts = np.array_split(path.values[at:], 3)
    return [(float(np.median(part)) - base) / measured.change for part in parts if len(part)]


def moved_along(evidence: Evidence, control: Grid | None) -> bool:
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


def beside_control(evidence: Evidence, ratio: Evidence | None) -> Evidence:
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
