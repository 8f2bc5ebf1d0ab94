"""Charts as small as a word or a table: a sparkline, bars of ranges, the hours of a week."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby
from zoneinfo import ZoneInfo

from afdp_exporter.model import Estimate, Slot, Trajectory, Window, Windows
from afdp_exporter.plots.scales import Scale, band, covering, line

WIDTH, HEIGHT = 120, 28
_PIECES = 60  # of the course; each shows its lowest and its highest value, so that no spike is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """Measured over the expected band; the deployment is at `deployed`."""

    measured: str
    band: str
    deployed: float
    width: int = WIDTH
    height: int = HEIGHT


@lru_cache(maxsize=256)  # the same few are asked for again with each page
def sparkline(course: Trajectory) -> Sparkline:
    """The picture of one course."""
    first = len(course.measured) - len(course.expected)
    sampled = [*range(first, len(course.measured), max(1, len(course.expected) // 12)), len(course.measured) - 1]
    expected = [(place, course.expected[place - first]) for place in sampled if course.expected]
    low = [value - course.below for _, value in expected]
    high = [value + course.above for _, value in expected]
    known = [value for value in course.measured if value is not None]
    y = covering([*known, *low, *high], begin=HEIGHT - 2, end=2, headroom=0.0)
    x = Scale(low=0, high=max(len(course.measured) - 1, 1), begin=1, end=WIDTH - 1)
    after = x.positions([place for place, _ in expected])
    places, outlined = zip(*_outline(course), strict=True)
    return Sparkline(
        measured=line(zip(x.positions(places), y.positions(outlined), strict=True)),
        band=band(list(zip(after, y.positions(high), strict=True)), list(zip(after, y.positions(low), strict=True))),
        deployed=x(first),
    )


def _outline(course: Trajectory) -> Iterator[tuple[int, float | None]]:
    """The lowest and the highest value of each piece in their order; None for a piece in which nothing is known."""
    size = max(1, len(course.measured) // _PIECES)
    for begin in range(0, len(course.measured), size):
        piece = [
            (value, begin + place)
            for place, value in enumerate(course.measured[begin : begin + size])
            if value is not None
        ]
        if not piece:
            yield begin, None
        for place in sorted({min(piece)[1], max(piece)[1]}) if piece else ():
            yield place, course.measured[place]


BAR_WIDTH, BAR_HEIGHT = 160, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalBar:
    """From `low` to `high`, its middle at `median`; `zero` is where nothing changes, None outside of the picture."""

    low: float
    median: float
    high: float
    zero: float | None
    width: int = BAR_WIDTH
    height: int = BAR_HEIGHT


def interval_bars(
    estimates: Sequence[Estimate], *, low: float | None = None, high: float | None = None
) -> list[IntervalBar]:
    """The bars of several estimates on one scale that holds zero; `low` and `high` fix its ends."""
    least = min([0.0, *(each.low for each in estimates)]) if low is None else low
    most = max([0.0, *(each.high for each in estimates)]) if high is None else high
    x = Scale(low=least, high=most if most > least else least + 1.0, begin=4, end=BAR_WIDTH - 4)

    def inside(value: float) -> float:
        return x(min(max(value, x.low), x.high))

    return [
        IntervalBar(
            low=inside(each.low),
            median=inside(each.median),
            high=max(inside(each.high), inside(each.low) + 2),
            zero=x(0.0) if x.low <= 0.0 <= x.high else None,
        )
        for each in estimates
    ]


SHADES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """An hour: its shade from 0, the least risk of the week, to `SHADES` - 1, and whether it is among the best."""

    slot: Slot
    shade: int
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day, with a cell for each of its 24 hours; None where the week does not reach."""

    name: str
    cells: list[Cell | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekHeatmap:
    """The rows, and the risk at which each shade begins."""

    days: list[Day]
    begins: list[float]
    highest: float


def week_heatmap(windows: Windows, zone: ZoneInfo) -> WeekHeatmap:
    """The picture of the coming hours, on the clock of a zone."""
    slots = sorted(windows.slots, key=lambda slot: slot.start)
    risks = [slot.risk.median for slot in slots] or [0.0]
    low, high = min(risks), max(risks)
    width = (high - low) / SHADES
    days = []
    for _, hours in groupby(slots, key=lambda slot: slot.start.astimezone(zone).date()):
        cells: list[Cell | None] = [None] * 24
        first = None
        for slot in hours:
            at = slot.start.astimezone(zone)
            first = first or at
            shade = min(int((slot.risk.median - low) / width), SHADES - 1) if width > 0 else 0
            cells[at.hour] = Cell(slot=slot, shade=shade, best=_among(slot.start, windows.best))
        if first is not None:
            days.append(Day(name=f"{first:%a %d %b}", cells=cells))
    return WeekHeatmap(days=days, begins=[low + width * shade for shade in range(SHADES)], highest=high)


def _among(instant: datetime, best: Iterable[Window]) -> bool:
    return any(window.start <= instant < max(window.end, window.start + timedelta(minutes=1)) for window in best)
