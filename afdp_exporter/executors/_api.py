"""One call to the API of a target: reads may fail as they like, a write is refused, carried out, or unknown."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson

from afdp_exporter.errors import ActionRefused, ActionUnknown, CallFailed, SecretUnreadable
from afdp_exporter.http_client import Answer, Server

_LARGEST = 16 * 1024 * 1024
_NEVER_SENT = {"tls", "address"}
_JSON = {"Accept": "application/json"}
_SHOWN = 300  # characters of an error


class Api(Server):
    """The API of a target."""

    async def read(self, path: str, params: Sequence[tuple[str, str]] = ()) -> Any:  # noqa: ANN401 - JSON
        """The JSON at a path. Raises ActionRefused for what is not there, else ActionUnknown."""
        try:
            answer = await self.request("GET", path, params=params, more=_JSON, most=_LARGEST)
        except (CallFailed, SecretUnreadable) as error:
            raise ActionUnknown(f"{self.url} cannot be read: {error}") from None
        if answer.status == HTTPStatus.NOT_FOUND:
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
        more = {} if content is None else {"Content-Type": str(request.get("content_type", "application/json"))}
        more |= {str(name): str(value) for name, value in request.get("headers", {}).items()}
        params = [(str(name), str(value)) for name, value in request.get("params", {}).items()]
        try:
            answer = await self.request(
                str(request["method"]), str(request["path"]),
                data=content, params=params, more=_JSON | more, most=_LARGEST,
            )  # fmt: skip
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
