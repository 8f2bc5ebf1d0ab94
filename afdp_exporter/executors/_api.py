"""One call to the API of a target: reads may fail as they like, a write is refused, carried out, or unknown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, ClassVar

import orjson
from pydantic import Field

from afdp_exporter.errors import ActionRefused, ActionUnknown, CallFailed, SecretUnreadable
from afdp_exporter.http_client import Answer, Client
from afdp_exporter.http_config import Address, Authorization, BasicAuth, Header, TLSConfig, headers
from afdp_exporter.settings import STRICT, Duration

_LARGEST = 16 * 1024 * 1024
_NEVER_SENT = {"tls", "address"}
_SHOWN = 300  # characters of an error


@dataclass(frozen=True, kw_only=True)
class Api:
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

    async def read(self, path: str, params: Sequence[tuple[str, str]] = ()) -> Any:  # noqa: ANN401 - JSON
        """The JSON at a path. Raises ActionRefused for what is not there or not allowed, else ActionUnknown."""
        try:
            answer = await self._call("GET", path, {}, None, params)
        except (CallFailed, SecretUnreadable) as error:
            raise ActionUnknown(f"{self.url} cannot be read: {error}") from None
        if answer.status in {401, 403, 404}:
            raise ActionRefused(f"{self.url}{path} answers {answer.status}: {_words(answer)}")
        if not answer.ok:
            raise ActionUnknown(f"{self.url}{path} answers {answer.status}: {_words(answer)}")
        return _json(answer)

    async def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request once: method, path, and body, content_type and params where it has them.

        Any answer from 400 to 499 is a refusal; 5xx, a time-out and a broken connection leave unknown what was done.
        """
        body = request.get("body")
        content = None if body is None else orjson.dumps(body)
        kind = {} if content is None else {"Content-Type": str(request.get("content_type", "application/json"))}
        kind |= {str(name): str(value) for name, value in request.get("headers", {}).items()}
        params = [(str(name), str(value)) for name, value in request.get("params", {}).items()]
        try:
            answer = await self._call(str(request["method"]), str(request["path"]), kind, content, params)
        except SecretUnreadable as error:
            raise ActionRefused(f"nothing was sent: {error}") from None
        except CallFailed as error:
            if error.reason in _NEVER_SENT:
                raise ActionRefused(f"nothing was sent: {error}") from None
            raise ActionUnknown(f"{self.url} gave no answer, and may have done it: {error}") from None
        if 400 <= answer.status < 500:
            raise ActionRefused(f"{self.url} refused with {answer.status}: {_words(answer)}")
        if not answer.ok:
            raise ActionUnknown(f"{self.url} answered {answer.status}, and may have done it: {_words(answer)}")
        return {"status": answer.status}

    async def _call(
        self, method: str, path: str, extra: Mapping[str, str], data: bytes | None, params: Sequence[tuple[str, str]]
    ) -> Answer:
        known = headers(self.basic_auth or self.authorization, self.http_headers)
        return await Client(self.tls_config).call(
            method,
            self.url + path,
            headers={"Accept": "application/json"} | dict(extra) | dict(known),
            data=data,
            params=params,
            seconds=self.timeout.total_seconds(),
            most=_LARGEST,
        )


def _json(answer: Answer) -> Any:  # noqa: ANN401
    try:
        return orjson.loads(answer.body)
    except ValueError:
        raise ActionUnknown("the answer of the target is no JSON") from None


def _words(answer: Answer) -> str:
    text = answer.body.decode("utf-8", "replace")
    try:
        content = orjson.loads(answer.body)
        text = str(content.get("message") or content.get("detail") or text) if isinstance(content, dict) else text
    except ValueError:
        pass
    return "".join(char if char.isprintable() else " " for char in text)[:_SHOWN]
