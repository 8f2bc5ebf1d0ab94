"""What an hour, or four, showed is not lost where a longer look can no longer tell.

Where a finding stands over the checks.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.signal import lfilter

from afdp_exporter.impact.assembly import assemble_impact
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.looks import judged_window, keep_early_effects, shorter_windows
from afdp_exporter.impact.recovery import Recovery
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Money, Series, Shift, ShiftState, Worse
from afdp_exporter.watching.analysis import AnalysisInput, assess
from afdp_exporter.watching.evidence import MetricData

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
REVENUE = Metric(
    name="revenue_usd_per_hour",
    layer=Layer.BUSINESS,
    query="r",
    worse=Worse.DOWN,
    money=Money(currency="USD", per_unit=1.0),
)


def wandering(start: float, seed: int) -> Series:
    """Five days and one more at a step of a minute: it wanders by 60 within a day, flickers by 3, falls by 60."""
    rng = np.random.default_rng(seed)
    times = start + 60.0 * np.arange(-5 * 1440, 1440)
    wander = lfilter([1.0], [1.0, -1 + 1 / 1440], rng.standard_normal(len(times))) * 60 * np.sqrt(2 / 1440)
    values = 1000 + wander + 3 * rng.standard_normal(len(times)) - np.where(times >= start, 60.0, 0.0)
    return Series(metric=REVENUE.name, labels={}, times=times, values=values)


@pytest.fixture
def after(case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]) -> Callable[..., Shift]:
    """The metric as a look so many hours after the deployment sees it, and what the fall has cost by then."""

    def at(hours: int, seed: int) -> tuple[Shift, float]:
        known = case(metrics=(REVENUE,), now=deploy().ended_at + hours * HOUR)
        series = wandering(deploy().started_at.timestamp(), seed).until(known.now)
        impact = assess(AnalysisInput(case=known, evidence=(MetricData(metric=REVENUE, series=series),)))
        total = impact.costs[0].total if impact.costs else None
        return impact.shifts[0], total.median if total else 0.0

    return at


def test_a_look_after_a_day_knows_no_less_than_one_after_an_hour(after: Callable[..., tuple[Shift, float]]) -> None:
    lost = 0
    for seed in range(8):
        (hour, _), (day, cost) = after(1, seed), after(24, seed)
        assert hour.verdict is Attribution.ATTRIBUTED
        assert day.moved
        if "since then it cannot be told" in day.reason:
            lost += 1
            assert cost == pytest.approx(-24 * (day.change or 0.0), rel=0.1)  # it goes on, so all of it is counted
    assert lost >= 2


def test_what_a_day_rules_out_or_puts_down_to_others_is_not_kept(shift: Callable[..., Shift]) -> None:
    early = shift(REVENUE, 10, -1200.0)

    def stays(**changes: object) -> bool:
        values: dict[str, object] = {"verdict": Attribution.NO_EFFECT, "onset": None, "low": -3000.0, "high": 900.0}
        (found,) = keep_early_effects([replace(early, **(values | changes))], [early], HOUR, {})
        return found.moved and "in the first hour" in found.reason

    assert stays()
    assert stays(verdict=Attribution.INCONCLUSIVE, onset=early.onset)
    assert stays(verdict=Attribution.INSUFFICIENT_HISTORY, low=None, high=None, change=None)
    assert not stays(low=-300.0)
    assert not stays(onset=early.onset)  # it moved, and another did it
    assert not stays(verdict=Attribution.NOT_DISTINGUISHABLE)
    assert not stays(verdict=Attribution.TRANSIENT)


@pytest.mark.parametrize(("change", "verdict"), [(-1200.0, Attribution.ATTRIBUTED), (-3000.0, Attribution.GRADUAL)])
def test_a_start_that_was_clear_from_near_stays_where_a_later_check_sees_it_blurred(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], change: float, verdict: Attribution
) -> None:
    near = case(metrics=(REVENUE,))
    before = assemble_impact([shift(REVENUE, 10, -1200.0)], near)
    blurred = shift(REVENUE, None, change, verdict=Attribution.GRADUAL)
    (found,) = assemble_impact([blurred], replace(near, now=near.now + 2 * HOUR, previous=before)).shifts
    assert (found.verdict, found.state) == (verdict, ShiftState.ACTIVE)
    assert (found.onset is not None) is (verdict is Attribution.ATTRIBUTED)
    (kept,) = keep_early_effects([blurred], before.shifts, HOUR, {})
    assert kept.verdict is verdict


def test_a_mean_over_a_day_rules_out_nothing_of_what_was_back_before_its_end(shift: Callable[..., Shift]) -> None:
    early = shift(REVENUE, 10, -1200.0)
    day = replace(early, verdict=Attribution.NO_EFFECT, onset=None, change=-100.0, low=-300.0, high=100.0)
    back = Recovery(state=ShiftState.RECOVERED, as_of=NOON, at=NOON - HOUR)
    on = Recovery(state=ShiftState.ACTIVE, as_of=NOON)
    assert [keep_early_effects([day], [early], HOUR, {REVENUE.name: since})[0].moved for since in (back, on)] == [
        True,
        False,
    ]


def test_a_look_is_judged_at_the_hours_that_it_reaches_well_beyond(
    case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    end = deploy().ended_at
    later = deploy(after=3 * HOUR, id="d2", service="search")

    def stretches(hours: float) -> list[float]:
        return [(each.now - end) / HOUR for each in shorter_windows(case(now=end + hours * HOUR, others=(later,)))]

    assert [stretches(hours) for hours in (1, 4, 8, 24)] == [[], [1], [4, 1], [4, 1]]
    *_, first = shorter_windows(case(now=end + 24 * HOUR, others=(later,)))
    assert first.others == ()


def test_what_is_judged_ends_at_the_next_deployment_of_the_service_and_after_a_day(
    case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    end = deploy().ended_at
    fix = deploy(after=3 * HOUR, id="d2", version="v2.1.1")
    another = deploy(after=2 * HOUR, id="d3", service="search")
    elsewhere = deploy(after=2 * HOUR, id="d4", environment="staging")
    soon = deploy(after=HOUR / 10, id="d5")  # a rival: a metric may still respond to either

    def judged(hours: float, *others: Deployment) -> datetime:
        return judged_window(case(now=end + hours * HOUR, others=others)).now

    assert judged(30) == end + 24 * HOUR
    assert judged(5, another, elsewhere, soon) == end + 5 * HOUR
    assert timedelta(0) < fix.started_at - judged(5, another, fix) < timedelta(seconds=1)


MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="response_time_seconds", layer=Layer.TECHNICAL, query='l{s="$service"}', worse=Worse.UP)
ERRORS = Metric(name="error_ratio", layer=Layer.TECHNICAL, query='e{s="$service"}', worse=Worse.UP)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, ShiftState.ACTIVE),
        ({"verdict": Attribution.GRADUAL}, ShiftState.ACTIVE),
        ({"verdict": Attribution.NOT_DISTINGUISHABLE}, ShiftState.SUSPECTED),
        ({"verdict": Attribution.NO_EFFECT}, None),
        ({"verdict": Attribution.INSUFFICIENT_HISTORY}, None),
    ],
)
def test_a_check_gives_each_metric_its_state_and_says_as_of_when(
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    changes: dict[str, object],
    state: ShiftState | None,
) -> None:
    looked = case()
    (found,) = assemble_impact([shift(LATENCY, 1, 0.1, **changes)], looked).shifts
    assert (found.state, found.as_of) == (state, looked.now)


def test_harm_goes_on_as_long_as_one_metric_is_not_back(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    looked = case()
    back = looked.deployment.started_at + 20 * MINUTE
    over = shift(LATENCY, 1, 0.1, verdict=Attribution.TRANSIENT, recovered_at=back)
    impact = assemble_impact([over, shift(ERRORS, 2, 0.05)], looked)
    assert impact.harm is not None
    assert impact.harm.active
    assert impact.harm.metrics == ("error_ratio",)
    assert impact.harm.over_at is None
    impact = assemble_impact([over], looked)
    assert impact.harm is not None
    assert (impact.harm.state, impact.harm.over_at) == (ShiftState.RECOVERED, back)


def test_an_improvement_and_a_metric_that_decides_nothing_are_no_harm(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    better, beside = shift(LATENCY, 1, -0.1), shift(ERRORS, 1, 0.1, primary=False)
    assert assemble_impact([better, beside], case()).harm is None
