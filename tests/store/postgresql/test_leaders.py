"""Of several processes one leads, and each change of the leader has an epoch of its own."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from afdp_exporter.jobs.leadership import Leadership
from afdp_exporter.store.opening import open_store

LONG, OVER = timedelta(hours=1), timedelta(0)


async def test_one_of_many_leads_until_its_lease_ends_or_it_resigns(database: str) -> None:
    stores = [await open_store(database) for _ in range(3)]

    async def campaign(lease: timedelta, owners: Sequence[int]) -> list[int | None]:
        return list(await asyncio.gather(*(stores[n].leaders.campaign("t", str(n), lease) for n in owners)))

    first = await campaign(LONG, (0, 1, 2))
    (leader,) = (n for n in range(3) if first[n] is not None)
    assert first[leader] == 1
    assert [await campaign(LONG, (leader,)), await campaign(OVER, (leader,))] == [[1], [1]]
    others = [n for n in range(3) if n != leader]
    second = await campaign(LONG, others)
    assert sorted(each is None for each in second) == [False, True]
    assert 2 in second
    assert await campaign(LONG, (leader,)) == [None]
    for n, store in enumerate(stores):
        await store.leaders.resign("t", str(n))
    assert await campaign(LONG, (leader,)) == [3]
    assert await stores[0].leaders.campaign("another", "x", LONG) == 1
    for store in stores:
        await store.close()


async def test_a_scraper_of_a_new_leader_is_shown_nothing_before_it_can_have_seen_the_old_one_gone(
    database: str,
) -> None:
    store = await open_store(database)
    old, new = (Leadership(store, "metrics") for _ in range(2))
    await old.campaign()
    await new.campaign()
    assert [old.shows_to("a"), new.shows_to("a")] == [True, False]
    running = asyncio.create_task(old.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await new.campaign()
    assert [old.shows_to("a"), new.shows_to("a"), new.shows_to("a"), new.shows_to("b")] == [False, False, True, False]
    await store.close()
