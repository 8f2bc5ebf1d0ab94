"""Traits: the same words for the same deployment, nothing invented, nobody named."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import (
    Case,
    ChangeType,
    Context,
    Deployment,
    Impact,
    Occasion,
    OccasionKind,
    Outcome,
    Strategy,
)
from afdp_exporter.patterns.traits import OF_THE_MOMENT, case_traits, pseudonym, traits

MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DEPLOYMENT = Deployment(
    id="d", service="checkout", environment="production", started_at=MONDAY, received_at=MONDAY, team="shop"
)


def test_everything_a_sender_told_is_there_under_its_name() -> None:
    deployment = replace(
        DEPLOYMENT,
        change_types=(ChangeType.DATABASE, ChangeType.CODE),
        strategy=Strategy.CANARY,
        version="2.0.0",
        previous_version="1.9.3",
        traffic_ratio=0.1,
        traits={"table_rows": 2e6, "hotfix": True, "lane": "fast"},
    )
    found = traits(deployment, Context(at=MONDAY))
    assert found["change_types"] == {"database", "code"}
    assert (found["strategy"], found["version_jump"], found["traffic_ratio"]) == ("canary", "major", 0.1)
    assert (found["traits.table_rows"], found["traits.hotfix"], found["traits.lane"]) == (2e6, True, "fast")


def test_what_is_unknown_is_absent() -> None:
    found = traits(DEPLOYMENT, Context(at=MONDAY))
    assert found.keys() == {"team", "weekday", "hour", "event", "holiday", "in_flight"}


def test_a_number_that_is_none_is_unknown() -> None:
    for value in (float("nan"), float("inf")):
        assert "traits.x" not in traits(replace(DEPLOYMENT, traits={"x": value}), Context(at=MONDAY))


def test_hour_and_weekday_are_those_of_the_people_who_deploy() -> None:
    late_sunday = datetime(2026, 3, 1, 23, 0, tzinfo=UTC).astimezone(timezone(timedelta(hours=2)))
    found = traits(DEPLOYMENT, Context(at=late_sunday))
    assert (found["weekday"], found["hour"]) == ("Monday", 1.0)


def test_an_event_is_named_by_its_kind() -> None:
    sale = Occasion(name="spring", kind=OccasionKind.SALE, start=MONDAY, end=MONDAY)
    assert traits(DEPLOYMENT, Context(at=MONDAY, occasions=(sale,)))["event"] == {"sale"}


def test_recent_trouble_leaves_out_what_nobody_knows() -> None:
    recent = (Outcome.FAILURE, Outcome.UNKNOWN, Outcome.SUCCESS)
    assert traits(DEPLOYMENT, Context(at=MONDAY, recent=recent))["recent_trouble_ratio"] == 0.5
    assert "recent_trouble_ratio" not in traits(DEPLOYMENT, Context(at=MONDAY, recent=(Outcome.UNKNOWN,)))


@given(name=st.text(min_size=1), salt=st.binary(min_size=1))
def test_a_person_is_the_same_twelve_characters_and_never_the_name(name: str, salt: bytes) -> None:
    hidden = pseudonym(name, salt)
    assert hidden == pseudonym(name, salt)
    assert len(hidden) == 12
    assert hidden != pseudonym(name, salt + b"x")
    assert traits(replace(DEPLOYMENT, actor=name), Context(at=MONDAY), salt=salt)["actor"] == hidden


def test_the_traits_of_a_moment_are_those_that_change_with_it_alone() -> None:
    early = traits(DEPLOYMENT, Context(at=MONDAY))
    late = traits(DEPLOYMENT, Context(at=MONDAY + timedelta(days=1, hours=7), holiday="Founders' Day"))
    assert {name for name in early if early[name] != late[name]} <= set(OF_THE_MOMENT)


def test_a_human_word_counts_more_than_the_measurement() -> None:
    impact = Impact(
        deployment_id="d", measured_at=MONDAY, shifts=(), outcome=Outcome.SUCCESS, outcome_reason="nothing moved"
    )
    case = Case(deployment=DEPLOYMENT, context=Context(at=MONDAY), impact=impact)
    assert case.decision.outcome is Outcome.SUCCESS
    labelled = replace(case, deployment=replace(DEPLOYMENT, labelled_outcome=Outcome.FAILURE))
    assert labelled.decision.outcome is Outcome.FAILURE
    assert case_traits(case) == traits(DEPLOYMENT, Context(at=MONDAY))
