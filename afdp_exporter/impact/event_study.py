"""The usual response of a service to its deployments is subtracted, so that only the excess is judged.

From the series (`detectors.event_study`) where the history holds enough deployments; otherwise from the reports of
earlier deployments: a transient that followed at least four of them and three in four of those measured is usual, and
so is a value that each of them brought to the same level without harm. The excess is compared with the variation among
the earlier ones (a prediction interval). Where a value restarts with each deployment, earlier deployments are the
placebos of a t-test.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from statistics import median, stdev
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from afdp_exporter.detectors.event_study import (
    ALIKE,
    LEAST,
    MOST,
    UsualResponse,
    compared_places,
    level_before,
    stack_epochs,
    usual_responses,
)
from afdp_exporter.detectors.panel import Panel, by_panel
from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.impact.bayes_factor import restart_bayes_factor as likelihood_of
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.power import minimum_detectable_effect_of
from afdp_exporter.impact.verdict import Finding
from afdp_exporter.model import Attribution, Floats, MeasuredDeployment, Shift, Usual
from afdp_exporter.wording.numbers import format_number

_BACK = 5  # steps that give the level once the response is over
_KNOWN = 0.6  # of the stretch after an earlier deployment that must be known for it to be compared
_UNLIKELY = 0.005  # p-value from which on a value that starts again has left what is usual
_EACH = 0.2  # of the change, in each third of the time after


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UsualEffect:
    """The usual response of one series, and the grid it was found on."""

    grid: RegularSeries
    response: UsualResponse

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
    def occurred(self) -> bool:
        """Whether it followed this deployment, too."""
        grid, response = self.grid, self.response
        begin = grid.deployed + min(response.begin, max(grid.n_after - 1, 0))
        stretch = grid.values[begin : begin + response.stretch]
        if not len(stretch):
            return False
        away = float(stretch.mean()) - level_before(grid.values, grid.deployed)
        return bool(away * np.sign(response.height) > response.natural)


def usual_effects(series: Sequence[RegularSeries], earlier: Sequence[float]) -> list[UsualEffect | None]:
    """What usually follows the `earlier` deployments (Unix seconds) in each series; None where nothing does."""
    if len(earlier) < LEAST:
        return [None] * len(series)
    responses = by_panel(partial(usual_responses, earlier=earlier), series)
    return [
        None if response is None else UsualEffect(grid=grid, response=response)
        for grid, response in zip(series, responses, strict=True)
    ]


def subtract_usual(found: UsualEffect, earlier: Sequence[float]) -> RegularSeries:
    """The grid without a response that passes: after each deployment only what goes beyond it is left."""
    grid, response = found.grid, found.response
    if response.restarts:
        return grid
    values = grid.values.copy()
    places = [*compared_places(grid, earlier), grid.deployed]
    for place, following in zip(places, [*places[1:], grid.n], strict=True):
        end = min(place + response.length, following, grid.n)
        if end > place:
            later = grid.values[end : min(end + _BACK, following)]
            values[place:end] = _exceeds_response(grid.values, place, end, later, response)
    return replace(grid, values=values)


def _exceeds_response(values: Floats, place: int, end: int, later: Floats, response: UsualResponse) -> Floats:
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


def with_usual(finding: Finding, found: UsualEffect) -> Finding:
    """A finding on what is left, with what was taken out."""
    if not found.occurred:
        return finding
    usual = found.usual
    if finding.verdict is Attribution.NO_EFFECT:
        reason = f"usual for this service: the same followed {_as_usual(usual)}, and nothing went beyond it"
    else:
        reason = f"{finding.reason}; beyond what is usual for this service, which followed {_as_usual(usual)}"
    return replace(finding, usual=usual, reason=reason)


def _as_usual(usual: Usual) -> str:
    return f"{usual.count} of {usual.compared} earlier deployments"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placebos:
    """The mean after this deployment compared with those at the same age after `k` earlier ones, in standardised units.

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


def judge_restart(found: UsualEffect, earlier: Sequence[float]) -> Finding | None:
    """The finding on a value that starts again with each deployment: earlier deployments are the placebos.

    None where it did not start again this time, or too few earlier ones can be compared.
    """
    placebos = _placebos(found, earlier) if found.occurred else None
    if placebos is None:
        return None
    figures = _figures(placebos, found)
    if placebos.p_value > _UNLIKELY:
        reason = f"usual for this service: it starts again with each deployment, as after {_as_usual(found.usual)}"
        return Finding(attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, **figures)
    if not placebos.lasting:
        reason = "it starts again with each deployment, and left what is usual then for a part of the time only"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, **figures)
    grid, far = found.grid, abs(placebos.change) / placebos.error
    times = format_number(far, 2)
    reason = (
        f"it starts again with each deployment, and stayed {times} times as far from what is usual then as it strays "
        f"by itself, as known from {_as_usual(found.usual)}"
    )
    onset = grid.time(grid.deployed)
    return Finding(
        attributed=True, verdict=Attribution.ATTRIBUTED, reason=reason, shape="level", onset=onset,
        onset_low=onset - grid.step, onset_high=onset + grid.step, onset_share=1.0,
        duration_seconds=grid.time(grid.n) - onset, **figures | {"score": 100.0 + figures["score"]},
    )  # fmt: skip


def _placebos(found: UsualEffect, earlier: Sequence[float]) -> _Placebos | None:
    grid, path = found.grid, found.response.path
    known = stack_epochs(Panel.of([grid]), earlier)
    length = min(grid.n_after, found.response.length)
    gap = min(2, length // 4)
    if known is None or length - gap < 3:
        return None
    stretches = known.after[0, :, gap:length]
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


def _figures(placebos: _Placebos, found: UsualEffect) -> dict[str, Any]:
    grid, degrees_of_freedom = found.grid, placebos.k - 1.0
    expected, change = grid.centre + grid.scale * placebos.expected, grid.scale * placebos.change
    half = float(stdtrit(degrees_of_freedom, 0.95)) * placebos.error * grid.scale
    likely = likelihood_of(placebos.p_value)
    visible = minimum_detectable_effect_of(placebos.error, degrees_of_freedom, _UNLIKELY, grid)
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
        "minimum_detectable_effect": visible,
        "n_history": grid.deployed,
        "usual": found.usual,
        "account": {
            "step_seconds": grid.step,
            "placebo_error": placebos.error * grid.scale,
            "placebo_deployments": placebos.k,
        },
    }


_FACTOR = 2.0  # sizes, and durations, that differ by less from their median are alike
_SAME_LEVEL = 0.25  # of the change: levels that differ by less are the same
_EXPLAINED = 0.1  # what is left of the chance that this deployment did what all of them do
_RESOLUTION = 2  # steps by which durations always may differ


def usual_by_reports(shifts: Iterable[Shift], context: AnalysisContext) -> tuple[Shift, ...]:
    """The shifts, without those that are usual for this service by what is known of its earlier deployments."""
    reports = [record for record in context.past if _comparable(record, context)][-MOST:]
    return tuple(
        _usual_among(shift, reports, context) if shift.moved and shift.usual is None else shift for shift in shifts
    )


def _comparable(record: MeasuredDeployment, context: AnalysisContext) -> bool:
    own, other = context.deployment, record.deployment
    return own.same_target(other) and other.id != own.id and record.impact is not None


def _usual_among(shift: Shift, reports: list[MeasuredDeployment], context: AnalysisContext) -> Shift:
    earlier = [
        entry
        for record in reports
        if record.impact is not None
        for entry in record.impact.shifts
        if entry.metric == shift.metric and entry.change is not None
    ]
    passes = shift.verdict is Attribution.TRANSIENT
    if len(earlier) < LEAST or shift.change is None or not (passes or shift.harmful is False):
        return shift
    alike = [entry for entry in earlier if _moved(entry) and _total_change(entry) * shift.change > 0.0]
    alike = _similar_transients(alike, context.step) if passes else _same_level(alike, shift)
    if len(alike) < max(LEAST, ALIKE * len(earlier)):
        return shift
    return _excess_over_reports(shift, alike, len(earlier))


def _moved(entry: Shift) -> bool:
    return entry.moved or entry.usual is not None


def _total_change(entry: Shift) -> float:
    """How far it moved in all: what was usual, and what went beyond it."""
    return (entry.change or 0.0) + (0.0 if entry.usual is None else entry.usual.change)


def _duration(entry: Shift) -> timedelta | None:
    return entry.duration if entry.usual is None else entry.usual.duration


def _median(durations: list[timedelta]) -> timedelta:
    return timedelta(seconds=median(each.total_seconds() for each in durations))


def _similar_transients(entries: list[Shift], step: timedelta) -> list[Shift]:
    """Those that came and went, as far and as long as most of them."""
    passed = [(entry, _total_change(entry), lasted) for entry in entries if (lasted := _duration(entry)) is not None]
    if not passed:
        return []
    size, length = median(raw for _, raw, _ in passed), _median([lasted for _, _, lasted in passed])
    return [
        entry
        for entry, raw, lasted in passed
        if size / _FACTOR <= raw <= size * _FACTOR or size * _FACTOR <= raw <= size / _FACTOR
        if length / _FACTOR - _RESOLUTION * step <= lasted <= length * _FACTOR + _RESOLUTION * step
    ]


def _same_level(entries: list[Shift], shift: Shift) -> list[Shift]:
    """Those after which the metric was at one level, this shift as well; none where it is not."""
    after = [(entry, entry.after) for entry in entries if entry.after is not None]
    if not after or shift.after is None or shift.change is None:
        return []
    level, room = median(value for _, value in after), _SAME_LEVEL * abs(shift.change)
    return [entry for entry, value in after if abs(value - level) <= room] if abs(shift.after - level) <= room else []


def _excess_over_reports(shift: Shift, alike: list[Shift], compared: int) -> Shift:
    """The shift as far as it goes beyond the alike ones: a prediction interval for one more of them."""
    sizes = [_total_change(entry) for entry in alike]
    usual, k = median(sizes), len(sizes)
    half = float(stdtrit(k - 1, 0.95)) * stdev(sizes) * (1.0 + 1.0 / k) ** 0.5
    lengths = [lasted for entry in alike if (lasted := _duration(entry)) is not None]
    known = Usual(count=k, compared=compared, change=usual, duration=_median(lengths) if lengths else None)
    change = (shift.change or 0.0) - usual
    own = 0.0 if shift.high is None or shift.low is None else (shift.high - shift.low) / 2.0
    reach = (half**2 + own**2) ** 0.5
    further = replace(shift, usual=known, change=change, change_ratio=_change_ratio(change, shift))
    if abs(change) > reach and change * usual > 0.0:
        reason = f"{shift.reason}; further than usual for this service, as after {k} of {compared} earlier deployments"
        return replace(further, reason=reason, low=change - reach, high=change + reach)
    reason = f"usual for this service: the same followed {k} of {compared} earlier deployments"
    return replace(
        further,
        verdict=Attribution.NO_EFFECT,
        reason=reason,
        p_value=None,
        attribution_ratio=None if shift.attribution_ratio is None else _EXPLAINED * shift.attribution_ratio,
        onset=None,
        onset_low=None,
        onset_high=None,
        duration=None,
        recovered_at=None,
        shape=None,
        low=None,  # it came and went: how far such heights differ is no range of what has stayed
        high=None,
    )


def _change_ratio(change: float, shift: Shift) -> float | None:
    return change / abs(shift.before) if shift.before else None
