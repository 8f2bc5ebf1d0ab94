"""What every store promises of changes and jobs."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from afdp_exporter.errors import LeaseLost
from afdp_exporter.model import Deployment, Impact, Look, LookState
from afdp_exporter.store import Amendment, Job, NewJob, Store

MINUTE = timedelta(minutes=1)
LEASE = 5 * MINUTE


async def enqueue(store: Store, noon: datetime, *keys: str, lane: str = "") -> None:
    """Jobs that are due one minute after the other, from noon on."""
    await store.jobs.enqueue(
        *(NewJob(kind="k", key=key, due_at=noon + number * MINUTE, lane=lane) for number, key in enumerate(keys))
    )


async def claim(store: Store, now: datetime, limit: int = 100, owner: str = "me", **words: object) -> list[Job]:
    """Those that are given out."""
    return await store.jobs.claim("k", now, owner=owner, limit=limit, lease=LEASE, **words)


async def a_notice(store: Store, deployment: Callable[..., Deployment], noon: datetime) -> Job:
    """The notice of a deployment to the one receiver, held."""
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(), ())
    (job,) = await store.jobs.claim("notice", noon, owner="me", limit=9, lease=LEASE)
    return job


def keys(jobs: list[Job]) -> list[str]:
    """Of these, in order."""
    return [job.key for job in jobs]


async def test_jobs_are_given_out_once_their_time_has_come_the_longest_due_first(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a", "b", "c")
    await store.jobs.enqueue(NewJob(kind="other", key="a", due_at=noon))
    assert await store.jobs.next_at(["k", "none"]) == {"k": noon}
    assert keys(await claim(store, noon - MINUTE)) == []
    assert keys(await claim(store, noon + MINUTE, limit=1)) == ["a"]
    assert keys(await claim(store, noon + MINUTE)) == ["b"]
    assert await store.jobs.next_at(["k"]) == {"k": noon + 2 * MINUTE}


async def test_a_job_is_given_to_one_of_many_that_ask_at_once(store: Store, noon: datetime) -> None:
    await enqueue(store, noon - timedelta(hours=1), *map(str, range(40)))
    taken = await asyncio.gather(*(claim(store, noon, limit=3, owner=str(number)) for number in range(20)))
    assert sorted(int(job.key) for each in taken for job in each) == list(range(40))


async def test_a_job_whose_lease_has_ended_is_given_out_again_and_its_first_holder_changes_nothing(
    store: Store, noon: datetime
) -> None:
    await enqueue(store, noon, "a")
    (first,) = await claim(store, noon)
    assert await claim(store, noon + LEASE - timedelta(microseconds=1), owner="other") == []
    (second,) = await claim(store, noon + LEASE, owner="other")
    assert (second.key, second.token != first.token) == ("a", True)
    assert not await store.jobs.finish(first)
    assert not await store.jobs.postpone(first, noon, "late")
    assert await store.jobs.finish(second)
    assert await store.jobs.next_at(["k"]) == {}


async def test_a_heartbeat_holds_what_nobody_else_holds_by_now(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a", "b")
    (a, b) = await claim(store, noon + MINUTE)
    assert await store.jobs.heartbeat([a], noon + 2 * LEASE) == 1
    assert keys(await claim(store, noon + LEASE + MINUTE, owner="other")) == ["b"]
    assert await store.jobs.heartbeat([a, b], noon + 3 * LEASE) == 1
    assert keys(await claim(store, noon + 3 * LEASE)) == ["a", "b"]


async def test_a_job_that_is_due_again_starts_anew(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a")
    (job,) = await claim(store, noon)
    await store.jobs.postpone(job, noon + MINUTE, "away")
    (job,) = await claim(store, noon + MINUTE)
    assert (job.attempts, job.reason) == (1, "away")
    assert await store.jobs.finish(job, noon + timedelta(hours=1))
    assert await store.jobs.next_at(["k"]) == {"k": noon + timedelta(hours=1)}
    (job,) = await claim(store, noon + timedelta(hours=1))
    assert (job.attempts, job.reason) == (0, None)


@pytest.mark.parametrize("again", [None, timedelta(hours=1)])
async def test_a_job_that_is_enqueued_while_it_is_held_is_done_once_more(
    store: Store, noon: datetime, again: timedelta | None
) -> None:
    await enqueue(store, noon, "a")
    (job,) = await claim(store, noon)
    await enqueue(store, noon, "a")
    assert await claim(store, noon, owner="other") == []
    assert await store.jobs.finish(job, again and noon + again)
    (job,) = await claim(store, noon)
    await store.jobs.finish(job)
    assert await store.jobs.next_at(["k"]) == {}


async def test_a_job_that_waits_is_due_at_once_when_it_is_enqueued_again(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a")
    (job,) = await claim(store, noon)
    await store.jobs.postpone(job, noon + LEASE, "away")
    await enqueue(store, noon, "a")
    (job,) = await claim(store, noon)
    assert job.attempts == 0


async def test_what_an_owner_gives_back_is_due_at_once(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a", "b")
    (job, _) = await claim(store, noon + MINUTE)
    await store.jobs.release("other")
    await store.jobs.release("me", "other kind")
    assert await claim(store, noon + MINUTE) == []
    await store.jobs.release("me", "k")
    assert not await store.jobs.finish(job)
    assert keys(await claim(store, noon + MINUTE, owner="other")) == ["a", "b"]


async def test_a_single_job_does_not_wait_behind_all_of_other_lanes(store: Store, noon: datetime) -> None:
    for lane in ("one", "two", "three"):
        await enqueue(store, noon, *(f"{lane} {number:03}" for number in range(50)), lane=lane)
    now = noon + timedelta(hours=2)
    held = await claim(store, now, limit=4, in_turns=True)
    assert [job.lane for job in held].count("one") <= 2  # whoever comes first in the fourth place
    assert {job.lane for job in held} == {"one", "two", "three"}
    await store.jobs.enqueue(NewJob(kind="k", key="single", due_at=noon + timedelta(hours=1), lane="single"))
    await store.jobs.finish(held[0])
    assert keys(await claim(store, now, limit=1, in_turns=True)) == ["single"]


async def test_a_lane_alone_takes_every_slot_in_the_order_of_its_due_times(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, *(f"bulk {number:03}" for number in range(9)), lane="bulk")
    now = noon + timedelta(hours=2)
    assert keys(await claim(store, now, limit=4, in_turns=True)) == ["bulk 000", "bulk 001", "bulk 002", "bulk 003"]
    await store.jobs.enqueue(NewJob(kind="k", key="single", due_at=noon + timedelta(hours=1), lane="single"))
    assert keys(await claim(store, now, limit=1)) == ["bulk 004"]
    assert sorted(keys(await claim(store, now, limit=2, in_turns=True))) == ["bulk 005", "single"]


async def test_in_turns_a_job_of_each_lane_goes_before_the_second_of_any(store: Store, noon: datetime) -> None:
    for number in range(6):
        at = noon + number * MINUTE
        await store.jobs.enqueue(
            NewJob(kind="k", key=f"{number}", due_at=at, lane="early" if number < 4 else f"{number}")
        )
    now = noon + timedelta(hours=1)
    assert sorted(keys(await claim(store, now, limit=3, in_turns=True))) == ["0", "4", "5"]


async def test_no_more_of_a_lane_is_held_than_may_be(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a", "b", lane="first")
    await enqueue(store, noon, "c", "d", lane="second")
    now = noon + timedelta(hours=1)
    taken = await claim(store, now, per_lane=1)
    assert sorted(keys(taken)) == ["a", "c"]
    assert await claim(store, now, per_lane=1, owner="other") == []
    await store.jobs.finish(next(job for job in taken if job.key == "c"))
    assert keys(await claim(store, now, per_lane=1)) == ["d"]


async def test_a_whole_lane_waits_with_its_first_and_no_other_does(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a", "b", lane="away")
    await enqueue(store, noon, "c", lane="here")
    now = noon + MINUTE
    job = next(job for job in await claim(store, now, per_lane=1) if job.key == "a")
    await store.jobs.postpone(job, now + LEASE, "away", whole_lane=True)
    await store.jobs.release("me")
    assert keys(await claim(store, now)) == ["c"]
    assert sorted(keys(await claim(store, now + LEASE))) == ["a", "b", "c"]


async def test_every_change_of_a_deployment_is_appended_in_order_and_follows_its_transaction(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
) -> None:
    async def appended() -> list[tuple[str, str]]:
        return [(each.kind, each.id) for each in await store.changes.since(0)]

    assert await store.changes.last() == 0
    await store.deployments.record(deployment(), (look(),))
    await store.deployments.record(deployment(), ())
    assert await appended() == [("deployment", "d1")]
    await store.deployments.amend("d1", lambda d: Amendment(deployment=replace(d, version="v2")))

    def refuse(_: Deployment) -> Amendment:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.deployments.amend("d1", refuse)
    await store.looks.finish(look(state=LookState.DONE), impact())
    assert await appended() == [("deployment", "d1"), ("deployment", "d1"), ("impact", "d1")]
    last = await store.changes.last()
    assert await store.changes.since(last) == []
    await store.changes.prune(1)
    assert await appended() == [("impact", "d1")]
    await store.changes.prune(0)
    await store.deployments.record(deployment("d2"), ())
    assert await store.changes.last() == last + 1


async def test_who_follows_hears_of_each_change_as_it_comes(
    store: Store, deployment: Callable[..., Deployment]
) -> None:
    await store.deployments.record(deployment("before"), ())
    await store.deployments.record(deployment("d0"), ())
    heard: list[str] = []
    complete = asyncio.Event()

    async def follow() -> None:
        async for changes in store.changes.follow(1):
            heard.extend(change.id for change in changes)
            if len(heard) == 11:
                complete.set()

    task = asyncio.create_task(follow())
    for number in range(1, 11):
        await store.deployments.record(deployment(f"d{number}"), ())
    async with asyncio.timeout(10):
        await complete.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert heard == [f"d{number}" for number in range(11)]


async def test_what_follows_from_a_change_is_due_with_it_unless_it_is_history(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.notices.set_receivers(["ear"])

    async def due(kind: str) -> list[str]:
        jobs = await store.jobs.claim(kind, noon, owner="me", limit=9, lease=LEASE)
        for job in jobs:
            await store.jobs.finish(job)
        return keys(jobs)

    await store.deployments.record(deployment(), (look(),))
    assert await store.notices.pending() == {"ear": 1}
    assert (await due("predict"), await due("notice"), await due("decide")) == (["d1"], ["ear/d1"], [])
    await store.looks.finish(look(state=LookState.DONE), impact())
    assert (await due("predict"), await due("notice"), await due("decide")) == ([], ["ear/d1"], ["d1"])
    await store.deployments.record(deployment("d2", received_at=noon + timedelta(days=1)), ())
    assert (await due("predict"), await due("notice")) == ([], [])


async def test_what_is_sent_by_who_does_not_hold_a_notice_any_more_is_followed_by_the_newest(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    first = await a_notice(store, deployment, noon)
    (second,) = await store.jobs.claim("notice", noon + LEASE, owner="another", limit=9, lease=LEASE)
    await store.notices.finish(second, sent="newer")
    with pytest.raises(LeaseLost):
        await store.notices.begin(first)
    with pytest.raises(LeaseLost):
        await store.notices.restore(first, "oldest")
    assert await store.notices.last_sent("ear", "d1") == "newer"
    await store.notices.finish(first, sent="older")
    assert await store.notices.last_sent("ear", "d1") is None
    assert keys(await store.jobs.claim("notice", noon + LEASE, owner="me", limit=9, lease=LEASE)) == ["ear/d1"]


async def test_what_a_receiver_heard_last_is_not_known_while_something_is_sent(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    job = await a_notice(store, deployment, noon)
    await store.notices.begin(job)
    await store.notices.finish(job, sent="first")
    await store.deployments.amend("d1", lambda d: Amendment(deployment=d))
    (job,) = await store.jobs.claim("notice", noon, owner="me", limit=9, lease=LEASE)
    assert await store.notices.last_sent("ear", "d1") == "first"
    await store.notices.begin(job)
    assert await store.notices.last_sent("ear", "d1") is None
    await store.notices.restore(job, "first")
    assert await store.notices.last_sent("ear", "d1") == "first"
    await store.notices.begin(job)
    await store.notices.finish(job, sent="first", reason="refused")
    assert await store.notices.last_sent("ear", "d1") == "first"


async def test_a_lease_is_not_shortened_by_a_clock_that_was_set_back(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    await store.jobs.enqueue(NewJob(kind="sweep", key="", due_at=noon))
    (job,) = await store.jobs.claim("sweep", noon, owner="me", limit=9, lease=LEASE)
    assert await store.jobs.heartbeat([job], noon + 2 * LEASE) == 1
    assert await store.jobs.heartbeat([job], noon) == 1
    assert await store.jobs.claim("sweep", noon + LEASE, owner="me", limit=9, lease=LEASE) == []


async def test_who_was_taken_off_the_receivers_hears_nothing_more(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    job = await a_notice(store, deployment, noon)
    await store.notices.set_receivers([])
    await store.notices.finish(job, sent="digest")
    assert await store.jobs.claim("notice", noon + LEASE, owner="me", limit=9, lease=LEASE) == []


async def test_what_a_receiver_heard_last_is_kept_until_it_is_a_receiver_no_more(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    job = await a_notice(store, deployment, noon)
    assert await store.notices.last_sent("ear", "d1") is None
    await store.notices.finish(job, sent="digest")
    assert await store.notices.last_sent("ear", "d1") == "digest"
    assert await store.notices.pending() == {"ear": 0}
    await store.deployments.amend("d1", lambda d: Amendment(deployment=d))
    assert await store.notices.pending() == {"ear": 1}
    await store.notices.set_receivers(["other"])
    assert await store.notices.pending() == {"other": 0}
    await store.notices.set_receivers(["ear"])
    assert await store.notices.last_sent("ear", "d1") is None


async def test_a_look_that_another_holds_by_now_is_not_answered(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.deployments.record(deployment(), (look(),))
    now = noon + LEASE
    (first,) = await store.jobs.claim("check", now, owner="first", limit=1, lease=LEASE)
    (second,) = await store.jobs.claim("check", now + LEASE, owner="second", limit=1, lease=LEASE)
    taken = await store.looks.of_job(first)
    assert taken == look(state=LookState.RUNNING)
    assert not await store.looks.postpone(taken, now, "late", job=first)
    assert not await store.looks.finish(replace(taken, state=LookState.DONE), impact(), job=first)
    assert await store.results.impact("d1") is None
    assert await store.looks.finish(replace(taken, state=LookState.DONE), impact(), job=second)
    assert await store.results.impact("d1") == impact()
    assert await store.jobs.next_at(["check"]) == {}


async def test_jobs_of_lanes_that_are_not_known_are_left_for_who_knows_them(store: Store, noon: datetime) -> None:
    await enqueue(store, noon, "a", lane="old")
    await enqueue(store, noon + MINUTE, "b", lane="new")
    assert await store.jobs.next_at(["k", "other"], {"k": {"new"}}) == {"k": noon + MINUTE}
    assert await store.jobs.next_at(["k"], {"k": set()}) == {}
    for in_turns in (False, True):
        (job,) = await claim(store, noon + LEASE, lanes={"new", "newer"}, in_turns=in_turns)
        assert job.key == "b"
        await store.jobs.postpone(job, noon + MINUTE, "again")
    assert await claim(store, noon + LEASE, lanes=set()) == []
    assert keys(await claim(store, noon + LEASE)) == ["a", "b"]
