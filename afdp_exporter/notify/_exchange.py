"""One call over HTTP, within its limits: no redirects, no more bytes or seconds than allowed, plain errors."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

import orjson
from aiohttp import ClientError, ClientResponse, ClientSession, TCPConnector
from pydantic import Field

from afdp_exporter.errors import DeliveryError, SecretUnreadable
from afdp_exporter.http_config import Address, Authorization, BasicAuth, Header, TLSConfig, headers
from afdp_exporter.settings import STRICT, Duration

_LARGEST_ANSWER = 1024 * 1024
_HOPELESS = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY}
_CURES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authorization or basic_auth is missing or wrong",
    HTTPStatus.FORBIDDEN: "whom authorization or basic_auth names may not do this",
    HTTPStatus.NOT_FOUND: "url does not lead to it",
    HTTPStatus.MOVED_PERMANENTLY: "url leads elsewhere",
    HTTPStatus.FOUND: "url leads elsewhere, perhaps to a login",
}


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A server at `url`; the blocks are those of Prometheus' own `http_config`. `timeout` is for one call."""

    __pydantic_config__: ClassVar = STRICT

    url: Address
    timeout: Annotated[Duration, Field(gt=timedelta(0))] = timedelta(seconds=10)
    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TLSConfig = TLSConfig()
    http_headers: Mapping[str, Header] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.basic_auth is not None and self.authorization is not None:
            raise ValueError("at most one of basic_auth and authorization can stand")

    async def call(self, method: str, path: str, body: object = None, params: Sequence[tuple[str, str]] = ()) -> Any:  # noqa: ANN401 - JSON
        """The JSON that is answered. Raises DeliveryError; after a wrong credential another try may help."""
        content = orjson.dumps(body) if body is not None else None
        try:
            connector = TCPConnector(ssl=self.tls_config.context())
            told = headers(self.basic_auth or self.authorization, self.http_headers)
            async with (
                asyncio.timeout(self.timeout.total_seconds()),
                ClientSession(connector=connector, headers={"Content-Type": "application/json"} | told) as session,
                session.request(method, self.url + path, data=content, params=params, allow_redirects=False) as answer,
            ):
                return _read(answer, await answer.content.read(_LARGEST_ANSWER))
        except SecretUnreadable as error:
            raise DeliveryError("secret_file", str(error), retry=True) from None
        except TimeoutError:
            raise DeliveryError("timeout", f"{self.url}: no answer within timeout", retry=True) from None
        except (ClientError, OSError) as error:  # whose own words may hold headers, and so secrets
            raise DeliveryError(
                "connection",
                f"{self.url}: not reached, url or tls_config may be wrong ({type(error).__name__})",
                retry=True,
            ) from None


def _read(answer: ClientResponse, body: bytes) -> Any:  # noqa: ANN401 - JSON
    if answer.status != HTTPStatus.OK:
        hopeless = answer.status in _HOPELESS
        cure = _CURES.get(answer.status)
        message = f"{answer.url.origin()}: it answers {answer.status}{f', {cure}' if cure else ''}"
        raise DeliveryError(f"http_{answer.status}", message, retry=not hopeless)
    try:
        return orjson.loads(body)
    except ValueError:
        raise DeliveryError("malformed", f"{answer.url.origin()}: its answer is no JSON", retry=True) from None
