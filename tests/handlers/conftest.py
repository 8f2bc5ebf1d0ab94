"""The exporter on a free port with a store in a file; its clock stands still until a test moves it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.config import Config, read
from afdp_exporter.external import NOT_KNOWN, External
from afdp_exporter.handlers.connections import listening
from afdp_exporter.handlers.web_config import ReloadingWebConfig
from afdp_exporter.server import make_app
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Shows the time that it was set to."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Noon."""
    return Clock()


@pytest.fixture
def wait(clock: Clock) -> Callable[[timedelta], datetime]:
    """Lets time pass, and returns what the clock says then."""

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
async def start(content: dict[str, Any], store: SQLiteStore, clock: Clock) -> AsyncIterator[Callable[..., Any]]:
    """Starts the exporter with additions to the configuration, and gives its client."""
    async with AsyncExitStack() as running:

        async def run(
            *,
            load: Callable[[], Config] | None = None,
            held: SQLiteStore = store,
            patience: float = 10,
            most: int = 1000,
            of_address: int = 50,
            context: ssl.SSLContext | None = None,
            web_config: ReloadingWebConfig | None = None,
            external: External = NOT_KNOWN,
            **additions: object,
        ) -> ClientSession:
            app = make_app(
                read(content | additions), store=held, clock=clock, load=load, web_config=web_config, external=external
            )
            (address,) = await running.enter_async_context(
                listening(app, [("127.0.0.1", 0)], tls=context, patience=patience, most=most, of_address=of_address)
            )
            return await running.enter_async_context(ClientSession(address))

        yield run


@pytest.fixture
async def client(start: Callable[..., Any]) -> ClientSession:
    """A client of an exporter without tokens."""
    started = await start()
    assert isinstance(started, ClientSession)
    return started


@pytest.fixture
def connect(client: ClientSession) -> Callable[[], Any]:
    """Opens a bare connection."""
    address = client._base_url
    assert address is not None
    return lambda: asyncio.open_connection(address.host, address.port)
