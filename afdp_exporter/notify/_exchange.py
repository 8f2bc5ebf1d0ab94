"""One call over HTTP, within its limits: no redirects, no more bytes or seconds than allowed, plain errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import Field

from afdp_exporter.errors import CallFailed, DeliveryError, SecretUnreadable
from afdp_exporter.http_client import Answer, Client
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
        seconds = self.timeout.total_seconds()
        try:
            known = headers(self.basic_auth or self.authorization, self.http_headers)
            answer = await Client(self.tls_config).call(
                method,
                self.url + path,
                headers={"Content-Type": "application/json"} | known,
                data=content,
                params=params,
                seconds=seconds,
                most=_LARGEST_ANSWER,
            )
        except SecretUnreadable as error:
            raise DeliveryError("secret_file", str(error), retry=True) from None
        except CallFailed as error:
            hint = "; url or tls_config may be wrong" if error.reason in {"connection", "tls"} else ""
            raise DeliveryError(error.reason, f"{self.url}: {error}{hint}", retry=True) from None
        return _read(self.url, answer)


def _read(url: str, answer: Answer) -> Any:  # noqa: ANN401 - JSON
    if answer.status != HTTPStatus.OK:
        cure = _CURES.get(answer.status)
        message = f"{url}: it answers {answer.status}{f', {cure}' if cure else ''}"
        retry = answer.status not in _HOPELESS
        raise DeliveryError(f"http_{answer.status}", message, retry=retry, wait=answer.wait)
    try:
        return orjson.loads(answer.body)
    except ValueError:
        raise DeliveryError("malformed", f"{url}: its answer is no JSON", retry=True) from None
