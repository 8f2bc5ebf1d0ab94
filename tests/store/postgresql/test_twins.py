"""The same history against SQLite and PostgreSQL at once: whatever is asked, both answer the same."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from afdp_exporter.errors import AFDPError
from afdp_exporter.model import Annotation, Deployment, Impact, Look, LookState, Outcome, Status, Trajectory
from afdp_exporter.store import Amendment, Job, NewJob, Store
from afdp_exporter.store.opening import open_store, url_of_file
from postgres_fixtures import EMPTY

T = TypeVar("T")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEASE = timedelta(minutes=5)

ids = st.sampled_from(["a", "B", "b", "ä", "a b", "Z"])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
minutes = st.integers(-3000, 3000).map(lambda number: NOON + timedelta(minutes=number))
deployments = st.builds(
    Deployment,
    id=ids,
    service=st.sampled_from(["cart", "Cart", "über"]),
    environment=st.sampled_from(["production", "staging"]),
    started_at=minutes,
    received_at=st.just(NOON),
    version=st.none() | texts,
    status=st.sampled_from(list(Status)),
    traits=st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False) | texts | st.booleans(), max_size=2),
)


class Twins(RuleBasedStateMachine):
    """Every operation is done to both; a job's token is each store's own."""

    url = ""
    held: Bundle[tuple[Job, Job]] = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(EMPTY)
        self.stores: tuple[Store, Store] = self.run(self.open())
        self.now = NOON

    async def open(self) -> tuple[Store, Store]:
        return await open_store(url_of_file(Path(self.folder.name) / "a.db")), await open_store(self.url)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def both(self, work: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
        """What both answer, or raise, alike."""
        first, second = (self.run(self.outcome(work(store))) for store in self.stores)
        assert first == second
        return first  # type: ignore[return-value]

    async def outcome(self, work: Coroutine[Any, Any, T]) -> T | str:
        try:
            return await work
        except AFDPError as error:
            return f"{type(error).__name__}: {error}"

    @rule(deployment=deployments, key=st.none() | ids, after=st.integers(1, 90))
    def record(self, deployment: Deployment, key: str | None, after: int) -> None:
        since = timedelta(minutes=after)
        look = Look(deployment_id=deployment.id, after=since, due_at=deployment.ended_at + since)
        self.both(lambda store: store.deployments.record(deployment, (look,), key=key))

    @rule(deployment_id=ids, ends=minutes, anew=st.booleans())
    def amend(self, deployment_id: str, ends: datetime, anew: bool) -> None:
        def change(known: Deployment) -> Amendment:
            changed = replace(known, finished_at=max(ends, known.started_at), status=Status.SUCCEEDED)
            look = Look(deployment_id=known.id, after=LEASE, due_at=changed.ended_at + LEASE)
            return Amendment(deployment=changed, looks=(look,) if anew else None)

        self.both(lambda store: store.deployments.amend(deployment_id, change))

    @rule(kind=st.sampled_from(["k", "l"]), key=ids, lane=ids, at=minutes)
    def enqueue(self, kind: str, key: str, lane: str, at: datetime) -> None:
        self.both(lambda store: store.jobs.enqueue(NewJob(kind=kind, key=key, due_at=at, lane=lane)))

    @rule(
        target=held,
        kind=st.sampled_from(["k", "l", "check", "predict", "notice"]),
        limit=st.integers(1, 4),
        per_lane=st.none() | st.integers(1, 2),
        in_turns=st.booleans(),
    )
    def claim(self, kind: str, limit: int, per_lane: int | None, in_turns: bool) -> MultipleResults[tuple[Job, Job]]:
        words: dict[str, Any] = {
            "owner": "me",
            "limit": limit,
            "lease": LEASE,
            "per_lane": per_lane,
            "in_turns": in_turns,
        }
        first, second = (
            sorted(self.run(store.jobs.claim(kind, self.now, **words)), key=lambda job: job.key)
            for store in self.stores
        )
        assert [replace(job, token=0) for job in first] == [replace(job, token=0) for job in second]
        return multiple(*zip(first, second, strict=True))

    @rule(pair=consumes(held), again=st.none() | minutes)
    def finish(self, pair: tuple[Job, Job], again: datetime | None) -> None:
        first, second = (self.run(s.jobs.finish(job, again)) for s, job in zip(self.stores, pair, strict=True))
        assert first == second

    @rule(pair=held, until=minutes, whole=st.booleans())
    def postpone(self, pair: tuple[Job, Job], until: datetime, whole: bool) -> None:
        first, second = (
            self.run(store.jobs.postpone(job, until, "away", whole_lane=whole))
            for store, job in zip(self.stores, pair, strict=True)
        )
        assert first == second

    @rule(pair=held, minute=st.integers(0, 3), outcome=st.sampled_from(list(Outcome)))
    def answer(self, pair: tuple[Job, Job], minute: int, outcome: Outcome) -> None:
        measured = NOON + timedelta(minutes=minute)

        async def answer(store: Store, job: Job) -> bool | None:
            look = await store.looks.of_job(job) if job.kind == "check" else None
            if look is None:
                return None
            impact = Impact(
                deployment_id=look.deployment_id,
                measured_at=measured,
                shifts=(),
                outcome=outcome,
                outcome_reason="so",
            )
            course = Trajectory(metric="m", start=NOON, step=LEASE, measured=(1.0, None))
            done = replace(look, state=LookState.DONE, done_at=measured)
            return await store.looks.finish(done, impact, (course,), job=job)

        first, second = (self.run(answer(store, job)) for store, job in zip(self.stores, pair, strict=True))
        assert first == second

    @rule(minutes=st.integers(1, 60))
    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(names=st.sets(ids, max_size=2))
    def receivers(self, names: set[str]) -> None:
        self.both(lambda store: store.notices.set_receivers(names))

    @rule(tags=st.lists(ids, max_size=3), at=minutes)
    def annotate(self, tags: list[str], at: datetime) -> None:
        annotation = Annotation(at=at, text="x", tags=tuple(tags), created_at=NOON, updated_at=NOON)
        self.both(lambda store: store.annotations.add(annotation))

    @rule(tags=st.lists(ids, max_size=2))
    def search(self, tags: list[str]) -> None:
        self.both(lambda store: store.annotations.search(tags=tags))

    @rule(service=st.none() | st.sampled_from(["cart", "Cart", "über"]), since=st.none() | minutes)
    def walk(self, service: str | None, since: datetime | None) -> None:
        page = self.both(lambda store: store.deployments.page(service=service, since=since, limit=2))
        while page.cursor is not None:
            cursor = page.cursor
            page = self.both(
                lambda store, at=cursor: store.deployments.page(service=service, since=since, cursor=at, limit=2)
            )

    @rule(at=minutes, hours=st.integers(0, 50))
    def look_back(self, at: datetime, hours: int) -> None:
        self.both(lambda store: store.deployments.overlapping(at, at + timedelta(hours=hours)))
        self.both(lambda store: store.history.measured(before=at, limit=3))
        self.both(lambda store: store.history.index(before=at, limit=3))

    @rule(deployment_id=ids)
    def ask(self, deployment_id: str) -> None:
        self.both(lambda store: store.results.impact(deployment_id))
        self.both(lambda store: store.results.trajectories(deployment_id))
        self.both(lambda store: store.results.trajectories_of({deployment_id: "m"}))

        async def looks(store: Store) -> list[Look]:
            return list(await store.looks.of_deployment(deployment_id))

        self.both(looks)

    @invariant()
    def the_same_changes_are_read(self) -> None:
        self.both(lambda store: store.changes.since(0))
        self.both(lambda store: store.changes.last())
        self.both(lambda store: store.looks.backlog(self.now))
        self.both(lambda store: store.notices.pending())
        self.both(lambda store: store.jobs.next_at(["k", "l", "check", "notice", "predict", "decide"]))

        async def recent(store: Store) -> list[Any]:
            return sorted(await store.history.recent(2), key=lambda each: each.deployment.id)

        self.both(recent)

        async def bad(store: Store) -> list[Any]:
            found = await store.history.recent(3, {Outcome.DEGRADATION, Outcome.FAILURE})
            return sorted(found, key=lambda each: each.deployment.id)

        self.both(bad)

        async def places(store: Store) -> list[tuple[str, str]]:
            return sorted(await store.deployments.service_environments())

        self.both(places)

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.close())
        self.loop.close()
        self.folder.cleanup()


def _run(url: str, examples: int, steps: int) -> None:
    Twins.url = url
    run_state_machine_as_test(
        Twins,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_sqlite_and_postgresql_answer_alike(database: str) -> None:
    _run(database, examples=5, steps=25)


@pytest.mark.slow
def test_sqlite_and_postgresql_answer_alike_for_long(database: str) -> None:
    _run(database, examples=150, steps=60)
