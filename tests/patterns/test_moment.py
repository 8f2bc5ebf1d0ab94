"""The state that a deployment meets: only what was known then."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

from afdp_exporter.model import Deployment, Occasion, OccasionKind, Outcome, Outline
from afdp_exporter.patterns.moment import RECENT, moment

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
NOW = Deployment(id="now", service="checkout", environment="production", started_at=NOON, received_at=NOON)


def before(hours: float, **changes: object) -> Deployment:
    at = NOON - timedelta(hours=hours)
    return replace(NOW, **{"id": f"-{hours}", "started_at": at, "finished_at": at + timedelta(minutes=5), **changes})


def outline(deployment: Deployment, outcome: Outcome, measured_at: datetime) -> Outline:
    return Outline(deployment=deployment, measured_at=measured_at, outcome=outcome)


def test_an_outcome_measured_after_the_start_is_not_known_yet() -> None:
    old, new = before(5), before(1)
    impacts = {
        old.id: outline(old, Outcome.FAILURE, NOON - timedelta(hours=4)),
        new.id: outline(new, Outcome.DEGRADATION, NOON + timedelta(minutes=1)),
    }
    assert moment(NOW, earlier=[old, new], impacts=impacts, zone=UTC).recent == (Outcome.FAILURE,)


def test_what_starts_later_changes_nothing() -> None:
    old = before(5)
    alone = moment(NOW, earlier=[old], impacts={}, zone=UTC)
    later = replace(NOW, id="later", started_at=NOON + timedelta(hours=1))
    assert moment(NOW, earlier=[later, NOW, old], impacts={}, zone=UTC) == alone


def test_the_last_deployment_is_that_of_the_same_service_and_environment() -> None:
    others = [before(1, service="search"), before(2, environment="staging"), before(3)]
    found = moment(NOW, earlier=others, impacts={}, zone=UTC)
    assert found.since_last == timedelta(hours=3)


def test_whatever_has_not_ended_is_in_flight() -> None:
    open_end = before(0.1, service="search", finished_at=None)
    forgotten = before(8, service="cart", finished_at=None)
    long = before(2, service="pay", finished_at=NOON + timedelta(minutes=1))
    assert moment(NOW, earlier=[open_end, forgotten, long, before(1)], impacts={}, zone=UTC).in_flight == 2


def test_only_the_newest_outcomes_count() -> None:
    past = [before(hours) for hours in range(1, 10)]
    impacts = {one.id: outline(one, Outcome.SUCCESS, one.started_at) for one in past}
    impacts[past[0].id] = outline(past[0], Outcome.FAILURE, past[0].started_at)
    recent = moment(NOW, earlier=past, impacts=impacts, zone=UTC).recent
    assert len(recent) == RECENT
    assert recent[0] is Outcome.FAILURE


def test_occasions_and_holidays_are_those_of_the_local_day() -> None:
    sale = Occasion(name="sale", kind=OccasionKind.SALE, start=NOON, end=NOON + timedelta(days=1))
    over = Occasion(name="over", start=NOON - timedelta(days=2), end=NOON - timedelta(days=1))
    names = {date(2026, 5, 1): "Labour Day"}
    here = moment(NOW, earlier=[], impacts={}, zone=UTC, calendar=[sale, over], holidays=names)
    assert (here.occasions, here.holiday) == ((sale,), "Labour Day")
    far = moment(NOW, earlier=[], impacts={}, zone=timezone(timedelta(hours=13)), holidays=names)
    assert far.holiday is None
