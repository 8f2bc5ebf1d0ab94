"""Notices to receivers: due in the transaction of the change, until it has arrived, over restarts."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from afdp_exporter.errors import DeliveryError
from afdp_exporter.jobs import Kind
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    Look,
    LookState,
    Notification,
    Outcome,
    Shift,
    Status,
)
from afdp_exporter.settings import build
from afdp_exporter.store import Amendment
from afdp_exporter.store.follow_ups import NOTICE
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.notifier import Notifier
from annotating_grafana import AnnotatingGrafana, answers, loses_the_answer
from loopback import Serve

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOOK = Look(deployment_id="d1", after=timedelta(minutes=2), due_at=NOON)


def deployment(name: str = "d1", **words: Any) -> Deployment:  # noqa: ANN401
    fields = {"service": "checkout", "environment": "production", "started_at": NOON, "received_at": NOON}
    return Deployment(**({"id": name} | fields | words))


def impact(change: float, at: datetime = NOON) -> Impact:
    shift = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it moved",
        change=change,
        low=change,
        high=change,
    )
    return Impact(
        deployment_id="d1", measured_at=at, shifts=(shift,), outcome=Outcome.DEGRADATION, outcome_reason="worse"
    )


@dataclass
class Listener:
    """A receiver that keeps what it hears, and fails as it is asked to."""

    heard: list[str] = field(default_factory=list)
    failing: DeliveryError | Exception | None = None
    appends: bool = False
    loses: bool = False  # the answer, once it has heard

    async def send(self, notice: Notification) -> None:
        if self.failing is not None:
            raise self.failing
        self.heard.append(f"{notice.deployment.id}: {notice.headline}")
        if self.loses:
            raise DeliveryError("timeout", "no answer in time", retry=True)


@dataclass
class Counts:
    """Who watches how it goes."""

    sent: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)

    def notified(self, receiver: str) -> None:
        self.sent.append(receiver)

    def notification_failed(self, receiver: str, reason: str) -> None:
        self.failed.append((receiver, reason))


class World:
    """A store, receivers, a clock that is moved by hand."""

    def __init__(self, store: SQLiteStore, **receivers: Any) -> None:  # noqa: ANN401
        self.store, self.receivers, self.now, self.counts = store, receivers, NOON, Counts()
        dispatcher = Notifier(
            store=store, receivers=lambda: self.receivers, observer=self.counts, clock=lambda: self.now
        )
        kind = Kind(name=NOTICE, run=dispatcher.notify, slots=lambda: 100, per_lane=1)
        self.runner = Runner(store, kind, clock=lambda: self.now)

    async def settle(self) -> None:
        """Send until nothing is due."""
        while await self.runner.drain():
            pass

    async def look(self, found: Impact, number: int) -> None:
        """A look finds this."""
        look = replace(LOOK, after=timedelta(minutes=number))
        await self.store.deployments.amend("d1", lambda d: Amendment(deployment=d, looks=(look,)))
        await self.store.looks.finish(replace(look, state=LookState.DONE, done_at=self.now), found)


async def test_who_cannot_change_what_it_was_sent_hears_only_of_another_status_or_outcome(store: SQLiteStore) -> None:
    ear, log = Listener(), Listener(appends=True)
    world = World(store, ear=ear, log=log)
    await store.notices.set_receivers(["ear", "log"])
    await store.deployments.record(deployment(), ())
    await world.settle()
    for number, change in enumerate((0.015, 0.016, 0.017)):
        await world.look(impact(change), number + 1)
        await world.settle()
    assert (len(ear.heard), len(log.heard)) == (4, 2)


async def test_each_change_is_reported_once_and_what_changes_nothing_is_not(store: SQLiteStore) -> None:
    ear = Listener()
    world = World(store, ear=ear)
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(status=Status.STARTED), ())
    await world.settle()
    await store.deployments.record(deployment(status=Status.STARTED), ())  # reported twice by its sender
    await world.settle()
    await store.deployments.amend("d1", lambda d: Amendment(deployment=replace(d, status=Status.SUCCEEDED)))
    await world.settle()
    await world.look(impact(0.015), 2)
    await world.look(impact(0.015, NOON + timedelta(minutes=1)), 5)
    await world.settle()
    await world.look(impact(0.015, NOON + timedelta(minutes=2)), 10)  # finds the same
    await world.settle()
    await world.look(impact(0.017, NOON + timedelta(minutes=3)), 15)
    await world.settle()
    assert ear.heard == [
        "d1: checkout (2026-03-02 12:00 UTC) is being deployed; nothing is measured yet",
        "d1: checkout (2026-03-02 12:00 UTC) was deployed; nothing is measured yet",
        "d1: checkout (2026-03-02 12:00 UTC): degradation; latency +15 ms",
        "d1: checkout (2026-03-02 12:00 UTC): degradation; latency +17 ms",
    ]
    assert await store.notices.pending() == {"ear": 0}


async def test_a_receiver_that_is_away_hears_everything_later_and_holds_up_nobody(store: SQLiteStore) -> None:
    away, ear = Listener(failing=DeliveryError("connection", "nobody", retry=True)), Listener()
    world = World(store, away=away, ear=ear)
    await store.notices.set_receivers(["away", "ear"])
    for name in ("d1", "d2", "d3"):
        await store.deployments.record(deployment(name), ())
    waits = []
    for _ in range(7):
        await world.settle()
        waits.append(world.now)
        while (await store.jobs.next_at([NOTICE]))[NOTICE] > world.now:
            world.now += timedelta(seconds=15)
    assert [(later - earlier).total_seconds() for earlier, later in pairwise(waits)] == [15, 30, 60, 120, 240, 300]
    assert world.counts.failed == [("away", "connection")] * 7  # one try for all three
    assert len(ear.heard) == 3
    assert await store.notices.pending() == {"away": 3, "ear": 0}
    away.failing = None
    await world.settle()
    assert sorted(away.heard) == sorted(ear.heard)


async def test_a_receiver_that_takes_its_time_holds_up_nobody(store: SQLiteStore) -> None:
    go_on, heard = asyncio.Event(), list[str]()

    class Slow(Listener):
        async def send(self, notice: Notification) -> None:
            await go_on.wait()
            await super().send(notice)

    class Quick(Listener):
        async def send(self, notice: Notification) -> None:
            heard.append(notice.deployment.id)
            if len(heard) == 1:  # what comes while the other one is still at it
                await store.deployments.record(deployment("later"), ())
            else:
                go_on.set()

    slow = Slow()
    world = World(store, slow=slow, quick=Quick())
    await store.notices.set_receivers(["slow", "quick"])
    await store.deployments.record(deployment("first"), ())
    async with asyncio.timeout(60):
        await world.settle()
    assert heard == ["first", "later"]
    assert len(slow.heard) == 2


async def test_what_is_due_survives_a_restart(tmp_path: Path) -> None:
    first = await SQLiteStore.open(tmp_path / "afdp.db")
    await first.notices.set_receivers(["ear"])
    await first.deployments.record(deployment(), ())
    await first.close()
    second = await SQLiteStore.open(tmp_path / "afdp.db")
    ear = Listener()
    world = World(second, ear=ear)
    await second.notices.set_receivers(["ear"])
    await world.settle()
    assert len(ear.heard) == 1
    await second.close()


async def test_a_crash_between_sending_and_keeping_that_it_was_sent_makes_no_double(
    serve: Serve, store: SQLiteStore
) -> None:
    grafana = AnnotatingGrafana()
    receiver = build("notify", "grafana", {"url": await serve(grafana.answer)}, "notify[0]")
    await store.notices.set_receivers(["grafana"])
    await store.deployments.record(deployment(), ())
    await store.jobs.claim(NOTICE, NOON, owner="who crashes", limit=10, lease=timedelta(seconds=1))
    await receiver.send(Notification(deployment=deployment(), impact=None, headline="before the crash", at=NOON))
    world = World(store, grafana=receiver)
    world.now += timedelta(seconds=1)  # whose lease has ended
    grafana.faults = [answers(503), None, loses_the_answer]
    for _ in range(3):
        await world.settle()
        world.now += timedelta(minutes=5)
    assert [entry["text"] for entry in grafana.annotations.values()] == [
        "checkout (2026-03-02 12:00 UTC) was deployed; nothing is measured yet"
    ]
    assert await store.notices.pending() == {"grafana": 0}


async def test_a_change_while_a_notice_is_under_way_is_reported_afterwards(store: SQLiteStore) -> None:
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(status=Status.STARTED), ())
    (due,) = await store.jobs.claim(NOTICE, NOON, owner="me", limit=10, lease=timedelta(minutes=5))
    await store.deployments.amend("d1", lambda d: Amendment(deployment=replace(d, status=Status.FAILED)))
    await store.notices.finish(due, sent="digest")
    assert await store.notices.pending() == {"ear": 1}
    ear = Listener()
    await World(store, ear=ear).settle()
    assert len(ear.heard) == 1


async def test_what_was_heard_before_is_said_again_after_something_else_may_have_arrived(store: SQLiteStore) -> None:
    """The receiver stayed with what it had heard last, where the answer to that was lost."""
    ear = Listener()
    world = World(store, ear=ear)
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(version="v1"), ())
    await world.settle()
    for version, ear.loses in (("v2", True), ("v1", False)):
        await store.deployments.amend("d1", lambda d, v=version: Amendment(deployment=replace(d, version=v)))
        await world.settle()
    assert [line.split()[2] for line in ear.heard] == ["v1", "v2", "v1"]


@pytest.mark.parametrize(
    ("appends", "unsent", "heard"),
    [(True, True, ["started"]), (True, False, ["started", "started"]), (False, True, ["started", "started"])],
)
async def test_what_surely_did_not_arrive_is_no_reason_to_say_again_what_was_heard_before(
    store: SQLiteStore, appends: bool, unsent: bool, heard: list[str]
) -> None:
    """The state was another one for as long as the receiver was away, of which one that appends need not hear."""
    ear = Listener(appends=appends)
    world = World(store, ear=ear)
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(status=Status.STARTED), ())
    await world.settle()
    ear.failing = DeliveryError("connection", "no connection", retry=True, unsent=unsent)
    for status in (Status.PLANNED, Status.STARTED):
        await store.deployments.amend("d1", lambda d, s=status: Amendment(deployment=replace(d, status=s)))
        await world.settle()
        world.now += timedelta(hours=1)
        ear.failing = None
    await world.settle()
    assert len(ear.heard) == len(heard), ear.heard
    assert await store.notices.pending() == {"ear": 0}


async def test_what_a_receiver_calls_wrong_is_given_up_and_the_rest_goes_on(store: SQLiteStore) -> None:
    ear = Listener(failing=DeliveryError("http_400", "it answers 400", retry=False))
    world = World(store, ear=ear)
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(), ())
    await world.settle()
    ear.failing = None
    await store.deployments.record(deployment("d2"), ())
    await world.settle()
    assert [line[:3] for line in ear.heard] == ["d2:"]


async def test_a_defect_of_a_receiver_is_logged_and_tried_again(
    store: SQLiteStore, capsys: pytest.CaptureFixture[str]
) -> None:
    ear = Listener(failing=KeyError("id"))
    world = World(store, ear=ear)
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(), ())
    await world.settle()
    assert world.counts.failed == [("ear", "internal")]
    ear.failing = None
    world.now += timedelta(seconds=15)
    await world.settle()
    assert len(ear.heard) == 1


async def test_a_defect_with_one_notice_keeps_no_other_one_waiting(store: SQLiteStore) -> None:
    class Deaf(Listener):
        async def send(self, notice: Notification) -> None:
            if notice.deployment.id == "d1":
                raise KeyError("id")
            await super().send(notice)

    ear = Deaf()
    world = World(store, ear=ear)
    await store.notices.set_receivers(["ear"])
    for name in ("d1", "d2", "d3"):
        await store.deployments.record(deployment(name), ())
    await world.settle()
    for _ in range(3):
        world.now += timedelta(hours=1)
        await world.settle()
    assert sorted(line[:3] for line in ear.heard) == ["d2:", "d3:"]
    assert await store.notices.pending() == {"ear": 1}


async def test_history_is_sent_to_nobody_and_neither_is_what_a_new_receiver_missed(store: SQLiteStore) -> None:
    ear = Listener()
    world = World(store, ear=ear)
    await store.deployments.record(deployment("early"), ())
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment("imported", started_at=NOON - timedelta(days=1)), ())
    await store.deployments.record(deployment("late", started_at=NOON - timedelta(hours=23)), ())
    await world.settle()
    assert [line.split(":")[0] for line in ear.heard] == ["late"]
    await store.notices.set_receivers(["other"])
    assert await store.notices.pending() == {"other": 0}


async def test_a_label_is_sent_although_nothing_new_was_measured(store: SQLiteStore) -> None:
    ear = Listener()
    world = World(store, ear=ear)
    await store.notices.set_receivers(["ear"])
    await store.deployments.record(deployment(), ())
    await world.look(impact(0.015), 2)
    await world.settle()
    labelled = {"labelled_outcome": Outcome.SUCCESS, "note": "a load test"}
    await store.deployments.amend("d1", lambda d: Amendment(deployment=replace(d, **labelled)))
    await world.settle()
    assert ear.heard[-1] == "d1: checkout (2026-03-02 12:00 UTC): success, a load test; latency +15 ms"
