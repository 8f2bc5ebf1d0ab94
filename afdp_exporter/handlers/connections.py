"""The listening socket: connections are counted as they come in, and each may keep us waiting only so long."""

import asyncio
import errno
import os
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias

import structlog
from aiohttp import web

from afdp_exporter.errors import ConfigError
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.load import Connections

log = structlog.get_logger(__name__)

_MOST = 1000
_OF_ADDRESS = 50
_OTHER_FILES = 200  # of the store, workers, sources
_IDLE = 75.0  # seconds between two requests
_TAKING = 30.0  # seconds in which a caller takes nothing of its answer
_SHUTDOWN = 3.0  # seconds for requests under way
_RECEIVED = 32 * 1024  # bytes of a connection that wait unread, in the system and in one read
_NO_FILE = 1.0  # seconds until the next try, where the system opens no more files
_FIRST_PASSED = 3  # the file descriptor at which systemd's begin

Place: TypeAlias = tuple[str, int] | socket.socket
"""Where to listen: a host and a port, or a socket that listens already."""


def passed_on(environment: Mapping[str, str]) -> tuple[socket.socket, ...]:
    """The sockets that systemd has passed on to this process. Raises ConfigError where there are none."""
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit() or int(count) < 1:
        raise ConfigError("web.systemd-socket", "systemd has passed no socket on: start it by a .socket unit")
    passed = [socket.socket(fileno=number) for number in range(_FIRST_PASSED, _FIRST_PASSED + int(count))]
    if any(each.family not in {socket.AF_INET, socket.AF_INET6} for each in passed):
        raise ConfigError("web.systemd-socket", "only TCP sockets are served: ListenStream=127.0.0.1:10333")
    return tuple(passed)


def host_of(place: Place) -> str:
    """The host of a place."""
    return str(place.getsockname()[0]) if isinstance(place, socket.socket) else place[0]


@asynccontextmanager
async def listening(
    app: web.Application,
    places: Sequence[Place],
    *,
    tls: ssl.SSLContext | None = None,
    most: int = _MOST,
    of_address: int = _OF_ADDRESS,
    patience: float = 10.0,
) -> AsyncIterator[tuple[str, ...]]:
    """Serve an app, and yield its addresses. `patience` is how many seconds the first request may take to arrive.

    There are at most `most` connections, as far as the system lets open files, `of_address` of one address. Bodies
    are never decompressed. Raises ConfigError where an address cannot be had.
    """
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=_IDLE, shutdown_timeout=_SHUTDOWN, auto_decompress=False
    )
    async with AsyncExitStack() as stack:
        servers = []
        for place in places:  # before anything begins that would have to be ended
            servers.append(await _bound(place))
            stack.callback(servers[-1].close)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        connections = app[STATE].load.connections
        connections.limit(most=min(most, max(files - _OTHER_FILES, 1)), of_address=of_address)
        sites = [
            _Site(runner, place, server, tls=tls, connections=connections, patience=patience)
            for place, server in zip(places, servers, strict=True)
        ]
        for site in sites:
            await site.start()
        yield tuple(site.name for site in sites)


async def _bound(place: Place) -> asyncio.Server:
    """A place, which nobody else has from now on; it does not listen yet. Raises ConfigError."""
    loop = asyncio.get_running_loop()
    try:
        if isinstance(place, socket.socket):
            return await loop.create_server(asyncio.Protocol, sock=place, start_serving=False)
        host, port = place
        return await loop.create_server(asyncio.Protocol, host or None, port, start_serving=False)
    except OSError as error:
        raise _not_had(place, error) from None


def _not_had(place: Place, error: OSError) -> ConfigError:
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE and not isinstance(place, socket.socket):
        reason = f"{reason}; --web.listen-address=:{place[1] + 1} takes another port"
    return ConfigError("web.listen-address", reason)


class _Connection(asyncio.Protocol):
    """Hands everything on to aiohttp's own protocol, and ends where its caller takes nothing of the answer."""

    def __init__(self, http: web.RequestHandler, connections: Connections) -> None:
        self._http = http
        self._connections = connections
        self._taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._http.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._http.data_received(data)

    def eof_received(self) -> None:
        self._http.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._taken()
        self._connections.leave(self._http)
        self._http.connection_lost(exc)

    def pause_writing(self) -> None:
        self._http.pause_writing()
        loop = asyncio.get_running_loop()
        self._taking = loop.call_later(_TAKING, self._connections.end_slow, self._http)

    def resume_writing(self) -> None:
        self._taken()
        self._http.resume_writing()

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None


class _Site(web.BaseSite):
    """A listening socket that knows whose each connection is before anything, TLS too, is done for it.

    aiohttp itself counts none, and lets a header arrive as slowly as it likes. Later requests of a connection have its
    idle time.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        place: Place,
        server: asyncio.Server,
        *,
        tls: ssl.SSLContext | None,
        connections: Connections,
        patience: float,
    ) -> None:
        super().__init__(runner, ssl_context=tls)
        self._http = runner.server
        self._place = place
        self._server, self._bound = server, server.sockets
        self._port = server.sockets[0].getsockname()[1]
        self._connections = connections
        self._patience = patience
        self._tasks: set[asyncio.Task[None]] = set()  # that accept connections, and begin them

    @property
    def name(self) -> str:
        """The address, with the port that was given by the system where 0 was asked for."""
        scheme = "https" if self._ssl_context else "http"
        host = host_of(self._place)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def start(self) -> None:
        """Listen."""
        await super().start()
        for bound in self._bound:
            listening = bound.dup()
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
            try:
                listening.listen(self._backlog)
            except OSError as error:  # another process had bound it, too, and was faster
                listening.close()
                raise _not_had(self._place, error) from None
            self._begin(self._accept(listening))

    async def stop(self) -> None:
        """Listen no more."""
        await super().stop()
        for task in tuple(self._tasks):
            task.cancel()
        for task in tuple(self._tasks):
            with suppress(asyncio.CancelledError):
                await task

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                try:
                    accepted, address = await loop.sock_accept(listening)
                except OSError as error:
                    log.warning("no connection can be accepted", error=error.strerror)
                    await asyncio.sleep(_NO_FILE)
                else:
                    self._let_in(accepted, _origin(address[0]))
                    await asyncio.sleep(0)  # what has come over the others is read first

    def _let_in(self, accepted: socket.socket, origin: str) -> None:
        assert self._http is not None  # noqa: S101 - a site is made of a runner that is set up
        connection = self._http()
        task: asyncio.Task[None] | None = None

        def abort() -> None:
            if connection.transport is not None:
                connection.transport.abort()
            elif task is not None:
                asyncio.get_running_loop().call_soon(task.cancel)  # once it has begun, so that it closes the socket

        if self._connections.enter(connection, origin, abort):
            task = self._begin(self._serve(accepted, connection))
        else:
            accepted.close()

    async def _serve(self, accepted: socket.socket, connection: web.RequestHandler) -> None:
        """Begin a connection, with TLS where there is any, and see to it that its first request comes."""
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: _Connection(connection, self._connections),
                accepted,
                ssl=self._ssl_context,
                ssl_handshake_timeout=self._patience if self._ssl_context else None,
            )
        except (OSError, asyncio.CancelledError):  # ssl.SSLError and TimeoutError are OSErrors
            self._connections.leave(connection)
            return
        loop.call_later(self._patience, self._connections.end_silent, connection)


def _origin(address: str) -> str:
    """Whose an address is: of IPv6 a network of 64 bits belongs to one caller."""
    found = ip_address(address.partition("%")[0])
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or f"{int(found) >> 64:x}::/64")
