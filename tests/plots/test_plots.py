"""Pictures as positions: everything has its place, nothing is drawn that is not known."""

import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite, nan
from types import FrameType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import (
    Attribution,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Link,
    Outcome,
    PoolingLevel,
    Shift,
    Slot,
    Trajectory,
    Window,
    Windows,
    Worse,
)
from afdp_exporter.plots.chain import chain
from afdp_exporter.plots.scales import Scale, covering, line, time_ticks, value_ticks
from afdp_exporter.plots.small_charts import SHADES, interval_bars, sparkline, week_heatmap
from afdp_exporter.plots.time_series import plot
from afdp_exporter.wording.metrics import axis

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FIGURES = st.floats(-1e12, 1e12)


def deployment(**words: object) -> Deployment:
    known = {"id": "d", "service": "api", "environment": "p", "started_at": NOON, "received_at": NOON}
    return Deployment(**(known | words))  # type: ignore[arg-type]


def moved(metric: str, minutes: float, **words: object) -> Shift:
    known = {"layer": Layer.USER, "verdict": Attribution.ATTRIBUTED, "reason": "r", "worse": Worse.UP}
    known |= {"onset": NOON + minutes * MINUTE, "change": 2.0, "low": 1.0, "high": 3.0}
    return Shift(metric=metric, **(known | words))  # type: ignore[arg-type]


def impact(*shifts: Shift, links: tuple[Link, ...] = ()) -> Impact:
    return Impact(
        deployment_id="d", measured_at=NOON, shifts=shifts, outcome=Outcome.SUCCESS, outcome_reason="", links=links
    )


def course(measured: list[float | None], expected: list[float]) -> Trajectory:
    start = NOON - (len(measured) - len(expected)) * MINUTE
    return Trajectory(
        metric="latency_seconds", start=start, step=MINUTE, measured=tuple(measured), expected=tuple(expected),
        below=0.1, above=0.1,
    )  # fmt: skip


@given(values=st.lists(FIGURES, min_size=1, max_size=30), most=st.integers(2, 8))
def test_ticks_are_round_few_and_on_the_scale(values: list[float], most: int) -> None:
    scale = covering(values, begin=180, end=20)
    assert all(20 <= scale(value) <= 180 for value in values)
    ticks = value_ticks(scale, most=most)
    assert len(ticks) <= most + 1
    assert all(19.9 <= tick.at <= 180.1 for tick in ticks)
    labels = [tick.label for tick in ticks]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("minutes", "first"), [(5, "12:00"), (90, "12:00"), (60 * 30, "12:00"), (60 * 24 * 20, "08 Mar")]
)
def test_times_are_reported_on_round_hours_or_days(minutes: int, first: str) -> None:
    scale = Scale(low=NOON.timestamp(), high=NOON.timestamp() + 60 * minutes, begin=0, end=100)
    ticks = time_ticks(scale)
    assert 1 < len(ticks) <= 6 or minutes > 60 * 24 * 7
    assert ticks[0].label == first or ":" not in first


def test_a_gap_breaks_the_line_and_a_lonely_value_is_a_dot() -> None:
    assert line([(0, 1.0), (1, nan), (2, 2.0), (3, 3.0)]) == "M0 1M2 2L3 3"
    drawn = plot(course([1.0, 2.0, None, 3.0, None], [1.5, 1.5]), deployment())
    assert drawn.measured.count("M") == 2
    assert len(drawn.dots) == 1


def test_the_expected_course_begins_at_the_deployment_and_marks_are_where_they_happened() -> None:
    shift = moved("latency_seconds", 10, recovered_at=NOON + 40 * MINUTE)
    drawn = plot(course([1.0] * 120, [1.0] * 60), deployment(finished_at=NOON + 5 * MINUTE), shift)
    begins = float(re.match(r"M([\d.]+)", drawn.expected)[1])  # type: ignore[index]
    assert begins == drawn.rollout[0]
    assert drawn.onset is not None
    assert drawn.recovered is not None
    assert begins < drawn.rollout[0] + drawn.rollout[1] < drawn.onset.at < drawn.recovered.at <= drawn.right
    assert (drawn.onset.label, drawn.recovered.label) == ("onset 12:10 UTC", "back 12:40 UTC")
    innocent = plot(course([1.0] * 120, [1.0] * 60), deployment(), moved("m", 10, verdict=Attribution.NO_EFFECT))
    assert innocent.onset is None


@given(low=FIGURES, high=FIGURES, values=st.lists(st.one_of(st.none(), FIGURES), min_size=1, max_size=20))
def test_many_positions_are_those_of_each_value(low: float, high: float, values: list[float | None]) -> None:
    scale = covering([low, high, *(value for value in values if value is not None)], begin=188, end=24)
    one_by_one = [nan if value is None else scale(value) for value in values]
    assert scale.positions(values) == pytest.approx(one_by_one, abs=0.1001, rel=1e-12, nan_ok=True)


def test_drawing_calls_no_function_for_each_point() -> None:
    """A story draws twelve courses of hundreds of points each, at positions that were written before."""

    def draw(points: int) -> int:
        plot(course([1.0] * points, [1.0] * points), deployment())
        return calls_of(lambda: plot(course([1.0] * points, [1.0] * points), deployment()))

    assert draw(1000) < draw(100) + 50


def calls_of(work: Callable[[], object]) -> int:
    """How many of our functions it calls."""
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and "afdp_exporter" in frame.f_code.co_filename and "<" not in frame.f_code.co_name

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


@given(
    measured=st.lists(st.one_of(st.none(), FIGURES), min_size=1, max_size=400),
    known=st.integers(0, 400),
)
def test_whatever_was_measured_can_be_drawn(measured: list[float | None], known: int) -> None:
    drawn = course(measured, [1.0] * min(known, len(measured)))
    small, large = sparkline(drawn), plot(drawn, deployment())
    figures = re.findall(r"[-\d.e+]+", small.measured + small.band + large.measured + large.band + large.expected)
    assert all(isfinite(float(figure)) for figure in figures)
    assert small.measured.count("L") <= 140


def test_a_sparkline_loses_no_spike() -> None:
    values: list[float | None] = [0.0] * 300
    values[217] = 9.0
    drawn = sparkline(course(values, [0.0] * 180))
    assert min(float(y) for y in re.findall(r" ([\d.]+)", drawn.measured)) == 2.0


def test_a_chain_is_in_order_of_time_and_points_only_where_the_order_is_known() -> None:
    links = tuple(
        Link(cause=cause, effect=effect, lag=MINUTE, together=together, seen_before=0, sentence="s")
        for cause, effect, together in (
            ("a_seconds", "b_ratio", False), ("b_ratio", "c_ratio", True), ("a_seconds", "gone", False)
        )
    )  # fmt: skip
    shifts = (
        moved("b_ratio", 4, worse=Worse.EITHER),
        moved("c_ratio", 4, recovered_at=NOON + 9 * MINUTE, worse=Worse.DOWN),
        moved("a_seconds", 1),
        moved("still", 1, verdict=Attribution.NO_EFFECT),
    )
    drawn = chain(deployment(), impact(*shifts, links=links))
    assert drawn is not None
    assert [row.metric for row in drawn.rows] == ["a_seconds", "b_ratio", "c_ratio"]
    assert [row.side for row in drawn.rows] == ["harm", "other", "gain"]
    assert [row.open for row in drawn.rows] == [True, True, False]
    assert len(drawn.arrows) == 1
    assert "a +2 s [1, 3]" in drawn.words
    assert drawn.deployed < drawn.rows[0].begin < drawn.rows[1].begin
    assert chain(deployment(), impact(shifts[-1])) is None


@given(st.lists(st.tuples(FIGURES, FIGURES, FIGURES).map(sorted), min_size=1, max_size=5))
def test_a_range_stays_inside_its_picture(ends: list[list[float]]) -> None:
    for bar in interval_bars([Estimate(low=low, median=middle, high=high) for low, middle, high in ends]):
        assert 0 <= bar.low <= bar.high <= bar.width + 2
        assert bar.low - 0.1 <= bar.median <= bar.high + 0.1
        assert bar.zero is not None


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "Asia/Kolkata", "America/New_York"])
def test_a_week_has_each_hour_once_on_the_clock_of_its_zone(zone: str) -> None:
    start = datetime(2026, 3, 26, 15, tzinfo=UTC)  # the clocks of Paris change in this week
    slots = tuple(
        Slot(start=start + timedelta(hours=n), end=start + timedelta(hours=n + 1), cost_per_hour=None,
             risk=Estimate(low=0, median=n / 200, high=1))
        for n in range(168)
    )  # fmt: skip
    best = Window(start=slots[5].start, end=slots[7].start)
    ranked = Windows(
        service="api", made_at=start, slots=slots, best=(best,), now=slots[0], loss_avoided=None, currency=None,
        basis=PoolingLevel.COLD, n=0, sentence="",
    )  # fmt: skip
    drawn = week_heatmap(ranked, ZoneInfo(zone))
    cells = [cell for day in drawn.days for cell in day.cells if cell is not None]
    assert len(cells) == 168
    assert [cell.slot for cell in cells] == list(slots)
    assert [cell.slot for cell in cells if cell.best] == list(slots[5:7])
    assert {cell.shade for cell in cells} == set(range(SHADES))
    assert all(cells[n].shade <= cells[n + 1].shade for n in range(167))


@pytest.mark.parametrize(
    ("metric", "largest", "expected"),
    [
        ("request_latency_p95_seconds", 0.25, "218 ms"),
        ("queue_wait_seconds", 40.0, "0.2 s"),
        ("error_ratio", 0.3, "21.8 %"),
        ("revenue_usd_per_hour", 9000.0, "$0"),
        ("requests_per_second", 3.0, "0.22 /s"),
        ("heap_bytes", 5e9, "0 GiB"),
        ("replicas", 1.0, "0.22"),
    ],
)
def test_an_axis_is_in_the_unit_of_its_metric(metric: str, largest: float, expected: str) -> None:
    assert axis(metric, largest).with_unit(0.2178) == expected
