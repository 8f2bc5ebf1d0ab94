"""Connections: how many at once, and how long one may stay silent before its first request."""

import asyncio
import ssl
from typing import cast

from aiohttp import web

_MOST = 1000
_SECONDS_TO_FIRST_REQUEST = 10.0


class _Refused(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


class GuardedSite(web.BaseSite):
    """A listening socket whose connections are counted, and closed where no request comes in time.

    aiohttp itself lets a header arrive as slowly as it likes. Later requests of a connection have its keep-alive time.
    """

    def __init__(
        self, runner: web.AppRunner, host: str, port: int, silent: set[object], *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(runner, ssl_context=tls)
        self._host = host
        self._port = port
        self._http = runner.server
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
        server = await asyncio.get_running_loop().create_server(
            self._connection, self._host or None, self._port, ssl=self._ssl_context, backlog=self._backlog
        )
        self._server = server
        self._port = server.sockets[0].getsockname()[1]

    def _connection(self) -> asyncio.Protocol:
        assert self._http is not None  # noqa: S101 - a site is made of a runner that is set up
        if len(self._http.connections) >= _MOST:
            return _Refused()
        connection = self._http()
        self._silent.add(connection)
        asyncio.get_running_loop().call_later(_SECONDS_TO_FIRST_REQUEST, self._close_silent, connection)
        return connection

    def _close_silent(self, connection: web.RequestHandler) -> None:
        if connection in self._silent:
            self._silent.discard(connection)
            connection.force_close()
