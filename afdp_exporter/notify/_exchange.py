"""One call over HTTP, within its limits: no redirects, no more bytes or seconds than allowed, plain errors."""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import Field, SecretStr

from afdp_exporter.errors import CallFailed, DeliveryError, SecretUnreadable
from afdp_exporter.http_client import Answer, Client, Server
from afdp_exporter.http_config import TLSConfig, read_text
from afdp_exporter.settings import STRICT, Duration

_LARGEST_ANSWER = 1024 * 1024
_JSON = {"Content-Type": "application/json"}
_HOPELESS = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
_CURES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authorization or basic_auth is missing or wrong",
    HTTPStatus.FORBIDDEN: "whom authorization or basic_auth names may not do this",
    HTTPStatus.NOT_FOUND: "url does not lead to it",
    HTTPStatus.MOVED_PERMANENTLY: "url leads elsewhere",
    HTTPStatus.FOUND: "url leads elsewhere, perhaps to a login",
}


class Exchange(Server):
    """The API of a receiver."""

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        params: Sequence[tuple[str, str]] = (),
        more: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """The JSON that is answered. Raises DeliveryError; after a wrong credential another try may help."""
        answer = await self.deliver(method, path, body, params, more)
        if answer.status == HTTPStatus.NO_CONTENT:
            raise _refusal(self.url, answer)
        return self.read(answer)

    async def deliver(
        self,
        method: str,
        path: str,
        body: object = None,
        params: Sequence[tuple[str, str]] = (),
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        """What is answered, whatever its body; a body of bytes is sent as it is. Raises DeliveryError."""
        content = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        sent = {**_JSON, **(more or {})}
        call = self.request(method, path, data=content, params=params, more=sent, most=_LARGEST_ANSWER)
        return await delivered(call, self.url)

    async def look(self, path: str, more: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """What stands at a path of one notice alone, whose absence holds up no other notice. Raises DeliveryError."""
        try:
            return await self.call("GET", path, more=more)
        except DeliveryError as error:
            if error.reason != f"http_{HTTPStatus.NOT_FOUND}":
                raise
            place = f"{self.url}{path}"
            raise DeliveryError(error.reason, f"{place} is not there, or may not be seen", retry=False) from None

    def read(self, answer: Answer) -> Any:  # noqa: ANN401 - JSON
        """The JSON of an answer. Raises DeliveryError."""
        try:
            return orjson.loads(answer.body)
        except ValueError:
            raise DeliveryError("malformed", f"{self.url}: its answer is no JSON", retry=True) from None


@dataclass(frozen=True, kw_only=True)
class Hook:
    """An address that is a secret itself, since who knows it may write there; no error names it."""

    __pydantic_config__: ClassVar = STRICT

    webhook_url: SecretStr | None = None
    webhook_url_file: Path | None = None
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=10)
    tls_config: TLSConfig = TLSConfig()
    allow_link_local: bool = False

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Raise ValueError where there is no address, or two, or one that cannot be one."""
        if (self.webhook_url is None) is (self.webhook_url_file is None):
            raise ValueError("exactly one of webhook_url and webhook_url_file is needed")
        if self.webhook_url is not None:
            _checked(self.webhook_url.get_secret_value())

    def address(self) -> str:
        """The address itself, its file read anew. Raises DeliveryError."""
        try:
            return _checked(read_text(self.webhook_url, self.webhook_url_file))
        except (SecretUnreadable, ValueError) as error:
            raise DeliveryError("secret_file", str(error), retry=True, unsent=True) from None

    async def post(self, body: object) -> Answer:
        """What is answered. Raises DeliveryError."""
        call = Client(self.tls_config, allow_link_local=self.allow_link_local).call(
            "POST",
            self.address(),
            headers=_JSON,
            data=orjson.dumps(body),
            seconds=self.timeout.total_seconds(),
            most=_LARGEST_ANSWER,
        )
        return await delivered(call, "webhook_url")


async def delivered(call: Awaitable[Answer], whom: str) -> Answer:
    """The answer to a call that was taken well. Raises DeliveryError, which names the receiver as `whom`."""
    try:
        answer = await call
    except SecretUnreadable as error:
        raise DeliveryError("secret_file", str(error), retry=True, unsent=True) from None
    except CallFailed as error:
        hint = "; url or tls_config may be wrong" if error.reason in {"connection", "tls"} else ""
        raise DeliveryError(error.reason, f"{whom}: {error}{hint}", retry=True, unsent=error.unsent) from None
    if not answer.ok:
        raise _refusal(whom, answer)
    return answer


def _refusal(whom: str, answer: Answer) -> DeliveryError:
    cure = _CURES.get(answer.status)
    message = f"{whom}: it answers {answer.status}{f', {cure}' if cure else ''}"
    retry, unsent = answer.status not in _HOPELESS, answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return DeliveryError(f"http_{answer.status}", message, retry=retry, wait=answer.wait, unsent=unsent)


@contextmanager
def in_parts() -> Iterator[None]:
    """Several calls for one notice: where one of them fails, what went before it has arrived."""
    try:
        yield
    except DeliveryError as error:
        error.unsent = False
        raise


def _checked(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("webhook_url begins with https://")
    return url


def read_key(value: SecretStr | None, file: Path | None) -> str:
    """A key, its file read anew. Raises DeliveryError."""
    try:
        return read_text(value, file)
    except SecretUnreadable as error:
        raise DeliveryError("secret_file", str(error), retry=True, unsent=True) from None
