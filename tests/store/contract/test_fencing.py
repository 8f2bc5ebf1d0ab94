"""What every store promises of a job that another process has taken over: nothing is kept of what is done for it."""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from afdp_exporter.errors import LeaseLost
from afdp_exporter.model import (
    ActionState,
    Annotation,
    Announcement,
    ApprovalState,
    CalendarEntryKind,
    CommitChange,
    Deployment,
    Event,
    GateEvaluation,
    Impact,
    LevelChange,
    Look,
    LookState,
    Origin,
    PendingApproval,
    Phase,
    Rollout,
    Status,
    Trajectory,
)
from afdp_exporter.store import Amendment, Assembled, Job, NewJob, Store
from afdp_exporter.store.follow_ups import CHECK, NOTICE
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.sql.ports import SQLPorts
from stored import MINUTE, action, decision, prediction

NOON = datetime.fromisoformat("2026-03-02T12:00:00+00:00")
LEASE = 5 * MINUTE


@dataclass(frozen=True)
class World:
    """What there is before: a deployment, an annotation, an action, an approval."""

    store: Store
    deployment: Deployment
    annotation: int


def _approval(state: ApprovalState = ApprovalState.WAITING) -> PendingApproval:
    return PendingApproval(
        id="a1", kind="github", service="checkout", environment="production", version="v2", phase=Phase.PLAN,
        reply={}, asked_at=NOON, due_at=NOON, state=state,
    )  # fmt: skip


def _event() -> Event:
    return Event(id="e1", name="sale", kind=CalendarEntryKind.SALE, start=NOON, told_at=NOON)


def _level() -> LevelChange:
    return LevelChange(
        service="checkout", environment="production", kind="level", level=1, by="rule", reason="earned", at=NOON
    )


def _rollout() -> Rollout:
    return Rollout(deployment_id="d1", as_of=NOON, traffic_ratio=0.1, comparisons=())


def _announcement() -> Announcement:
    return Announcement(
        sender="ci", key="k", event="1", status=Status.SUCCEEDED, at=NOON, origin=Origin(service="checkout")
    )


WRITES: dict[str, Callable[[World], Awaitable[Any]]] = {
    "deployments.record": lambda w: w.store.deployments.record(replace(w.deployment, id="d2"), ()),
    "deployments.amend": lambda w: w.store.deployments.amend(
        "d1", lambda known: Amendment(deployment=replace(known, description="changed"))
    ),
    "deployments.apply_announcement": lambda w: w.store.deployments.apply_announcement(
        "t",
        _announcement(),
        NOON,
        lambda *_: Assembled(deployment_id="d3", amendments=(Amendment(deployment=replace(w.deployment, id="d3")),)),
    ),
    "deployments.save_commit_change": lambda w: w.store.deployments.save_commit_change(
        CommitChange(commit="abc", traits={"lines": 3})
    ),
    "results.save_prediction": lambda w: w.store.results.save_prediction(prediction("d1")),
    "results.forget_courses": lambda w: w.store.results.forget_courses(NOON + 2 * MINUTE),
    "changes.prune": lambda w: w.store.changes.prune(0),
    "jobs.enqueue": lambda w: w.store.jobs.enqueue(NewJob(kind="new", key="", due_at=NOON)),
    "annotations.add": lambda w: w.store.annotations.add(
        Annotation(at=NOON, text="another", created_at=NOON, updated_at=NOON)
    ),
    "annotations.change": lambda w: w.store.annotations.change(w.annotation, lambda known: replace(known, text="x")),
    "annotations.remove": lambda w: w.store.annotations.remove(w.annotation),
    "events.save": lambda w: w.store.events.save(_event()),
    "cursors.save": lambda w: w.store.cursors.save("feed", "here"),
    "decisions.keep": lambda w: w.store.decisions.keep(decision(NOON), "ci"),
    "levels.record": lambda w: w.store.levels.record(_level()),
    "levels.keep_false_alarms": lambda w: w.store.levels.keep_false_alarms({"latency_seconds": (1, 20)}),
    "rollouts.keep": lambda w: w.store.rollouts.keep("checkout", _rollout()),
    "approvals.keep": lambda w: w.store.approvals.keep(replace(_approval(), id="a2")),
    "approvals.change": lambda w: w.store.approvals.change(_approval(ApprovalState.ANSWERED)),
    "approvals.keep_evaluation": lambda w: w.store.approvals.keep_evaluation(
        GateEvaluation(id="g1", service="checkout", environment="production", begun_at=NOON)
    ),
    "actions.propose": lambda w: w.store.actions.propose(action("d0", NOON)),
    "actions.move": lambda w: w.store.actions.move(
        "rollback-d1", frozenset({ActionState.PROPOSED}), lambda known: replace(known, state=ActionState.CLAIMED)
    ),
}
"""Every operation that a job may write by."""

CLAIMS = {
    *("jobs.check_held", "jobs.claim", "jobs.heartbeat", "jobs.finish", "jobs.postpone", "jobs.release"),
    *("looks.finish", "looks.postpone", "notices.begin", "notices.restore", "notices.finish"),
}
"""Those that are handed a claim, and look at that one."""

CONFIGURES = {"notices.set_receivers"}
"""What a start or a reload does, outside of any job."""


def test_each_operation_that_writes_is_fenced_or_is_handed_a_claim() -> None:
    ports = SQLPorts(None, None, asyncio.Event)  # type: ignore[arg-type]
    writing = {
        f"{port}.{name}"
        for port, adapter in vars(ports).items()
        for name, operation in inspect.getmembers(adapter, inspect.iscoroutinefunction)
        if not name.startswith("_") and re.search(r"write(_together)?\(", inspect.getsource(operation))
    }
    assert writing == WRITES.keys() | CLAIMS | CONFIGURES


async def _everything(store: Store) -> list[object]:
    return [
        await store.changes.since(0),
        await store.deployments.page(),
        await store.looks.of_deployment("d1"),
        await store.results.impacts(("d1",)),
        await store.results.predictions(("d1",)),
        await store.results.trajectories("d0"),
        await store.jobs.next_at(("new", "k", CHECK, NOTICE)),
        await store.annotations.search(),
        await store.events.overlapping(NOON - MINUTE, NOON + MINUTE),
        await store.cursors.find("feed"),
        await store.decisions.search(since=NOON - MINUTE),
        await store.levels.trail(),
        await store.levels.false_alarms(),
        await store.rollouts.find("d1"),
        await store.approvals.waiting(),
        await store.approvals.evaluation("g1"),
        await store.actions.search(),
    ]


@pytest.fixture
async def world(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], impact: Callable[..., Impact]
) -> World:
    """There is one of each."""
    await store.deployments.record(deployment("d0"), (look("d0"),))
    course = Trajectory(metric="m", start=NOON, step=MINUTE, measured=(1.0,))
    await store.looks.finish(look("d0", state=LookState.DONE), impact("d0"), (course,))
    recorded = deployment(commit="abc")
    await store.deployments.record(recorded, ())
    annotation = await store.annotations.add(Annotation(at=NOON, text="one", created_at=NOON, updated_at=NOON))
    await store.actions.propose(action("d1", NOON))
    await store.approvals.keep(_approval())
    return World(store, recorded, annotation.id)


async def _claimed(store: Store, kind: str, *, at: datetime = NOON) -> Job:
    (job,) = await store.jobs.claim(kind, at, owner=str(at), limit=1, lease=LEASE)
    return job


@pytest.mark.parametrize("name", WRITES)
async def test_what_is_written_for_a_job_is_kept_as_long_as_its_claim_holds(world: World, name: str) -> None:
    store = world.store
    await store.jobs.enqueue(NewJob(kind="k", key="", due_at=NOON))
    old = await _claimed(store, "k")
    new = await _claimed(store, "k", at=NOON + LEASE)
    before = await _everything(store)
    with store.jobs.holding(old), pytest.raises(LeaseLost, match="another process has taken this over"):
        await WRITES[name](world)
    with store.jobs.holding(old), pytest.raises(LeaseLost):
        await store.jobs.check_held()
    assert await _everything(store) == before
    with store.jobs.holding(new):
        await store.jobs.check_held()
        await WRITES[name](world)
    assert await _everything(store) != before
    await store.jobs.finish(new)
    with store.jobs.holding(new), pytest.raises(LeaseLost):
        await store.cursors.save("feed", "later")


async def test_who_holds_a_job_of_another_store_writes_as_anybody(store: Store) -> None:
    other = MemoryStore()
    await other.jobs.enqueue(NewJob(kind="k", key="", due_at=NOON))
    job = await _claimed(other, "k")
    await other.jobs.finish(job)
    with other.jobs.holding(job):
        await store.cursors.save("feed", "here")
    assert await store.cursors.find("feed") == "here"


async def test_an_old_claim_on_a_look_changes_nothing(
    store: Store, deployment: Callable[..., Deployment], look: Callable[..., Look], impact: Callable[..., Impact]
) -> None:
    await store.deployments.record(deployment(), (look(),))
    due = NOON + 2 * MINUTE
    old, new = await _claimed(store, CHECK, at=due), await _claimed(store, CHECK, at=due + LEASE)
    before = await _everything(store)
    assert not await store.looks.finish(look(state=LookState.DONE), impact(), job=old)
    assert not await store.looks.postpone(look(), due, "late", job=old)
    assert await store.jobs.heartbeat((old,), due + 2 * LEASE) == 0
    assert await _everything(store) == before
    assert await store.looks.finish(look(state=LookState.DONE), impact(), job=new)
