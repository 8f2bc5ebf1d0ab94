"""What the sender of a deployment says became of it."""

from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.model import CalendarEntryKind, Deployment, Event, Status

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def deployed(status: Status, **changes: object) -> Deployment:
    whole = {"id": "d", "service": "checkout", "environment": "production", "started_at": NOON, "received_at": NOON}
    return Deployment(**(whole | changes), status=status)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "failed"),
    [(Status.SUCCEEDED, False), (Status.STARTED, False), (Status.FAILED, True), (Status.ROLLED_BACK, True)],
)
def test_what_failed_or_was_taken_back_is_a_failure(status: Status, failed: bool) -> None:
    assert (deployed(status).reported_failure is not None) is failed


def test_a_rollback_is_no_failure_of_its_own() -> None:
    assert deployed(Status.ROLLED_BACK, traits={"rollback": True}).reported_failure is None
    assert deployed(Status.FAILED, traits={"rollback": True}).reported_failure is not None


def test_an_event_without_an_end_lasts_until_a_day_after_it_was_last_reported() -> None:
    later = NOON + timedelta(hours=5)
    event = Event(id="e", name="sale", kind=CalendarEntryKind.SALE, start=NOON, told_at=later, services=("shop",))
    assert event.calendar_entry.end == later + timedelta(days=1)
    assert event.calendar_entry.concerns("shop")
    assert not event.calendar_entry.concerns("search")
