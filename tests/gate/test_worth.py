"""What a rollback was worth, at its lower point."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from afdp_exporter.gate.worth import Usual, prevented, usual_duration
from afdp_exporter.model import MeasuredDeployment, Outcome, ShiftState
from gated import MINUTE, NOON, deployment, impact

BEGUN = NOON - 18 * MINUTE  # a minute after the harm began


def over(after: timedelta, **words: Any) -> Any:  # noqa: ANN401
    found = impact(Outcome.FAILURE, cost=1000.0, **words)
    since = found.shifts[0].onset
    assert since is not None
    shift = replace(found.shifts[0], state=ShiftState.RECOVERED, recovered_at=since + after, duration=after)
    return replace(found, shifts=(shift,))


def test_it_is_the_lower_point_times_what_was_not_suffered() -> None:
    found = prevented(
        over(5 * MINUTE), usual=Usual(duration=65 * MINUTE, n=6, whose="this service"), reached=1.0, taken_back_at=BEGUN
    )
    assert found is not None
    assert found.amount == pytest.approx(800.0)  # 800 is the lower point of 1,000, an hour is spared
    assert "6 earlier failures" in found.sentence


def test_a_canary_is_spared_the_traffic_that_it_did_not_reach() -> None:
    found = prevented(
        over(5 * MINUTE), usual=Usual(duration=65 * MINUTE, n=6, whose="this service"), reached=0.2, taken_back_at=BEGUN
    )
    assert found is not None
    assert found.amount == pytest.approx(3200.0)  # measured at a fifth of the traffic: four fifths are spared
    assert "80 %" in found.sentence


def test_harm_that_was_over_before_it_was_taken_back_is_worth_nothing() -> None:
    usual = Usual(duration=65 * MINUTE, n=6, whose="this service")
    found = prevented(over(5 * MINUTE), usual=usual, reached=1.0, taken_back_at=NOON - 13 * MINUTE)
    assert found is not None
    assert (found.amount, found.sentence) == (0.0, "the metrics were back before it was taken back")


def test_what_lasted_longer_than_usual_was_worth_nothing() -> None:
    found = prevented(
        over(5 * MINUTE), usual=Usual(duration=2 * MINUTE, n=6, whose="this service"), reached=1.0, taken_back_at=BEGUN
    )
    assert found is not None
    assert found.amount == 0.0


def test_without_earlier_failures_it_is_said_what_is_assumed() -> None:
    found = prevented(over(30 * MINUTE), usual=Usual(duration=60 * MINUTE), reached=1.0, taken_back_at=BEGUN)
    assert found is not None
    assert found.amount == pytest.approx(400.0)
    assert "assumed" in found.sentence


def test_the_usual_duration_is_the_lower_point_of_those_that_nobody_took_back_automatically() -> None:
    past = [
        MeasuredDeployment(deployment=deployment(f"d{n}"), impact=over(n * MINUTE, deployment_id=f"d{n}"))
        for n in (10, 20, 90)
    ]
    own = MeasuredDeployment(
        deployment=deployment("x", received_from="automation"), impact=over(MINUTE, deployment_id="x")
    )
    assert usual_duration([*past, own]) == (10 * MINUTE, 3)
    assert usual_duration([]) is None
