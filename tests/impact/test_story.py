"""The one place where an impact becomes words."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import conclude
from afdp_exporter.impact.story import headline
from afdp_exporter.model import Attribution, Deployment, Layer, Measured, Metric, Money, Outcome, Shift, Worse

MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="response_time_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
SESSIONS = Metric(name="mobile_sessions", layer=Layer.USER, query="s", worse=Worse.DOWN)
REVENUE = Metric(
    name="revenue_usd_per_hour",
    layer=Layer.BUSINESS,
    query="r",
    worse=Worse.DOWN,
    money=Money(currency="USD", per_unit=1.0),
)
LOCKS = Metric(name="lock_wait_seconds", layer=Layer.TECHNICAL, query="k", worse=Worse.UP)
JOBS = Metric(name="queued_jobs", layer=Layer.SYSTEM, query="j", worse=Worse.UP)
REPLICAS = Metric(name="replicas", layer=Layer.SYSTEM, query="p", primary=False)
ALL = (LATENCY, SESSIONS, REVENUE)


@pytest.fixture
def slowdown(shift: Callable[..., Shift]) -> tuple[Shift, ...]:
    """Slower answers, then fewer sessions, then less revenue."""
    return (
        shift(LATENCY, 1, 0.015, low=0.012, high=0.018, before=0.2),
        shift(SESSIONS, 5, -20.0, low=-27.0, high=-14.0, before=1000.0),
        shift(REVENUE, 11, -1203.0, low=-1460.0, high=-950.0, before=60_000.0),
    )


def past(slowdown: tuple[Shift, ...], case: Case, days: tuple[int, ...]) -> tuple[Measured, ...]:
    """The same slowdown after earlier deployments, each measured by the same way."""
    records = []
    for day in days:
        back = timedelta(days=-day)
        deployment = replace(case.deployment, id=f"d-{day}", started_at=case.deployment.started_at + back)
        moved = tuple(moved_by(entry, back) for entry in slowdown)
        scene = replace(case, deployment=deployment, now=case.now + back)
        records.append(Measured(deployment=deployment, impact=conclude(moved, scene)))
    return tuple(records)


def moved_by(entry: Shift, time: timedelta) -> Shift:
    """The shift, that much later."""
    ends: Mapping[str, datetime | None] = {"onset": entry.onset, "onset_low": entry.onset_low}
    later = {name: at and at + time for name, at in {**ends, "onset_high": entry.onset_high}.items()}
    return replace(entry, **later)


def test_the_slowdown_reads_as_one_sentence_in_order_with_ranges_and_its_past(
    slowdown: tuple[Shift, ...], case: Callable[..., Case]
) -> None:
    scene = case(metrics=ALL)
    impact = conclude(slowdown, replace(scene, past=past(slowdown, scene, (21, 14, 7))))
    assert impact.story[0] == (
        "Deployment checkout v2.1.0 at 14:00 raised response time by 15 ms [12, 18]; "
        "4 minutes later mobile sessions fell by 2 % [1.4, 2.7]; "
        "6 minutes later revenue fell by $1,200 an hour [$950, $1,460]; "
        "the same sequence followed three earlier deployments."
    )
    assert impact.story[1] == (
        "It costs $1,200 an hour [$950, $1,460], $2,200 [$1,700, $2,700] so far in 1.8 hours, as of 16:00."
    )
    assert impact.story[2] == "It is going on, as of 16:00."
    assert impact.seen_before.deployment_ids == ("d-7", "d-14", "d-21")
    assert [link.seen_before for link in impact.links] == [3, 3]
    assert impact.outcome is Outcome.DEGRADATION


def test_the_short_form_is_one_line(slowdown: tuple[Shift, ...], case: Callable[..., Case]) -> None:
    impact = conclude(slowdown, case(metrics=ALL))
    assert headline(Measured(deployment=case().deployment, impact=impact)) == (
        "checkout v2.1.0 (14:00): degradation; response time +15 ms [12, 18], mobile sessions -2 % [-2.7, -1.4], "
        "revenue -$1,200 an hour [-$1,460, -$950], costs $1,200 an hour [$950, $1,460]; going on, as of 16:00"
    )


def test_each_step_has_its_own_sentence_with_the_range_of_its_lag(
    slowdown: tuple[Shift, ...], case: Callable[..., Case]
) -> None:
    first, second = conclude(slowdown, case(metrics=ALL)).links
    assert first.sentence == (
        "Response time rose, followed 4 minutes [3 minutes, 5 minutes] later by: mobile sessions fell; "
        "seen after no earlier deployments."
    )
    assert second.lag == 6 * MINUTE


def test_a_new_order_says_what_would_make_it_surer(slowdown: tuple[Shift, ...], case: Callable[..., Case]) -> None:
    assert conclude(slowdown, case(metrics=ALL)).story[-1].startswith("This order was not seen before: a second deploy")


def test_an_improvement_is_told_as_gladly_as_harm(shift: Callable[..., Shift], case: Callable[..., Case]) -> None:
    better = (shift(LATENCY, 1, -0.015, low=-0.018, high=-0.012), shift(REVENUE, 11, 300.0, low=250.0, high=350.0))
    impact = conclude(better, case(metrics=ALL))
    assert impact.outcome is Outcome.SUCCESS
    assert impact.story[0] == (
        "Deployment checkout v2.1.0 at 14:00 lowered response time by 15 ms [12, 18], an improvement; "
        "10 minutes later revenue rose by $300 an hour [$250, $350], an improvement."
    )
    assert impact.story[1].startswith("It gains $300 an hour [$250, $350]")


def test_what_came_and_went_is_told_with_its_times(
    shift: Callable[..., Shift], case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    start = deploy().started_at
    spikes = (
        shift(LOCKS, 0, 45.0, low=44.0, high=46.0, duration=0.75 * MINUTE, recovered_at=start + MINUTE),
        shift(JOBS, 3, 900.0, before=30.0, duration=12 * MINUTE, recovered_at=start + 15 * MINUTE),
        shift(REVENUE, 0, -2400.0, low=-2500.0, high=-2300.0, duration=10 * MINUTE, recovered_at=start + 10 * MINUTE),
    )
    over = tuple(replace(spike, verdict=Attribution.TRANSIENT) for spike in spikes)
    story = conclude(over, case(metrics=(LOCKS, JOBS, REVENUE))).story
    assert "It cost $400 [$383, $417] in all in 10 minutes; it is over." in story
    assert (
        "lock wait was back at 14:01 after 45 seconds; revenue was back at 14:10 after 10 minutes; "
        "queued jobs was back at 14:15 after 12 minutes; all of it was over 15 minutes after the deployment began."
    ) in story


def test_secondary_metrics_come_last_and_are_left_out_of_the_short_form(
    shift: Callable[..., Shift], case: Callable[..., Case]
) -> None:
    shifts = (shift(REPLICAS, 0, 3.0, low=3.0, high=3.0, before=6.0), shift(LATENCY, 1, 0.015))
    impact = conclude(shifts, case(metrics=(REPLICAS, LATENCY)))
    assert impact.story[0].endswith("; at the same time replicas rose by 3.")
    assert "replicas" not in headline(Measured(deployment=case().deployment, impact=impact))


def test_nothing_found_and_nothing_known_are_two_things(shift: Callable[..., Shift], case: Callable[..., Case]) -> None:
    quiet = [shift(metric, None, verdict=Attribution.NO_EFFECT) for metric in ALL]
    assert conclude(quiet, case(metrics=ALL)).story == (
        "Deployment checkout v2.1.0 at 14:00 moved none of three metrics.",
    )
    missing = shift(REVENUE, None, None, verdict=Attribution.INSUFFICIENT_HISTORY)
    half = conclude([*quiet[:2], missing], case(metrics=ALL))
    assert half.story[0].endswith(f"no effect on two metrics; revenue cannot be judged: {missing.reason}.")
    nothing = conclude([missing], case(metrics=ALL))
    assert nothing.story[0].endswith(f"at 14:00: one metric cannot be judged: {missing.reason}.")
    assert "so nothing is known of its effect" in conclude([], case()).story[0]
    assert headline(Measured(deployment=case().deployment, impact=half)).startswith(
        "checkout v2.1.0 (14:00): unknown, could not be judged: revenue"
    )


def test_what_another_deployment_explains_is_told_with_its_name(
    shift: Callable[..., Shift], case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    rival = deploy(after=7 * MINUTE, id="d2", service="search", version="v7")
    story = conclude([shift(LATENCY, 8)], case(metrics=(LATENCY,), others=(rival,))).story
    assert story[0] == "Deployment checkout v2.1.0 at 14:00 did not move response time."
    assert story[1].startswith("response time: search v7 at 14:07 explains it better")


def test_no_word_of_cause_goes_beyond_the_evidence(slowdown: tuple[Shift, ...], case: Callable[..., Case]) -> None:
    impact = conclude(slowdown, case(metrics=ALL))
    told = " ".join((*impact.story, *(link.sentence for link in impact.links)))
    assert not any(word in told for word in ("because", "caused", "due to", "led to"))
