"""A history that is too short, in text."""

from datetime import datetime, timedelta
from math import ceil, floor

_UNITS = {"hours": timedelta(hours=1), "minutes": timedelta(minutes=1), "seconds": timedelta(seconds=1)}


def short_history(there: timedelta, needed: timedelta, ready_at: datetime) -> str:
    """How much of the history that is `needed` is there, and from when on a deployment can be judged.

    `6 of 20 minutes of history; deployments from 14:20 on can be judged`, the time in the zone of `ready_at`. What is
    needed and the time are rounded up, what is there is rounded down.
    """
    name = next((name for name, unit in _UNITS.items() if needed >= 3 * unit), "seconds")
    text = f"{floor(there / _UNITS[name])} of {ceil(needed / _UNITS[name])} {name}"
    minute = ready_at.replace(second=0, microsecond=0)
    full = minute if minute == ready_at else minute + timedelta(minutes=1)
    return f"{text} of history; deployments from {full:%H:%M} on can be judged"
