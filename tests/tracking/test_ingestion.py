"""Whatever way the events of deployments come, what is stored in the end is the same."""

import asyncio
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from afdp_exporter.errors import BadInput
from afdp_exporter.model import (
    AUTOMATION,
    ROLLBACK,
    Action,
    ActionState,
    Announcement,
    Deployment,
    Ignored,
    Origin,
    Recurrence,
    Status,
    TrailEntry,
)
from afdp_exporter.store import Announced, Arrival, Assembled, Store
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.sql.rows import announcement_values
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.tracking.ingestion import ingest
from afdp_exporter.tracking.merge import deployment_id, merge_announcements, rollouts
from afdp_exporter.watching.watch import Schedule

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SCHEDULE = Schedule()


def events() -> st.SearchStrategy[list[Announcement]]:
    """The events of two deployments: states at any times, some at the same, some reported in two ways."""
    return st.lists(
        st.builds(
            Announcement,
            sender=st.just("github"),
            key=st.sampled_from(["octo/a:1", "octo/a:2"]),
            event=st.sampled_from([f"e{number}" for number in range(6)]),
            at=st.integers(0, 5).map(lambda minutes: NOON + timedelta(minutes=minutes)),
            status=st.sampled_from([None, *Status]),
            origin=st.builds(Origin, service=st.sampled_from(["api", "shop"]), environment=st.just("production")),
            version=st.sampled_from([None, "v1", "v2"]),
            traits=st.dictionaries(st.sampled_from(["files", "rows"]), st.integers(0, 3).map(float)),
        ),
        min_size=1,
        max_size=8,
    )


def kept(announcements: list[Announcement]) -> dict[tuple[str, str], Announcement]:
    """What a store keeps of announcements: of one event in two ways that with a state, then the sender's first."""
    found: dict[tuple[str, str], Announcement] = {}
    for each in announcements:
        key = (each.key, each.event)
        found[key] = min((each, found.get(key, each)), key=_document)
    return found


def _document(announcement: Announcement) -> tuple[bool, Any, str]:
    values = announcement_values("", announcement, NOON)
    return announcement.status is None, values["at_us"], values["document"]


def timeless(deployment: Deployment | None) -> Deployment | None:
    """Without the only word that depends on the delivery."""
    return None if deployment is None else replace(deployment, received_at=NOON)


class Deliveries(RuleBasedStateMachine):
    """A store that hears of two deployments, now and then closed and opened again."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store.db"
        self.now = NOON + timedelta(hours=1)
        self.delivered: list[Announcement] = []
        self.left: list[Announcement] = []
        self.store = self.runner.run(SQLiteStore.open(self.path))

    @initialize(announcements=events())
    def begin(self, announcements: list[Announcement]) -> None:
        self.left = announcements

    def deliver(self, announcement: Announcement) -> Announced:
        found = self.runner.run(ingest(announcement, rules=(), schedule=SCHEDULE, store=self.store, now=self.now))
        assert isinstance(found, Announced)
        self.delivered.append(announcement)
        return found

    @rule(data=st.data())
    def one_that_is_new(self, data: st.DataObject) -> None:
        if self.left:
            chosen = data.draw(st.sampled_from(self.left))
            self.left.remove(chosen)
            self.deliver(chosen)

    @rule(data=st.data())
    def one_that_came_before(self, data: st.DataObject) -> None:
        if self.delivered:
            assert not self.deliver(data.draw(st.sampled_from(self.delivered))).changed

    @rule(minutes=st.integers(1, 5000))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def the_exporter_starts_again(self) -> None:
        self.runner.run(self.store.close())
        self.store = self.runner.run(SQLiteStore.open(self.path))

    @invariant()
    def what_is_stored_is_the_life_of_the_set(self) -> None:
        assert self.stored() == self.expected()

    @invariant()
    def looks_follow_the_end_and_only_what_happened_is_looked_at(self) -> None:
        for key in {each.key for each in self.delivered}:
            life = merge_announcements(
                [each for each in kept(self.delivered).values() if each.key == key], received_at=NOON
            )
            if life is not None:
                looks = self.runner.run(self.store.looks.of_deployment(life.deployment.id))
                expected = life.happened and not life.deployment.planned
                assert bool(looks) is expected
                assert {look.due_at - look.after for look in looks} <= {life.deployment.ended_at}

    def expected(self) -> list[Deployment | None]:
        found = kept(self.delivered).values()
        lives = [
            merge_announcements([each for each in found if each.key == key], received_at=NOON)
            for key in ("octo/a:1", "octo/a:2")
        ]
        return [None if life is None else life.deployment for life in lives]

    def stored(self) -> list[Deployment | None]:
        page = self.runner.run(self.store.deployments.page()).deployments
        by_id = {deployment.id: timeless(deployment) for deployment in page}
        return [by_id.get(f"github:octo:a:{number}") for number in (1, 2)]

    def teardown(self) -> None:
        for announcement in [*self.left, *self.left, *self.delivered]:
            self.deliver(announcement)
        assert self.stored() == self.expected()
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()


Deliveries.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestDeliveries = Deliveries.TestCase


@pytest.mark.slow
def test_many_more_ways_of_delivering_come_to_the_same() -> None:
    run_state_machine_as_test(Deliveries, settings=settings(max_examples=150, stateful_step_count=50, deadline=None))


def announced(status: Status, minutes: int = 0, **words: object) -> Announcement:
    plain = Announcement(sender="github", key="k", event=status, origin=Origin(service="api"), status=status)
    return replace(plain, at=NOON + timedelta(minutes=minutes), **words)


async def test_what_says_nothing_of_a_service_is_not_kept(store: SQLiteStore) -> None:
    found = await ingest(announced(Status.STARTED, origin=Origin()), rules=(), schedule=SCHEDULE, store=store, now=NOON)
    assert isinstance(found, Ignored)
    assert (await store.deployments.page()).deployments == ()


async def test_a_plan_may_lie_ahead_and_nothing_else(store: SQLiteStore) -> None:
    later = announced(Status.PLANNED, minutes=600)
    found = await ingest(later, rules=(), schedule=SCHEDULE, store=store, now=NOON)
    assert isinstance(found, Announced)
    with pytest.raises(BadInput, match="more than an hour ahead"):
        await ingest(replace(later, status=Status.STARTED), rules=(), schedule=SCHEDULE, store=store, now=NOON)


async def test_an_event_without_a_time_is_of_when_it_came_first(store: SQLiteStore) -> None:
    timeless = replace(announced(Status.STARTED), at=None), replace(announced(Status.SUCCEEDED), at=None)
    for minutes, announcement in ((0, timeless[0]), (9, timeless[1]), (30, timeless[0]), (40, timeless[1])):
        now = NOON + timedelta(minutes=minutes)
        await ingest(announcement, rules=(), schedule=SCHEDULE, store=store, now=now)
    found = await store.deployments.find(deployment_id(timeless[0]))
    assert (found.started_at, found.finished_at) == (NOON, NOON + timedelta(minutes=9))


@pytest.mark.parametrize("first", [0, 1])
async def test_an_event_reported_with_a_state_and_without_one_counts_with_it(first: int, store: SQLiteStore) -> None:
    ways = [announced(Status.PLANNED), replace(announced(Status.PLANNED), status=None)]
    for announcement in (ways[first], ways[1 - first]):
        await ingest(announcement, rules=(), schedule=SCHEDULE, store=store, now=NOON)
    assert (await store.deployments.find(deployment_id(ways[0]))).status is Status.PLANNED
    assert not (await ingest(ways[0], rules=(), schedule=SCHEDULE, store=store, now=NOON)).changed


def rolled_out_over_weeks(drawn: random.Random, recurrence: Recurrence) -> list[tuple[datetime, Announcement]]:
    """The events of one object, by when they come: new versions, old ones that come back, some a day late."""
    found, begun = [], NOON
    for number in range(80):
        begun += timedelta(hours=drawn.choice([0.2, 1, 5, 30]))
        key = f"v{number}" if recurrence is Recurrence.ONCE else drawn.choice(["v1", "v2", f"v{number}"])
        ended = drawn.choice([None, Status.SUCCEEDED, Status.FAILED])
        for status, minutes in ((Status.STARTED, 0), (ended, 4), *([(Status.ROLLED_BACK, 6)] * (number % 9 == 8))):
            if status is not None:
                back = status is Status.ROLLED_BACK
                event = Announcement(
                    sender="flux", key="t" if back else f"t:{key}", thread="t", recurrence=recurrence,
                    event=f"{number}:{status}", at=begun + timedelta(minutes=minutes), status=status,
                    origin=Origin(service="api"), version=None if back else key, returned_to="v1" if back else None,
                )  # fmt: skip
                late = timedelta(hours=drawn.choice([0, 0, 0.1, 3, 23]))
                found.append((begun + timedelta(minutes=minutes) + late, event))
    return sorted(found, key=lambda each: each[0])


async def kept_of(store: Store, thread: str) -> list[Arrival]:
    """What a store keeps of a thread, which is left as it is."""
    found: list[Arrival] = []

    def read(_: object, __: object, before: Sequence[Arrival], ___: object) -> Assembled:
        found.extend(before)
        return Assembled(deployment_id=None, keep=False)

    seen = Announcement(sender="test", key="seen", event="seen", origin=Origin(), at=NOON)
    await store.deployments.apply_announcement(thread, seen, NOON, read)
    return found


@pytest.mark.parametrize("seed", range(12))
async def test_of_an_object_a_day_and_the_newest_rollout_are_kept_and_make_the_same_deployments(seed: int) -> None:
    events = rolled_out_over_weeks(random.Random(seed), Recurrence.RETURNS if seed % 2 else Recurrence.ONCE)
    store = MemoryStore()
    for now, event in events:
        await ingest(event, rules=(), schedule=SCHEDULE, store=store, now=now)
        kept = await kept_of(store, "flux:t")
        begun = [each[0].at or now for each in rollouts([arrival.announcement for arrival in kept]).values()]
        assert sum(at < now - 2 * DAY for at in begun) <= 1
    everything = rollouts([event for _, event in events])
    lives = [merge_announcements(all_of, received_at=NOON, known_as=name) for name, all_of in everything.items()]
    found = (await store.deployments.page(limit=200)).deployments
    assert {each.id: timeless(each) for each in found} == {
        each.deployment.id: each.deployment for each in lives if each
    }


async def test_what_is_reported_of_a_settled_rollout_changes_nothing(store: SQLiteStore) -> None:
    def of(key: str, status: Status, hours: int) -> Announcement:
        return announced(status, hours * 60, key=key, thread="t", recurrence=Recurrence.RETURNS, event=f"{key}{status}")

    async def announce(event: Announcement, hours: int) -> Announced:
        answer = await ingest(event, rules=(), schedule=SCHEDULE, store=store, now=NOON + timedelta(hours=hours))
        assert isinstance(answer, Announced)
        return answer

    for key, hours in (("a", 0), ("b", 2), ("c", 30)):
        await announce(of(key, Status.STARTED, hours), hours)
    before = (await store.deployments.page()).deployments
    assert [each.announcement.key for each in await kept_of(store, "github:t")] == ["b", "c"]
    for late in (of("a", Status.STARTED, 0), of("a", Status.SUCCEEDED, 1)):
        answer = await announce(late, 31)
        assert answer.deployment is not None
        assert (answer.changed, answer.deployment.id) == (False, "github:a")
    assert (await store.deployments.page()).deployments == before
    answer = await announce(replace(of("a", Status.STARTED, 32), event="again"), 32)
    assert answer.deployment is not None
    assert (answer.created, answer.deployment.id) == (True, "github:a:2")
    answer = await announce(replace(of("a", Status.SUCCEEDED, 33), event="done"), 33)
    assert answer.deployment is not None
    assert (answer.created, answer.deployment.id, answer.deployment.status) == (False, "github:a:2", Status.SUCCEEDED)


async def test_what_is_reported_again_long_afterwards_counts_in_whatever_order(store: SQLiteStore) -> None:
    for hours, key in ((5, "c"), (0, "a"), (2, "b"), (9, "a")):
        event = announced(
            Status.SUCCEEDED, hours * 60, key=key, thread="t", recurrence=Recurrence.RETURNS, event=f"{hours}"
        )
        await ingest(event, rules=(), schedule=SCHEDULE, store=store, now=NOON + timedelta(days=90))
    found = (await store.deployments.page()).deployments
    assert [each.id for each in found] == ["github:a:2", "github:c", "github:b", "github:a"]


async def test_what_is_told_of_a_settled_run_is_not_another_run(store: SQLiteStore) -> None:
    for hours, now, key in ((0, 0, "a"), (2, 2, "b"), (30, 30, "c"), (31, 31, "a")):
        event = announced(Status.STARTED, hours * 60, key=key, thread="t", event=f"{key}{hours}")
        answer = await ingest(event, rules=(), schedule=SCHEDULE, store=store, now=NOON + timedelta(hours=now))
    assert isinstance(answer, Announced)
    assert answer.deployment is not None
    assert (answer.changed, answer.deployment.id, answer.deployment.started_at) == (False, "github:a", NOON)
    assert {each.id for each in (await store.deployments.page()).deployments} == {"github:a", "github:b", "github:c"}


@pytest.mark.parametrize("thread", ["t", None])
@pytest.mark.parametrize(
    ("version", "minutes", "joined"), [("v1", 31, True), ("v3", 31, False), ("v1", 50, False), ("v1", 10, False)]
)
async def test_what_a_target_shows_of_our_own_rollback_is_that_rollback(
    store: SQLiteStore, version: str, minutes: int, joined: bool, thread: str | None
) -> None:
    async def announce(number: int, version: str, status: Status, minutes: int) -> Announced:
        event = announced(
            status, minutes, key=f"t:{number}", thread=thread, event=f"{version}{status}{minutes}", version=version,
            recurrence=Recurrence.RETURNS if thread else Recurrence.ONCE,
        )  # fmt: skip
        answer = await ingest(event, rules=(), schedule=SCHEDULE, store=store, now=NOON + timedelta(hours=1))
        assert isinstance(answer, Announced)
        return answer

    bad = (await announce(2, "v2", Status.SUCCEEDED, 20)).deployment
    assert bad is not None
    begun = NOON + timedelta(minutes=30)
    ours = Deployment(
        id="rollback-1", service="api", environment="production", version="v1", started_at=begun, finished_at=begun,
        status=Status.SUCCEEDED, actor=AUTOMATION, traits={"rollback": True}, received_at=begun,
        received_from="automation",
    )  # fmt: skip
    await store.deployments.record(ours, ())
    await store.actions.propose(
        Action(
            id=ours.id, deployment_id=bad.id, service="api", environment="production", kind=ROLLBACK, executor="e",
            state=ActionState.ACCEPTED, level=4, reason="severe", decided_at=begun,
            trail=(TrailEntry(at=begun, state=ActionState.STARTED, by=AUTOMATION, reason="severe"),),
        )
    )  # fmt: skip
    first = await announce(3, version, Status.STARTED, minutes)
    last = await announce(3, version, Status.FAILED, minutes + 3)
    assert first.deployment is not None
    assert last.deployment is not None
    assert (first.deployment.id == ours.id, first.created) == (joined, not joined)
    assert (last.deployment.id, last.deployment.status) == (first.deployment.id, Status.FAILED)
    assert len((await store.deployments.page()).deployments) == (2 if joined else 3)
    stored = await store.deployments.find(ours.id)
    assert (stored.actor, stored.traits["rollback"], stored.received_from) == (AUTOMATION, True, "automation")
    assert stored.status is (Status.FAILED if joined else Status.SUCCEEDED)
