"""Servers of our own on the loopback, for what a real one does not do on demand."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, Protocol, TypeAlias

import pytest
import stamina
from aiohttp import web

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
RawHandler: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Serve(Protocol):
    """Answers every request by the handler; gives the server's address."""

    async def __call__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> str: ...


class ServeRaw(Protocol):
    """Reads each request and lets the handler write whatever it likes; gives the server's address."""

    async def __call__(self, handler: RawHandler) -> str: ...


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(handler: Handler, tls: ssl.SSLContext | None = None) -> str:
            app = web.Application(client_max_size=1024**2)
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            return f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"

        yield start


@pytest.fixture
async def serve_raw() -> AsyncIterator[ServeRaw]:
    tasks: set[asyncio.Task[None]] = set()
    servers: list[asyncio.Server] = []

    async def start(handler: RawHandler) -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.current_task())  # type: ignore[arg-type]
            try:
                await reader.readuntil(b"\r\n\r\n")
                await handler(writer)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            finally:
                writer.close()

        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield start
    for server in servers:
        server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def no_waits() -> Iterator[None]:
    """Tries follow each other at once."""
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


def matrix(*result: dict[str, Any], **more: object) -> dict[str, object]:
    """The envelope of a `query_range` answer."""
    return {"status": "success", "data": {"resultType": "matrix", "result": list(result)}, **more}
