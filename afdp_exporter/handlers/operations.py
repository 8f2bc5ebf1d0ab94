"""What a call of the API takes and answers, said at its handler: `docs/openapi.yaml` is generated from it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel

from afdp_exporter.handlers.access import Scope
from afdp_exporter.handlers.reading import LARGEST_BODY

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON = "application/json"
TEXT = "text/plain"
HTML = "text/html"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call: a scope of None is open to everybody; `kind` names the sender where it takes annotations.

    Where it is `signed`, its handler checks the sender's own secret over the bytes of the body.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    kind: str | None = None
    signed: bool = False
    largest_body: int = LARGEST_BODY
    keys: tuple[str, ...] = ()  # headers that may carry the token in place of Authorization, for tools with their own
    json_api: bool = False  # errors are written as JSON:API has them, since the tools that ask read no others


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer of a call: its content by media type, as a model or any annotation; its headers with what they say."""

    says: str
    content: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The body of a call, as a model, or any annotation, by media type."""

    content: Mapping[str, Any]
    example: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A call as people read of it. Refusals that follow from its route and its parameters are not listed.

    `query` is the model that reads the address, `path` the kinds of what stands in the path (text by default),
    `headers` those that it reads, `conflicts` and `missing` whether a 409, or without an id in the path
    a 404, may come.
    """

    topic: str
    id: str
    summary: str
    text: str = ""
    answers: Mapping[int, Answer]
    query: type[BaseModel] | None = None
    path: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Body | None = None
    conflicts: bool = False
    missing: bool = False


_OPERATIONS: dict[Handler, Operation] = {}
_H = TypeVar("_H", bound=Handler)


def operation(
    topic: str,
    id_: str,
    summary: str,
    text: str = "",
    *,
    answers: Mapping[int, Answer],
    **more: Any,  # noqa: ANN401 - as Operation
) -> Callable[[_H], _H]:
    """Say what the call that a handler answers takes and answers; `more` as `Operation` has it."""
    described = Operation(topic=topic, id=id_, summary=summary, text=text, answers=answers, **more)

    def keep(handler: _H) -> _H:
        _OPERATIONS[handler] = described
        return handler

    return keep


def page_operation(
    id_: str,
    summary: str,
    text: str = "",
    *,
    more: Mapping[int, Answer] | None = None,
    **rest: Any,  # noqa: ANN401
) -> Callable[[_H], _H]:
    """The same for a page for people, with `more` answers than the page."""
    return operation("pages", id_, summary, text, answers={200: page_answer("The page.")} | dict(more or {}), **rest)


def operation_of(handler: Handler) -> Operation:
    """What was said at a handler. Raises KeyError."""
    return _OPERATIONS[handler]


def json_answer(kind: Any, says: str, **headers: str) -> Answer:  # noqa: ANN401 - a model or any annotation
    """An answer in JSON; each header as a keyword, with what it says."""
    return Answer(says=says, content={JSON: kind}, headers={name.replace("_", "-"): of for name, of in headers.items()})


def page_answer(says: str) -> Answer:
    """An answer as a page."""
    return Answer(says=says, content={HTML: str})


def text_answer(says: str) -> Answer:
    """An answer in plain text."""
    return Answer(says=says, content={TEXT: str})


def json_body(kind: Any, example: Mapping[str, Any] | None = None) -> Body:  # noqa: ANN401
    """A body in JSON."""
    return Body(content={JSON: kind}, example=example)
