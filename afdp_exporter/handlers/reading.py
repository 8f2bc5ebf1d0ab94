"""Bodies and parameters from outside, read strictly."""

import asyncio
import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, Field, ValidationError

from afdp_exporter.errors import BadInput, Fault, Malformed, TooLarge
from afdp_exporter.handlers.answers import NO_FORMS, TooSlow, Unsupported
from afdp_exporter.handlers.context import LANE, STATE
from afdp_exporter.handlers.load import Held
from afdp_exporter.settings import faults

LARGEST_BODY = 65_536
_BODY_SECONDS = 30.0
KEY = Annotated[
    str,
    Field(
        min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$", description="Any name of this delivery, taken once."
    ),
]
"""An Idempotency-Key."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

_Model = TypeVar("_Model", bound=BaseModel)


async def read_json(request: web.Request) -> Mapping[str, object]:
    """The object in the body. Raises Malformed, Unsupported, TooLarge or TooSlow.

    NaN and Infinity, which are no JSON, are left to the check of the fields, which names them. JSON that `curl -d`
    calls a form is read all the same: a form that a browser writes is never JSON.
    """
    body = await read_body(request)
    try:
        return _object(body)
    except Malformed:
        if request.content_type == "application/x-www-form-urlencoded":
            raise Unsupported(NO_FORMS) from None
        raise


def validated(kind: type[_Model], content: object) -> _Model:
    """What was sent as what it has to be. Raises BadInput with every fault by its field."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise BadInput(*faults(error)) from None


def _object(body: bytes) -> Mapping[str, object]:
    try:
        text = body.removeprefix(BOM_UTF8).decode()
        content = _JSON.decode(text)
    except UnicodeDecodeError as error:
        raise _malformed(f"is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        wrong = f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise _malformed(wrong if text.strip() else "is empty; a JSON object is expected") from None
    except RecursionError:
        raise _malformed("is nested too deeply") from None
    except ValueError:
        raise _malformed("holds a number with too many digits") from None
    if not isinstance(content, dict):
        raise _malformed("is no JSON object")
    return content


def read_query(kind: type[_Model], request: web.Request) -> _Model:
    """The parameters of the address. Raises BadInput with every unknown, repeated or wrong one."""
    given = request.query
    repeated = [Fault(name, "is there twice") for name in sorted(set(given)) if len(given.getall(name)) > 1]
    try:
        query = kind.model_validate(dict(given))
    except ValidationError as error:
        known = ", ".join(kind.model_fields)
        wrong = [
            Fault(fault.field[:200], f"unknown parameter; known: {known}") if fault.message == "unknown key" else fault
            for fault in faults(error)
        ]
        raise BadInput(*repeated, *wrong) from None
    if repeated:
        raise BadInput(*repeated)
    return query


def read_key(request: web.Request) -> str | None:
    """The Idempotency-Key of a request. Raises BadInput."""
    keys = request.headers.getall("Idempotency-Key", [])
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise BadInput(Fault("Idempotency-Key", "one key of 1 to 255 visible ASCII characters is expected"))
    return keys[0]


async def read_body(request: web.Request, most: int = LARGEST_BODY, unproven: Held | None = None) -> bytes:
    """The bytes of the body, at most so many. Raises Malformed, TooLarge, TooSlow or Overloaded.

    One whose sender is not known yet counts against the budget for these.
    """
    try:
        if unproven is None and request.content.is_eof():  # as nearly always: it came along with its head
            body = request.content.read_nowait()
            if len(body) > most:
                raise TooLarge(f"at most {most} bytes are read here")
        else:
            body = await _arriving(request.content, most, unproven)
    except TimeoutError:
        raise TooSlow(f"the body did not arrive within {_BODY_SECONDS:.0f} seconds, or in time for others") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise _malformed("is cut short or wrongly framed") from None
    if unproven is not None:
        unproven.arrived()
    request.app[STATE].load.begin(request.protocol, request.get(LANE))
    return body


async def _arriving(content: StreamReader, most: int, unproven: Held | None) -> bytes:
    body = bytearray()
    async with asyncio.timeout(_BODY_SECONDS) as arriving:
        async for chunk in content.iter_any():
            body += chunk
            if len(body) > most:
                raise TooLarge(f"at most {most} bytes are read here")
            if unproven is not None:
                unproven.grown(len(body), arriving)
    return bytes(body)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise Malformed(*(Fault(ascii(name)[1:-1][:200], "is there twice") for name in twice[:100]))
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_once)


def _malformed(message: str) -> Malformed:
    return Malformed(Fault("body", message))
