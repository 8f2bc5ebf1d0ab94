"""Reads beside the writer: a few rows that an index finds are looked up where they are asked for."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.errors import NotFound, StoreError
from afdp_exporter.model import Deployment, Impact, Outcome
from afdp_exporter.store import NewJob
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.readers import Readers
from remembering import remember

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
async def readers(store: SQLiteStore, path: Path) -> AsyncIterator[Readers]:
    opened = Readers(path)
    yield opened
    opened.close()


async def test_what_is_looked_up_asks_no_thread(readers: Readers) -> None:
    assert await readers.look_up(lambda _: threading.current_thread()) is threading.current_thread()
    assert await readers.read(lambda _: threading.current_thread()) is not threading.current_thread()


async def test_what_was_acknowledged_is_seen_by_the_next_look(store: SQLiteStore) -> None:
    for number in range(20):
        started = NOON + timedelta(minutes=number)
        given = Deployment(
            id=f"d{number}", service="api", environment="production", started_at=started, received_at=started
        )
        await store.deployments.record(given, ())
        assert await store.deployments.find(given.id) == given
        await store.jobs.enqueue(NewJob(kind="k", key=given.id, due_at=NOON - timedelta(minutes=number)))
        assert await store.jobs.next_at(["k"], {"k": {"", "other"}}) == {"k": NOON - timedelta(minutes=number)}


async def test_a_look_still_answers_after_its_connection_was_renewed_and_after_it_failed(readers: Readers) -> None:
    def missing(_: object) -> None:
        raise NotFound("there is none")

    with pytest.raises(NotFound):
        await readers.look_up(missing)
    with pytest.raises(StoreError):
        await readers.look_up(lambda connection: connection.execute("SELECT * FROM nothing"))
    readers.renew()
    assert await readers.look_up(lambda connection: connection.execute("SELECT 1").fetchone()[0]) == 1


async def test_nothing_is_looked_up_once_the_store_is_closed(store: SQLiteStore, path: Path) -> None:
    opened = Readers(path)
    opened.close()
    with pytest.raises(StoreError, match="closed"):
        await opened.look_up(lambda _: None)
    assert store.healthy


async def test_of_a_history_that_is_read_again_what_is_new_alone_is_read_from_its_documents(store: SQLiteStore) -> None:
    def measured(number: int) -> Awaitable[None]:
        ended = NOON + timedelta(minutes=number)
        deployment = Deployment(
            id=f"d{number}", service="api", environment="production", started_at=ended, received_at=ended
        )
        found = Impact(
            deployment_id=deployment.id, measured_at=ended, shifts=(), outcome=Outcome.SUCCESS, outcome_reason="calm"
        )
        return remember(store, deployment, found)

    await asyncio.gather(*map(measured, range(1000)))
    later = NOON + timedelta(days=2)
    known = {each.deployment.id: each for each in await store.history.measured(before=later)}
    for number in range(1000, 1200, 20):
        await asyncio.gather(*map(measured, range(number, number + 20)))
        again = await store.history.measured(before=later)
        assert sum(known.get(each.deployment.id) is not each for each in again) == 20
        known = {each.deployment.id: each for each in again}
