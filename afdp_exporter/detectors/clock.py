"""Wall-clock time of the time zone in which people work, across changes to and from daylight saving time.

Series are laid out on the wall clock, so that the same hour of two days is a whole number of days apart. Near the
deployment time runs continuously: a clock change within the hours before it is applied before those hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from afdp_exporter.model import Floats

DAY = 86_400.0  # seconds
HOUR = 3_600.0  # seconds
UNTOUCHED = 3.0 * HOUR  # before the deployment, in which no hour is left out or repeated
_ELSEWHERE = tuple(ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Australia/Sydney"))
_LATEST = 4e9  # Unix seconds; calendars are not asked beyond


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clock:
    """What the clock showed at each time, in seconds that agree with Unix time from shortly before the deployment on.

    `until` (k,) are the Unix times before which `offsets` (k,) are added: how far the wall clock was ahead of that
    at the deployment.
    """

    zone: tzinfo
    until: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()

    def to_wall(self, times: Floats) -> Floats:
        """Unix times (n,) -> seconds on the clock."""
        if not self.until:
            return times
        segment = np.searchsorted(np.array(self.until), times, side="right")
        to_wall: Floats = times + np.append(np.array(self.offsets), 0.0)[segment]
        return to_wall

    def wall(self, at: float) -> datetime:
        """What the calendar on the wall says at a Unix time."""
        return datetime.fromtimestamp(at, self.zone).replace(tzinfo=None)


def wall_clock(zone: tzinfo, first: float, at: float) -> Clock:
    """The clock of a zone for a series that begins at `first` and a deployment `at`, Unix seconds."""
    if zone is UTC or not 0.0 < first < at < _LATEST:
        return Clock(zone=zone)
    now, changes = _offset(zone, at), _changes(zone, first, at)
    until = tuple(min(change, at - UNTOUCHED) for change, _ in changes)
    return Clock(zone=zone, until=until, offsets=tuple(before - now for _, before in changes))


def changed_elsewhere(zone: tzinfo, first: float, at: float) -> bool:
    """Whether the clock was changed in a large part of the world, but not in the zone, from `first` to `at`.

    A zone without summer time is the default. The people may live by another one.
    """
    if not 0.0 < first < at < _LATEST or _changes(zone, first, at):
        return False
    return any(_changes(other, first, at) for other in _ELSEWHERE)


@lru_cache(maxsize=256)  # asked for each metric of a check
def _changes(zone: tzinfo, first: float, at: float) -> Sequence[tuple[float, float]]:
    """Each change of the clock, in order: when, and the offset before it."""
    days = [*np.arange(first, at, 7.0 * DAY), at]
    offsets = [_offset(zone, day) for day in days]
    changes = []
    for low, high, before, after in zip(days, days[1:], offsets, offsets[1:], strict=False):
        if before != after:
            changes.append((_instant(zone, low, high, before), before))
    return changes


def _instant(zone: tzinfo, low: float, high: float, before: float) -> float:
    while high - low > 1.0:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    return float(np.rint(high))


def _offset(zone: tzinfo, at: float) -> float:
    return (datetime.fromtimestamp(at, zone).utcoffset() or timedelta(0)).total_seconds()
