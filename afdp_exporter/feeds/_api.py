"""A JSON API, page by page: no redirects, no more bytes or seconds than allowed, nothing read anew in vain."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, TypeAlias, TypeVar
from urllib.parse import quote

import orjson
import structlog
from pydantic import BaseModel, Field, FilePath, SecretStr, ValidationError

from afdp_exporter.errors import CallFailed, FeedError
from afdp_exporter.feeds import Checkpoint, Step
from afdp_exporter.http_client import RESTS, Answer, Client
from afdp_exporter.http_config import TLSConfig
from afdp_exporter.settings import STRICT, Duration, faults, read_secret

_LARGEST = 16 * 1024**2  # bytes of one answer
_REMEMBERED = 1000  # answers whose mark (ETag) is sent along, so that an unchanged one costs neither side anything
_LONGEST_WAIT = 3900.0  # seconds until a limit of requests is lifted; GitHub's is by the hour
_PATIENCE = 5  # times that an answer is waited for
_OF_ONE = {
    HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE,
    HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS,
}  # fmt: skip

log = structlog.get_logger(__name__)

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Page:
    content: Any
    next: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    mark: str
    page: _Page


Cache: TypeAlias = OrderedDict[str, _Known]


@dataclass(frozen=True, kw_only=True)
class Polled:
    """What every API that is asked now and then has in common."""

    __pydantic_config__: ClassVar = STRICT

    token: SecretStr | None = None
    token_file: FilePath | None = None
    ca_file: FilePath | None = None
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=30)
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=60)
    allow_link_local: bool = False
    _known: Cache = field(default_factory=OrderedDict, init=False, repr=False, compare=False)

    def secret(self) -> str | None:
        """The token as it is now. Raises FeedError where its file cannot be read."""
        try:
            return read_secret(self.token, self.token_file)
        except (OSError, UnicodeDecodeError):
            raise FeedError(f"{self.token_file} cannot be read") from None

    def api(self, url: str, headers: Mapping[str, str]) -> "Api":
        """The API at an address."""
        client = Client(TLSConfig(ca_file=self.ca_file), allow_link_local=self.allow_link_local, rest=RESTS)
        return Api(client, url, headers, self.timeout.total_seconds(), self._known)


class Api:
    """Answers of one API; an answer that has not changed since comes from memory."""

    def __init__(self, client: Client, url: str, headers: Mapping[str, str], seconds: float, known: Cache) -> None:
        self._client = client
        self._url = url
        self._headers = headers
        self._seconds = seconds
        self._known = known

    async def pages(self, path: str, params: Mapping[str, str]) -> AsyncIterator[list[Any]]:
        """The lists of one address and of all that follow it. Raises FeedError."""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items())
        url: str | None = f"{self._url}{path}" + (f"?{query}" if query else "")
        while url:
            page = await self._page(url)
            if not isinstance(page.content, list):
                raise FeedError(f"{_plain(url)} answers with no list")
            yield page.content
            url = page.next

    async def one(self, path: str) -> object:
        """What one address holds. Raises FeedError."""
        return (await self._page(f"{self._url}{path}")).content

    async def _page(self, url: str) -> _Page:
        for _ in range(_PATIENCE):
            try:
                return await self._ask(url)
            except FeedError as error:
                if error.wait is None or error.wait > _LONGEST_WAIT:
                    raise
                log.warning("the limit of requests is reached", feed=_plain(self._url), seconds=error.wait)
                await asyncio.sleep(error.wait)
        return await self._ask(url)

    async def _ask(self, url: str) -> _Page:
        known = self._known.get(url)
        marked = {"If-None-Match": known.mark} if known else {}
        try:
            answer = await self._client.call(
                "GET", url, headers={**self._headers, **marked}, seconds=self._seconds, most=_LARGEST
            )
        except CallFailed as error:
            raise FeedError(f"{_plain(url)}: {error}") from None
        if answer.status == HTTPStatus.NOT_MODIFIED and known:
            self._known.move_to_end(url)
            return known.page
        if answer.status != HTTPStatus.OK:
            raise _refused(url, answer)
        page = _Page(_json(url, answer.body), self._next(url, answer))
        self._remember(url, answer.headers.get("ETag"), page)
        return page

    def _next(self, url: str, answer: Answer) -> str | None:
        """The address of the next page; it has to be at the same place, which knows our token."""
        following = answer.links.get("next")
        if following is not None and not following.startswith(f"{self._url}/"):
            raise FeedError(f"{_plain(url)} goes on at another place: {_plain(following)}")
        return following

    def _remember(self, url: str, mark: str | None, page: _Page) -> None:
        if mark:
            self._known[url] = _Known(mark, page)
            self._known.move_to_end(url)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


class RefusedPart(FeedError):
    """One place is not there, may not be seen, or is not as expected; others may be asked."""


async def each_apart(
    places: Sequence[str], walk: Callable[[str], AsyncIterator[Step]], cursor: BaseModel
) -> AsyncIterator[Step]:
    """What is new at each place, and the cursor behind it. Raises FeedError, of one place once all others are read."""
    refused: RefusedPart | None = None
    for place in places:
        try:
            async for step in walk(place):
                yield step
        except RefusedPart as error:
            refused = refused or error
        yield Checkpoint(cursor.model_dump_json(), present=place == places[-1] and refused is None)
    if refused is not None:
        raise refused


def read(kind: type[_Model], content: object, place: str) -> _Model:
    """What an API reports, checked. Raises RefusedPart with the fields that are not as expected."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = faults(error)[0]
        raise RefusedPart(f"{place} is not as expected: {first.field}: {first.message}") from None


def _json(url: str, body: bytes) -> Any:  # noqa: ANN401 - whatever it says
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise FeedError(f"{_plain(url)} answers with no JSON") from None


def _refused(url: str, answer: Answer) -> FeedError:
    """Why there is no answer, and when to ask again: a limit of requests says so in one of three ways."""
    wait = answer.wait
    spent = "0" in (answer.headers.get("X-RateLimit-Remaining"), answer.headers.get("RateLimit-Remaining"))
    if wait is None and spent and answer.status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}:
        wait = answer.until(answer.headers.get("X-RateLimit-Reset") or answer.headers.get("RateLimit-Reset"))
    why = {401: ": the token is wrong", 403: ": not allowed", 404: ": not there, or not allowed to see"}
    reason = ": the limit of requests is reached" if wait is not None else why.get(answer.status, "")
    kind = RefusedPart if wait is None and answer.status in _OF_ONE else FeedError
    return kind(f"{_plain(url)} answers {answer.status}{reason}", wait=wait)


def _plain(url: str) -> str:
    """An address without its parameters, fit for a log."""
    return ascii(url.partition("?")[0])[1:-1]
