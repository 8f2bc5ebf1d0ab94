"""What an hour, or four, showed is not lost where a longer look can no longer tell."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.signal import lfilter

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.horizons import as_judged, earlier, kept
from afdp_exporter.impact.recovery import Recovery
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Money, Series, Shift, ShiftState, Worse
from afdp_exporter.watching.analysis import Question, assess
from afdp_exporter.watching.evidence import Evidence

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
def after(case: Callable[..., Case], deploy: Callable[..., Deployment]) -> Callable[..., Shift]:
    """The metric as a look so many hours after the deployment sees it, and what the fall has cost by then."""

    def at(hours: int, seed: int) -> tuple[Shift, float]:
        known = case(metrics=(REVENUE,), now=deploy().ended_at + hours * HOUR)
        series = wandering(deploy().started_at.timestamp(), seed).until(known.now)
        impact = assess(Question(case=known, evidence=(Evidence(metric=REVENUE, series=series),)))
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
        (found,) = kept([replace(early, **(values | changes))], [early], HOUR, {})
        return found.moved and "in the first hour" in found.reason

    assert stays()
    assert stays(verdict=Attribution.INCONCLUSIVE, onset=early.onset)
    assert stays(verdict=Attribution.INSUFFICIENT_HISTORY, low=None, high=None, change=None)
    assert not stays(low=-300.0)
    assert not stays(onset=early.onset)  # it moved, and another did it
    assert not stays(verdict=Attribution.NOT_DISTINGUISHABLE)
    assert not stays(verdict=Attribution.TRANSIENT)


def test_a_mean_over_a_day_rules_out_nothing_of_what_was_back_before_its_end(shift: Callable[..., Shift]) -> None:
    early = shift(REVENUE, 10, -1200.0)
    day = replace(early, verdict=Attribution.NO_EFFECT, onset=None, change=-100.0, low=-300.0, high=100.0)
    back = Recovery(state=ShiftState.RECOVERED, as_of=NOON, at=NOON - HOUR)
    on = Recovery(state=ShiftState.ACTIVE, as_of=NOON)
    assert [kept([day], [early], HOUR, {REVENUE.name: since})[0].moved for since in (back, on)] == [True, False]


def test_a_look_is_judged_at_the_hours_that_it_reaches_well_beyond(
    case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    end = deploy().ended_at
    later = deploy(after=3 * HOUR, id="d2", service="search")

    def stretches(hours: float) -> list[float]:
        return [(each.now - end) / HOUR for each in earlier(case(now=end + hours * HOUR, others=(later,)))]

    assert [stretches(hours) for hours in (1, 4, 8, 24)] == [[], [1], [4, 1], [4, 1]]
    *_, first = earlier(case(now=end + 24 * HOUR, others=(later,)))
    assert first.others == ()


def test_what_is_judged_ends_at_the_next_deployment_of_the_service_and_after_a_day(
    case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    end = deploy().ended_at
    fix = deploy(after=3 * HOUR, id="d2", version="v2.1.1")
    another = deploy(after=2 * HOUR, id="d3", service="search")
    elsewhere = deploy(after=2 * HOUR, id="d4", environment="staging")
    soon = deploy(after=HOUR / 10, id="d5")  # a rival: a metric may still respond to either

    def judged(hours: float, *others: Deployment) -> datetime:
        return as_judged(case(now=end + hours * HOUR, others=others)).now

    assert judged(30) == end + 24 * HOUR
    assert judged(5, another, elsewhere, soon) == end + 5 * HOUR
    assert timedelta(0) < fix.started_at - judged(5, another, fix) < timedelta(seconds=1)
