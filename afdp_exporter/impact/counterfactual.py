"""The counterfactual trajectory: the expected course without the deployment, consistent with the level-shift estimate.

The level shift is a forecast of a mean over a window (see `detectors.level`), not of a curve. The forecast gives the
curve its height and interval; the shape within the window is the seasonal profile of earlier days plus the control.
The band covers nine of ten single values, from residuals of the same construction at stretches of the history.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from math import hypot

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d

from afdp_exporter.detectors.level_shifts import remove_level_shifts
from afdp_exporter.detectors.panel import Panel, by_panel
from afdp_exporter.detectors.regular_series import RegularSeries, regularize
from afdp_exporter.detectors.robust import median, quantiles
from afdp_exporter.impact.attribution import ObservedSeries, Rollout
from afdp_exporter.impact.event_study import UsualEffect, subtract_usual, usual_effects
from afdp_exporter.impact.verdict import Finding
from afdp_exporter.model import Attribution, EffectWindow, Floats, Trajectory

_SHOWN_BEFORE = (60, 120)  # steps: at least, at most
_SHOWN_AFTER = 180  # steps, and so many more as an onset may come late:
_SHOWN_AFTER_ONSET = 60  # steps
_LONGEST = 480  # steps after the deployment that are ever shown
_PLACEBOS = 16  # stretches of the history that give the residuals of single values
_LEARN_FROM = 150  # steps before a stretch, at least, on which the regression on the control is fitted
_DAYS = 3  # days before that make the seasonal profile
_SMOOTH = 31  # steps, of the days before
_OUTER = np.array([0.05, 0.95])  # quantiles of single values, between which nine of ten lie


@dataclass(frozen=True, slots=True)
class _EffectSpan:
    """Positions relative to the deployment: the mean over `begin` to before `end` was judged, `shown` are drawn."""

    begin: int
    end: int
    shown: int

    @property
    def length(self) -> int:
        return max(self.end, self.shown)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Expectation:
    """What a series does by itself: its profile (n,) from the deployment on, and how values strayed (p, n) from it."""

    span: _EffectSpan
    profile: Floats
    strays: Floats

    def band(self, grid: RegularSeries) -> tuple[float, float]:
        """How far below and above its curve a single value lies: the 5 % and 95 % points over the stretches."""
        if len(self.strays):
            apart = self.strays - self.strays[:, self.span.begin : self.span.end].mean(axis=1, keepdims=True)
            apart = apart[:, : self.span.shown]
        else:
            before = grid.values[: grid.deployed]
            apart = before - median(before)
        low, high = (float(each) for each in quantiles(apart.ravel(), _OUTER))
        return max(-low, 0.0), max(high, 0.0)


def counterfactual(
    finding: Finding,
    metric: str,
    times: ArrayLike,
    values: ArrayLike,
    deployed_at: float,
    *,
    finished_at: float | None = None,
    control: ArrayLike | None = None,
    earlier_deployments: Sequence[float] = (),
    step: float | None = None,
    respond_within: float | None = None,
    time_zone: tzinfo = UTC,
) -> Trajectory | None:
    """The trajectory around a deployment; None where there is no usable data.

    `finding` is what `judge` says of a metric; the other arguments are those that `judge` was given. Pure.
    """
    rollout = Rollout(
        deployed_at=deployed_at, finished_at=finished_at, earlier=earlier_deployments, time_zone=time_zone
    )
    observed = ObservedSeries(times=times, values=values, control=control, step=step, respond_within=respond_within)
    (drawn,) = counterfactuals(rollout, [(metric, finding, observed)])
    return drawn


def counterfactuals(rollout: Rollout, found: Sequence[tuple[str, Finding, ObservedSeries]]) -> list[Trajectory | None]:
    """`counterfactual` for many metrics of one rollout, each with its name, its finding and its series."""
    plain, usual, grids = dict[int, Trajectory](), dict[int, UsualEffect | None](), dict[int, RegularSeries]()
    shown = dict[int, int]()
    for place, (metric, finding, observed) in enumerate(found):
        on_the_wall = _laid_out(rollout, observed, rollout.time_zone)
        was_changed = on_the_wall is not None and bool(on_the_wall.clock.until)
        measured = _laid_out(rollout, observed, UTC) if was_changed else on_the_wall
        if measured is None or on_the_wall is None:
            continue
        shown[place] = _shown_after(measured)
        plain[place] = _as_measured(metric, measured, shown[place])
        effects = usual_effects([on_the_wall], rollout.earlier) if finding.usual is not None else [None]
        usual[place] = effects[0]
        grids[place] = on_the_wall if effects[0] is None else subtract_usual(effects[0], rollout.earlier)
    natural = dict(zip(grids, remove_level_shifts(list(grids.values()), rollout.earlier), strict=True))
    spans = {
        place: span
        for place, grid in natural.items()
        if (span := _effect_span(found[place][1], grid, shown[place])) is not None
    }
    expected = by_panel(_expectations, [natural[place] for place in spans], list(spans.values()))
    drawn = {
        place: _with_expected(plain[place], found[place][1], natural[place], expectation, usual[place])
        for place, expectation in zip(spans, expected, strict=True)
    }
    return [drawn.get(place, plain.get(place)) for place in range(len(found))]


def _laid_out(rollout: Rollout, observed: ObservedSeries, zone: tzinfo) -> RegularSeries | None:
    return regularize(
        np.asarray(observed.times, dtype=np.float64),
        np.asarray(observed.values, dtype=np.float64),
        float(rollout.deployed_at),
        finished_at=rollout.finished_at,
        control=None if observed.control is None else np.asarray(observed.control, dtype=np.float64),
        step=observed.step,
        respond_within=observed.respond_within,
        zone=zone,
    )


def _as_measured(metric: str, grid: RegularSeries, shown: int) -> Trajectory:
    least, most = _SHOWN_BEFORE
    begin = max(grid.deployed - min(max(grid.n_after, least), most), 0)
    seen = slice(begin, grid.deployed + shown)
    values = _rounded(grid.centre + grid.scale * grid.values[seen], grid)
    real = grid.measured[seen] & np.isfinite(values)
    return Trajectory(
        metric=metric,
        start=_at(grid, begin),
        step=timedelta(seconds=grid.step),
        measured=tuple(value if known else None for value, known in zip(values.tolist(), real.tolist(), strict=True)),
    )


def _with_expected(
    plain: Trajectory,
    finding: Finding,
    grid: RegularSeries,
    expectation: _Expectation,
    effect: UsualEffect | None,
) -> Trajectory:
    """With what was to be expected, and with it the `effect` from the deployment on that is usual for the service."""
    change, low, high = (float(figure or 0.0) / grid.scale for figure in (finding.change, finding.low, finding.high))
    stretch, usual = expectation.span, expectation.profile
    response = np.zeros(stretch.length)
    if effect is not None and not effect.response.restarts:
        length = min(effect.response.length, stretch.length)
        response[:length] = effect.response.path[:length]
    inside = slice(grid.deployed + stretch.begin, grid.deployed + stretch.end)
    mean = float(grid.values[inside].mean())
    height = mean - change - float(usual[stretch.begin : stretch.end].mean())
    strays = expectation.band(grid)
    expected = grid.centre + grid.scale * (height + (usual + response)[: stretch.shown])
    mean += float(response[stretch.begin : stretch.end].mean())
    figures = grid.centre + grid.scale * np.array([mean, mean - change, mean - high, mean - low])
    if not (np.isfinite(expected).all() and np.isfinite(figures).all()):
        return plain
    return replace(
        plain,
        expected=tuple(_rounded(expected, grid).tolist()),
        below=grid.scale * hypot(high - change, strays[0]),
        above=grid.scale * hypot(change - low, strays[1]),
        level=EffectWindow(
            start=_at(grid, inside.start),
            end=_at(grid, inside.stop),
            measured=float(figures[0]),
            expected=float(figures[1]),
            low=float(figures[2]),
            high=float(figures[3]),
        ),
    )


def _shown_after(grid: RegularSeries) -> int:
    late = grid.last_onset - grid.deployed + _SHOWN_AFTER_ONSET
    return min(grid.n_after, max(_SHOWN_AFTER, late), _LONGEST)


def _effect_span(finding: Finding, grid: RegularSeries, shown: int) -> _EffectSpan | None:
    """The stretch whose mean the finding speaks of."""
    figures = (finding.change, finding.low, finding.high)
    if finding.compared is None or any(figure is None for figure in figures):
        return None
    begin, end = finding.compared.begin, finding.compared.end
    passed = finding.verdict == Attribution.TRANSIENT and finding.duration_seconds is not None
    if passed and finding.onset is not None:
        begin = round((finding.onset - grid.start) / grid.step) - grid.deployed
        end = begin + round((finding.duration_seconds or 0.0) / grid.step)
    begin, end = max(begin, 0), min(end, grid.n_after)
    return _EffectSpan(begin, end, shown) if begin < end else None


def _expectations(panel: Panel, spans: Sequence[_EffectSpan]) -> list[_Expectation]:
    """The profile after the deployment of each series, and how its values strayed at stretches of the history."""
    found: dict[int, _Expectation] = {}
    for length in {span.length for span in spans}:
        rows = [row for row, span in enumerate(spans) if span.length == length]
        some = panel.of_rows(rows)
        at = _placebos(some.layout, length)
        profiles = _seasonal_profiles(some, np.append(at, some.layout.deployed), length)
        strays = some.values.take(at[:, None] + np.arange(length), axis=-1) - profiles[:, :-1]
        found |= {
            row: _Expectation(span=spans[row], profile=profile, strays=residuals)
            for row, profile, residuals in zip(rows, profiles[:, -1], strays, strict=True)
        }
    return [found[row] for row in range(panel.k)]


def _placebos(grid: RegularSeries, length: int) -> NDArray[np.int64]:
    """Where stretches of the history begin, evenly spread (p,); none where it is too short."""
    last, learned = grid.deployed - length, max(_LEARN_FROM, length)
    first = min(grid.day + learned if grid.has_daily_history else learned, last)
    if first < 0:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.linspace(first, last, _PLACEBOS).astype(np.int64))


def _seasonal_profiles(panel: Panel, at: NDArray[np.int64], length: int) -> Floats:
    """The seasonal profile and the control over `length` steps from positions (p,), up to constants: (k, p, length).

    No look-ahead: each is made of what lies before its position.
    """
    grid = panel.layout
    lead = np.minimum(at, max(_LEARN_FROM, length))
    back = grid.day * np.arange(1, _DAYS + 1)
    reached = (at - lead)[:, None] >= back
    reached &= (length <= back) & grid.has_daily_history
    profiles = np.empty((panel.k, len(at), length))
    for before, *days in {(int(before), *days) for before, days in zip(lead, reached.tolist(), strict=True)}:
        some = (lead == before) & (reached == days).all(axis=1)
        profiles[:, some] = _profiles(panel, at[some, None] + np.arange(-before, length), back[days], before)
    return profiles


def _profiles(panel: Panel, places: NDArray[np.int64], back: NDArray[np.int64], lead: int) -> Floats:
    """Such profiles at places (p, lead + length), all as many days `back`, fitted on the steps of their lead."""
    usual = np.zeros((panel.k, *places.shape))
    if len(back):
        same = [panel.values.take(places - days, axis=-1) for days in back]
        usual = uniform_filter1d(np.mean(same, axis=0), _SMOOTH, mode="nearest", axis=-1)
    if panel.control is not None:
        other = panel.control.take(places, axis=-1)
        own = (panel.values.take(places, axis=-1) - usual)[..., :lead]
        away = other[..., :lead] - other[..., :lead].mean(axis=-1, keepdims=True) if lead else other[..., :lead]
        energy = np.vecdot(away, away)
        slope = np.vecdot(away, own) / np.where(energy > 0.0, energy, np.inf)
        usual = usual + other * slope[..., None]
    profiles: Floats = usual[..., lead:]
    return profiles


def _rounded(values: Floats, grid: RegularSeries) -> Floats:
    """Four digits beyond the usual spread: more are noise, and take space where they are kept."""
    decimals = int(min(max(4 - np.floor(np.log10(grid.scale)), -300), 300))
    return np.round(values, decimals)


def _at(grid: RegularSeries, position: int) -> datetime:
    return datetime.fromtimestamp(grid.time(position), UTC)
