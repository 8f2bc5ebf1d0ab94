"""Connections: how many at once, and how long one may stay silent before its first request."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from afdp_exporter.errors import ConfigError
from afdp_exporter.handlers.state import STATE

_MOST = 1000
_IDLE = 75.0  # seconds between two requests
_SHUTDOWN = 3.0  # seconds for requests under way


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    most: int = _MOST,
    patience: float = 10.0,
) -> AsyncIterator[str]:
    """Serve an app, and yield its address. `patience` is how many seconds the first request may take to arrive.

    Bodies are never decompressed. Raises ConfigError where the address cannot be had.
    """
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=_IDLE, shutdown_timeout=_SHUTDOWN, auto_decompress=False
    )
    await runner.setup()
    try:
        site = _Site(runner, host, port, tls=tls, most=most, patience=patience, silent=app[STATE].silent)
        await site.start()
        yield site.name
    finally:
        await runner.cleanup()


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


class _Site(web.BaseSite):
    """A listening socket whose connections are counted, and closed where no request comes in time.

    aiohttp itself lets a header arrive as slowly as it likes. Later requests of a connection have its idle time.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        most: int,
        patience: float,
        silent: set[object],
    ) -> None:
        super().__init__(runner, ssl_context=tls)
        self._http = runner.server
        self._host = host
        self._port = port
        self._most = most
        self._patience = patience
        self._silent = silent  # connections of which no handler has heard yet; the handlers take them out

    @property
    def name(self) -> str:
        """The address, with the port that was given by the system where 0 was asked for."""
        scheme = "https" if self._ssl_context else "http"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{self._port}"

    async def start(self) -> None:
        """Listen."""
        await super().start()
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                self._connection, self._host or None, self._port, ssl=self._ssl_context, backlog=self._backlog
            )
        except OSError as error:
            raise ConfigError("web.listen-address", error.strerror or str(error)) from None
        self._server = server
        self._port = server.sockets[0].getsockname()[1]

    def _connection(self) -> asyncio.Protocol:
        assert self._http is not None  # noqa: S101 - a site is made of a runner that is set up
        if len(self._http.connections) >= self._most:
            return _Refused()
        connection = self._http()
        self._silent.add(connection)
        asyncio.get_running_loop().call_later(self._patience, self._close_silent, connection)
        return connection

    def _close_silent(self, connection: web.RequestHandler) -> None:
        if connection in self._silent:
            self._silent.discard(connection)
            connection.force_close()
