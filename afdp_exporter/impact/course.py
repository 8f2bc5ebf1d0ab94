"""The course that was to be expected without the deployment, as the judgement of its level has it.

The judgement forecasts a mean over a stretch (see `detectors.level`), not a curve. Its forecast gives the curve its
height and the interval of that height; the curve within the stretch is that of the same hours of the days before and
of the control. How far single values stray from such a curve is read off stretches of the history, which are drawn in
the same way: the band holds nine of ten single values after a deployment that does nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from math import hypot, isfinite

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import uniform_filter1d

from afdp_exporter.detectors.alignment import align
from afdp_exporter.detectors.grid import Grid, prepare
from afdp_exporter.impact.finding import Finding
from afdp_exporter.impact.usual import habit, without
from afdp_exporter.model import Attribution, Course, Floats, Level

_SHOWN_BEFORE = (60, 120)  # steps: at least, at most
_SHOWN_AFTER = 180  # steps, and so many more as an onset may come late:
_SHOWN_AFTER_ONSET = 60
_LONGEST = 480  # steps after the deployment that are ever shown
_PLACEBOS = 16  # stretches of the history that tell how single values stray
_LEARN_FROM = 150  # steps before a stretch, at least, that tell how far the control explains the series
_DAYS = 3
_SMOOTH = 31  # steps, of the days before


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Positions relative to the deployment: the mean over `begin` to before `end` was judged, `shown` are drawn."""

    begin: int
    end: int
    shown: int

    @property
    def length(self) -> int:
        return max(self.end, self.shown)


def course(
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
) -> Course | None:
    """The course around a deployment; None where there is no usable data.

    `finding` is what `judge` says of a metric; the other arguments are those that `judge` was given. Pure; a few
    milliseconds.
    """
    laid_out = partial(
        prepare,
        np.asarray(times, dtype=np.float64),
        np.asarray(values, dtype=np.float64),
        float(deployed_at),
        finished_at=finished_at,
        control=None if control is None else np.asarray(control, dtype=np.float64),
        step=step,
        respond_within=respond_within,
    )
    measured = laid_out()
    on_the_wall = laid_out(zone=time_zone)
    if measured is None or on_the_wall is None:
        return None
    shown = _shown_after(measured)
    plain = _as_measured(metric, measured, shown)
    found = habit(on_the_wall, earlier_deployments) if finding.usual is not None else None
    grid = align(on_the_wall if found is None else without(found, earlier_deployments), earlier_deployments)
    stretch = _stretch(finding, grid, shown)
    if stretch is None:
        return plain
    response = np.zeros(stretch.length)
    if found is not None and not found.response.restarts:
        length = min(found.response.length, stretch.length)
        response[:length] = found.response.path[:length]
    return _with_expected(plain, finding, grid, stretch, response)


def _as_measured(metric: str, grid: Grid, shown: int) -> Course:
    begin = grid.deployed - min(grid.deployed, int(np.clip(grid.n_after, *_SHOWN_BEFORE)))
    seen = slice(begin, grid.deployed + shown)
    values = grid.centre + grid.scale * grid.values[seen]
    return Course(
        metric=metric,
        start=_at(grid, begin),
        step=timedelta(seconds=grid.step),
        measured=tuple(
            value if real and isfinite(value) else None
            for value, real in zip(_rounded(values, grid), grid.real[seen], strict=True)
        ),
    )


def _with_expected(plain: Course, finding: Finding, grid: Grid, stretch: _Stretch, response: Floats) -> Course:
    """With the `response` (n,) from the deployment on that is usual for the service: it was to be expected."""
    change, low, high = (float(figure or 0.0) / grid.scale for figure in (finding.change, finding.low, finding.high))
    usual = _usual(grid, grid.deployed, stretch.length)
    inside = slice(grid.deployed + stretch.begin, grid.deployed + stretch.end)
    mean = float(grid.values[inside].mean())
    height = mean - change - float(usual[stretch.begin : stretch.end].mean())
    strays = _strays(grid, stretch)
    expected = grid.centre + grid.scale * (height + (usual + response)[: stretch.shown])
    mean += float(response[stretch.begin : stretch.end].mean())
    figures = grid.centre + grid.scale * np.array([mean, mean - change, mean - high, mean - low])
    if not (np.isfinite(expected).all() and np.isfinite(figures).all()):
        return plain
    return replace(
        plain,
        expected=tuple(_rounded(expected, grid)),
        below=grid.scale * hypot(high - change, strays[0]),
        above=grid.scale * hypot(change - low, strays[1]),
        level=Level(
            start=_at(grid, inside.start),
            end=_at(grid, inside.stop),
            measured=float(figures[0]),
            expected=float(figures[1]),
            low=float(figures[2]),
            high=float(figures[3]),
        ),
    )


def _shown_after(grid: Grid) -> int:
    late = grid.last_onset - grid.deployed + _SHOWN_AFTER_ONSET
    return min(grid.n_after, max(_SHOWN_AFTER, late), _LONGEST)


def _stretch(finding: Finding, grid: Grid, shown: int) -> _Stretch | None:
    """The stretch whose mean the finding speaks of: from the onset on, where it has one."""
    figures = (finding.change, finding.low, finding.high)
    if finding.compared is None or any(figure is None for figure in figures):
        return None
    begin, end = finding.compared.gap, finding.compared.forward
    if finding.onset is not None:
        begin = round((finding.onset - grid.start) / grid.step) - grid.deployed
        end = begin + finding.compared.forward
        if finding.verdict == Attribution.TRANSIENT and finding.duration_seconds is not None:
            end = begin + round(finding.duration_seconds / grid.step)
    begin, end = max(begin, 0), min(end, grid.n_after)
    return _Stretch(begin, end, shown) if begin < end else None


def _usual(grid: Grid, at: int, length: int) -> Floats:
    """What days and control tell of the `length` steps from a position on, up to a constant; known before it."""
    first = max(at - max(_LEARN_FROM, length), 0)
    usual = np.zeros(at - first + length)
    if grid.knows_days:
        starts = [first - days * grid.day for days in range(1, _DAYS + 1)]
        same = [
            grid.values[start : start + at - first + length]
            for start in starts
            if start >= 0 and start + at - first + length <= at
        ]
        if same:
            usual = uniform_filter1d(np.mean(same, axis=0), _SMOOTH, mode="nearest")
    if grid.control is not None:
        other = grid.control[first : at + length]
        before, own = other[: at - first], (grid.values[first : at + length] - usual)[: at - first]
        away = before - before.mean() if at > first else before
        energy = float(away @ away)
        if energy > 0:
            usual = usual + other * (float(away @ own) / energy)
    return usual[at - first :]


def _strays(grid: Grid, stretch: _Stretch) -> tuple[float, float]:
    """How far below and above its curve a single value lies: the 5 % and 95 % points over stretches of the history."""
    last = grid.deployed - stretch.length
    learned = max(_LEARN_FROM, stretch.length)
    first = min(grid.day + learned if grid.knows_days else learned, last)
    if last < 0 or first < 0:
        before = grid.values[: grid.deployed]
        low, high = np.quantile(before - np.median(before), [0.05, 0.95])
        return max(-float(low), 0.0), max(float(high), 0.0)
    apart = []
    for at in np.unique(np.linspace(first, last, _PLACEBOS).astype(int)):
        strays = grid.values[at : at + stretch.length] - _usual(grid, int(at), stretch.length)
        apart.append((strays - strays[stretch.begin : stretch.end].mean())[: stretch.shown])
    low, high = np.quantile(np.concatenate(apart), [0.05, 0.95])
    return max(-float(low), 0.0), max(float(high), 0.0)


def _rounded(values: Floats, grid: Grid) -> list[float]:
    """Four digits beyond the usual spread: more are noise, and take space where they are kept."""
    decimals = int(np.clip(4 - np.floor(np.log10(grid.scale)), -300, 300))
    rounded: list[float] = np.round(values, decimals).tolist()
    return rounded


def _at(grid: Grid, position: int) -> datetime:
    return datetime.fromtimestamp(grid.time(position), UTC)
