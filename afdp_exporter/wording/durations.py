"""Times and lengths of time in text."""

from datetime import UTC, datetime, timedelta


def format_duration(time: timedelta) -> str:
    """A length of time in one unit: `45 seconds`, `4 minutes`, `2.5 hours`, `3 days`."""
    seconds = time.total_seconds()
    for name, size, limit in (("second", 1, 60), ("minute", 60, 3600), ("hour", 3600, 86400)):
        if seconds < limit:
            return _counted(seconds / size, name)
    return _counted(seconds / 86400, "day")


def format_time(instant: datetime, *, near: datetime) -> str:
    """The time of day in UTC, with the date where that is another one than that of an instant named before."""
    instant, near = instant.astimezone(UTC), near.astimezone(UTC)
    return f"{instant:%H:%M}" if instant.date() == near.date() else f"{instant:%Y-%m-%d %H:%M}"


def _counted(number: float, name: str) -> str:
    text = f"{number:.0f}" if abs(number - round(number)) < 0.05 or number >= 10 else f"{number:.1f}"
    return f"{text} {name}" if text == "1" else f"{text} {name}s"
