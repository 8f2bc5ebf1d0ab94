"""Who we are to a server that wants more than a fixed header: tokens that end, questions that are signed.

One block of Prometheus' own `http_config` or `remote_write` a file, under the same name.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar, Protocol

import orjson

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_client import Answer, Client
from afdp_exporter.http_config import TLSConfig
from afdp_exporter.settings import STRICT

_SPARE = 60.0  # seconds before its end at which a token is renewed, or half of its life
_SECONDS = 10.0  # for one token
_MOST = 65_536  # bytes of an answer with a token


class Login(Protocol):
    """How we show who we are."""

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:
        """What is added to the headers of one question. Raises CallFailed (`login`), and SecretUnreadable."""
        ...

    def renews(self, shown: Mapping[str, str]) -> bool:
        """Whether another try may help after these headers were not accepted."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, for how many seconds it holds; None: until it is refused."""

    text: str
    seconds: float | None = None

    def __repr__(self) -> str:
        return f"Token(seconds={self.seconds})"


class Tokens:
    """One token for all who need it at once: fetched when it is needed, kept until shortly before it ends."""

    def __init__(self) -> None:
        self._known: tuple[str, float] | None = None
        self._fetching: asyncio.Task[Token] | None = None

    async def current(self, fetch: Callable[[], Awaitable[Token]]) -> str:
        """The token; all who wait for a new one share its fetch, and its failure."""
        if self._known is not None and _now() < self._known[1]:
            return self._known[0]
        if self._fetching is None:
            self._fetching = asyncio.ensure_future(fetch())
            self._fetching.add_done_callback(self._keep)
        return (await asyncio.shield(self._fetching)).text

    def drop(self, text: str) -> bool:
        """Forget a token that was not accepted; a newer one stays. Whether it was still the newest."""
        newest = self._known is not None and self._known[0] == text
        if newest:
            self._known = None
        return newest

    def _keep(self, done: "asyncio.Task[Token]") -> None:
        self._fetching = None
        if not done.cancelled() and done.exception() is None:
            token = done.result()
            spare = min(_SPARE, (token.seconds or 0.0) / 2)
            until = float("inf") if token.seconds is None else _now() + token.seconds - spare
            self._known = (token.text, until)


@dataclass(frozen=True, kw_only=True)
class BearerLogin(ABC):
    """A `Login` by a bearer token that is fetched anew before it ends, and where it is not accepted."""

    __pydantic_config__: ClassVar = STRICT

    _tokens: Tokens = field(default_factory=Tokens, init=False, repr=False, compare=False)

    async def headers(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, str]:  # noqa: ARG002 - as Login
        """As `Login.headers`."""
        return {"Authorization": f"Bearer {await self._tokens.current(self._fetch)}"}

    def renews(self, shown: Mapping[str, str]) -> bool:
        """As `Login.renews`."""
        if self._tokens.drop(shown.get("Authorization", "").removeprefix("Bearer ")):
            self._dropped()
        return True

    def _dropped(self) -> None:  # noqa: B027 - most have nothing more to forget
        """The newest token was not accepted."""

    @abstractmethod
    async def _fetch(self) -> Token: ...


async def asked_for_token(
    block: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    data: bytes | None = None,
    params: tuple[tuple[str, str], ...] = (),
    tls: TLSConfig | None = None,
    of_machine: bool = False,
) -> Token:
    """The token that a server issues; one `of_machine` comes from a link-local address.

    Raises CallFailed without a word of what was sent.
    """
    try:
        answer = await Client(tls, connections=1, allow_link_local=of_machine).call(
            method, url, headers=headers, data=data, params=params, seconds=_SECONDS, most=_MOST
        )
    except CallFailed as error:
        raise CallFailed("login", f"{block}: no token: {error}", again=error.again) from None
    return read_token(block, answer)


def read_token(block: str, answer: Answer) -> Token:
    """What an issuer answered: `access_token`, `expires_in`. Raises CallFailed with its status and its short code."""
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    document = document if isinstance(document, dict) else {}
    text = document.get("access_token")
    if answer.status == HTTPStatus.OK and isinstance(text, str) and text.isascii() and text.isprintable() and text:
        return Token(text, _seconds(document.get("expires_in")))
    code = document.get("error")
    words = f" ({code})" if isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 50 else ""
    problem = (
        f"the issuer answers {answer.status}{words}" if answer.status != HTTPStatus.OK else "its answer holds none"
    )
    raise CallFailed("login", f"{block}: no token: {problem}", again=answer.busy)


async def called(
    client: Client,
    login: Login | None,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    seconds: float,
    most: int,
    data: bytes | None = None,
    params: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """As `Client.call`, showing who we are; once more with a new token where an old one is no longer accepted."""

    async def once() -> tuple[Answer, dict[str, str]]:
        shown = {} if login is None else await login.headers(method, url, headers, data)
        sent = {**headers, **shown}
        answer = await client.call(method, url, headers=sent, data=data, params=params, seconds=seconds, most=most)
        return answer, shown

    answer, shown = await once()
    if answer.status == HTTPStatus.UNAUTHORIZED and login is not None and login.renews(shown):
        answer, _ = await once()
    return answer


def _seconds(value: object) -> float | None:
    """How long a token holds; Azure writes the number as text."""
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 < seconds < float("inf") else None


def _now() -> float:
    return asyncio.get_running_loop().time()
