"""Slow and many clients: each is cut off by its own limit, and nobody else notices."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.memory.data import Data
from afdp_exporter.store.memory.deployments import MemoryDeployments

REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def connected(client: ClientSession) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection."""
    address = client._base_url
    assert address is not None
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_connection_that_says_nothing_or_never_ends_its_header_is_closed(start: Callable[..., Any]) -> None:
    client = await start(patience=0.3)
    async with connected(client) as (silent, _), connected(client) as (dripping, drip):
        drip.write(REQUEST[:20])
        assert await asyncio.gather(silent.read(), dripping.read()) == [b"", b""]


async def test_a_connection_that_has_asked_once_may_rest_longer(start: Callable[..., Any]) -> None:
    client = await start(patience=0.3)
    async with connected(client) as (reader, writer), connected(client) as (silent, _):
        writer.write(REQUEST)
        assert (await reader.readline()).split()[1] == b"200"
        await silent.read()  # the time of a silent one is over
        writer.write(REQUEST)
        assert await reader.readuntil(b"HTTP/1.1 200")


async def test_five_hundred_half_open_connections_stop_nobody(start: Callable[..., Any]) -> None:
    client = await start(of_address=1000)
    async with AsyncExitStack() as half_open:
        for _ in range(500):
            _, writer = await half_open.enter_async_context(connected(client))
            writer.write(b"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n")
        posts = (client.post("/api/v1/deployments", json={"service": "s"}) for _ in range(20))
        assert {answer.status for answer in await asyncio.gather(*posts)} == {201}


class Surprised(MemoryDeployments):
    """A port with a defect."""

    async def page(self, **_: object) -> Any:  # noqa: ANN401
        raise RuntimeError("canary")


async def test_what_nobody_expected_is_a_problem_without_details(
    start: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryStore()
    store.deployments = Surprised(Data())
    client = await start(held=store)
    answer = await client.get("/api/v1/deployments")
    assert (answer.status, answer.content_type) == (500, "application/problem+json")
    assert "canary" not in await answer.text()
    assert "canary" in capsys.readouterr().out  # the log has it all
    assert (await client.get("/-/healthy")).status == 200
    await client.close()


async def test_browsers_are_asked_to_run_and_embed_nothing(client: ClientSession) -> None:
    for path in ("/", "/metrics", "/api/v1/deployments", "/nothing", "/-/healthy"):
        headers = (await client.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "aiohttp" not in headers["Server"]
