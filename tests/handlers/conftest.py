"""The exporter on a free port with a store in a file; its clock stands still until a test moves it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from afdp_exporter.config import Config, read
from afdp_exporter.server import make_app
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Tells the time that it was set to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Noon."""
    return Clock()


@pytest.fixture
def wait(clock: Clock) -> Callable[[timedelta], datetime]:
    """Lets time pass, and tells what the clock says then."""

    def passes(time: timedelta) -> datetime:
        clock.now += time
        return clock.now

    return passes


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    """A configuration as the file would hold it."""
    return {
        "sources": [{"name": "recorded", "kind": "recording", "path": str(tmp_path)}],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": 'latency{service="$service"}'}],
    }


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    """An open store."""
    opened = await SQLiteStore.open(tmp_path / "afdp.db")
    yield opened
    await opened.close()


@pytest.fixture
async def start(content: dict[str, Any], store: SQLiteStore, clock: Clock) -> AsyncIterator[Callable[..., Any]]:
    """Starts the exporter with additions to the configuration, and gives its client."""
    clients = []

    async def run(load: Callable[[], Config] | None = None, **additions: object) -> TestClient[Any, Any]:
        app = make_app(read(content | additions), store=store, clock=clock, load=load)
        client = TestClient(TestServer(app))
        await client.start_server()
        clients.append(client)
        return client

    yield run
    for client in clients:
        await client.close()


@pytest.fixture
async def client(start: Callable[..., Any]) -> TestClient[Any, Any]:
    """A client of an exporter without tokens."""
    started = await start()
    assert isinstance(started, TestClient)
    return started
