"""What the store promises of looks and impacts, over a real file."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.model import Course, Deployment, Impact, Look, LookState, Outcome, Outline, Shift
from afdp_exporter.store import Amendment
from afdp_exporter.store.sqlite import SQLiteStore

LEASE = timedelta(minutes=5)


async def claimed(store: SQLiteStore, now: datetime, limit: int = 100) -> list[float]:
    """The minutes of the looks that were given out."""
    return [look.after / timedelta(minutes=1) for look in await store.claim_looks(now, limit=limit, lease=LEASE)]


async def test_only_looks_whose_time_has_come_are_given_out_the_longest_due_first(
    store: SQLiteStore, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.record(deployment(), tuple(look(minutes=minutes) for minutes in (10, 2, 5, 30)))
    assert await store.next_look_at() == noon + timedelta(minutes=2)
    assert await claimed(store, noon + timedelta(minutes=1)) == []
    assert await claimed(store, noon + timedelta(minutes=10), limit=2) == [2, 5]
    assert await claimed(store, noon + timedelta(minutes=10), limit=2) == [10]


async def test_a_look_is_given_to_one_of_many_that_ask_at_once(
    store: SQLiteStore, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.record(deployment(), tuple(look(minutes=minutes) for minutes in range(1, 41)))
    now = noon + timedelta(hours=1)
    answers = await asyncio.gather(*(claimed(store, now, limit=3) for _ in range(20)))
    assert sorted(minutes for answer in answers for minutes in answer) == list(range(1, 41))


async def test_a_look_that_is_not_finished_within_its_lease_is_given_out_again(
    store: SQLiteStore, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.record(deployment(), (look(),))
    now = noon + timedelta(minutes=2)
    (taken,) = await store.claim_looks(now, limit=1, lease=LEASE)
    assert taken == look(state=LookState.RUNNING)
    assert await store.next_look_at() == now + LEASE
    assert await claimed(store, now + LEASE - timedelta(microseconds=1)) == []
    assert await claimed(store, now + LEASE) == [2]


async def test_a_look_that_an_ended_process_had_taken_is_due_at_once_in_the_next(
    path: Path, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    store = await SQLiteStore.open(path)
    await store.record(deployment(), (look(), look(minutes=5, state=LookState.DONE)))
    await claimed(store, noon + timedelta(minutes=2))
    await store.close()
    again = await SQLiteStore.open(path)
    assert await claimed(again, noon + timedelta(minutes=10)) == [2]
    await again.close()


async def test_an_answered_look_keeps_its_account_and_is_not_given_out_again(
    store: SQLiteStore,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.record(deployment(), (look(),))
    (taken,) = await store.claim_looks(noon + LEASE, limit=1, lease=LEASE)
    done = replace(
        taken,
        state=LookState.DONE,
        done_at=noon + LEASE,
        outcome=Outcome.DEGRADATION,
        account={"series": 12, "dropped": ["orders: no data"], "step": 60.0},
    )
    await store.finish_look(done, impact())
    assert await store.looks("d1") == (done,)
    assert await store.impact("d1") == impact()
    assert await store.next_look_at() is None
    assert await claimed(store, noon + timedelta(days=1)) == []


async def test_a_postponed_look_waits_with_its_reason_and_counts_the_attempt(
    store: SQLiteStore, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.record(deployment(), (look(),))
    until = noon + timedelta(minutes=7)
    for attempts in (1, 2):
        (taken,) = await store.claim_looks(until, limit=1, lease=LEASE)
        await store.postpone_look(taken, until, "the source is away")
        waiting = look(state=LookState.WAITING, attempts=attempts, reason="the source is away")
        assert await store.looks("d1") == (waiting,)
    assert await store.next_look_at() == until
    assert await claimed(store, until - timedelta(seconds=1)) == []


async def test_the_backlog_counts_what_is_due_without_an_answer_whoever_works_at_it(
    store: SQLiteStore, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.record(deployment(), tuple(look(minutes=minutes) for minutes in (2, 5, 10, 30)))
    now = noon + timedelta(minutes=10)
    first, second, _ = await store.claim_looks(now, limit=3, lease=LEASE)
    await store.postpone_look(second, now + LEASE, "the source is away")
    await store.finish_look(replace(first, state=LookState.FAILED, reason="no query"), None)
    backlog = await store.backlog(now)
    assert (backlog.count, backlog.oldest_due_at) == (2, second.due_at)
    assert (await store.backlog(noon)).count == 0
    assert (await store.backlog(noon)).oldest_due_at is None


async def test_new_looks_replace_those_without_an_answer_and_answers_for_the_same_time_stay(
    store: SQLiteStore,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.record(deployment(), (look(minutes=2), look(minutes=5), look(minutes=10)))
    for taken in await store.claim_looks(noon + timedelta(minutes=5), limit=2, lease=LEASE):
        await store.finish_look(replace(taken, state=LookState.DONE), impact())
    later = noon + timedelta(minutes=60)
    new = (look(minutes=2), look(minutes=5, due_at=later), look(minutes=30))
    await store.amend("d1", lambda stored: Amendment(deployment=stored, looks=new))
    assert await store.looks("d1") == (
        look(minutes=2, state=LookState.DONE),
        look(minutes=5, due_at=later),
        look(minutes=30),
    )


async def test_the_answer_of_a_look_that_was_planned_anew_meanwhile_is_dropped(
    store: SQLiteStore,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.record(deployment(), (look(),))
    (taken,) = await store.claim_looks(noon + LEASE, limit=1, lease=LEASE)
    moved = look(due_at=noon + timedelta(hours=1))
    await store.amend("d1", lambda stored: Amendment(deployment=stored, looks=(moved,)))
    await store.finish_look(replace(taken, state=LookState.DONE), impact())
    await store.postpone_look(taken, noon, "late")
    assert await store.looks("d1") == (moved,)
    assert await store.impact("d1") is None


async def test_of_two_looks_that_end_in_the_wrong_order_the_newest_impact_stays(
    store: SQLiteStore,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.record(deployment(), (look(minutes=2), look(minutes=5)))
    newer, older = impact(measured_at=noon + timedelta(minutes=5)), impact(measured_at=noon + timedelta(minutes=2))
    await store.finish_look(look(minutes=5, state=LookState.DONE), newer)
    await store.finish_look(look(minutes=2, state=LookState.DONE), older)
    assert await store.impact("d1") == newer
    assert len(await store.looks("d1")) == 2


async def test_history_gives_the_newest_measured_ones_that_had_ended_oldest_first(
    store: SQLiteStore,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    for number in range(8):
        name, start = f"d{number}", noon + timedelta(hours=number)
        service = "search" if number == 5 else "checkout"
        await store.record(
            deployment(name, started_at=start, finished_at=start + timedelta(minutes=59), service=service),
            (look(name),),
        )
        if number != 4:
            await store.finish_look(look(name, state=LookState.DONE), impact(name))
    before = noon + timedelta(hours=7)
    everything = await store.history(before=before, limit=4)
    assert [one.deployment.id for one in everything] == ["d2", "d3", "d5", "d6"]
    assert all(one.impact == impact(one.deployment.id) for one in everything)
    assert await store.outlines(before=before, limit=4) == [
        Outline(deployment=one.deployment, measured_at=one.impact.measured_at, outcome=one.impact.outcome)
        for one in everything
        if one.impact
    ]
    known = await store.impacts([one.deployment.id for one in everything] + ["d4", "nobody"])
    assert known == {one.deployment.id: one.impact for one in everything}
    mine = await store.history(before=before, service="checkout", limit=3)
    assert [one.deployment.id for one in mine] == ["d2", "d3", "d6"]
    assert await store.history(before=noon + timedelta(minutes=59)) == []


async def test_a_figure_that_is_not_finite_is_refused_by_name_and_the_look_stays_open(
    store: SQLiteStore, deployment: Callable[..., Deployment], look: Callable[..., Look], impact: Callable[..., Impact]
) -> None:
    await store.record(deployment(), (look(),))
    (shift,) = impact().shifts
    with pytest.raises(StoreError, match=r"shifts\[0\]\.high is not a finite number"):
        await store.finish_look(look(state=LookState.DONE), impact(shifts=(replace(shift, high=float("inf")),)))
    assert await store.looks("d1") == (look(),)
    assert await store.impact("d1") is None


async def test_a_new_impact_takes_the_place_of_the_earlier_one_with_all_its_shifts(
    store: SQLiteStore,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
) -> None:
    await store.record(deployment(), (look(minutes=2), look(minutes=5)))
    (shift,) = impact().shifts
    other: Shift = replace(shift, metric="orders_per_minute", change=-3.5, low=-4.25, high=-2.75)
    await store.finish_look(look(minutes=2, state=LookState.DONE), impact(shifts=(shift, other)))
    await store.finish_look(look(minutes=5, state=LookState.DONE), impact(shifts=(other,)))
    assert (await store.impact("d1")).shifts == (other,)


async def test_the_courses_of_the_impact_measured_last_stay_whichever_look_ends_last(
    store: SQLiteStore,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.record(deployment(), (look(), look(minutes=5)))
    await store.claim_looks(noon + LEASE, limit=2, lease=LEASE)

    def drawn(metric: str, *measured: float) -> Course:
        return Course(metric=metric, start=noon, step=timedelta(minutes=1), measured=(*measured, None), expected=(1.5,))

    newer = replace(impact(), measured_at=noon + timedelta(minutes=5))
    await store.finish_look(look(minutes=5, state=LookState.DONE), newer, (drawn("b", 1.0), drawn("a", 0.25, 2.0)))
    await store.finish_look(look(state=LookState.DONE), impact(), (drawn("c", 3.0),))
    assert await store.courses("d1") == (drawn("a", 0.25, 2.0), drawn("b", 1.0))
    assert await store.chosen_courses({"d1": "b", "d2": "b"}) == {"d1": drawn("b", 1.0)}
    assert await store.chosen_courses({"d1": "c"}) == {}
