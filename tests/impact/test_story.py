"""The one place where an impact becomes words.

Whether harm goes on, and what it costs, in the one wording of pages, stories and notices.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.impact.assembly import assemble_impact
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.story import cost_figures, cost_sentence, harm_status, headline
from afdp_exporter.model import (
    Attribution,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    MeasuredDeployment,
    Metric,
    Money,
    Outcome,
    Shift,
    ShiftState,
    Worse,
)

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


def past(slowdown: tuple[Shift, ...], case: AnalysisContext, days: tuple[int, ...]) -> tuple[MeasuredDeployment, ...]:
    """The same slowdown after earlier deployments, each measured by the same way."""
    records = []
    for day in days:
        back = timedelta(days=-day)
        deployment = replace(case.deployment, id=f"d-{day}", started_at=case.deployment.started_at + back)
        moved = tuple(moved_by(entry, back) for entry in slowdown)
        scene = replace(case, deployment=deployment, now=case.now + back)
        records.append(MeasuredDeployment(deployment=deployment, impact=assemble_impact(moved, scene)))
    return tuple(records)


def moved_by(entry: Shift, time: timedelta) -> Shift:
    """The shift, that much later."""
    ends: Mapping[str, datetime | None] = {"onset": entry.onset, "onset_low": entry.onset_low}
    later = {name: at and at + time for name, at in {**ends, "onset_high": entry.onset_high}.items()}
    return replace(entry, **later)


def test_the_slowdown_reads_as_one_sentence_in_order_with_ranges_and_its_past(
    slowdown: tuple[Shift, ...], case: Callable[..., AnalysisContext]
) -> None:
    scene = case(metrics=ALL)
    impact = assemble_impact(slowdown, replace(scene, past=past(slowdown, scene, (21, 14, 7))))
    assert impact.story[0] == (
        "Deployment checkout v2.1.0 on 2 Mar at 14:00 UTC raised response time by 15 ms [12, 18]; "
        "4 minutes later mobile sessions fell by 2 % [1.4, 2.7]; "
        "6 minutes later revenue fell by $1,200 an hour [$950, $1,460]; "
        "the same sequence followed three earlier deployments."
    )
    assert impact.story[1] == (
        "It costs $1,200 an hour [$950, $1,460], $2,200 [$1,700, $2,700] so far in 1.8 hours, as of 16:00 UTC."
    )
    assert impact.story[2] == "It is going on, as of 16:00 UTC."
    assert impact.seen_before.deployment_ids == ("d-7", "d-14", "d-21")
    assert [link.seen_before for link in impact.links] == [3, 3]
    assert impact.outcome is Outcome.DEGRADATION


def test_the_short_form_is_one_line(slowdown: tuple[Shift, ...], case: Callable[..., AnalysisContext]) -> None:
    impact = assemble_impact(slowdown, case(metrics=ALL))
    assert headline(MeasuredDeployment(deployment=case().deployment, impact=impact)) == (
        "checkout v2.1.0 (2026-03-02 14:00 UTC): degradation; response time +15 ms [12, 18], "
        "mobile sessions -2 % [-2.7, -1.4], "
        "revenue -$1,200 an hour [-$1,460, -$950], costs $1,200 an hour [$950, $1,460]; going on, as of 16:00 UTC"
    )


def test_each_step_has_its_own_sentence_with_the_range_of_its_lag(
    slowdown: tuple[Shift, ...], case: Callable[..., AnalysisContext]
) -> None:
    first, second = assemble_impact(slowdown, case(metrics=ALL)).links
    assert first.sentence == (
        "Response time rose, followed 4 minutes [3 minutes, 5 minutes] later by: mobile sessions fell; "
        "seen after no earlier deployments."
    )
    assert second.lag == 6 * MINUTE


def test_a_new_order_says_what_would_make_it_surer(
    slowdown: tuple[Shift, ...], case: Callable[..., AnalysisContext]
) -> None:
    assert (
        assemble_impact(slowdown, case(metrics=ALL))
        .story[-1]
        .startswith("This order was not seen before: a second deploy")
    )


def test_an_improvement_is_reported_as_gladly_as_harm(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    better = (shift(LATENCY, 1, -0.015, low=-0.018, high=-0.012), shift(REVENUE, 11, 300.0, low=250.0, high=350.0))
    impact = assemble_impact(better, case(metrics=ALL))
    assert impact.outcome is Outcome.SUCCESS
    assert impact.story[0] == (
        "Deployment checkout v2.1.0 on 2 Mar at 14:00 UTC lowered response time by 15 ms [12, 18], an improvement; "
        "10 minutes later revenue rose by $300 an hour [$250, $350], an improvement."
    )
    assert impact.story[1].startswith("It gains $300 an hour [$250, $350]")


def test_what_came_and_went_is_reported_with_its_times(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    start = deploy().started_at
    spikes = (
        shift(LOCKS, 0, 45.0, low=44.0, high=46.0, duration=0.75 * MINUTE, recovered_at=start + MINUTE),
        shift(JOBS, 3, 900.0, before=30.0, duration=12 * MINUTE, recovered_at=start + 15 * MINUTE),
        shift(REVENUE, 0, -2400.0, low=-2500.0, high=-2300.0, duration=10 * MINUTE, recovered_at=start + 10 * MINUTE),
    )
    over = tuple(replace(spike, verdict=Attribution.TRANSIENT) for spike in spikes)
    story = assemble_impact(over, case(metrics=(LOCKS, JOBS, REVENUE))).story
    assert "It cost $400 [$383, $417] in all in 10 minutes; it is over." in story
    assert (
        "lock wait was back at 14:01 UTC after 45 seconds; revenue was back at 14:10 UTC after 10 minutes; "
        "queued jobs was back at 14:15 UTC after 12 minutes; all of it was over 15 minutes after the deployment began."
    ) in story


def test_secondary_metrics_come_last_and_are_left_out_of_the_short_form(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    shifts = (shift(REPLICAS, 0, 3.0, low=3.0, high=3.0, before=6.0), shift(LATENCY, 1, 0.015))
    impact = assemble_impact(shifts, case(metrics=(REPLICAS, LATENCY)))
    assert impact.story[0].endswith("; at the same time replicas rose by 3.")
    assert "replicas" not in headline(MeasuredDeployment(deployment=case().deployment, impact=impact))


def test_nothing_found_and_nothing_known_are_two_things(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    quiet = [shift(metric, None, verdict=Attribution.NO_EFFECT) for metric in ALL]
    assert assemble_impact(quiet, case(metrics=ALL)).story == (
        "Deployment checkout v2.1.0 on 2 Mar at 14:00 UTC moved none of three metrics.",
    )
    missing = shift(REVENUE, None, None, verdict=Attribution.INSUFFICIENT_HISTORY)
    half = assemble_impact([*quiet[:2], missing], case(metrics=ALL))
    assert half.story[0].endswith(f"no effect on two metrics; revenue cannot be judged: {missing.reason}.")
    nothing = assemble_impact([missing], case(metrics=ALL))
    assert nothing.story[0].endswith(f"at 14:00 UTC: one metric cannot be judged: {missing.reason}.")
    assert "so nothing is known of its effect" in assemble_impact([], case()).story[0]
    assert headline(MeasuredDeployment(deployment=case().deployment, impact=half)).startswith(
        "checkout v2.1.0 (2026-03-02 14:00 UTC): unknown, could not be judged: revenue"
    )


def test_what_another_deployment_explains_is_reported_with_its_name(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    rival = deploy(after=7 * MINUTE, id="d2", service="search", version="v7")
    story = assemble_impact([shift(LATENCY, 8)], case(metrics=(LATENCY,), others=(rival,))).story
    assert story[0] == "Deployment checkout v2.1.0 on 2 Mar at 14:00 UTC did not move response time."
    assert story[1].startswith("response time: search v7 at 2026-03-02 14:07 UTC explains it better")


def test_no_word_of_cause_goes_beyond_the_evidence(
    slowdown: tuple[Shift, ...], case: Callable[..., AnalysisContext]
) -> None:
    impact = assemble_impact(slowdown, case(metrics=ALL))
    text = " ".join((*impact.story, *(link.sentence for link in impact.links)))
    assert not any(word in text for word in ("because", "caused", "due to", "led to"))


START = datetime(2026, 3, 2, 14, tzinfo=UTC)
RATE = Estimate(low=2100, median=2400, high=2700)
TOTAL = Estimate(low=340, median=390, high=440)


def shift(state: ShiftState | None, **words: object) -> Shift:
    plain = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it rose",
        worse=Worse.UP,
        change=0.015,
        low=0.012,
        high=0.018,
        onset=START + MINUTE,
        state=state,
        as_of=START + 70 * MINUTE,
    )
    return replace(plain, **words)  # type: ignore[arg-type]


def impact(*shifts: Shift, costs: tuple[Cost, ...] = ()) -> Impact:
    return Impact(
        deployment_id="d1",
        measured_at=START + 80 * MINUTE,
        shifts=shifts,
        outcome=Outcome.DEGRADATION,
        outcome_reason="worse",
        costs=costs,
    )


def cost(**words: object) -> Cost:
    return replace(Cost(currency="USD", per_hour=RATE, total=TOTAL, duration=10 * MINUTE), **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shifts", "costs", "text"),
    [
        ((shift(ShiftState.ACTIVE),), (), "going on, as of 15:10 UTC"),
        ((shift(ShiftState.ACTIVE, as_of=START + timedelta(days=1)),), (), "going on, as of 2026-03-03 14:00 UTC"),
        (
            (shift(ShiftState.RECOVERED, recovered_at=START + 11 * MINUTE),),
            (cost(ended=True), cost(ended=True, currency="EUR")),
            "over after 10 minutes, $390 [$340, $440] and €390 [€340, €440] in all",
        ),
        ((shift(ShiftState.RECOVERED, recovered_at=START + 11 * MINUTE),), (), "over after 10 minutes"),
        ((shift(ShiftState.REPLACED),), (), "not seen to recover before the next deployment"),
        (
            (shift(ShiftState.ACTIVE), shift(ShiftState.RECOVERED, recovered_at=START + 11 * MINUTE)),
            (cost(ended=True),),
            "going on, as of 15:10 UTC",
        ),
        ((shift(ShiftState.ACTIVE, worse=Worse.DOWN),), (), None),  # an improvement
        ((shift(ShiftState.SUSPECTED, verdict=Attribution.INCONCLUSIVE),), (), None),
        ((shift(None),), (), None),  # of an older release
    ],
)
def test_harm_is_going_on_or_over_with_what_it_cost(
    shifts: tuple[Shift, ...], costs: tuple[Cost, ...], text: str | None
) -> None:
    assert harm_status(impact(*shifts, costs=costs), START) == text


def test_a_cost_is_an_hour_and_so_far_while_it_goes_on_and_in_all_once_it_is_over() -> None:
    running, over = cost(as_of=START + 10 * MINUTE), cost(ended=True)
    assert cost_sentence(running, START) == (
        "It costs $2,400 an hour [$2,100, $2,700], $390 [$340, $440] so far in 10 minutes, as of 14:10 UTC."
    )
    assert cost_figures(running, START) == (
        ("Loss, as of 14:10 UTC", "$2,400 an hour [$2,100, $2,700]"),
        ("Loss up to then, in 10 minutes", "$390 [$340, $440]"),
    )
    assert cost_sentence(over, START) == "It cost $390 [$340, $440] in all in 10 minutes; it is over."
    assert cost_figures(over, START) == (("Loss in all, in 10 minutes", "$390 [$340, $440]"),)
    gain = cost(per_hour=Estimate(low=-90, median=-80, high=-70), total=None)
    assert cost_figures(gain, START) == (("Gain", "$80 an hour [$70, $90]"),)


def test_what_was_last_measured_days_ago_is_said_to_be_of_then() -> None:
    gain = cost(per_hour=Estimate(low=-90, median=-80, high=-70), as_of=START + timedelta(days=3))
    (rate, _), _ = cost_figures(gain, START)
    assert rate == "Gain, as of 2026-03-05 14:00 UTC"
    assert cost_sentence(replace(gain, total=None), START) == (
        "It gains $80 an hour [$70, $90], as of 2026-03-05 14:00 UTC."
    )
