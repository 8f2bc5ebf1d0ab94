"""What is usual for a service after its deployments is taken out, so that what goes beyond it is judged by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from afdp_exporter.detectors.epochs import LEAST, Response, epochs, level_before, usual_response
from afdp_exporter.detectors.grid import Grid
from afdp_exporter.impact.finding import Finding
from afdp_exporter.impact.likelihood import after_restart as likelihood_of
from afdp_exporter.impact.sensitivity import minimum_detectable_effect_of
from afdp_exporter.model import Attribution, Floats, Usual
from afdp_exporter.wording.numbers import format_number

_BACK = 5  # steps that tell the level once the response is over
_KNOWN = 0.6  # of the stretch after an earlier deployment that must be known for it to be compared
_UNLIKELY = 0.005  # p-value from which on a value that starts again has left what is usual
_EACH = 0.2  # of the change, in each third of the time after


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Habit:
    """The usual response of one series, and the grid it was found on."""

    grid: Grid
    response: Response

    @property
    def usual(self) -> Usual:
        """As it is reported, in the metric's own unit."""
        seconds = self.response.length * self.grid.step
        return Usual(
            count=self.response.count,
            compared=self.response.compared,
            change=self.response.height * self.grid.scale,
            duration=None if self.response.restarts else timedelta(seconds=seconds),
        )

    @property
    def shown(self) -> bool:
        """Whether it followed this deployment, too."""
        grid, response = self.grid, self.response
        begin = grid.deployed + min(response.begin, max(grid.n_after - 1, 0))
        stretch = grid.values[begin : begin + response.stretch]
        if not len(stretch):
            return False
        away = float(stretch.mean()) - level_before(grid.values, grid.deployed)
        return bool(away * np.sign(response.height) > response.natural)


def habit(grid: Grid, earlier: Sequence[float]) -> Habit | None:
    """What usually follows the `earlier` deployments (Unix seconds); None where nothing does."""
    response = usual_response(grid, earlier)
    return None if response is None else Habit(grid=grid, response=response)


def without(found: Habit, earlier: Sequence[float]) -> Grid:
    """The grid without a response that passes: after each deployment only what goes beyond it is left."""
    grid, response = found.grid, found.response
    known = epochs(grid, earlier)
    if known is None or response.restarts:
        return grid
    values = grid.values.copy()
    places = [*known.places, grid.deployed]
    for place, following in zip(places, [*places[1:], grid.n], strict=True):
        end = min(place + response.length, following, grid.n)
        if end > place:
            later = grid.values[end : min(end + _BACK, following)]
            values[place:end] = _beyond(grid.values, place, end, later, response)
    return replace(grid, values=values)


def _beyond(values: Floats, place: int, end: int, later: Floats, response: Response) -> Floats:
    """The values of one response, brought to the level around them but for what exceeds it."""
    m = end - place
    before = level_before(values, place)
    after = float(np.median(later)) if len(later) >= 3 else before
    drifted = abs(after - before) <= response.natural
    level = np.linspace(before, after, m + 2)[1:-1] if drifted else np.full(m, after)
    path, reach = response.path[:m], response.reach[:m]
    measured = values[place:end]
    highest = level + np.maximum(path, 0.0) + reach
    lowest = level + np.minimum(path, 0.0) - reach
    beyond: Floats = level + np.maximum(measured - highest, 0.0) + np.minimum(measured - lowest, 0.0)
    return beyond


def told(finding: Finding, found: Habit) -> Finding:
    """A finding on what is left, with what was taken out."""
    if not found.shown:
        return finding
    usual = found.usual
    if finding.verdict is Attribution.NO_EFFECT:
        reason = f"usual for this service: the same followed {_of(usual)}, and nothing went beyond it"
    else:
        reason = f"{finding.reason}; beyond what is usual for this service, which followed {_of(usual)}"
    return replace(finding, usual=usual, reason=reason)


def _of(usual: Usual) -> str:
    return f"{usual.count} of {usual.compared} earlier deployments"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placebos:
    """The mean after this deployment beside those at the same age after `k` earlier ones, in standardised units.

    `change` is how far it is from their mean, `thirds` the same for each third of the time; `error` is the standard
    error of one more value, `expected` the mean that was expected.
    """

    change: float
    thirds: tuple[float, ...]
    error: float
    expected: float
    k: int

    @property
    def p_value(self) -> float:
        """Two-sided, of a t-test for one more value."""
        return float(2.0 * stdtr(self.k - 1.0, -abs(self.change) / self.error))

    @property
    def lasting(self) -> bool:
        """Whether each third shows the change."""
        return self.change != 0.0 and min(third / self.change for third in self.thirds) >= _EACH


def after_restart(found: Habit, earlier: Sequence[float]) -> Finding | None:
    """The finding on a value that starts again with each deployment: earlier deployments are the placebos.

    None where it did not start again this time, or too few earlier ones can be compared.
    """
    placebos = _placebos(found, earlier) if found.shown else None
    if placebos is None:
        return None
    figures = _figures(placebos, found)
    if placebos.p_value > _UNLIKELY:
        reason = f"usual for this service: it starts again with each deployment, as after {_of(found.usual)}"
        return Finding(attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, **figures)
    if not placebos.lasting:
        reason = "it starts again with each deployment, and left what is usual then for a part of the time only"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, **figures)
    grid, far = found.grid, abs(placebos.change) / placebos.error
    times = format_number(far, 2)
    reason = (
        f"it starts again with each deployment, and stayed {times} times as far from what is usual then as it strays "
        f"by itself, as known from {_of(found.usual)}"
    )
    onset = grid.time(grid.deployed)
    return Finding(
        attributed=True, verdict=Attribution.ATTRIBUTED, reason=reason, shape="level", onset=onset,
        onset_low=onset - grid.step, onset_high=onset + grid.step, onset_share=1.0,
        duration_seconds=grid.time(grid.n) - onset, **figures | {"score": 100.0 + figures["score"]},
    )  # fmt: skip


def _placebos(found: Habit, earlier: Sequence[float]) -> _Placebos | None:
    grid, path = found.grid, found.response.path
    known = epochs(grid, earlier)
    length = min(grid.n_after, found.response.length)
    gap = min(2, length // 4)
    if known is None or length - gap < 3:
        return None
    stretches = known.after[:, gap:length]
    covered = np.isfinite(stretches).mean(axis=1) >= _KNOWN
    if covered.sum() < LEAST:
        return None
    means = np.nanmean(stretches[covered] - path[gap:length], axis=1)
    residual = grid.values[grid.deployed + gap : grid.deployed + length] - path[gap:length] - means.mean()
    within = float(np.std(np.diff(residual))) / np.sqrt(2.0 * len(residual))
    return _Placebos(
        change=float(residual.mean()),
        thirds=tuple(float(part.mean()) for part in np.array_split(residual, 3)),
        error=max(float(np.std(means, ddof=1)), within, 1e-9) * float(np.sqrt(1.0 + 1.0 / len(means))),
        expected=float(path[gap:length].mean() + means.mean()),
        k=len(means),
    )


def _figures(placebos: _Placebos, found: Habit) -> dict[str, Any]:
    grid, freedom = found.grid, placebos.k - 1.0
    expected, change = grid.centre + grid.scale * placebos.expected, grid.scale * placebos.change
    half = float(stdtrit(freedom, 0.95)) * placebos.error * grid.scale
    likely = likelihood_of(placebos.p_value)
    visible = minimum_detectable_effect_of(placebos.error, freedom, _UNLIKELY)
    return {
        "p_value": placebos.p_value,
        "log_factor": likely.log_factor,
        "score": likely.rank,
        "before": expected,
        "after": expected + change,
        "change": change,
        "low": change - half,
        "high": change + half,
        "change_ratio": change / abs(expected) if expected else None,
        "minimum_detectable_effect": visible * grid.scale,
        "n_history": grid.deployed,
        "usual": found.usual,
        "account": {
            "step_seconds": grid.step,
            "placebo_error": placebos.error * grid.scale,
            "placebo_deployments": placebos.k,
        },
    }
