"""Answers: JSON without NaN, and problems as RFC 9457 has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import Field, TypeAdapter

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
from afdp_exporter.handlers.browsers import CrossSite, Misdirected
from afdp_exporter.handlers.load import Overloaded
from afdp_exporter.handlers.passwords import TooMany
from afdp_exporter.responses import Response

JSON_API = "application/vnd.api+json"
NO_FORMS = "forms are not read here: send JSON with Content-Type: application/json"


class Unsupported(AFDPError):
    """The body comes in a form that is not read here."""


class TooSlow(AFDPError):
    """The body did not arrive in time."""


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
    (Misdirected, _Meaning(HTTPStatus.MISDIRECTED_REQUEST, "host")),
    (CrossSite, _Meaning(HTTPStatus.FORBIDDEN, "cross_site")),
    (NotFound, _Meaning(HTTPStatus.NOT_FOUND, "not_found")),
    (TooMany, _Meaning(HTTPStatus.TOO_MANY_REQUESTS, "rate", {"Retry-After": "60"})),
    (Overloaded, _Meaning(HTTPStatus.TOO_MANY_REQUESTS, "overloaded", {"Retry-After": "5"})),
    (TooSlow, _Meaning(HTTPStatus.REQUEST_TIMEOUT, "slow", {"Connection": "close"})),
    (Conflict, _Meaning(HTTPStatus.CONFLICT, "conflict")),
    (TooLarge, _Meaning(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", {"Connection": "close"})),
    (Unsupported, _Meaning(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type")),
    (SourceUnavailable, _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, "source", {"Retry-After": "15"})),
    (SourceError, _Meaning(HTTPStatus.BAD_GATEWAY, "source")),
    (StoreFull, _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, "store_full", {"Retry-After": "30"})),
    (StoreError, _Meaning(HTTPStatus.SERVICE_UNAVAILABLE, "store", {"Retry-After": "5"})),
)


_NAMED = 3  # faults in the detail of a problem


class FaultResponse(Response):
    """One thing that is wrong, by its field."""

    field: str
    message: str


class ProblemResponse(Response):
    """An error, as RFC 9457 has it; where a body or an address is wrong, with every fault by its field."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    errors: tuple[FaultResponse, ...] = ()


class JSONAPIError(Response):
    """One error, as JSON:API has it."""

    status: str
    title: str
    detail: str


class JSONAPIErrors(Response):
    """All that is wrong, as JSON:API has it."""

    errors: tuple[JSONAPIError, ...]


_Item = TypeVar("_Item", bound=Response)


def answer(
    content: Response,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> web.Response:
    """A JSON answer; where a figure is not finite, it says null."""
    body = content.to_json() + b"\n"
    return web.Response(body=body, status=status, content_type=content_type, headers=headers)


def array(kind: type[_Item], content: Sequence[_Item]) -> web.Response:
    """A JSON array, for the one API that is not ours."""
    body = TypeAdapter(list[kind]).dump_json(list(content), by_alias=True) + b"\n"  # type: ignore[valid-type]
    return web.Response(body=body, content_type="application/json")


def problem(
    status: HTTPStatus, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error as application/problem+json, with every fault by its field."""
    content = ProblemResponse(type="about:blank", title=status.phrase, status=status.value, detail=detail)
    if faults:
        listed = tuple(FaultResponse(field=fault.field, message=fault.message) for fault in faults)
        content = content.model_copy(update={"errors": listed})
    return answer(content, status, headers, "application/problem+json")


def as_json_api(answered: web.Response) -> web.Response:
    """A problem as errors of JSON:API. What is wrong with a body is 400 there: 422 would be tried again for long."""
    problem = ProblemResponse.model_validate_json(answered.body if isinstance(answered.body, bytes) else b"{}")
    status = (
        HTTPStatus.BAD_REQUEST if answered.status == HTTPStatus.UNPROCESSABLE_ENTITY else HTTPStatus(answered.status)
    )
    details = [f"{fault.field}: {fault.message}" for fault in problem.errors] or [problem.detail]
    errors = [JSONAPIError(status=str(status.value), title=status.phrase, detail=detail) for detail in details]
    answered.set_status(status.value)
    answered.body = JSONAPIErrors(errors=errors).to_json()
    answered.content_type = JSON_API
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
    if len(faults) <= _NAMED:
        return str(error)
    first = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:_NAMED])
    return f"{first}; and {len(faults) - _NAMED} more, all of them in errors"
