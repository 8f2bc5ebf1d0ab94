"""What every store promises of looks and impacts."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.model import Deployment, Impact, Look, LookState, MeasuredSummary, Outcome, Shift, Trajectory
from afdp_exporter.store import Amendment, Store
from looking import claim_looks, next_look_at

LEASE = timedelta(minutes=5)


async def claimed(store: Store, now: datetime, limit: int = 100) -> list[float]:
    """The minutes of the looks that were given out."""
    return [look.after / timedelta(minutes=1) for look in await claim_looks(store, now, limit=limit, lease=LEASE)]


async def test_only_looks_whose_time_has_come_are_given_out_the_longest_due_first(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.deployments.record(deployment(), tuple(look(minutes=minutes) for minutes in (10, 2, 5, 30)))
    assert await next_look_at(store) == noon + timedelta(minutes=2)
    assert await claimed(store, noon + timedelta(minutes=1)) == []
    assert await claimed(store, noon + timedelta(minutes=10), limit=2) == [2, 5]
    assert await claimed(store, noon + timedelta(minutes=10), limit=2) == [10]


async def test_a_look_is_given_to_one_of_many_that_ask_at_once(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.deployments.record(deployment(), tuple(look(minutes=minutes) for minutes in range(1, 41)))
    now = noon + timedelta(hours=1)
    answers = await asyncio.gather(*(claimed(store, now, limit=3) for _ in range(20)))
    assert sorted(minutes for answer in answers for minutes in answer) == list(range(1, 41))


async def test_a_look_that_is_not_finished_within_its_lease_is_given_out_again(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.deployments.record(deployment(), (look(),))
    now = noon + timedelta(minutes=2)
    (taken,) = await claim_looks(store, now, limit=1, lease=LEASE)
    assert taken == look(state=LookState.RUNNING)
    assert await next_look_at(store) == now + LEASE
    assert await claimed(store, now + LEASE - timedelta(microseconds=1)) == []
    assert await claimed(store, now + LEASE) == [2]


async def test_an_answered_look_keeps_its_account_and_is_not_given_out_again(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.deployments.record(deployment(), (look(),))
    (taken,) = await claim_looks(store, noon + LEASE, limit=1, lease=LEASE)
    done = replace(
        taken,
        state=LookState.DONE,
        done_at=noon + LEASE,
        outcome=Outcome.DEGRADATION,
        account={"series": 12, "dropped": ["orders: no data"], "step": 60.0},
    )
    await store.looks.finish(done, impact())
    assert await store.looks.of_deployment("d1") == (done,)
    assert await store.results.impact("d1") == impact()
    assert await next_look_at(store) is None
    assert await claimed(store, noon + timedelta(days=1)) == []


async def test_a_postponed_look_waits_with_its_reason_and_counts_the_attempt(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.deployments.record(deployment(), (look(),))
    until = noon + timedelta(minutes=7)
    for attempts in (1, 2):
        (taken,) = await claim_looks(store, until, limit=1, lease=LEASE)
        await store.looks.postpone(taken, until, "the source is away")
        waiting = look(state=LookState.WAITING, attempts=attempts, reason="the source is away")
        assert await store.looks.of_deployment("d1") == (waiting,)
    assert await next_look_at(store) == until
    assert await claimed(store, until - timedelta(seconds=1)) == []


async def test_the_backlog_counts_what_is_due_without_an_answer_whoever_works_at_it(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    await store.deployments.record(deployment(), tuple(look(minutes=minutes) for minutes in (2, 5, 10, 30)))
    now = noon + timedelta(minutes=10)
    first, second, _ = await claim_looks(store, now, limit=3, lease=LEASE)
    await store.looks.postpone(second, now + LEASE, "the source is away")
    await store.looks.finish(replace(first, state=LookState.FAILED, reason="no query"), None)
    backlog = await store.looks.backlog(now)
    assert (backlog.count, backlog.oldest_due_at) == (2, second.due_at)
    assert (await store.looks.backlog(noon)).count == 0
    assert (await store.looks.backlog(noon)).oldest_due_at is None


async def test_new_looks_replace_those_without_an_answer_and_answers_for_the_same_time_stay(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.deployments.record(deployment(), (look(minutes=2), look(minutes=5), look(minutes=10)))
    for taken in await claim_looks(store, noon + timedelta(minutes=5), limit=2, lease=LEASE):
        await store.looks.finish(replace(taken, state=LookState.DONE), impact())
    later = noon + timedelta(minutes=60)
    new = (look(minutes=2), look(minutes=5, due_at=later), look(minutes=30))
    await store.deployments.amend("d1", lambda stored: Amendment(deployment=stored, looks=new))
    assert await store.looks.of_deployment("d1") == (
        look(minutes=2, state=LookState.DONE),
        look(minutes=5, due_at=later),
        look(minutes=30),
    )


async def test_the_answer_of_a_look_that_was_planned_anew_meanwhile_is_dropped(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.deployments.record(deployment(), (look(),))
    (taken,) = await claim_looks(store, noon + LEASE, limit=1, lease=LEASE)
    moved = look(due_at=noon + timedelta(hours=1))
    await store.deployments.amend("d1", lambda stored: Amendment(deployment=stored, looks=(moved,)))
    await store.looks.finish(replace(taken, state=LookState.DONE), impact())
    await store.looks.postpone(taken, noon, "late")
    assert await store.looks.of_deployment("d1") == (moved,)
    assert await store.results.impact("d1") is None


async def test_of_two_looks_that_end_in_the_wrong_order_the_newest_impact_stays(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.deployments.record(deployment(), (look(minutes=2), look(minutes=5)))
    newer, older = impact(measured_at=noon + timedelta(minutes=5)), impact(measured_at=noon + timedelta(minutes=2))
    await store.looks.finish(look(minutes=5, state=LookState.DONE), newer)
    await store.looks.finish(look(minutes=2, state=LookState.DONE), older)
    assert await store.results.impact("d1") == newer
    assert len(await store.looks.of_deployment("d1")) == 2


async def test_history_gives_the_newest_measured_ones_that_had_ended_oldest_first(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    for number in range(8):
        name, start = f"d{number}", noon + timedelta(hours=number)
        service = "search" if number == 5 else "checkout"
        await store.deployments.record(
            deployment(name, started_at=start, finished_at=start + timedelta(minutes=59), service=service),
            (look(name),),
        )
        if number != 4:
            await store.looks.finish(look(name, state=LookState.DONE), impact(name))
    before = noon + timedelta(hours=7)
    everything = await store.history.measured(before=before, limit=4)
    assert [one.deployment.id for one in everything] == ["d2", "d3", "d5", "d6"]
    assert all(one.impact == impact(one.deployment.id) for one in everything)
    assert await store.history.index(before=before, limit=4) == [
        MeasuredSummary(deployment=one.deployment, measured_at=one.impact.measured_at, outcome=one.impact.outcome)
        for one in everything
        if one.impact
    ]
    known = await store.results.impacts([one.deployment.id for one in everything] + ["d4", "nobody"])
    assert known == {one.deployment.id: one.impact for one in everything}
    mine = await store.history.measured(before=before, service="checkout", limit=3)
    assert [one.deployment.id for one in mine] == ["d2", "d3", "d6"]
    assert await store.history.measured(before=noon + timedelta(minutes=59)) == []


async def test_a_figure_that_is_not_finite_is_refused_by_name_and_the_look_stays_open(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], impact: Callable[..., Impact]
) -> None:
    await store.deployments.record(deployment(), (look(),))
    (shift,) = impact().shifts
    with pytest.raises(StoreError, match=r"shifts\[0\]\.high is not a finite number"):
        await store.looks.finish(look(state=LookState.DONE), impact(shifts=(replace(shift, high=float("inf")),)))
    assert await store.looks.of_deployment("d1") == (look(),)
    assert await store.results.impact("d1") is None


async def test_a_new_impact_takes_the_place_of_the_earlier_one_with_all_its_shifts(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
) -> None:
    await store.deployments.record(deployment(), (look(minutes=2), look(minutes=5)))
    (shift,) = impact().shifts
    other: Shift = replace(shift, metric="orders_per_minute", change=-3.5, low=-4.25, high=-2.75)
    await store.looks.finish(look(minutes=2, state=LookState.DONE), impact(shifts=(shift, other)))
    await store.looks.finish(look(minutes=5, state=LookState.DONE), impact(shifts=(other,)))
    assert (await store.results.impact("d1")).shifts == (other,)


async def test_the_courses_of_the_impact_measured_last_stay_whichever_look_ends_last(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    await store.deployments.record(deployment(), (look(), look(minutes=5)))
    await claim_looks(store, noon + LEASE, limit=2, lease=LEASE)

    def drawn(metric: str, *measured: float) -> Trajectory:
        return Trajectory(
            metric=metric, start=noon, step=timedelta(minutes=1), measured=(*measured, None), expected=(1.5,)
        )

    newer = replace(impact(), measured_at=noon + timedelta(minutes=5))
    await store.looks.finish(look(minutes=5, state=LookState.DONE), newer, (drawn("b", 1.0), drawn("a", 0.25, 2.0)))
    await store.looks.finish(look(state=LookState.DONE), impact(), (drawn("c", 3.0),))
    assert await store.results.trajectories("d1") == (drawn("a", 0.25, 2.0), drawn("b", 1.0))
    assert await store.results.trajectories_of({"d1": "b", "d2": "b"}) == {"d1": drawn("b", 1.0)}
    assert await store.results.trajectories_of({"d1": "c"}) == {}


async def test_courses_are_forgotten_after_a_time_and_what_was_found_stays(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    for name, days in {"d1": 0, "d2": 25, "d3": 40}.items():
        at = noon + timedelta(days=days)
        await store.deployments.record(deployment(name, started_at=at), (look(name, due_at=at),))
        course = Trajectory(metric="m", start=at, step=timedelta(minutes=1), measured=(1.0, None))
        await store.looks.finish(look(name, due_at=at, state=LookState.DONE), impact(name), (course,))
    assert await store.results.forget_courses(noon) == 0
    assert await store.results.forget_courses(noon + timedelta(days=40)) == 2
    assert [len(await store.results.trajectories(name)) for name in ("d1", "d2", "d3")] == [0, 0, 1]
    assert set(await store.results.impacts(("d1", "d2", "d3"))) == {"d1", "d2", "d3"}
