"""Times as people read them: in the configured time zone, with its name.

The zone is one for the process: it is set when a configuration comes into effect, and by a worker before it judges.
"""

from datetime import UTC, datetime, tzinfo


class _Reader:
    zone: tzinfo = UTC


def use_time_zone(zone: tzinfo) -> None:
    """Write times in this zone from now on; UTC until the first call."""
    _Reader.zone = zone


def time_zone() -> tzinfo:
    """The zone in which times are written."""
    return _Reader.zone


def local(instant: datetime) -> datetime:
    """The instant on the reader's clock."""
    return instant.astimezone(_Reader.zone)


def zone_of(instant: datetime) -> str:
    """The zone's name at an instant: `UTC`, `CEST`, or `UTC-03` for a zone without a name of its own."""
    name = local(instant).tzname() or ""
    return f"UTC{name}" if name[:1] in {"+", "-"} else name


def format_time(instant: datetime, *, near: datetime | None = None) -> str:
    """The date and the time of day: `2026-03-02 14:00 UTC`; without the date on the day of an instant named before."""
    at = local(instant)
    same_day = near is not None and at.date() == local(near).date()
    return f"{at:%H:%M} {zone_of(instant)}" if same_day else f"{at:%Y-%m-%d %H:%M} {zone_of(instant)}"


def format_moment(instant: datetime) -> str:
    """A day and a time of day, after `on`: `2 Mar at 14:00 UTC`."""
    at = local(instant)
    return f"{at.day} {at:%b} at {at:%H:%M} {zone_of(instant)}"


def format_day_and_time(instant: datetime) -> str:
    """The weekday, the date and the time of day: `Mon 02 Mar 2026, 14:00 UTC`."""
    return f"{local(instant):%a %d %b %Y, %H:%M} {zone_of(instant)}"


def format_clock(instant: datetime) -> str:
    """The time of day, where the date stands beside it: `14:00 UTC`."""
    return f"{local(instant):%H:%M} {zone_of(instant)}"


def format_clock_range(instant: datetime, low: datetime | None, high: datetime | None) -> str:
    """A time of day with its range, where it has one: `14:07 [14:05, 14:09] UTC`."""
    range_ = f" [{local(low):%H:%M}, {local(high):%H:%M}]" if low is not None and high is not None else ""
    return f"{local(instant):%H:%M}{range_} {zone_of(instant)}"
