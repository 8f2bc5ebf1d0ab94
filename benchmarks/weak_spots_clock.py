"""Worlds in which the clock or the calendar moves a metric while an innocent deployment is made."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from weak_spot_rows import MINUTES, Figure, Floats, Row, Watch, alike, grid, innocent, shifts, utc

from afdp_exporter.model import Layer, Worse

BERLIN = ZoneInfo("Europe/Berlin")
ATTRIBUTED, MOVED = Figure(name="attributed", most=0.01), Figure(name="moved", most=0.025)


def job(
    rng: np.random.Generator, at: datetime, *, every: float, jitter: float, delay: float = 120.0, height: float = 8.0
) -> Watch:
    """A job so many seconds after the deployment, and at the same times before; it lasts 3 to 40 minutes."""
    times = grid(at)
    values = 50.0 + alike(rng, len(times)) + 3.0 * np.sin(2 * np.pi * times / 86_400.0)
    length = float(rng.uniform(180.0, min(2400.0, every / 3)))
    first = at.timestamp() + delay - every * np.floor((at.timestamp() + delay - times[0]) / every)
    for begin in np.arange(first, times[-1] + 1.0, every):
        begins = begin + rng.uniform(-jitter, jitter)
        values += height * ((times >= begins) & (times < begins + length * rng.uniform(0.9, 1.1)))
    return Watch(name="cpu_cores", times=times, values=values, layer=Layer.SYSTEM)


def nightly(rng: np.random.Generator) -> Mapping[str, float | None]:
    """A job every night, some minutes after the deployment, to the minute."""
    at = utc(2026, 3, 1 + int(rng.integers(20)), int(rng.integers(24)), 58)
    return innocent(shifts([job(rng, at, every=86_400.0, jitter=0.0)], at))


def nightly_late(rng: np.random.Generator) -> Mapping[str, float | None]:
    """The same, up to five minutes sooner or later each night."""
    at = utc(2026, 3, 1 + int(rng.integers(20)), int(rng.integers(24)), 53)
    return innocent(shifts([job(rng, at, every=86_400.0, jitter=300.0, delay=420.0)], at))


def hourly(rng: np.random.Generator) -> Mapping[str, float | None]:
    """A job every hour, or every quarter of an hour."""
    at = utc(2026, 3, 1 + int(rng.integers(20)), int(rng.integers(24)), 58)
    return innocent(shifts([job(rng, at, every=float(rng.choice([900.0, 3600.0])), jitter=20.0)], at))


def beyond(rng: np.random.Generator) -> Mapping[str, float | None]:
    """A deployment that moves the metric by twice what the nightly job moves it by, at the same time."""
    at = utc(2026, 3, 1 + int(rng.integers(20)), int(rng.integers(24)), 58)
    world = job(rng, at, every=86_400.0, jitter=0.0, height=5.0)
    values = world.values + 10.0 * (world.times > at.timestamp() + 120.0)
    harmed = Watch(name=world.name, times=world.times, values=values, layer=world.layer)
    return {"found": float(any(shift.moved for shift in shifts([harmed], at, minutes=(30, 60))))}


def office(hour: Floats, *, steep: float) -> Floats:
    """Load of an office at local hours, as a share of the peak."""
    rise = 1.0 / (1.0 + np.exp(-(hour - 8.5) * steep))
    fall = 1.0 / (1.0 + np.exp(-(hour - 18.0) * steep))
    share: Floats = 0.25 + 0.75 * rise - 0.73 * fall
    return share


def service(rng: np.random.Generator, at: datetime, *, zone: ZoneInfo, weekends: bool, days: float) -> list[Watch]:
    """Requests, latency and errors of a service that offices use; at week-ends hardly any where they are kept."""
    times = grid(at, days=days)
    local = times + _offsets(times, zone)
    share = office(local % 86_400.0 / 3600.0, steep=float(rng.uniform(1.2, 2.4)))
    if weekends:
        share = np.where((local // 86_400.0 + 3) % 7 >= 5, 0.24, share)
    load = 900.0 * share * np.exp(0.02 * alike(rng, len(times), 0.9)) * (1.0 + 0.01 * rng.normal(size=len(times)))
    latency = 0.1 + 0.08 * load / 900.0 + rng.normal(0.0, 0.002, len(times))
    errors = np.clip(rng.normal(0.004, 0.0006, len(times)), 0.0, 1.0)
    return [
        Watch(name="requests_per_second", times=times, values=load, layer=Layer.USER, worse=Worse.DOWN),
        Watch(name="latency_seconds", times=times, values=latency),
        Watch(name="error_ratio", times=times, values=errors),
    ]


def office_day(
    *dates: tuple[int, int, int], weekends: bool, days: float = 7.0
) -> Callable[[np.random.Generator], Mapping[str, float | None]]:
    """An innocent deployment in the morning rise, or in the fall of the evening, of one of the days in Berlin."""

    def once(rng: np.random.Generator) -> Mapping[str, float | None]:
        hour, minute = int(rng.choice([8, 9, 17])), int(rng.integers(60))
        at = datetime(*dates[int(rng.integers(len(dates)))], hour, minute, tzinfo=BERLIN).astimezone(UTC)
        found = shifts(service(rng, at, zone=BERLIN, weekends=weekends, days=days), at, minutes=(15, 30, 60))
        return {"called worse": float(any(shift.moved and shift.harmful for shift in found)), **innocent(found)}

    return once


def asleep(hour_minute: tuple[int, int]) -> Callable[[np.random.Generator], Mapping[str, float | None]]:
    """No traffic from 22:00 to 06:00: ratios and latencies are not defined there."""

    def once(rng: np.random.Generator) -> Mapping[str, float | None]:
        at = utc(2026, 11, 10 + int(rng.integers(10)), *hour_minute)
        times = grid(at)
        hour = times % 86_400.0 / 3600.0
        awake = (hour >= 6.0) & (hour < 22.0)
        requests = _windowed(rng.poisson(np.where(awake, 20.0, 0.0)), 5)
        failed = _windowed(rng.binomial(rng.poisson(np.where(awake, 20.0, 0.0)), 0.01), 5)
        with np.errstate(all="ignore"):
            errors = np.where(requests > 0, failed / requests, np.nan)
        slow = 0.2 + 0.02 * np.sin(2 * np.pi * hour / 24.0) + rng.normal(0.0, 0.01, len(times))
        latency = np.where(awake, slow, np.nan)
        return innocent(
            [
                *shifts([Watch(name="error_ratio", times=times, values=errors)], at, minutes=MINUTES),
                *shifts([Watch(name="latency_seconds", times=times, values=latency)], at, minutes=MINUTES),
            ]
        )

    return once


def month_end(rng: np.random.Generator) -> Mapping[str, float | None]:
    """Billing runs for six hours on the last day of each month; 65 days of history at 10 minutes."""
    at = datetime(2026, 8, 31, int(rng.integers(2, 16)), 50, tzinfo=UTC)
    times = grid(at, days=65.0, hours_after=2.0, step=600.0)
    values = 20.0 + alike(rng, len(times)) + 2.0 * np.sin(2 * np.pi * times / 86_400.0)
    for end in (utc(2026, 6, 30), utc(2026, 7, 31), utc(2026, 8, 31)):
        begin = (end + timedelta(hours=at.hour + 1)).timestamp()
        values += 12.0 * ((times >= begin) & (times < begin + 6 * 3600.0))
    return innocent(shifts([Watch(name="queued_jobs", times=times, values=values)], at, minutes=(60, 110)))


def _windowed(counts: Floats, length: int) -> Floats:
    """Means over the last so many values, as `rate` gives them."""
    padded = np.concatenate([np.zeros(length), np.cumsum(counts)])
    means: Floats = (padded[length:] - padded[:-length]) / length
    return means


def _offsets(times: Floats, zone: ZoneInfo) -> Floats:
    hours = [_offset(time, zone) for time in times[::60]]
    return np.repeat(hours, 60)[: len(times)]


def _offset(time: float, zone: ZoneInfo) -> float:
    offset = datetime.fromtimestamp(time, zone).utcoffset()
    return offset.total_seconds() if offset else 0.0


WORSE = Figure(name="called worse", most=0.025)
ROWS = (
    Row(name="a job every night, to the minute", figures=(ATTRIBUTED, MOVED), once=nightly),
    Row(name="a job every night, five minutes sooner or later", figures=(ATTRIBUTED, MOVED), once=nightly_late),
    Row(name="a job every hour or quarter of an hour", figures=(ATTRIBUTED, MOVED), once=hourly),
    Row(
        name="a deployment that adds twice what the nightly job does",
        figures=(Figure(name="found", least=0.9),), once=beyond,
    ),
    Row(
        name="office load, first and second day of summer and of winter time",
        figures=(WORSE,),
        once=office_day((2026, 3, 29), (2026, 3, 30), (2026, 10, 25), (2026, 10, 26), weekends=False),
    ),
    Row(
        name="office load, Monday, 7 days of history", figures=(WORSE,),
        once=office_day((2026, 11, 16), (2026, 11, 23), weekends=True),
    ),
    Row(
        name="office load, Saturday and Sunday, 7 days of history", figures=(WORSE,),
        once=office_day((2026, 11, 14), (2026, 11, 15), weekends=True),
    ),
    Row(
        name="office load, Wednesday, 7 days of history", figures=(WORSE,),
        once=office_day((2026, 11, 18), (2026, 11, 25), weekends=True),
    ),
    Row(name="no traffic from 22:00 to 06:00, deployment at 06:05", figures=(MOVED,), once=asleep((6, 5))),
    Row(name="no traffic from 22:00 to 06:00, deployment at 05:57", figures=(MOVED,), once=asleep((5, 57))),
    Row(name="a run at the end of each month", figures=(ATTRIBUTED, MOVED), once=month_end),
)  # fmt: skip
