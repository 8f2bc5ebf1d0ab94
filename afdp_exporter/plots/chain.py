"""The causal chain as a plot: what moved, when, for how long, and after what."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from afdp_exporter.model import Deployment, Estimate, Impact, Shift
from afdp_exporter.plots.scales import Scale, Tick
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.numbers import format_duration

WIDTH = 440
_LEFT, _RIGHT, _TOP, _ROW, _FOOT = 14, 428, 34, 46, 4
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)  # minutes between two ticks
_LONGEST_LABEL = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric: a bar from its onset to its end, `open` where it lasts beyond the picture; `side`: harm or gain."""

    metric: str
    label: str
    side: str
    y: float
    begin: float
    end: float
    open: bool
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """From the onset of a cause to that of its effect; where their order is unknown, there is none."""

    path: str
    tip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Everything to draw, in the units of a view box of `width` to `height`."""

    rows: list[Row]
    arrows: list[Arrow]
    ticks: list[Tick]
    deployed: float
    foot: float
    height: float
    words: str
    width: int = WIDTH


def chain(deployment: Deployment, impact: Impact) -> Chain | None:
    """The picture of what moved and has an onset; None where nothing has."""
    moved = sorted((shift for shift in impact.shifts if shift.moved and shift.onset is not None), key=_onset)
    if not moved:
        return None
    start = deployment.started_at
    x = _scale(start, moved)
    rows = [_row(shift, number, x, start) for number, shift in enumerate(moved)]
    places = {row.metric: row for row in rows}
    arrows = [
        _arrow(places[link.cause], places[link.effect])
        for link in impact.links
        if link.cause in places and link.effect in places and not link.together
    ]
    foot = _TOP + _ROW * len(rows)
    return Chain(
        rows=rows,
        arrows=arrows,
        ticks=_ticks(x),
        deployed=x(0.0),
        foot=foot,
        height=foot + _FOOT,
        words="; ".join(
            f"{_after(_onset(shift) - start)}: {row.label}" for shift, row in zip(moved, rows, strict=True)
        ),
    )


def _onset(shift: Shift) -> datetime:
    assert shift.onset is not None  # noqa: S101 - only shifts with an onset come here
    return shift.onset


def _minutes(span: timedelta) -> float:
    return span / timedelta(minutes=1)


def _scale(start: datetime, moved: list[Shift]) -> Scale:
    latest = max(_minutes((shift.onset_high or _onset(shift)) - start) for shift in moved)
    backs = [_minutes(shift.recovered_at - start) for shift in moved if shift.recovered_at is not None]
    near = [back for back in backs if back < 4 * latest + 30]  # a recovery hours later would leave no room for onsets
    high = max([1.6 * latest, latest + 4, 6.0, *near])
    return Scale(low=-0.06 * high, high=high * 1.04, begin=_LEFT, end=_RIGHT)


def _row(shift: Shift, number: int, x: Scale, start: datetime) -> Row:
    onset = _onset(shift)
    end = None if shift.recovered_at is None else _minutes(shift.recovered_at - start)
    lasts = end is None or end > x.high
    at = x(_minutes(onset - start))
    return Row(
        metric=shift.metric,
        label=_label(shift),
        side="other" if shift.harmful is None else "harm" if shift.harmful else "gain",
        y=_TOP + _ROW * number + 14,
        begin=at,
        end=x.end if lasts or end is None else max(x(end), at + 3),
        open=lasts,
        low=x(max(_minutes((shift.onset_low or onset) - start), x.low)),
        high=x(min(_minutes((shift.onset_high or onset) - start), x.high)),
    )


def _label(shift: Shift) -> str:
    name = display_name(shift.metric)
    if shift.change is None or shift.low is None or shift.high is None:
        return _shortened(name)
    size = Estimate(low=shift.low, median=shift.change, high=shift.high)
    return _shortened(f"{name} {format_change(shift.metric, size, shift.before, signed=True)}")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


def _arrow(cause: Row, effect: Row) -> Arrow:
    """Down from the cause's onset, then right to the effect's."""
    top, bottom = cause.y + 12, effect.y + 6
    elbow = min(cause.begin + 3, effect.begin - 4) if effect.begin - cause.begin > 8 else cause.begin - 8
    path = f"M{cause.begin:g} {top:g}H{elbow:g}V{bottom:g}H{effect.begin - 2:g}"
    tip = f"M{effect.begin - 6:g} {bottom - 3:g}L{effect.begin - 1:g} {bottom:g}L{effect.begin - 6:g} {bottom + 3:g}"
    return Arrow(path=path, tip=tip)


def _ticks(x: Scale) -> list[Tick]:
    step = next((each for each in _STEPS if x.high / each <= 6), 2880)
    marks = range(0, int(x.high) + 1, step)
    return [
        Tick(at=x(mark), label="start" if mark == 0 else f"+{format_duration(timedelta(minutes=mark))}")
        for mark in marks
    ]


def _after(span: timedelta) -> str:
    return "at once" if span <= timedelta(0) else f"{format_duration(span)} after its start"
