"""Whether the same thing happened before."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.recurrence import fingerprint, seen_before
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    MeasuredDeployment,
    Metric,
    Outcome,
    Shift,
)

LATENCY = Metric(name="latency", layer=Layer.TECHNICAL, query="l")
ERRORS = Metric(name="errors", layer=Layer.TECHNICAL, query="e")
SESSIONS = Metric(name="sessions", layer=Layer.USER, query="s")
REPLICAS = Metric(name="replicas", layer=Layer.SYSTEM, query="r", primary=False)
REVENUE = Metric(name="revenue", layer=Layer.BUSINESS, query="r")
TODAY = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
WEEK = timedelta(weeks=1)


def record(deployment: Deployment, *shifts: Shift) -> MeasuredDeployment:
    """What moved after an earlier deployment, so long after it as the shifts came after today's."""
    impact = Impact(
        deployment_id=deployment.id,
        measured_at=deployment.started_at,
        shifts=tuple(moved_by(deployment.started_at - TODAY, shift) for shift in shifts),
        outcome=Outcome.DEGRADATION,
        outcome_reason="worse",
    )
    return MeasuredDeployment(deployment=deployment, impact=impact)


def moved_by(time: timedelta, shift: Shift) -> Shift:
    onsets = {name: getattr(shift, name) for name in ("onset", "onset_low", "onset_high")}
    return replace(shift, **{name: onset and onset + time for name, onset in onsets.items()})


def count(shifts: Iterable[Shift], case: AnalysisContext) -> int:
    return seen_before(fingerprint(shifts, ()), case).count


@pytest.fixture
def chain(shift: Callable[..., Shift]) -> tuple[Shift, ...]:
    """Latency up, sessions down, revenue down."""
    return (shift(LATENCY, 1, 15.0), shift(SESSIONS, 5, -20.0), shift(REVENUE, 11, -1200.0))


def test_the_nearest_scope_with_a_match_answers(
    chain: tuple[Shift, ...], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    own = record(deploy(after=-WEEK, id="own"), *chain)
    older = record(deploy(after=-2 * WEEK, id="older"), *chain)
    team = record(deploy(after=-WEEK, id="team", service="cart", team="shop"), *chain)
    other = record(deploy(after=-WEEK, id="other", service="mail", team="mail"), *chain)
    deployment = deploy(team="shop")

    def asked(*past: MeasuredDeployment) -> tuple[str, tuple[str, ...]]:
        seen = seen_before(fingerprint(chain, ()), case(deployment=deployment, past=past))
        return seen.scope, seen.deployment_ids

    assert asked(older, own, team, other) == ("service", ("own", "older"))
    assert asked(team, other) == ("team", ("team",))
    assert asked(other) == ("all", ("other",))
    assert asked() == ("service", ())


def test_another_size_direction_order_or_set_of_metrics_is_another_story(
    shift: Callable[..., Shift],
    chain: tuple[Shift, ...],
    case: Callable[..., AnalysisContext],
    deploy: Callable[..., Deployment],
) -> None:
    latency, sessions, revenue = chain
    same = (replace(latency, change=20.0, low=19.0, high=21.0), sessions, revenue)
    others = (
        (replace(latency, change=45.0, low=44.0, high=46.0), sessions, revenue),
        (latency, replace(sessions, change=20.0), revenue),
        (
            latency,
            sessions,
            replace(revenue, onset=latency.onset, onset_low=latency.onset, onset_high=latency.onset),
            shift(ERRORS),
        ),
        (shift(SESSIONS, 1, -20.0), shift(LATENCY, 9, 15.0), revenue),
        (latency,),
        (),
    )
    earlier = deploy(after=-WEEK, id="d0")
    for shifts in others:
        assert count(chain, case(past=(record(earlier, *shifts),))) == 0, shifts
    assert count(chain, case(past=(record(earlier, *same),))) == 1


def unmoved(shift: Shift, low: float, high: float) -> Shift:
    """The metric, measured and not found to have moved."""
    return replace(shift, verdict=Attribution.NO_EFFECT, onset=None, change=(low + high) / 2, low=low, high=high)


def test_a_metric_that_did_not_move_counts_only_where_its_range_rules_the_shift_out(
    shift: Callable[..., Shift],
    chain: tuple[Shift, ...],
    case: Callable[..., AnalysisContext],
    deploy: Callable[..., Deployment],
) -> None:
    latency, sessions, revenue = chain
    errors = shift(ERRORS, 1, 8.0)
    earlier = deploy(after=-WEEK, id="d0")

    def alike(*past: Shift) -> int:
        return count((*chain, errors), case(past=(record(earlier, *past),)))

    assert alike(latency, sessions, unmoved(revenue, -3000, 500), unmoved(errors, -50, 50)) == 1
    assert alike(latency, sessions, unmoved(revenue, -100, 100), unmoved(errors, -50, 50)) == 1
    assert alike(latency, sessions, unmoved(revenue, -100, 100), unmoved(errors, -1, 1)) == 0
    assert alike(latency, unmoved(sessions, -99, 99), unmoved(revenue, -3000, 500), unmoved(errors, -50, 50)) == 0


def test_what_only_also_moved_is_no_part_of_the_fingerprint(
    shift: Callable[..., Shift],
    chain: tuple[Shift, ...],
    case: Callable[..., AnalysisContext],
    deploy: Callable[..., Deployment],
) -> None:
    also = (shift(ERRORS, 1, 8.0, primary=False), shift(REPLICAS, 1, 3.0, primary=False))
    assert count((*chain, *also), case(past=(record(deploy(after=-WEEK, id="d0"), *chain),))) == 1


def test_a_look_after_a_day_is_compared_by_what_its_first_hour_showed(
    chain: tuple[Shift, ...], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    latency, sessions, revenue = chain
    day = (replace(latency, change=60.0, low=50.0, high=70.0), unmoved(sessions, -10, 10), revenue)
    measured = record(deploy(after=-WEEK, id="d0"), *day)
    assert count(chain, case(past=(measured,))) == 0
    assert measured.impact
    early = replace(
        measured, impact=replace(measured.impact, first_hour=tuple(moved_by(-WEEK, shift) for shift in chain))
    )
    assert count(chain, case(past=(early,))) == 1


def test_what_came_later_than_this_look_reaches_is_not_missed_in_it(
    chain: tuple[Shift, ...], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    latency, sessions, revenue = chain
    now = (latency, unmoved(sessions, -1, 1), unmoved(revenue, -9, 9))
    past = (record(deploy(after=-WEEK, id="d0"), *chain),)
    start = deploy().started_at
    assert count(now, case(past=past, now=start + timedelta(minutes=4))) == 1
    assert count(now, case(past=past, now=start + timedelta(minutes=30))) == 0


def test_the_future_another_environment_and_what_was_not_measured_are_not_the_past(
    chain: tuple[Shift, ...], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    past = (
        record(deploy(after=WEEK, id="later"), *chain),
        record(deploy(after=-WEEK, id="staging", environment="staging"), *chain),
        MeasuredDeployment(deployment=deploy(after=-WEEK, id="open")),
    )
    assert count(chain, case(past=past)) == 0
    assert count((), case(past=(record(deploy(after=-WEEK, id="quiet")),))) == 0
