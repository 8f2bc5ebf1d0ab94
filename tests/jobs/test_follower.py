"""Who keeps something in memory hears of every change, in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from afdp_exporter.jobs.follower import Follower
from afdp_exporter.model import Deployment
from afdp_exporter.store import StoredChange
from afdp_exporter.store.memory import MemoryStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def deployment(name: str) -> Deployment:
    return Deployment(id=name, service="checkout", environment="production", started_at=NOON, received_at=NOON)


@asynccontextmanager
async def following(follower: Follower) -> AsyncIterator[None]:
    """As long as the block lasts."""
    task = asyncio.create_task(follower.run())
    async with asyncio.timeout(10):
        yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_waits_until_it_has_caught_up_finds_everything_taken_into_account() -> None:
    store, heard = MemoryStore(), list[str]()

    async def take(changes: Sequence[StoredChange]) -> None:
        await asyncio.sleep(0)
        heard.extend(change.id for change in changes)

    follower = Follower(store, take)
    await store.deployments.record(deployment("before"), ())
    await follower.begin()
    async with following(follower):
        for number in range(20):
            await store.deployments.record(deployment(f"d{number}"), ())
            await follower.caught_up()
            assert heard == [f"d{each}" for each in range(number + 1)]


async def test_a_change_that_cannot_be_taken_into_account_hides_no_later_one() -> None:
    store, heard = MemoryStore(), list[str]()

    async def take(changes: Sequence[StoredChange]) -> None:
        heard.extend(change.id for change in changes)
        if "d0" in heard[-1:]:
            raise RuntimeError("unforeseen")

    follower = Follower(store, take)
    await follower.begin()
    async with following(follower):
        for name in ("d0", "d1"):
            await store.deployments.record(deployment(name), ())
            await follower.caught_up()
    assert heard == ["d0", "d1"]
