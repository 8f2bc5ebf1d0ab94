"""Answers: JSON without NaN, and problems as RFC 9457 has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from afdp_exporter.errors import (
    AFDPError,
    BadInput,
    ConfigError,
    Conflict,
    Fault,
    Forbidden,
    Malformed,
    NotFound,
    SourceError,
    SourceUnavailable,
    StoreError,
    StoreFull,
    TooLarge,
    Unauthorised,
)
from afdp_exporter.handlers.passwords import TooMany

NO_FORMS = "forms are not read here: send JSON with Content-Type: application/json"


class Unsupported(AFDPError):
    """The body comes in a form that is not read here."""


class TooSlow(AFDPError):
    """The body did not arrive in time."""


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="afdp", Basic realm="afdp", charset="UTF-8"'}


@dataclass(frozen=True, slots=True)
class _Meaning:
    status: HTTPStatus
    reason: str  # the label of a metric
    headers: Mapping[str, str] = field(default_factory=dict)


_MEANINGS: tuple[tuple[type[AFDPError], _Meaning], ...] = (
    (Malformed, _Meaning(HTTPStatus.BAD_REQUEST, "malformed")),
    (BadInput, _Meaning(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid")),
    (ConfigError, _Meaning(HTTPStatus.UNPROCESSABLE_ENTITY, "config")),
    (
        Unauthorised,
        _Meaning(
            HTTPStatus.UNAUTHORIZED,
            "unauthorised",
            {"WWW-Authenticate": 'Bearer realm="afdp", Basic realm="afdp", charset="UTF-8"'},
        ),
    ),
    (Forbidden, _Meaning(HTTPStatus.FORBIDDEN, "forbidden")),
    (NotFound, _Meaning(HTTPStatus.NOT_FOUND, "not_found")),
    (TooMany, _Meaning(HTTPStatus.TOO_MANY_REQUESTS, "rate", {"Retry-After": "60"})),
    (TooSlow, _Meaning(HTTPStatus.REQUEST_TIMEOUT, "slow", {"Connection": "close"})),
    (Conflict, _Meaning(HTTPStatus.CONFLICT, "conflict")),
    (TooLarge, _Meaning(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", {"Connection": "close"})),
    (Unsupported, _Meaning(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type")),
    (SourceUnavailable, _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, "source", {"Retry-After": "15"})),
    (SourceError, _Meaning(HTTPStatus.BAD_GATEWAY, "source")),
    (StoreFull, _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, "store_full", {"Retry-After": "30"})),
    (StoreError, _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, "store", {"Retry-After": "5"})),
)


_TOLD = 3  # faults in the detail of a problem


def answer(content: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer; where a figure is not finite, it says null."""
    return web.Response(
        body=orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE),
        status=status,
        content_type="application/json",
        headers=headers,
    )


def array(content: Sequence[Mapping[str, Any]]) -> web.Response:
    """A JSON array, for the one API that is not ours."""
    return web.Response(body=orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE), content_type="application/json")


def problem(
    status: HTTPStatus, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error as application/problem+json, with every fault by its field."""
    content: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    if faults:
        content["errors"] = [{"field": fault.field, "message": fault.message} for fault in faults]
    answered = answer(content, status, headers)
    answered.content_type = "application/problem+json"
    return answered


def from_error(error: AFDPError) -> tuple[web.Response, str]:
    """The answer to one of our errors, and the short word for its reason."""
    meaning = next((meaning for kind, meaning in _MEANINGS if isinstance(error, kind)), None)
    if meaning is None:
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this could not be done; the log says more"), "internal"
    faults: Sequence[Fault] = getattr(error, "faults", ())
    if isinstance(error, ConfigError):
        faults = [Fault(error.where, str(error))]
    return problem(meaning.status, _detail(error, faults), faults, meaning.headers), meaning.reason


def _detail(error: AFDPError, faults: Sequence[Fault]) -> str:
    if len(faults) <= _TOLD:
        return str(error)
    first = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:_TOLD])
    return f"{first}; and {len(faults) - _TOLD} more, all of them in errors"
