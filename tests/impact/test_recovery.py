"""Harm goes on until the metric is back or the next deployment of the service takes its place.

What came and went.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.signal import lfilter

from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.recovery import transient_period
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Floats,
    Impact,
    Layer,
    Metric,
    Money,
    Outcome,
    Series,
    Shift,
    ShiftState,
    Status,
    Worse,
)
from afdp_exporter.watching.analysis import AnalysisInput, assess
from afdp_exporter.watching.evidence import MetricData

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
LATENCY = Metric(
    name="response_time_seconds",
    layer=Layer.TECHNICAL,
    query='l{s="$service"}',
    worse=Worse.UP,
    money=Money(currency="USD", per_unit=1000.0),
)
LONG = 30 * HOUR

Check = Callable[..., Impact]


def flickering(times: Floats, seed: int) -> Floats:
    """200 ms with a day's season, flicker of 6 ms and a wander of 2 ms over hours."""
    rng = np.random.default_rng(seed)
    wander = lfilter([1.0], [1.0, -1 + 1 / 200], rng.standard_normal(len(times))) * 0.002 * np.sqrt(2 / 200)
    flicker = lfilter([1.0], [1.0, -0.5], rng.standard_normal(len(times))) * 0.006
    return np.asarray(0.2 + 0.02 * np.sin(2 * np.pi * times / 86_400) + wander + flicker)


@pytest.fixture
def check(case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]) -> Check:
    """A check so long after the deployment; latency is `size` s higher from it on, until `ends` after it."""

    def at(
        after: timedelta,
        *,
        size: float = 0.05,
        ends: timedelta = LONG,
        others: tuple[Deployment, ...] = (),
        before: Impact | None = None,
        seed: int = 1,
        known: timedelta | None = None,
    ) -> Impact:
        start = deploy().started_at
        now = start + after
        times = start.timestamp() + 60.0 * np.arange(-4 * 1440, 31 * 60)
        since = times - start.timestamp()
        values = flickering(times, seed) + size * ((since >= 0) & (since < ends.total_seconds()))
        series = Series(metric=LATENCY.name, labels={}, times=times, values=values).until(start + (known or after))
        seen = tuple(other for other in others if other.started_at <= now)
        question = case(metrics=(LATENCY,), now=now, others=seen, previous=before)
        return assess(AnalysisInput(case=question, evidence=(MetricData(metric=LATENCY, series=series),)))

    return at


@pytest.mark.parametrize("hours", [0.5, 2, 11])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_fix_ends_what_is_seen_and_is_named_as_what_brought_the_metric_back(
    check: Check, deploy: Callable[..., Deployment], hours: float, seed: int
) -> None:
    fix = deploy(after=hours * HOUR, id="fix", version="v2.1.1", previous_version="v2.1.0")
    impact = check(24 * HOUR, ends=hours * HOUR, others=(fix,), seed=seed)
    (shift,) = impact.shifts
    assert shift.state is ShiftState.RECOVERED
    assert shift.ended_by == "fix"
    assert shift.recovered_at is not None
    assert abs(shift.recovered_at - fix.started_at) <= 2 * MINUTE
    assert shift.duration is not None
    assert abs(shift.duration - hours * HOUR) <= 5 * MINUTE
    assert shift.low is not None
    assert shift.high is not None
    assert shift.low <= 0.05 <= shift.high
    assert impact.harm is not None
    assert (impact.harm.active, impact.harm.over_at) == (False, shift.recovered_at)
    (cost,) = impact.costs
    assert cost.ended
    assert cost.total is not None
    assert cost.total.low <= 50 * hours <= cost.total.high


def test_what_another_deployment_does_not_bring_back_is_replaced_once_that_is_known(
    check: Check, deploy: Callable[..., Deployment]
) -> None:
    another = deploy(after=2 * HOUR, id="next", version="v2.2.0", previous_version="v2.1.0")
    states = []
    for minutes in (119, 125, 180):
        (shift,) = check(minutes * MINUTE, others=(another,)).shifts
        states.append((shift.state, shift.ended_by))
    assert states == [(ShiftState.ACTIVE, None), (ShiftState.ACTIVE, None), (ShiftState.REPLACED, "next")]
    impact = check(3 * HOUR, others=(another,))
    assert impact.outcome in {Outcome.DEGRADATION, Outcome.FAILURE}
    (cost,) = impact.costs
    assert cost.ended
    assert cost.duration is not None
    assert abs(cost.duration - 2 * HOUR) <= 5 * MINUTE


@pytest.mark.parametrize("minutes", [40, 150])
def test_a_metric_that_comes_back_by_itself_is_recovered_by_nobody(check: Check, minutes: int) -> None:
    impact = check(5 * HOUR, ends=minutes * MINUTE, before=check(30 * MINUTE))
    (shift,) = impact.shifts
    assert (shift.state, shift.ended_by) == (ShiftState.RECOVERED, None)
    assert shift.recovered_at is not None
    assert abs(shift.recovered_at - (START + minutes * MINUTE)) <= 3 * MINUTE
    assert shift.low is not None
    assert shift.high is not None
    assert shift.low <= 0.05 <= shift.high


@pytest.mark.parametrize("seed", range(4))
def test_harm_that_goes_on_stays_active_at_every_check(check: Check, seed: int) -> None:
    before = None
    for minutes in (5, 10, 15, 30, 60, 240, 1440, 1500):
        before = check(minutes * MINUTE, before=before, seed=seed, size=0.03)
        if minutes >= 15:
            assert before.harm is not None, minutes
            assert before.harm.active
            assert before.outcome in {Outcome.DEGRADATION, Outcome.FAILURE}


def test_a_check_that_cannot_tell_keeps_what_was_found_as_of_then(check: Check) -> None:
    found = check(30 * MINUTE)
    dark = check(HOUR, before=found, known=-HOUR)  # nothing was measured any more, before the deployment even
    (shift,) = dark.shifts
    assert (shift.state, shift.as_of) == (ShiftState.ACTIVE, found.shifts[0].as_of)
    assert shift.change == found.shifts[0].change
    assert dark.outcome is found.outcome


def test_what_a_longer_check_rules_out_is_withdrawn_and_says_why(check: Check) -> None:
    found = check(30 * MINUTE)
    (shift,) = check(4 * HOUR, size=0.0, before=found).shifts
    assert shift.state is ShiftState.WITHDRAWN
    assert not shift.moved
    assert "an earlier check found" in shift.reason


def test_severe_harm_that_a_later_version_ended_is_a_failure_still(
    check: Check, deploy: Callable[..., Deployment]
) -> None:
    fix = deploy(after=2 * HOUR, id="fix", version="v2.2.0", previous_version="v2.1.0")
    assert check(24 * HOUR, size=0.15, ends=2 * HOUR, others=(fix,)).outcome is Outcome.FAILURE
    assert check(5 * HOUR, size=0.15, ends=2 * HOUR).outcome is Outcome.DEGRADATION


def test_a_planned_or_cancelled_deployment_ends_nothing(check: Check, deploy: Callable[..., Deployment]) -> None:
    called_off = replace(deploy(after=2 * HOUR, id="x"), status=Status.CANCELLED)
    (shift,) = check(5 * HOUR, others=(called_off,)).shifts
    assert shift.state is ShiftState.ACTIVE


LOCKS = Metric(name="locks", layer=Layer.TECHNICAL, query="k")
TIMEOUTS = Metric(name="timeouts", layer=Layer.TECHNICAL, query="t")
JOBS = Metric(name="jobs", layer=Layer.SYSTEM, query="j")


def test_it_lasts_from_the_first_onset_to_the_last_recovery(
    shift: Callable[..., Shift], deploy: Callable[..., Deployment]
) -> None:
    start = deploy().started_at
    over = [
        shift(JOBS, 3, verdict=Attribution.TRANSIENT, recovered_at=start + 15 * MINUTE),
        shift(LOCKS, 1, verdict=Attribution.TRANSIENT, recovered_at=start + 2 * MINUTE),
        shift(TIMEOUTS, 1, recovered_at=start + 8 * MINUTE),
    ]
    whole = transient_period(over)
    assert whole is not None
    assert whole.metrics == ("locks", "timeouts", "jobs")
    assert (whole.start, whole.duration) == (start + MINUTE, 14 * MINUTE)


def test_what_lasts_and_what_was_not_this_deployment_is_none(
    shift: Callable[..., Shift], deploy: Callable[..., Deployment]
) -> None:
    back = deploy().started_at + 5 * MINUTE
    other = shift(LOCKS, 1, verdict=Attribution.NO_EFFECT, recovered_at=back)
    assert transient_period([shift(JOBS, 3), other]) is None
