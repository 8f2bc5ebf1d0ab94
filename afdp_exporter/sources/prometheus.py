"""Prometheus, and whatever speaks its HTTP API: Thanos, Mimir, Cortex, VictoriaMetrics."""

import asyncio
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import urlsplit

import numpy as np
import stamina
from pydantic import Field

from afdp_exporter.errors import SecretUnreadable, SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.http_config import Address, Authorization, BasicAuth, Header, TLSConfig, headers
from afdp_exporter.model import Floats, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import Bound, Fetched, _envelope
from afdp_exporter.sources._exchange import Busy, Exchange, Pool
from afdp_exporter.sources._grid import grid
from afdp_exporter.sources._promql import SpeaksPromQL

_POINTS = 11_000  # a series in one answer; Prometheus refuses more
_TRIES = 3
_PROBE = 10.0  # seconds
_LONGEST_WAIT = 10.0  # seconds between two tries; a server that asks for more is asked again by the next look
_OWN_PARAMS = {"query", "start", "end", "step", "timeout"}
_OWN_HEADERS = {"authorization", "accept-encoding", "content-length", "content-type", "host"}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Prometheus(SpeaksPromQL):
    """A server with the Prometheus HTTP API at `url`; the blocks are those of Prometheus' own `http_config`.

    `timeout` is for one answer of at most `max_bytes`; `concurrency` is how many are awaited at once; `params` are
    sent with each question (`partial_response: "false"` for Thanos). Samples younger than `settles_after` are not asked
    for: where they come late, the end of a window would look like a drop.
    """

    __pydantic_config__: ClassVar = STRICT
    remote: ClassVar = True

    url: Address
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    max_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024 * 1024
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TLSConfig = TLSConfig()
    http_headers: Mapping[str, Header] = field(default_factory=dict)
    params: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    settles_after: Annotated[Duration, Field(ge=timedelta(0))] = timedelta(0)

    def __post_init__(self) -> None:
        if self.basic_auth is not None and self.authorization is not None:
            raise ValueError("at most one of basic_auth and authorization can stand")
        for taken in sorted(_OWN_PARAMS & set(self.params)):
            raise ValueError(f"params cannot hold {taken}, which is set by each question")
        for taken in sorted(_OWN_HEADERS & {name.lower() for name in self.http_headers}):
            raise ValueError(f"http_headers cannot hold {taken}")

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`; ranges of more points than Prometheus gives at once are asked for in pieces.

        `reason` of an error is `timeout`, `connection`, `tls`, `redirect`, `too_large`, `malformed`, `partial`,
        `secret_file`, `native_histogram`, `http_503` and the like, or the API's own word (`bad_data`, `execution`).
        """
        return list(await asyncio.gather(*(self._fetched(each.text, window, step) for each in asked)))

    async def reach(self) -> None:
        """As `Source.reach`."""
        seconds = min(self.timeout.total_seconds(), _PROBE)
        try:
            await self._within(seconds, "vector(1)", np.zeros(1), timedelta(seconds=1))
        except SourceUnavailable as error:
            raise SourceUnavailable(error.reason, f"{self.url}: {error}") from None
        except SourceRefused:
            return  # it answers, and only wants to be asked for what it has

    async def _fetched(self, query: str, window: Window, step: timedelta) -> Fetched:
        try:
            points = grid(window, step)
            pieces = [points[first : first + _POINTS] for first in range(0, len(points), _POINTS)]
            answers = [await self._ask(query, piece, step) for piece in pieces]
            found = _envelope.joined(answers)
            return await self._in_thread(_envelope.to_series, found, points, step.total_seconds())
        except SourceError as error:
            kind = SourceRefused if isinstance(error, SourceRefused) else SourceUnavailable
            return kind(error.reason, f"{self.url}: {error}")

    async def _ask(self, query: str, points: Floats, step: timedelta) -> _envelope.Answer:
        """One answer, after a few tries where another try may help."""
        retries = stamina.retry_context(
            on=_wait, attempts=_TRIES, timeout=None, wait_initial=0.2, wait_max=5.0, wait_jitter=0.3
        )
        async for attempt in retries:
            with attempt:
                async with self._slots:
                    return await self._within(self.timeout.total_seconds(), query, points, step)
        raise AssertionError("the last try answers or raises")

    async def _within(self, seconds: float, query: str, points: Floats, step: timedelta) -> _envelope.Answer:
        try:
            async with asyncio.timeout(seconds):
                return await self._in_thread(self._exchange, query, points, step.total_seconds())
        except TimeoutError:
            raise SourceUnavailable("timeout", f"no answer within {seconds:g} s") from None

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def _exchange(self, query: str, points: Floats, step: float) -> _envelope.Answer:
        encoding = "identity" if self._near else "gzip"  # compressing costs a server more than sending next door
        seconds = self.timeout.total_seconds()
        exchange = Exchange(
            pool=self._pool,
            headers={**self._headers(), "Accept-Encoding": encoding},
            tls=self.tls_config,
            seconds=seconds,
            max_bytes=self.max_bytes,
        )
        params = {"nocache": "1", **self.params, "timeout": f"{seconds:g}"}  # VictoriaMetrics shifts what it caches
        return exchange.ask(self.url, query, points, step, params)

    def _headers(self) -> dict[str, str]:
        try:
            return headers(self.basic_auth or self.authorization, self.http_headers)
        except SecretUnreadable as error:
            raise SourceUnavailable("secret_file", str(error)) from None

    @cached_property
    def _near(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    @cached_property
    def _slots(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.concurrency)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(
            self.concurrency + 1,  # one for `reach`
            thread_name_prefix="prometheus",
        )

    @cached_property
    def _pool(self) -> Pool:
        secure = self.url.startswith("https:")
        return Pool(self.concurrency, self.tls_config.server_name if secure else None)


def _wait(error: Exception) -> bool | float:
    """Whether to try again, as stamina asks it: not at all, after its own growing time, or after so many seconds."""
    if not isinstance(error, Busy):
        return False
    if error.wait is None:
        return True
    return error.wait if error.wait <= _LONGEST_WAIT else False


PLUGIN = Prometheus
