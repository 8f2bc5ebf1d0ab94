"""What the store promises while PostgreSQL is killed, cut off, stopped or asked by many at once."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta

import psycopg
import pytest

from afdp_exporter.errors import BadInput, StoreError
from afdp_exporter.model import Deployment, Impact, Look, LookState, Trajectory
from afdp_exporter.store import Amendment, NewJob, Store
from afdp_exporter.store.opening import open_store
from afdp_exporter.store.postgresql import schema
from afdp_exporter.store.postgresql.session import Session, connect
from postgres_proxy import proxy
from postgres_server import PASSWORD, PostgresServer


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    """Closed at the end."""
    store = await open_store(url)
    try:
        yield store
    finally:
        await store.close()


async def test_after_postgresql_was_killed_it_goes_on_with_all_that_was_acknowledged(
    postgres: PostgresServer, database: str, deployment: Callable[..., Deployment]
) -> None:
    async with opened(database) as store:
        acknowledged = set[str]()

        async def post(number: int) -> None:
            for turn in range(12):
                name = f"d{number}-{turn}"
                while name not in acknowledged:
                    with suppress(StoreError):  # a server may take longer than an operation waits for it
                        await store.deployments.record(deployment(name), ())
                        acknowledged.add(name)
                if number == turn == 3:
                    postgres.kill()
                    await asyncio.to_thread(postgres.start)

        await asyncio.gather(*(post(number) for number in range(6)))
        assert len(acknowledged) == 72
        page = await store.deployments.page(limit=100)
        assert {each.id for each in page.deployments} == acknowledged
        seqs = [change.seq for change in await store.changes.since(0)]
        assert seqs == list(range(1, 73))


async def test_a_commit_whose_answer_is_lost_is_neither_lost_nor_done_twice(
    postgres: PostgresServer, database: str, deployment: Callable[..., Deployment]
) -> None:
    """A proxy passes the commit on and cuts the connection before the answer."""
    with proxy(postgres.port) as between:
        url = database.replace(f":{postgres.port}/", f":{between.port}/")
        async with opened(url) as store:
            await store.deployments.record(deployment(description="0"), ())
            for number in range(1, 6):
                between.cut.set()

                def count(known: Deployment) -> Amendment:
                    return Amendment(deployment=replace(known, description=f"{int(known.description or 0) + 1}"))

                await store.deployments.amend("d1", count)
                assert not between.cut.is_set()
                assert (await store.deployments.find("d1")).description == str(number)
            assert await store.changes.last() == 6


@pytest.mark.slow
async def test_who_stands_still_in_a_transaction_holds_up_nobody_for_long_and_does_it_again(
    database: str, deployment: Callable[..., Deployment]
) -> None:
    stopped, goes_on = threading.Event(), threading.Event()

    def add(known: Deployment) -> Amendment:
        stopped.set()
        goes_on.wait()
        return Amendment(deployment=replace(known, description=f"{known.description}x"))

    def add_at_once(known: Deployment) -> Amendment:
        return Amendment(deployment=replace(known, description=f"{known.description}y"))

    async with opened(database) as one, opened(database) as other:
        await one.deployments.record(deployment(description=""), ())
        standing = asyncio.create_task(one.deployments.amend("d1", add))
        await asyncio.to_thread(stopped.wait)
        await other.deployments.amend("d1", add_at_once)
        goes_on.set()
        await standing
        assert (await other.deployments.find("d1")).description == "yx"


async def test_changes_are_followed_without_a_gap_whoever_commits_first(
    database: str, deployment: Callable[..., Deployment]
) -> None:
    async with opened(database) as one, opened(database) as other:
        heard: list[int] = []
        complete = asyncio.Event()

        async def follow() -> None:
            async for changes in other.changes.follow(0):
                heard.extend(change.seq for change in changes)
                if heard[-1] >= 80:
                    complete.set()

        task = asyncio.create_task(follow())
        await asyncio.gather(
            *(
                store.deployments.record(deployment(f"{n} {store is one}"), ())
                for n in range(40)
                for store in (one, other)
            )
        )
        async with asyncio.timeout(60):
            await complete.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert heard == list(range(1, 81))


async def test_of_two_that_change_a_deployment_at_once_neither_is_lost(
    database: str, deployment: Callable[..., Deployment]
) -> None:
    async with opened(database) as one, opened(database) as other:
        await one.deployments.record(deployment(description=""), ())

        def add(known: Deployment) -> Amendment:
            return Amendment(deployment=replace(known, description=f"{known.description}x"))

        await asyncio.gather(*(store.deployments.amend("d1", add) for _ in range(15) for store in (one, other)))
        assert (await one.deployments.find("d1")).description == "x" * 30


async def test_a_job_is_held_by_one_of_several_processes(database: str, noon: datetime) -> None:
    async with opened(database) as one, opened(database) as other:
        await one.jobs.enqueue(*(NewJob(kind="k", key=str(n), due_at=noon, lane=str(n % 3)) for n in range(60)))
        words = {"limit": 4, "lease": timedelta(minutes=5), "in_turns": True}
        taken = await asyncio.gather(
            *(store.jobs.claim("k", noon, owner=str(n), **words) for n in range(15) for store in (one, other))
        )
        assert sorted(int(job.key) for jobs in taken for job in jobs) == list(range(60))


async def test_two_that_begin_at_once_make_the_tables_once(postgres: PostgresServer) -> None:
    url = postgres.new()
    stores = await asyncio.gather(*(open_store(url) for _ in range(4)))
    for store in stores:
        await store.close()


async def test_a_program_goes_on_with_tables_that_a_newer_one_only_added_to(postgres: PostgresServer) -> None:
    url = postgres.new()
    await (await open_store(url)).close()
    known = schema.shipped()
    added = schema.Migration(len(known) + 1, len(known), "CREATE TABLE more (id bigint)")
    taken_away = schema.Migration(len(known) + 2, len(known) + 2, "DROP TABLE more")
    with connect(url) as connection:
        schema.upgrade(Session(connection), (*known, added))
    await (await open_store(url)).close()
    with connect(url) as connection:
        schema.upgrade(Session(connection), (*known, added, taken_away))
    with pytest.raises(StoreError, match="newer version of this program"):
        await open_store(url)


async def test_a_wrong_password_is_reported_without_any(
    postgres: PostgresServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "a guess")
    with pytest.raises(StoreError, match="password authentication failed") as caught:
        await open_store(database)
    assert not {word for word in ("a guess", PASSWORD) if word in str(caught.value)}


async def test_a_text_that_postgresql_cannot_keep_is_bad_input(
    database: str, deployment: Callable[..., Deployment]
) -> None:
    async with opened(database) as store:
        with pytest.raises(BadInput, match="NUL"):
            await store.deployments.record(deployment(description="a\x00b"), ())


async def test_courses_are_kept_by_the_month_in_which_the_deployment_ended(
    database: str,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
    noon: datetime,
) -> None:
    course = Trajectory(metric="m", start=noon, step=timedelta(minutes=1), measured=(1.0, None))
    async with opened(database) as store:
        for name, days in {"d1": 0, "d2": 31, "d3": 32}.items():
            at = noon + timedelta(days=days)
            due = look(name, due_at=at)
            await store.deployments.record(deployment(name, started_at=at), (due,))
            assert await store.looks.finish(replace(due, state=LookState.DONE), impact(name), (course,))
            assert await store.results.trajectories(name) == (course,)
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'courses'::regclass ORDER BY 1"
        ).fetchall()
    assert [name for (name,) in rows] == ["courses_2026_03", "courses_2026_04"]
