"""Traits: the same words for the same deployment, nothing invented, nobody named.

The state that a deployment meets: only what was known then.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import (
    CalendarEntry,
    CalendarEntryKind,
    ChangeType,
    Context,
    Deployment,
    Impact,
    MeasuredSummary,
    Outcome,
    Strategy,
    TrainingExample,
)
from afdp_exporter.patterns.features.extraction import (
    OF_THE_MOMENT,
    RECENT,
    deployment_context,
    example_features,
    features_of,
    pseudonym,
)

MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
DEPLOYMENT = Deployment(
    id="d", service="checkout", environment="production", started_at=MONDAY, received_at=MONDAY, team="shop"
)


def test_everything_a_sender_reported_is_there_under_its_name() -> None:
    deployment = replace(
        DEPLOYMENT,
        change_types=(ChangeType.DATABASE, ChangeType.CODE),
        strategy=Strategy.CANARY,
        version="2.0.0",
        previous_version="1.9.3",
        traffic_ratio=0.1,
        traits={"table_rows": 2e6, "hotfix": True, "lane": "fast"},
    )
    found = features_of(deployment, Context(at=MONDAY))
    assert found["change_types"] == {"database", "code"}
    assert (found["strategy"], found["version_jump"], found["traffic_ratio"]) == ("canary", "major", 0.1)
    assert (found["traits.table_rows"], found["traits.hotfix"], found["traits.lane"]) == (2e6, True, "fast")


def test_what_is_unknown_is_absent() -> None:
    found = features_of(DEPLOYMENT, Context(at=MONDAY))
    assert found.keys() == {"team", "weekday", "hour", "event", "holiday", "in_flight"}


def test_a_number_that_is_none_is_unknown() -> None:
    for value in (float("nan"), float("inf")):
        assert "traits.x" not in features_of(replace(DEPLOYMENT, traits={"x": value}), Context(at=MONDAY))


def test_hour_and_weekday_are_those_of_the_people_who_deploy() -> None:
    late_sunday = datetime(2026, 3, 1, 23, 0, tzinfo=UTC).astimezone(timezone(timedelta(hours=2)))
    found = features_of(DEPLOYMENT, Context(at=late_sunday))
    assert (found["weekday"], found["hour"]) == ("Monday", 1.0)


def test_an_event_is_named_by_its_kind() -> None:
    sale = CalendarEntry(name="spring", kind=CalendarEntryKind.SALE, start=MONDAY, end=MONDAY)
    assert features_of(DEPLOYMENT, Context(at=MONDAY, occasions=(sale,)))["event"] == {"sale"}


def test_recent_trouble_leaves_out_what_nobody_knows() -> None:
    recent = (Outcome.FAILURE, Outcome.UNKNOWN, Outcome.SUCCESS)
    assert features_of(DEPLOYMENT, Context(at=MONDAY, recent=recent))["recent_trouble_ratio"] == 0.5
    assert "recent_trouble_ratio" not in features_of(DEPLOYMENT, Context(at=MONDAY, recent=(Outcome.UNKNOWN,)))


@given(name=st.text(min_size=1), salt=st.binary(min_size=1))
def test_a_person_is_the_same_twelve_characters_and_never_the_name(name: str, salt: bytes) -> None:
    hidden = pseudonym(name, salt)
    assert hidden == pseudonym(name, salt)
    assert len(hidden) == 12
    assert hidden != pseudonym(name, salt + b"x")
    assert features_of(replace(DEPLOYMENT, actor=name), Context(at=MONDAY), salt=salt)["actor"] == hidden


def test_the_traits_of_a_moment_are_those_that_change_with_it_alone() -> None:
    early = features_of(DEPLOYMENT, Context(at=MONDAY))
    late = features_of(DEPLOYMENT, Context(at=MONDAY + timedelta(days=1, hours=7), holiday="Founders' Day"))
    assert {name for name in early if early[name] != late[name]} <= set(OF_THE_MOMENT)


def test_a_human_word_counts_more_than_the_measurement() -> None:
    impact = Impact(
        deployment_id="d", measured_at=MONDAY, shifts=(), outcome=Outcome.SUCCESS, outcome_reason="nothing moved"
    )
    case = TrainingExample(deployment=DEPLOYMENT, context=Context(at=MONDAY), impact=impact)
    assert case.decision.outcome is Outcome.SUCCESS
    labelled = replace(case, deployment=replace(DEPLOYMENT, labelled_outcome=Outcome.FAILURE))
    assert labelled.decision.outcome is Outcome.FAILURE
    assert example_features(case) == features_of(DEPLOYMENT, Context(at=MONDAY))


NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
NOW = Deployment(id="now", service="checkout", environment="production", started_at=NOON, received_at=NOON)


def before(hours: float, **changes: object) -> Deployment:
    at = NOON - timedelta(hours=hours)
    return replace(NOW, **{"id": f"-{hours}", "started_at": at, "finished_at": at + timedelta(minutes=5), **changes})


def outline(deployment: Deployment, outcome: Outcome, measured_at: datetime) -> MeasuredSummary:
    return MeasuredSummary(deployment=deployment, measured_at=measured_at, outcome=outcome)


def test_an_outcome_measured_after_the_start_is_not_known_yet() -> None:
    old, new = before(5), before(1)
    impacts = {
        old.id: outline(old, Outcome.FAILURE, NOON - timedelta(hours=4)),
        new.id: outline(new, Outcome.DEGRADATION, NOON + timedelta(minutes=1)),
    }
    assert deployment_context(NOW, earlier=[old, new], impacts=impacts, zone=UTC).recent == (Outcome.FAILURE,)


def test_what_starts_later_changes_nothing() -> None:
    old = before(5)
    alone = deployment_context(NOW, earlier=[old], impacts={}, zone=UTC)
    later = replace(NOW, id="later", started_at=NOON + timedelta(hours=1))
    assert deployment_context(NOW, earlier=[later, NOW, old], impacts={}, zone=UTC) == alone


def test_the_last_deployment_is_that_of_the_same_service_and_environment() -> None:
    others = [before(1, service="search"), before(2, environment="staging"), before(3)]
    found = deployment_context(NOW, earlier=others, impacts={}, zone=UTC)
    assert found.since_last == timedelta(hours=3)


def test_whatever_has_not_ended_is_in_flight() -> None:
    open_end = before(0.1, service="search", finished_at=None)
    forgotten = before(8, service="cart", finished_at=None)
    long = before(2, service="pay", finished_at=NOON + timedelta(minutes=1))
    assert deployment_context(NOW, earlier=[open_end, forgotten, long, before(1)], impacts={}, zone=UTC).in_flight == 2


def test_only_the_newest_outcomes_count() -> None:
    past = [before(hours) for hours in range(1, 10)]
    impacts = {one.id: outline(one, Outcome.SUCCESS, one.started_at) for one in past}
    impacts[past[0].id] = outline(past[0], Outcome.FAILURE, past[0].started_at)
    recent = deployment_context(NOW, earlier=past, impacts=impacts, zone=UTC).recent
    assert len(recent) == RECENT
    assert recent[0] is Outcome.FAILURE


def test_occasions_and_holidays_are_those_of_the_local_day() -> None:
    sale = CalendarEntry(name="sale", kind=CalendarEntryKind.SALE, start=NOON, end=NOON + timedelta(days=1))
    over = CalendarEntry(name="over", start=NOON - timedelta(days=2), end=NOON - timedelta(days=1))
    names = {date(2026, 5, 1): "Labour Day"}
    here = deployment_context(NOW, earlier=[], impacts={}, zone=UTC, calendar=[sale, over], holidays=names)
    assert (here.occasions, here.holiday) == ((sale,), "Labour Day")
    far = deployment_context(NOW, earlier=[], impacts={}, zone=timezone(timedelta(hours=13)), holidays=names)
    assert far.holiday is None
