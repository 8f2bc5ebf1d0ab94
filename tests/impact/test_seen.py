"""Whether the same thing happened before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.seen import seen_before
from afdp_exporter.model import Deployment, Impact, Layer, Measured, Metric, Outcome, Shift

LATENCY = Metric(name="latency", layer=Layer.TECHNICAL, query="l")
ERRORS = Metric(name="errors", layer=Layer.TECHNICAL, query="e")
SESSIONS = Metric(name="sessions", layer=Layer.USER, query="s")
REVENUE = Metric(name="revenue", layer=Layer.BUSINESS, query="r")
WEEK = timedelta(weeks=1)


def record(deployment: Deployment, *shifts: Shift) -> Measured:
    impact = Impact(
        deployment_id=deployment.id,
        measured_at=deployment.started_at,
        shifts=shifts,
        outcome=Outcome.DEGRADATION,
        outcome_reason="worse",
    )
    return Measured(deployment=deployment, impact=impact)


@pytest.fixture
def chain(shift: Callable[..., Shift]) -> tuple[Shift, ...]:
    """Latency up, sessions down, revenue down."""
    return (shift(LATENCY, 1, 15.0), shift(SESSIONS, 5, -20.0), shift(REVENUE, 11, -1200.0))


def test_the_nearest_scope_with_a_match_answers(
    chain: tuple[Shift, ...], case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    own = record(deploy(after=-WEEK, id="own"), *chain)
    older = record(deploy(after=-2 * WEEK, id="older"), *chain)
    team = record(deploy(after=-WEEK, id="team", service="cart", team="shop"), *chain)
    other = record(deploy(after=-WEEK, id="other", service="mail", team="mail"), *chain)
    deployment = deploy(team="shop")

    def asked(*past: Measured) -> tuple[str, tuple[str, ...]]:
        seen = seen_before(chain, case(deployment=deployment, past=past))
        return seen.scope, seen.deployment_ids

    assert asked(older, own, team, other) == ("service", ("own", "older"))
    assert asked(team, other) == ("team", ("team",))
    assert asked(other) == ("all", ("other",))
    assert asked() == ("service", ())


def test_another_size_direction_order_or_set_of_metrics_is_another_story(
    shift: Callable[..., Shift],
    chain: tuple[Shift, ...],
    case: Callable[..., Case],
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
        assert seen_before(chain, case(past=(record(earlier, *shifts),))).count == 0, shifts
    assert seen_before(chain, case(past=(record(earlier, *same),))).count == 1


def test_one_metric_in_three_may_have_stayed_below_what_can_be_seen(
    chain: tuple[Shift, ...], case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    earlier = deploy(after=-WEEK, id="d0")
    assert seen_before(chain, case(past=(record(earlier, *chain[:2]),))).count == 1


def test_the_future_another_environment_and_what_was_not_measured_are_not_the_past(
    chain: tuple[Shift, ...], case: Callable[..., Case], deploy: Callable[..., Deployment]
) -> None:
    past = (
        record(deploy(after=WEEK, id="later"), *chain),
        record(deploy(after=-WEEK, id="staging", environment="staging"), *chain),
        Measured(deployment=deploy(after=-WEEK, id="open")),
    )
    assert seen_before(chain, case(past=past)).count == 0
    assert seen_before((), case(past=(record(deploy(after=-WEEK, id="quiet")),))).count == 0
