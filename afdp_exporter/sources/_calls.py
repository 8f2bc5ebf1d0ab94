"""Calls to the API of a monitor that speaks JSON: its limits, its budget, its errors."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any, TypeVar

import orjson

from afdp_exporter.errors import CallFailed, SecretUnreadable, SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.http_client import RESTS, Answer, Client, tried
from afdp_exporter.http_config import TLSConfig
from afdp_exporter.logins import Login, called
from afdp_exporter.sources import Fetched
from afdp_exporter.sources._prometheus_json import plain

_HOUR = 3600.0
_ROUNDING = 1 + 1e-9


class Budget:
    """So much an hour, of any hour; what is over is not asked until there is room again."""

    def __init__(self, most: float, unit: str) -> None:
        self.most = most
        self._unit = unit
        self._spent: deque[tuple[float, float]] = deque()
        self._closed_until = float("-inf")

    def spend(self, amount: float = 1.0) -> None:
        """Take so much, all or nothing. Raises SourceUnavailable (`budget`, `rate_limit`)."""
        now = asyncio.get_running_loop().time()
        if now < self._closed_until:
            words = f"its limit is reached; it wants to be asked again in {self._closed_until - now:.0f} s"
            raise SourceUnavailable("rate_limit", words)
        while self._spent and self._spent[0][0] <= now - _HOUR:
            self._spent.popleft()
        spent = sum(each for _, each in self._spent)
        if spent + amount > self.most * _ROUNDING:
            reason = f"{spent:.6g} of {self.most:g} {self._unit} an hour are spent, and {amount:.6g} more are needed"
            raise SourceUnavailable("budget", reason)
        if amount:
            self._spent.append((now, amount))

    def close(self, seconds: float) -> None:
        """Ask nothing for so long, as the service wants it."""
        self._closed_until = asyncio.get_running_loop().time() + seconds


@asynccontextmanager
async def reaching(place: str) -> AsyncIterator[None]:
    """One question meanwhile, of which also a refusal shows that a source answers.

    Raises SourceUnavailable, which names the place.
    """
    try:
        yield
    except SourceUnavailable as error:
        raise SourceUnavailable(error.reason, f"{place}: {error}") from None
    except SourceRefused:
        return


T = TypeVar("T")

_TRIES = 3
_LONGEST_WAIT = 10.0  # seconds; who wants to be left alone for longer is
_REFUSED = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
_KEYS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "its keys are not accepted",
    HTTPStatus.FORBIDDEN: "its keys may not do this",
}


def _as_it_comes(answer: Answer) -> Answer:
    return answer


class Calls:
    """One API: no more calls at once, an hour and a call's seconds and bytes than allowed.

    `heed` reads the vendor's own headers of limits: it may close the budget, and gives the wait as `Retry-After`;
    `words` finds the vendor's words about an error.
    """

    def __init__(
        self,
        *,
        budget: Budget,
        seconds: float,
        concurrency: int,
        most: int,
        words: Callable[[Any], str],
        tls: TLSConfig | None = None,
        login: Login | None = None,
        heed: Callable[[Answer], Answer] = _as_it_comes,
    ) -> None:
        self.client = Client(tls, connections=concurrency + 1, rest=RESTS)  # one for `reach`
        self.budget = budget
        self._seconds, self._most = seconds, most
        self._words, self._login, self._heed = words, login, heed
        self._slots = asyncio.Semaphore(concurrency)

    async def json(
        self,
        method: str,
        url: str,
        headers: Callable[[], Mapping[str, str]],
        *,
        body: object = None,
        params: Sequence[tuple[str, str]] = (),
        seconds: float | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """What is answered, after a few tries where another may help. Raises SourceUnavailable and SourceRefused.

        `headers` are made anew for each try, since they may hold secrets of files.
        """
        data = None if body is None else orjson.dumps(body)

        async def call() -> Answer:
            async with self._slots:
                sent = {"Accept": "application/json", "Accept-Encoding": "gzip", **await asyncio.to_thread(headers)}
                if data is not None:
                    sent["Content-Type"] = "application/json"
                answer = await called(
                    self.client,
                    self._login,
                    method,
                    url,
                    headers=sent,
                    data=data,
                    params=tuple(params),
                    seconds=seconds or self._seconds,
                    most=self._most,
                )
                return self._heed(answer)

        try:
            answer = await tried(call, tries=_TRIES if seconds is None else 1, longest_wait=_LONGEST_WAIT)
        except SecretUnreadable as error:
            raise SourceUnavailable("secret_file", str(error)) from None
        except CallFailed as error:
            if error.reason == "too_large":
                raise SourceRefused(error.reason, f"{error}; ask for fewer series") from None
            raise SourceUnavailable(error.reason, str(error)) from None
        return self._read(answer)

    def _read(self, answer: Answer) -> Any:  # noqa: ANN401 - JSON
        try:
            document = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            document = None
        if answer.ok:
            if not isinstance(document, dict):
                raise SourceUnavailable("malformed", "its answer is no JSON")
            return document
        said = plain(self._words(document)) if isinstance(document, dict) else ""
        words = ": ".join(filter(None, (f"it answers {answer.status}", _KEYS.get(answer.status), said)))
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.budget.close(answer.wait or _LONGEST_WAIT)
            raise SourceUnavailable("rate_limit", words)
        kind = SourceRefused if answer.status in _REFUSED else SourceUnavailable
        raise kind(f"http_{answer.status}", words)


def waiting(answer: Answer, seconds: float | None) -> Answer:
    """The answer as one that wants to be asked again after so long."""
    if seconds is None:
        return answer
    return replace(answer, headers={**answer.headers, "Retry-After": f"{max(seconds, 1):.0f}"})


async def each_for_itself(
    ask: Callable[[Sequence[T]], Awaitable[list[Fetched]]], asked: Sequence[T], where: str
) -> list[Fetched]:
    """The answers; where all are refused together each is asked alone, so that one that is wrong fails for itself."""
    try:
        return [_placed(each, where) for each in await ask(asked)]
    except SourceRefused as error:
        if len(asked) == 1:
            return [_placed(error, where)]
    except SourceError as error:
        return [_placed(error, where) for _ in asked]
    alone = await asyncio.gather(*(each_for_itself(ask, [each], where) for each in asked))
    return [found for (found,) in alone]


def _placed(found: Fetched, where: str) -> Fetched:
    """An error with the name of who answered."""
    return type(found)(found.reason, f"{where}: {found}") if isinstance(found, SourceError) else found
