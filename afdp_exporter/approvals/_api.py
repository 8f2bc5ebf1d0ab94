"""One callback to the API of a caller: what it refuses for good, and what another try may mend."""

import re
from collections.abc import Iterable, Mapping

import orjson

from afdp_exporter.errors import BadInput, CallFailed, DeliveryError, Fault, SecretUnreadable
from afdp_exporter.http_client import Answer, Server

_LARGEST = 1024 * 1024
_FINAL = {400, 409, 410, 422}  # it was decided before; a missing right may be given meanwhile
_SHOWN = 200  # characters of an error


class Api(Server):
    """The API of a caller."""

    async def post(self, path: str, body: Mapping[str, object], more: Mapping[str, str] | None = None) -> Answer:
        """The answer to a callback of JSON. Raises DeliveryError, as `send`."""
        return await self.send("POST", path, orjson.dumps(body), more)

    async def get(self, path: str) -> Answer:
        """The answer to a question. Raises DeliveryError, as `send`."""
        return await self.send("GET", path, None)

    async def send(self, method: str, path: str, data: bytes | None, more: Mapping[str, str] | None = None) -> Answer:
        """The answer to a callback. Raises DeliveryError; `retry` is False for what was refused for good."""
        sent = {"Accept": "application/json", **({} if data is None else {"Content-Type": "application/json"})}
        sent |= more or {}
        try:
            answer = await self.request(method, path, data=data, most=_LARGEST, more=sent)
        except SecretUnreadable as error:
            raise DeliveryError("secret_file", str(error), retry=True) from None
        except CallFailed as error:
            raise DeliveryError(error.reason, f"{self.url}: {error}", retry=True) from None
        if not answer.ok:
            secret = self.authorization.header() if self.authorization else sent.get("Authorization", "")
            message = f"{self.url} answers {answer.status}: {_words(answer, secret)}"
            raise DeliveryError(f"http_{answer.status}", message, retry=answer.status not in _FINAL, wait=answer.wait)
        return answer


def plain_names(reply: Mapping[str, str], patterns: Mapping[str, str]) -> None:
    """Raise BadInput for parts of a request that may not stand in the path of a callback."""
    faults = [
        Fault(name, "is not as its sender writes it")
        for name, pattern in patterns.items()
        if not re.fullmatch(pattern, reply.get(name, ""), re.ASCII)
    ]
    if faults:
        raise BadInput(*faults)


def elsewhere(field: str, allowed: Iterable[str]) -> BadInput:
    """The error for a callback address that is not the configured one."""
    return BadInput(Fault(field, f"callbacks go to {', '.join(allowed)} alone"))


def _words(answer: Answer, secret: str) -> str:
    """The beginning of an answer, which may repeat what was sent."""
    text = answer.body.decode("utf-8", "replace").replace(secret.rpartition(" ")[2] or "\0", "...")[:_SHOWN]
    return "".join(char if char.isprintable() else " " for char in text)
