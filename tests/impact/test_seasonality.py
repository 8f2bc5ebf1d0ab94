"""What the clock and the calendar bring is put down to nobody; what goes beyond it is."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from afdp_exporter.impact import Finding, judge

BERLIN = ZoneInfo("Europe/Berlin")
World = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def checks(
    at: datetime, world: World, seed: int, *, minutes: tuple[int, ...] = (10, 30, 60), zone: tzinfo = UTC
) -> list[Finding]:
    """The findings so many minutes after a rollout of one minute, a week of history at a minute."""
    start = at.timestamp()
    times = np.arange(start - 7 * 86_400.0, start + 3660.0, 60.0)
    values = world(np.random.default_rng(seed), times)
    return [
        judge(times[seen], values[seen], start, finished_at=start + 60.0, step=60.0, time_zone=zone)
        for seen in (times <= start + 60.0 * (1 + each) for each in minutes)
    ]


def moved(at: datetime, world: World, seeds: int, **asked: object) -> int:
    return sum(any(f.verdict.moved for f in checks(at, world, seed, **asked)) for seed in range(seeds))  # type: ignore[arg-type]


def nightly(hour: float, height: float, length: float = 0.5, jitter: float = 0.0) -> World:
    """A job each night at an hour, so many hours long, up to `jitter` minutes sooner or later."""

    def world(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        values = 20.0 + rng.normal(size=len(times))
        for day in np.unique(times // 86_400.0):
            begin = 86_400.0 * day + 3600.0 * hour + 60.0 * rng.uniform(-jitter, jitter)
            values += height * ((times >= begin) & (times < begin + 3600.0 * length))
        return values

    return world


@pytest.mark.parametrize(("hour", "length", "jitter"), [(2, 0.5, 0.0), (2, 2.0, 5.0), (13, 0.2, 0.0), (23.9, 0.5, 3.0)])
def test_a_nightly_job_is_blamed_on_nobody(hour: float, length: float, jitter: float) -> None:
    at = datetime(2026, 11, 18, tzinfo=UTC) + timedelta(hours=hour, minutes=-2 - jitter)
    assert moved(at, nightly(hour, 8.0, length, jitter), 8) == 0


def test_it_is_called_usual_with_how_often_it_came() -> None:
    at = datetime(2026, 11, 18, 1, 58, tzinfo=UTC)
    last = checks(at, nightly(2.0, 12.0), 1, minutes=(10,))[-1]
    assert last.verdict == "no_effect"
    assert "usual at this time" in last.reason
    assert last.low is not None
    assert last.high is not None
    assert last.low < 0.0 < last.high


def test_what_goes_beyond_the_nightly_job_is_found_with_its_own_size() -> None:
    at = datetime(2026, 11, 18, 1, 58, tzinfo=UTC)

    def harmed(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        return nightly(2.0, 5.0, 1.5)(rng, times) + 10.0 * (times > at.timestamp() + 60.0)

    findings = [checks(at, harmed, seed, minutes=(30,))[0] for seed in range(10)]
    assert sum(finding.attributed for finding in findings) >= 9
    sizes = [finding.change for finding in findings if finding.attributed and finding.change is not None]
    assert np.median(sizes) == pytest.approx(10.0, abs=1.5)


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("left", [0.0, 0.4])
def test_what_dampens_the_usual_movement_is_found_with_its_own_size(side: float, left: float) -> None:
    """The nightly rise (or fall) of 12 comes only in part."""
    at = datetime(2026, 11, 18, 1, 58, tzinfo=UTC)
    missing = side * 12.0 * (left - 1.0)

    def dampened(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        tonight = (times >= at.timestamp() + 120.0) & (times < at.timestamp() + 120.0 + 5400.0)
        return nightly(2.0, side * 12.0, 1.5)(rng, times) + missing * tonight

    findings = [checks(at, dampened, seed, minutes=(30,))[0] for seed in range(6)]
    assert sum(finding.verdict.moved for finding in findings) >= 5
    sizes = [finding.change for finding in findings if finding.verdict.moved and finding.change is not None]
    assert np.median(sizes) == pytest.approx(missing, rel=0.2)


def test_a_job_that_is_only_late_tonight_is_blamed_on_nobody() -> None:
    at = datetime(2026, 11, 18, 1, 53, tzinfo=UTC)

    def late(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        before = times < at.timestamp() - 3600.0
        return np.where(before, nightly(2.0, 10.0, 0.5, 5.0)(rng, times), 20.0 + rng.normal(size=len(times)))

    assert moved(at, late, 8, minutes=(5, 10)) == 0


def office(zone: tzinfo) -> World:
    """The load of an office, which follows its clock."""

    def world(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        walls = [datetime.fromtimestamp(time, zone) for time in times[::15]]
        hour = np.repeat([wall.hour + wall.minute / 60.0 for wall in walls], 15)[: len(times)]
        hour += (times % 900.0) / 3600.0
        rise = 1.0 / (1.0 + np.exp(-2.0 * (hour - 8.5)))
        fall = 1.0 / (1.0 + np.exp(-1.6 * (hour - 18.0)))
        slow = np.convolve(rng.normal(size=len(times)), 0.9 ** np.arange(40), "full")[: len(times)]
        load = 0.25 + 0.75 * rise - 0.73 * fall
        return 1000.0 * load * np.exp(0.01 * slow) * (1.0 + 0.01 * rng.normal(size=len(times)))

    return world


@pytest.mark.parametrize("zone", [BERLIN, UTC])  # the zone as configured, and where nobody configured it
@pytest.mark.parametrize("day", [(2026, 3, 29), (2026, 3, 30), (2026, 10, 25), (2026, 10, 26)])
def test_the_morning_rise_is_blamed_on_nobody_after_the_clock_was_changed(
    day: tuple[int, int, int], zone: tzinfo
) -> None:
    at = datetime(*day, 8, 30, tzinfo=BERLIN)
    assert moved(at, office(BERLIN), 4, zone=zone, minutes=(15, 60)) == 0


def open_from_six(noise: float, *, harm_after: float | None = None) -> World:
    """A latency that is measured from 6:00 to 22:00 only."""

    def world(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
        hour = times % 86_400.0 / 3600.0
        values = 0.2 + 0.03 * np.sin(2 * np.pi * hour / 24.0) + rng.normal(0.0, noise, len(times))
        if harm_after is not None:
            values += 0.1 * (times > harm_after)
        return np.where((hour >= 6.0) & (hour < 22.0), values, np.nan)

    return world


@pytest.mark.parametrize(("hour", "worse", "lost"), [(8, "down", -0.2), (17, "up", 0.3)])
def test_a_loss_that_dampens_the_morning_rise_is_harm_and_so_is_a_load_that_stays_in_the_evening(
    hour: int, worse: str, lost: float
) -> None:
    found = 0
    for seed in range(6):
        at = datetime(2026, 11, 18, hour, 30, tzinfo=UTC)
        start = at.timestamp()
        times = np.arange(start - 7 * 86_400.0, start + 3660.0, 60.0)
        values = office(UTC)(np.random.default_rng(seed), times) * np.where(times > start + 60.0, 1.0 + lost, 1.0)
        finding = judge(times, values, start, finished_at=start + 60.0, worse=worse, step=60.0)
        found += finding.verdict.moved and finding.harmful is True
    assert found >= 5


@pytest.mark.parametrize("minute", [0, 2, 5, 8])
def test_the_first_minutes_after_a_night_without_traffic_are_held_against_those_of_other_days(minute: int) -> None:
    at = datetime(2026, 11, 18, 6, minute, tzinfo=UTC)
    assert moved(at, open_from_six(0.01), 6) == 0


def test_without_earlier_days_nothing_is_said_of_the_first_minutes() -> None:
    at = datetime(2026, 11, 18, 6, 2, tzinfo=UTC)
    start = at.timestamp()
    times = np.arange(start - 1.5 * 86_400.0, start + 1860.0, 60.0)
    values = open_from_six(0.01)(np.random.default_rng(3), times)
    finding = judge(times, values, start, finished_at=start + 60.0, step=60.0)
    assert finding.verdict == "inconclusive"
    assert "too few earlier days" in finding.reason


def test_a_large_harm_in_the_first_minutes_is_found() -> None:
    at = datetime(2026, 11, 18, 6, 5, tzinfo=UTC)
    world = open_from_six(0.01, harm_after=at.timestamp() + 60.0)
    assert moved(at, world, 5, minutes=(30,)) == 5
