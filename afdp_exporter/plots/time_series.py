"""Time-series plot of one metric around a deployment: measured, counterfactual and its band."""

from dataclasses import dataclass, field
from datetime import datetime
from math import isnan, nan

from afdp_exporter.model import Deployment, Shift, Trajectory
from afdp_exporter.plots.scales import Point, Scale, Tick, band, covering, line, time_ticks, value_ticks
from afdp_exporter.wording.metrics import Axis, axis
from afdp_exporter.wording.times import format_clock

WIDTH, HEIGHT = 400, 208
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 392, 24, 188
_NARROWEST = 2.0  # of a rollout, so that it can be seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical mark at an instant; its label stands left of it where there is no room on its right."""

    at: float
    label: str
    leftwards: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Everything to draw, in the units of a view box of `width` to `height`."""

    axis: Axis
    measured: str
    expected: str
    band: str
    values: list[Tick]
    times: list[Tick]
    rollout: tuple[float, float]
    onset: Mark | None
    recovered: Mark | None
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP
    bottom: int = _BOTTOM
    dots: list[Point] = field(default_factory=list)


def plot(course: Trajectory, deployment: Deployment, shift: Shift | None = None) -> Plot:
    """The picture of one course."""
    first = len(course.measured) - len(course.expected)
    begin, step = course.start.timestamp(), course.step.total_seconds()
    instants = [begin + step * number for number in range(len(course.measured))]
    low = [value - course.below for value in course.expected]
    high = [value + course.above for value in course.expected]
    known = [value for value in course.measured if value is not None]
    y = covering([*known, *low, *high], begin=_BOTTOM, end=_TOP)
    x = Scale(low=instants[0], high=max(instants[-1], instants[0] + step), begin=_LEFT, end=_RIGHT)
    unit = axis(course.metric, max((abs(value) for value in (y.low, y.high)), default=0.0))
    across = x.positions(instants)
    after = across[first:]
    points = list(zip(across, y.positions(course.measured), strict=True))
    return Plot(
        axis=unit,
        measured=line(points),
        expected=line(zip(after, y.positions(course.expected), strict=True)),
        band=band(list(zip(after, y.positions(high), strict=True)), list(zip(after, y.positions(low), strict=True))),
        values=value_ticks(y, factor=unit.factor),
        times=time_ticks(x),
        rollout=_rollout(deployment, x),
        onset=_mark(shift.onset, "onset", x) if shift and shift.moved else None,
        recovered=_mark(shift.recovered_at, "back", x) if shift and shift.moved else None,
        dots=_alone(points),
    )


def _rollout(deployment: Deployment, x: Scale) -> tuple[float, float]:
    begin = min(max(x(deployment.started_at.timestamp()), _LEFT), _RIGHT)
    end = min(max(x(deployment.ended_at.timestamp()), begin), _RIGHT)
    return begin, max(round(end - begin, 1), _NARROWEST)


def _mark(instant: datetime | None, word: str, x: Scale) -> Mark | None:
    if instant is None or not x.low <= instant.timestamp() <= x.high:
        return None
    at = x(instant.timestamp())
    return Mark(at=at, label=f"{word} {format_clock(instant)}", leftwards=at > 0.75 * _RIGHT)


def _alone(points: list[Point]) -> list[Point]:
    """Points between two gaps, which no line goes through."""
    gap = (0.0, nan)
    padded = [gap, *points, gap]
    return [
        (x, y)
        for (_, before), (x, y), (_, after) in zip(padded, padded[1:], padded[2:], strict=False)
        if isnan(before) and isnan(after) and not isnan(y)
    ]
