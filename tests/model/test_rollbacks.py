"""Which deployments a rollback or a hotfix takes back."""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.model import Deployment, Status, declares_remedy, is_rollback, remedies, returns_to, reverted_by

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def deployed(number: int, version: str | None, previous: str | None = None, **changes: object) -> Deployment:
    return Deployment(
        id=f"d{number}",
        service="checkout",
        environment="production",
        started_at=NOON + number * HOUR,
        version=version,
        previous_version=previous,
        received_at=NOON,
        **changes,  # type: ignore[arg-type]
    )


FIRST, SECOND, THIRD = deployed(1, "2", "1"), deployed(2, "3", "2"), deployed(3, "4", "3")


def test_a_rollback_takes_back_every_deployment_since_the_one_that_left_its_version() -> None:
    back = deployed(4, "2", "4")
    assert reverted_by(back, (FIRST, SECOND, THIRD), DAY) == (SECOND, THIRD)
    assert returns_to(back, SECOND)
    assert is_rollback(back, (FIRST, SECOND, THIRD))


def test_a_hotfix_takes_back_the_deployment_whose_version_it_replaces() -> None:
    fix = deployed(4, "4.1", "3", description="hotfix of the totals")
    assert declares_remedy(fix)
    assert not is_rollback(fix)
    assert reverted_by(fix, (FIRST, SECOND, THIRD), DAY) == (SECOND,)


def test_a_rollback_to_nowhere_takes_back_the_newest() -> None:
    back = deployed(4, None, traits={"rollback": True})
    assert reverted_by(back, (FIRST, SECOND, THIRD), DAY) == (THIRD,)


def test_an_ordinary_deployment_takes_back_nothing() -> None:
    assert reverted_by(deployed(4, "5", "4"), (FIRST, SECOND, THIRD), DAY) == ()


@pytest.mark.parametrize("status", [Status.PLANNED, Status.CANCELLED])
def test_what_never_happened_takes_back_nothing_and_is_not_taken_back(status: Status) -> None:
    back = deployed(4, "3", "4")
    assert reverted_by(replace(back, status=status), (FIRST, SECOND, THIRD), DAY) == ()
    assert reverted_by(back, (FIRST, SECOND, replace(THIRD, status=status)), DAY) == ()


def test_nothing_is_taken_back_that_ended_too_long_before_or_runs_elsewhere() -> None:
    back = deployed(30, "3", "4")
    assert reverted_by(back, (FIRST, SECOND, THIRD), DAY) == ()
    elsewhere = replace(THIRD, environment="staging")
    assert not elsewhere.same_target(THIRD)
    assert reverted_by(deployed(4, "3", "4"), (elsewhere,), DAY) == ()


def test_a_rollback_is_not_taken_back_itself() -> None:
    back = deployed(4, "3", "4")
    again = deployed(5, None, description="revert")
    assert reverted_by(again, (FIRST, SECOND, THIRD, back), DAY) == (THIRD,)


VERSIONS = st.sampled_from([None, "1", "2", "3"])
SERVICES = st.sampled_from(["checkout", "search"])


@given(
    st.lists(
        st.tuples(
            SERVICES, st.integers(0, 40), st.integers(0, 30), VERSIONS, VERSIONS, st.booleans(), st.sampled_from(Status)
        ),
        max_size=12,
    )
)
def test_all_that_was_taken_back_is_found_at_once_as_one_by_one(rows: list[Any]) -> None:
    deployments = [
        Deployment(
            id=f"d{number}", service=service, environment="production", started_at=NOON + start * HOUR,
            finished_at=NOON + (start + lasted) * HOUR, version=version, previous_version=previous, status=status,
            traits={"hotfix": True} if fix else {}, received_at=NOON,
        )
        for number, (service, start, lasted, version, previous, fix, status) in enumerate(rows)
    ]  # fmt: skip
    in_order = sorted(deployments, key=lambda each: each.started_at)
    one_by_one: dict[str, Deployment] = {}
    for each in in_order:
        for taken in reverted_by(each, deployments, DAY):
            one_by_one.setdefault(taken.id, each)
    assert remedies(deployments, DAY) == one_by_one


def test_a_busy_service_is_walked_once() -> None:
    """Five thousand deployments of a service: each compared with each would be hundreds of times as many calls."""
    busy = [deployed(number, str(number), str(number - 1)) for number in range(5000)]
    calls = 0

    def count(frame: object, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        assert remedies(busy, DAY) == {}
    finally:
        sys.setprofile(None)
    assert calls < 200 * len(busy)
