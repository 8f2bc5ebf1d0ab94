"""What every store promises of announcements and of what commits changed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from afdp_exporter.errors import NotFound
from afdp_exporter.model import Announcement, ChangeType, CommitChange, Deployment, Look, Origin, Status
from afdp_exporter.store import Amendment, Announced, Arrival, Assembled, Store, Stored

MINUTE = timedelta(minutes=1)


@pytest.fixture
def announce(store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look]) -> Callable[..., object]:
    """Announces an event; its deployment's description says which events are known, in order."""

    async def announce(event: str, at: datetime, *, keep: bool = True, **words: object) -> Announced:
        announcement = Announcement(sender="test", key="k", event=event, origin=Origin(), at=at)

        def assemble(
            stored: Stored, new: Announcement, before: Sequence[Arrival], after: Sequence[Arrival]
        ) -> Assembled:
            if not keep:
                return Assembled(deployment_id=None, keep=False)
            known = " ".join(each.announcement.event for each in after)
            made = replace(stored("d1") or deployment(commit="abc"), description=known)
            return Assembled(
                deployment_id="d1", amendments=(Amendment(deployment=made, looks=(look(),)),), keep=before != after
            )

        return await store.deployments.apply_announcement("thread", replace(announcement, **words), at, assemble)

    return announce


async def test_an_event_is_taken_once_and_its_thread_is_read_together(
    store: Store, announce: Callable[..., object], look: Callable[..., Look], noon: datetime
) -> None:
    first = await announce("begun", noon)
    second = await announce("ended", noon + MINUTE)
    again = await announce("ended", noon + MINUTE)
    assert (first.created, first.changed) == (True, True)
    assert (second.created, second.changed) == (False, True)
    assert not again.changed
    assert (await store.deployments.find("d1")).description == "begun ended"
    assert await store.looks.of_deployment("d1") == (look(),)


@pytest.mark.parametrize("turned", [False, True])
async def test_of_an_event_reported_in_two_ways_that_with_a_state_counts_then_the_earlier_one(
    announce: Callable[..., object], noon: datetime, turned: bool
) -> None:
    ways = [
        {"at": noon + MINUTE, "status": Status.SUCCEEDED},
        {"at": noon, "status": None},
        {"at": noon + 2 * MINUTE, "status": Status.FAILED},
    ]
    changed = [(await announce("event", **way)).changed for way in (reversed(ways) if turned else ways)]
    assert changed == ([True, False, True] if turned else [True, False, False])


async def test_what_says_nothing_new_is_forgotten(
    store: Store, announce: Callable[..., object], noon: datetime
) -> None:
    merged = await announce("event", noon, keep=False)
    assert (merged.deployment, merged.created, merged.changed) == (None, False, False)
    assert (await announce("event", noon)).changed
    assert (await store.deployments.find("d1")).description == "event"


async def test_nothing_is_kept_of_an_announcement_where_the_function_raises(
    store: Store, announce: Callable[..., object], noon: datetime
) -> None:
    def refuse(*_: object) -> Assembled:
        raise ValueError("no")

    new = Announcement(sender="test", key="k", event="event", origin=Origin(), at=noon)
    with pytest.raises(ValueError, match="no"):
        await store.deployments.apply_announcement("thread", new, noon, refuse)
    with pytest.raises(NotFound):
        await store.deployments.find("d1")
    assert (await announce("event", noon)).changed


async def test_a_deployment_has_the_traits_of_its_commit_whichever_comes_first(
    store: Store, announce: Callable[..., object], noon: datetime
) -> None:
    change = CommitChange(commit="abc", traits={"files": 3.0}, change_types=(ChangeType.DATABASE,))
    assert await store.deployments.save_commit_change(change) == []
    await announce("begun", noon)
    found = await store.deployments.find("d1")
    assert (found.traits, found.change_types) == ({"files": 3.0}, (ChangeType.DATABASE,))
    (described,) = await store.deployments.save_commit_change(replace(change, traits={"files": 5.0}))
    assert described == await store.deployments.find("d1")
    assert described.traits == {"files": 5.0}
    assert await store.deployments.save_commit_change(change) == []


async def test_events_are_forgotten_and_counted_in_place_of_them(store: Store, noon: datetime) -> None:
    seen: list[tuple[str, int]] = []

    async def announce(event: str, **words: object) -> None:
        def assemble(
            stored: Stored, new: Announcement, before: Sequence[Arrival], after: Sequence[Arrival]
        ) -> Assembled:
            seen[:] = [(each.announcement.event, each.earlier) for each in before]
            return Assembled(deployment_id=None, **words)

        new = Announcement(sender="test", key="k", event=event, origin=Origin(), at=noon)
        await store.deployments.apply_announcement("thread", new, noon, assemble)

    for event in ("a", "b", "c"):
        await announce(event)
    await announce("d", forgotten=("a", "b"), earlier={"c": 2})
    await announce("d", forgotten=("d",))
    assert seen == [("c", 2), ("d", 0)]
    await announce("c", keep=False)
    assert seen == [("c", 2)]
    await announce("e")
    assert seen == [("c", 2)]
