"""What was rolled back or fixed is looked at again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    Shift,
    ShiftState,
    Worse,
)
from afdp_exporter.store import Amendment
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.remedies import looks_again
from afdp_exporter.watching.watch import Schedule, schedule_looks
from looking import claim_looks

START = datetime(2026, 11, 2, 14, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SCHEDULE = Schedule(looks=(15 * MINUTE, 24 * HOUR))


def deployment(name: str, after: timedelta, **changes: object) -> Deployment:
    at = START + after
    known: dict[str, object] = {
        "service": "api",
        "environment": "production",
        "version": "v2",
        "previous_version": "v1",
    }
    return Deployment(**(known | {"id": name, "started_at": at, "received_at": at} | changes))  # type: ignore[arg-type]


async def lived(store: SQLiteStore, deployment: Deployment, now: datetime) -> None:
    """Record a deployment, and answer what is due."""
    await store.deployments.record(deployment, schedule_looks(deployment, SCHEDULE, deployment.started_at))
    for look in await claim_looks(store, now, limit=10, lease=MINUTE):
        await store.looks.finish(replace(look, state=LookState.DONE, done_at=now), None)


async def planned_again(look: Look, store: SQLiteStore, now: datetime) -> None:
    """Plan the looks that follow from one."""
    for each in await looks_again(look, store=store, within=24 * HOUR, now=now):

        def added(known: Deployment, again: Look = each) -> Amendment:
            return Amendment(deployment=known, looks=(*schedule_looks(known, SCHEDULE, now), again))

        await store.deployments.amend(each.deployment_id, added)


async def looks(store: SQLiteStore, name: str) -> list[tuple[timedelta, LookState]]:
    return [(look.after, look.state) for look in await store.looks.of_deployment(name)]


async def test_what_a_rollback_takes_back_is_looked_at_again_beside_the_looks_that_it_had(store: SQLiteStore) -> None:
    now = START + 3 * HOUR
    await lived(store, deployment("bad", timedelta(0)), now)
    await lived(store, deployment("other", timedelta(0), service="search"), now)
    await lived(store, deployment("back", 2 * HOUR, version="v1", previous_version="v2"), now)
    done, ahead = (15 * MINUTE, LookState.DONE), (24 * HOUR, LookState.DUE)

    async def looked_at(after: timedelta, name: str = "back") -> None:
        look = Look(deployment_id=name, after=after, due_at=now)
        await planned_again(look, store, now)

    await looked_at(5 * MINUTE)  # too soon for anything to have returned
    await looked_at(15 * MINUTE, "other")
    assert await looks(store, "bad") == [done, ahead]
    await looked_at(15 * MINUTE)
    assert await looks(store, "bad") == [done, (3 * HOUR, LookState.DUE), ahead]
    assert await looks(store, "other") == [done, ahead]
    assert [look.deployment_id for look in await claim_looks(store, now, limit=10, lease=MINUTE)] == ["bad"]


async def test_what_was_mended_after_the_time_for_it_is_left_alone(store: SQLiteStore) -> None:
    now = START + 50 * HOUR
    await lived(store, deployment("old", timedelta(0)), now)
    await lived(store, deployment("back", 49 * HOUR, version="v1", previous_version="v2"), now)
    before = await looks(store, "old")
    look = Look(deployment_id="back", after=15 * MINUTE, due_at=now)
    await planned_again(look, store, now)
    assert await looks(store, "old") == before


async def test_harm_that_goes_on_is_looked_at_again_after_whatever_was_deployed_next(store: SQLiteStore) -> None:
    now = START + 3 * HOUR
    await lived(store, deployment("bad", timedelta(0)), now)
    await lived(store, deployment("calm", HOUR), now)
    await lived(store, deployment("next", 2 * HOUR, version="v3", previous_version="v2"), now)
    worse = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it moved",
        worse=Worse.UP,
        change=0.1,
        state=ShiftState.ACTIVE,
    )
    for name, shifts in (("bad", (worse,)), ("calm", ())):
        found = Impact(
            deployment_id=name, measured_at=now, shifts=shifts, outcome=Outcome.DEGRADATION, outcome_reason="worse"
        )
        (ahead,) = await claim_looks(store, now + 24 * HOUR, limit=1, lease=MINUTE)
        assert ahead.deployment_id == name
        await store.looks.finish(replace(ahead, state=LookState.DONE), found)
    look = Look(deployment_id="next", after=15 * MINUTE, due_at=now)
    await planned_again(look, store, now)
    due = [each.deployment_id for each in await claim_looks(store, now, limit=10, lease=MINUTE)]
    assert due == ["bad"]
