"""What the same minutes of earlier days did."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.regular_series import RegularSeries, regularize
from afdp_exporter.detectors.seasonality import SeasonalChange, Stretch, seasonal_changes

AT = datetime(2026, 3, 18, 14, 0, tzinfo=UTC)  # a Wednesday
STEP = 300.0


def grid(heights: dict[timedelta, float], *, days: float = 8.0, at: datetime = AT, seed: int = 0) -> RegularSeries:
    """Noise at 5 minutes, with jobs of half an hour: how long before 14:00, and how high."""
    times = np.arange(at.timestamp() - days * 86_400.0, at.timestamp() + 1800.0, STEP)
    values = np.random.default_rng(seed).normal(size=len(times))
    for before, height in heights.items():
        begin = at.timestamp() - before.total_seconds()
        values += height * ((times >= begin) & (times < begin + 1800.0))
    made = regularize(
        times, values, at.timestamp(), finished_at=None, control=None, step=None, respond_within=None
    )  # fmt: skip
    assert made is not None
    return made


def found(made: RegularSeries, *, earlier: tuple[float, ...] = (), apart: float = 8.0) -> list[SeasonalChange]:
    stretch = Stretch(base=made.deployed, begin=made.deployed, end=made.n, error=0.5, apart=apart)
    return [each for _, each in seasonal_changes(made, [stretch], earlier=earlier)]


def days(*numbers: float, height: float = 8.0) -> dict[timedelta, float]:
    return {timedelta(days=number): height for number in numbers}


def test_what_every_day_brings_is_found_and_leaves_no_excess() -> None:
    usual = found(grid(days(*range(8))))
    assert {"at this time of the days before", "at this time of such days"} <= {each.period for each in usual}
    assert all(abs(each.excess) < each.half_width() for each in usual)
    assert all(each.compared >= each.count >= 1 for each in usual)


def test_what_came_today_only_is_no_recurrence() -> None:
    assert not found(grid(days(0)))


def test_what_came_on_one_earlier_day_by_chance_is_no_recurrence() -> None:
    assert not found(grid(days(0, 3)))


def test_what_only_wednesdays_bring_is_known_from_last_wednesday() -> None:
    assert [each.period for each in found(grid(days(0, 7)))] == ["at this time of other weeks"]


def test_what_only_working_days_bring_is_known_on_monday() -> None:
    monday = AT - timedelta(days=2)
    periods = [each.period for each in found(grid(days(0, 3, 4, 5, 6, 7), days=7.0, at=monday))]
    assert "at this time of such days" in periods


@pytest.mark.parametrize("minutes", [-10, -5, 5, 10])
def test_some_minutes_sooner_or_later_are_the_same_time(minutes: int) -> None:
    jitter = timedelta(minutes=minutes)
    assert found(grid({timedelta(0): 8.0, **{timedelta(days=k) + jitter: 8.0 for k in range(1, 8)}}))


@pytest.mark.parametrize("hours", [2, 5, 11])
def test_another_time_of_the_day_is_not(hours: int) -> None:
    assert not found(grid({timedelta(0): 8.0, **{timedelta(days=k, hours=hours): 8.0 for k in range(1, 7)}}))


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_the_other_direction_is_not_the_same(side: float) -> None:
    other = {**days(0, height=8.0 * side), **days(*range(1, 8), height=-8.0 * side)}
    (usual,) = [each for each in found(grid(other), apart=16.0 * side) if each.period.endswith("the days before")]
    assert usual.shortfall
    assert usual.p_value < 0.01


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("left", [0.0, 4.0])
def test_what_falls_short_of_the_usual_is_measured_by_what_is_missing(side: float, left: float) -> None:
    made = grid({**days(0, height=side * left), **days(*range(1, 8), height=side * 12.0)})
    missing = side * (left - 12.0)
    (usual,) = [each for each in found(made, apart=missing) if each.period == "at this time of the days before"]
    assert usual.shortfall
    assert usual.recurs
    assert usual.excess * made.scale == pytest.approx(missing, abs=1.5)
    assert usual.p_value < 0.01


def test_what_may_only_be_late_today_does_not_fall_short() -> None:
    late = {
        timedelta(days=k) + timedelta(minutes=minutes): 12.0 for k, minutes in enumerate([-25, 5, -10, 0, -20, 10], 1)
    }
    usual = [each for each in found(grid(late, days=6.5), apart=-6.0) if each.recurs]
    assert usual
    assert all(each.p_value > 0.03 for each in usual)


def test_a_day_without_the_usual_movement_is_known_from_last_week() -> None:
    made = grid(days(1, 2, 3, 4, 5, 6, height=12.0))
    usual = {each.period: each for each in found(made, apart=-12.0)}
    assert usual["at this time of the days before"].recurs
    last_week = usual["at this time of other weeks"]
    assert not last_week.recurs
    assert last_week.p_value > 0.05


def test_what_goes_beyond_is_measured_as_the_excess() -> None:
    made = grid({**days(0, height=18.0), **days(*range(1, 8))})
    (usual,) = [each for each in found(made) if each.period == "at this time of the days before"]
    assert usual.excess * made.scale == pytest.approx(10.0, abs=2.0)
    assert usual.p_value < 0.01


def test_a_month_end_is_known_from_the_months_before() -> None:
    last = datetime(2026, 4, 30, 14, 0, tzinfo=UTC)
    ends = [datetime(2026, 2, 28, 14, 0, tzinfo=UTC), datetime(2026, 3, 31, 14, 0, tzinfo=UTC)]
    made = grid({timedelta(0): 8.0, **{last - end: 8.0 for end in ends}}, days=65.0, at=last)
    assert "so long before the end of other months" in [each.period for each in found(made)]


def test_an_hourly_job_is_known_after_a_few_hours() -> None:
    made = grid({timedelta(hours=k): 8.0 for k in range(9)}, days=0.4)
    assert [each.period for each in found(made)] == ["at this minute of the hours before"]


def test_what_followed_earlier_deployments_is_not_put_down_to_the_clock() -> None:
    earlier = tuple((AT - timedelta(days=k)).timestamp() for k in range(1, 8))
    assert not found(grid(days(*range(8))), earlier=earlier)


@given(st.integers(0, 10_000))
def test_noise_hardly_ever_recurs(seed: int) -> None:
    assert len(found(grid(days(0), seed=seed))) == 0
