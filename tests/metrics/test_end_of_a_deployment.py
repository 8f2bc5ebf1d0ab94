"""When a deployment counts as over: the warnings of its service are muted until then."""

from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.metrics import CardinalityLimits, SelfMetrics
from afdp_exporter.model import Deployment, Status

START = datetime(2026, 3, 2, 14, tzinfo=UTC)
END = START + timedelta(minutes=4)


def ends(status: Status, finished_at: datetime | None) -> list[float]:
    """The times at which a deployment is shown to have ended."""
    instruments = SelfMetrics(CardinalityLimits())
    instruments.show(
        Deployment(
            id="c-1",
            service="checkout",
            environment="production",
            started_at=START,
            finished_at=finished_at,
            status=status,
            received_at=START,
        )
    )
    lines = instruments.render(names=["afdp_deployment_end_timestamp_seconds"])[0].decode().splitlines()
    return [float(line.split()[-1]) for line in lines if not line.startswith("#")]


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.FAILED, Status.ROLLED_BACK, Status.CANCELLED])
def test_one_that_is_reported_after_the_fact_without_its_end_ended_when_it_started(status: Status) -> None:
    assert ends(status, None) == [START.timestamp()]


def test_one_that_has_started_is_under_way_until_its_end_is_reported() -> None:
    assert ends(Status.STARTED, None) == []
    assert ends(Status.STARTED, END) == [END.timestamp()]


def test_a_planned_one_has_no_end_yet() -> None:
    assert ends(Status.PLANNED, END) == []
