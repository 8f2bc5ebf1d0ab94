"""The coming week as a heat map: a row a day, a column an hour."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from afdp_exporter.model import Slot, Window, Windows

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
class Week:
    """The rows, and the risk at which each shade begins."""

    days: list[Day]
    begins: list[float]
    highest: float


def week(windows: Windows, zone: ZoneInfo) -> Week:
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
    return Week(days=days, begins=[low + width * shade for shade in range(SHADES)], highest=high)


def _among(instant: datetime, best: Iterable[Window]) -> bool:
    return any(window.start <= instant < max(window.end, window.start + timedelta(minutes=1)) for window in best)
