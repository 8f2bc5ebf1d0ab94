"""Calls to other servers: no redirects, no more bytes or seconds than allowed, errors that never hold a secret."""

import asyncio
import os
import re
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, ClassVar

import aiohttp
import stamina
from pydantic import Field

from afdp_exporter.errors import CallFailed, SecretUnreadable
from afdp_exporter.http_config import Address, Authorization, BasicAuth, Header, TLSConfig, headers, is_link_local
from afdp_exporter.settings import STRICT, Duration

RESTS = 15.0
"""Seconds for which a connection is kept after a call: less than servers and proxies on the way keep theirs."""

_CHUNK = 65_536
_ERROR_BYTES = 65_536  # of an answer that only reports an error
_BUSY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered; `links` are the addresses of its header `Link`, by relation."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it is what was asked for; a redirect, which is never followed, is not."""
        return 200 <= self.status < 300

    @property
    def busy(self) -> bool:
        """Whether the server could not answer now, and may a little later."""
        return self.status in _BUSY

    @property
    def wait(self) -> float | None:
        """The seconds after which the server wants to be asked again, by its own clock; None where it does not say."""
        text = self.headers.get("Retry-After", "")
        if text.isascii() and text.isdigit():
            return float(text)
        until = _date(text)
        return None if until is None else self.until(str(until))

    @property
    def date(self) -> datetime | None:
        """When it was sent by the server's own clock, to the second; None where it does not say."""
        sent = _date(self.headers.get("Date", ""))
        return None if sent is None else datetime.fromtimestamp(sent, UTC)

    def until(self, instant: str | None) -> float | None:
        """The seconds until an instant (Unix seconds) by the server's own clock, so that ours may be wrong."""
        sent = _date(self.headers.get("Date", ""))
        number = re.fullmatch(r"\d+(\.\d+)?", instant or "", re.ASCII)
        return max(float(number[0]) - sent, 1.0) if number and sent is not None else None


class _Pool:
    """The connections that were opened with one TLS context (None: without), and how many calls are under way."""

    def __init__(self, session: aiohttp.ClientSession, context: ssl.SSLContext | None) -> None:
        self.session = session
        self.context = context
        self.calls = 0
        self.used_at = asyncio.get_running_loop().time()


class Client:
    """Calls to one server. A connection is kept for `rest` seconds after a call; without, it is closed at once.

    A file of the TLS settings that has changed counts from the next call on.
    """

    def __init__(
        self,
        tls: TLSConfig | None = None,
        *,
        connections: int = 4,
        trust_env: bool = False,
        allow_link_local: bool = False,
        rest: float = 0.0,
    ) -> None:
        self._tls = tls or TLSConfig()
        self._allow_link_local = allow_link_local
        self._connections = connections
        self._trust_env = trust_env  # proxies and passwords of the environment
        self._rest = rest
        self._pool: _Pool | None = None
        self._resting: asyncio.Task[None] | None = None

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        seconds: float,
        most: int,
        data: bytes | None = None,
        params: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """One answer of at most `most` bytes within so many seconds; of one that reports an error its beginning.

        Raises CallFailed, of which `reason` is `timeout`, `connection`, `tls`, `too_large`, `malformed` or `address`.
        """
        name = self._tls.server_name if url.startswith("https:") else None
        try:
            async with (
                asyncio.timeout(seconds),
                self._opened(url) as session,
                session.request(
                    method,
                    url,
                    headers=headers,
                    data=data,
                    params=params or None,
                    server_hostname=name,
                    allow_redirects=False,
                ) as answer,
            ):
                return await _read(answer, most)
        except TimeoutError:
            raise CallFailed("timeout", f"no answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError, zlib.error) as error:
            raise _explained(error) from None

    @asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[aiohttp.ClientSession]:
        pool = await self._open(url)
        pool.calls += 1
        try:
            yield pool.session
        finally:
            pool.calls -= 1
            await self._release(pool)

    async def _open(self, url: str) -> _Pool:
        """The connections that are there, or new ones where the files of the TLS settings have changed."""
        context = await self._context() if url.startswith("https:") else None
        before = self._pool
        if before is not None and before.context is context:
            return before
        connector = aiohttp.TCPConnector(
            ssl=True if context is None else context,
            limit=self._connections,
            socket_factory=None if self._allow_link_local else _socket,
        )
        session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, trust_env=self._trust_env, timeout=aiohttp.ClientTimeout()
        )
        pool = self._pool = _Pool(session, context)
        if self._rest:
            self._resting = asyncio.create_task(self._close_rested(pool))
        elif before is not None:
            await self._release(before)
        return pool

    async def _context(self) -> ssl.SSLContext:
        try:
            return await asyncio.to_thread(self._tls.context)  # reads files
        except SecretUnreadable as error:
            raise CallFailed("tls", str(error), unsent=True) from None

    async def _release(self, pool: _Pool) -> None:
        """Close connections that nobody uses, unless they rest."""
        pool.used_at = asyncio.get_running_loop().time()
        if not self._rest and not pool.calls:
            await self._close(pool)

    async def _close_rested(self, pool: _Pool) -> None:
        """Close connections that were not used for as long as they rest, or at the end of the program."""
        left = self._rest
        try:
            while left > 0.0:
                await asyncio.sleep(left)
                rested = asyncio.get_running_loop().time() - pool.used_at
                left = self._rest if pool.calls else self._rest - rested
        finally:
            await self._close(pool)

    async def _close(self, pool: _Pool) -> None:
        if self._pool is pool:
            self._pool = None
        await pool.session.close()


class _LinkLocal(OSError):
    """An address of this link alone, as it stands in the configuration or as the name service gives it."""


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket for an address that may be called, whatever name led to it. Raises _LinkLocal."""
    family, kind, protocol, _, target = address
    if is_link_local(str(target[0])):
        raise _LinkLocal
    return socket.socket(family, kind, protocol)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server at `url`; the blocks are those of Prometheus' own `http_config`. `timeout` is for one call."""

    __pydantic_config__: ClassVar = STRICT

    url: Address
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=10)
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TLSConfig = TLSConfig()
    http_headers: Mapping[str, Header] = field(default_factory=dict)
    allow_link_local: bool = False

    def __post_init__(self) -> None:
        if self.basic_auth is not None and self.authorization is not None:
            raise ValueError("at most one of basic_auth and authorization can stand")

    async def request(
        self,
        method: str,
        path: str,
        *,
        most: int,
        data: bytes | None = None,
        params: Sequence[tuple[str, str]] = (),
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        """One answer of at most `most` bytes to one call, with `more` headers than those of the settings.

        Raises CallFailed, and SecretUnreadable before anything is sent.
        """
        known = headers(self.basic_auth or self.authorization, self.http_headers)
        return await Client(self.tls_config, allow_link_local=self.allow_link_local).call(
            method,
            self.url + path,
            headers={**(more or {}), **known},
            data=data,
            params=params,
            seconds=self.timeout.total_seconds(),
            most=most,
        )


async def tried(
    call: Callable[[], Awaitable[Answer]],
    *,
    tries: int,
    longest_wait: float = 10.0,
    within: float | None = None,
    again: Callable[[Answer], bool] = lambda answer: answer.busy,
    after: Callable[[CallFailed], bool] = lambda error: error.again,
) -> Answer:
    """The answer, after a few tries where another one may help: a broken connection, a server that is busy.

    Between two tries passes a growing time, or the one that the server asks for. One that asks for more than
    `longest_wait` seconds is not tried again, and none is after `within` seconds. Raises CallFailed where the last try
    has no answer at all.
    """

    async def answered() -> Answer:
        answer = await call()
        if again(answer):
            raise _Busy(answer)
        return answer

    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        return await answered()
    except (_Busy, CallFailed) as failed:
        left = None if within is None else within - (clock() - began)
        try:
            return await _retried(answered, failed, tries=tries, left=left, wait=_wait_by(longest_wait, after))
        except _Busy as busy:
            return busy.answer


async def _retried(
    answered: Callable[[], Awaitable[Answer]],
    failed: Exception,
    *,
    tries: int,
    left: float | None,
    wait: Callable[[Exception], bool | float],
) -> Answer:
    """Go on after a first try; only then is stamina asked, which makes fifty objects that refer to each other."""
    waits = {"wait_initial": 0.2, "wait_max": 5.0, "wait_jitter": 0.3}
    async for attempt in stamina.retry_context(on=wait, attempts=tries, timeout=left, **waits):
        with attempt:
            if attempt.num == 1:
                raise failed
            return await answered()
    raise AssertionError("the last try answers or raises")


class _Busy(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


def _wait_by(longest: float, after: Callable[[CallFailed], bool]) -> Callable[[Exception], bool | float]:
    """Whether to try again, as stamina asks it: not at all, after its own growing time, or after so many seconds."""

    def wait(error: Exception) -> bool | float:
        if isinstance(error, _Busy):
            wanted = error.answer.wait
            return True if wanted is None else wanted if wanted <= longest else False
        return isinstance(error, CallFailed) and after(error)

    return wait


async def _read(answer: aiohttp.ClientResponse, most: int) -> Answer:
    well = answer.status < 300
    allowed = most if well else _ERROR_BYTES
    body = await _beginning(answer, allowed)
    if well and len(body) > allowed:
        raise CallFailed("too_large", f"its answer is larger than {allowed} bytes")
    links = {str(name): str(link["url"]) for name, link in answer.links.items()}
    return Answer(status=answer.status, headers=answer.headers, body=body[:allowed], links=links)


async def _beginning(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, or its beginning where it has more than so many bytes, however small it was packed."""
    coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
        raise CallFailed("malformed", f"its answer is coded as {ascii(coding)[1:31]}, which was not asked for")
    unpack = zlib.decompressobj(wbits=47) if coding not in {"identity", ""} else None  # 47: gzip or zlib, as it comes
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        body += unpack.decompress(chunk, most + 1 - len(body)) if unpack else chunk
        if len(body) > most:
            return bytes(body)
    if unpack is not None and not unpack.eof:
        raise CallFailed("malformed", "its answer breaks off")
    return bytes(body)


def _explained(error: Exception) -> CallFailed:
    """The library's error as one of ours. Its own words are left out: they may hold headers, and so secrets."""
    unsent = isinstance(error, aiohttp.ClientConnectorError)  # there was no connection yet
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", None) or "its certificate is not valid"
        return CallFailed("tls", f"no trusted connection: {_plain(why)}", unsent=True)
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        cause = getattr(error, "os_error", error)
        why = getattr(cause, "reason", None) or type(cause).__name__
        return CallFailed("tls", f"no trusted connection: {_plain(why)}", unsent=unsent)
    if isinstance(
        error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | OSError
    ):
        cause = getattr(error, "os_error", error)
        if isinstance(cause, _LinkLocal):
            words = "a link-local or metadata address is not called: see allow_link_local"
            return CallFailed("address", words, unsent=True)
        number = getattr(cause, "errno", None)
        words = os.strerror(number) if number and number > 0 else type(cause).__name__
        return CallFailed("connection", f"no connection: {_plain(words)}", again=True, unsent=unsent)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return CallFailed("address", "no address that begins with http:// or https://", unsent=True)
    return CallFailed("malformed", f"no usable exchange: {type(error).__name__}")


def _plain(text: object) -> str:
    return "".join(char if char.isprintable() else "?" for char in " ".join(str(text).split()))[:300]


def _date(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
