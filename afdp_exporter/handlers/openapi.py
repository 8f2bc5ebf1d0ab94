"""The description of the API, made of its routes and of the very models that read its bodies and write its answers."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, TypeAlias

import orjson
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from afdp_exporter.handlers.answers import JSON_API, JSONAPIErrors, ProblemResponse
from afdp_exporter.handlers.operations import Answer, Operation, Route, operation_of

_Json: TypeAlias = dict[str, Any]
_Mode: TypeAlias = Literal["validation", "serialization"]

_COMPONENT = "#/components/schemas/{model}"
_PROBLEM = "application/problem+json"
_SUFFIX = "Response"
_INFO = {
    "title": "afdp-exporter",
    "version": "1",
    "summary": "Shows what a deployment did to production, and what the next one will do.",
    "description": """\
Bodies are JSON of at most 64 KiB, whatever their `Content-Type` says; forms and compressed bodies are refused. All
faults of a body are reported together, by field, as `application/problem+json` (RFC 9457). No answer holds NaN or
Infinity. Wherever `low` and `high` stand, they are the 5 % and 95 % points.

Where the configuration has `tokens`, calls need `Authorization: Bearer TOKEN` with the scope that is named at the
call; the scope `admin` allows everything. A token may also be sent as the password of Basic authentication, and
the web configuration may have users of its own. Without tokens and users everybody may read, and only the
exporter's own machine may do the rest. `docs/access.md` has the table of every call and every credential.
""",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
TOPICS = {
    "deployments": "What was deployed, and what it did.",
    "events": "What is special about a time.",
    "annotations": "Grafana's annotation API, for what writes annotations already.",
    "planning": "What the next deployment will do, and when to deploy.",
    "gate": "Whether a deployment may go on, and what is done about it.",
    "operation": "What every exporter has.",
    "pages": "The same for people, in HTML.",
}
_SENDER = "What the sender has, a signature of the body, a token or a password; this is the header of GitHub."
_SECURITY = {
    "token": {"type": "http", "scheme": "bearer"},
    "sender": {"type": "apiKey", "in": "header", "name": "X-Hub-Signature-256", "description": _SENDER},
}
_PROBLEMS = {
    400: ("Malformed", "The body is no JSON object."),
    401: ("Unauthorised", "No known token came with the call."),
    403: ("Forbidden", "The token lacks the scope, or a page of another origin calls."),
    404: ("NotFound", "Nothing has this id."),
    405: ("NotAllowed", "Without an id this is another path, which has no such method."),
    408: ("TooSlow", "The body did not arrive within 30 seconds."),
    409: ("Conflict", "It is in the way of what is there already, which stays as it is."),
    413: ("TooLarge", "The body has more bytes than are read here."),
    415: ("Unsupported", "The body is a form or compressed."),
    422: ("Faults", "All that is wrong, by field."),
    429: ("TooMany", "More requests than are let in, or too many failed logins from this address."),
    503: ("NotNow", "The store cannot do its work now; nothing was recorded."),
}
_JSON_API_ERRORS = "JSONAPIErrors"
_PROBLEM_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}},
}


class _Schemas(GenerateJsonSchema):
    """Schemas without titles that only repeat names, and without defaults in answers."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        """Never."""
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:  # noqa: ANN401 - pydantic's signature
        """A default that is sent is no default: where it is not set, the key is missing."""
        return self.generate_inner(schema["schema"]) if self.mode == "serialization" else super().default_schema(schema)


class Description:
    """The description in OpenAPI 3.1, made once it is asked for."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        self._components: _Json = {}

    @cached_property
    def json(self) -> bytes:
        """As JSON."""
        return orjson.dumps(self.content, option=orjson.OPT_APPEND_NEWLINE)

    @cached_property
    def content(self) -> _Json:
        """As a mapping."""
        problem = self._schema(ProblemResponse, "serialization")
        responses = {
            name: {
                "description": says,
                **({"headers": _PROBLEM_HEADERS[status]} if status in _PROBLEM_HEADERS else {}),
                "content": {_PROBLEM: {"schema": problem}},
            }
            for status, (name, says) in _PROBLEMS.items()
        }
        errors = {JSON_API: {"schema": self._schema(JSONAPIErrors, "serialization")}}
        responses[_JSON_API_ERRORS] = {"description": "All that is wrong, as JSON:API has errors.", "content": errors}
        paths: _Json = {}
        names: set[str] = set()
        for route in self._routes:
            described = operation_of(route.handler)
            name = described.id if described.id not in names else f"{described.id}By{route.method.title()}"
            names.add(name)
            paths.setdefault(route.path, {})[route.method.lower()] = self._operation(route, described, name)
        content = {
            "openapi": "3.1.0",
            "info": _INFO,
            "servers": [{"url": "http://localhost:10333"}],
            "tags": [{"name": name, "description": says} for name, says in TOPICS.items()],
            "paths": paths,
            "components": {
                "securitySchemes": _SECURITY,
                "responses": responses,
                "schemas": {name: self._components[name] for name in sorted(self._components)},
            },
        }
        found: _Json = _named(content)
        return found

    def calls(self) -> Iterator[tuple[str, str, str, str]]:
        """Topic, method, path and summary of each call, in the order of the routes."""
        for route in self._routes:
            described = operation_of(route.handler)
            yield described.topic, route.method, route.path, described.summary

    def _operation(self, route: Route, described: Operation, name: str) -> _Json:
        needs = f"Needs the scope `{route.scope.value}`." if route.scope is not None else ""
        body = described.body
        found: _Json = {
            "tags": [described.topic],
            "operationId": name,
            "summary": described.summary,
            "description": " ".join(filter(None, (described.text, needs))),
            "security": _security(route),
            "parameters": list(self._parameters(route, described)),
        }
        if body is not None:
            example = {} if body.example is None else {"example": dict(body.example)}
            content = {of: {"schema": self._schema(kind, "validation")} | example for of, kind in body.content.items()}
            found["requestBody"] = {"required": True, "content": content}
        found["responses"] = self._responses(route, described)
        return {key: value for key, value in found.items() if value not in ("", [])}

    def _parameters(self, route: Route, described: Operation) -> Iterator[_Json]:
        for name in re.findall(r"{(\w+)}", route.path):
            schema = self._schema(described.path.get(name, str), "validation")
            yield {"name": name, "in": "path", "required": True, "schema": schema}
        for name, kind in described.headers.items():
            yield {"name": name, "in": "header", "schema": self._schema(kind, "validation")}
        if described.query is not None:
            whole = self._fields(described.query)
            for name, schema in whole["properties"].items():
                says = {"description": schema.pop("description")} if "description" in schema else {}
                needed = {"required": True} if name in whole.get("required", ()) else {}
                yield {"name": name, "in": "query", **needed, **says, "schema": _not_null(schema)}

    def _responses(self, route: Route, described: Operation) -> _Json:
        found: _Json = {str(status): self._answer(answer) for status, answer in described.answers.items()}
        for status in _refusals(route, described):
            name = _JSON_API_ERRORS if route.json_api else _PROBLEMS[status][0]
            if str(status) not in found:
                found[str(status)] = {"$ref": f"#/components/responses/{name}"}
            else:
                found[str(status)]["content"][_PROBLEM] = {"schema": self._schema(ProblemResponse, "serialization")}
        return dict(sorted(found.items()))

    def _answer(self, answer: Answer) -> _Json:
        headers = {
            name: {"description": says, "schema": {"type": "string"}} for name, says in sorted(answer.headers.items())
        }
        content = {of: {"schema": self._schema(kind, "serialization")} for of, kind in answer.content.items()}
        return {"description": answer.says, **({"headers": headers} if headers else {}), "content": content}

    def _schema(self, kind: Any, mode: _Mode) -> _Json:  # noqa: ANN401 - a model or any annotation
        adapters = [("kind", mode, TypeAdapter(kind))]
        found, whole = TypeAdapter.json_schemas(adapters, ref_template=_COMPONENT, schema_generator=_Schemas)
        self._keep(whole.get("$defs", {}))
        return dict(found["kind", mode])

    def _fields(self, kind: type[BaseModel]) -> _Json:
        """The schema of a model in place, with what it refers to among the components."""
        whole = kind.model_json_schema(ref_template=_COMPONENT, schema_generator=_Schemas)
        self._keep(whole.pop("$defs", {}))
        return whole

    def _keep(self, definitions: Mapping[str, _Json]) -> None:
        for name, schema in definitions.items():
            known = self._components.setdefault(name, schema)
            if known != schema:
                raise ValueError(f"two schemas are called {name}")


def _security(route: Route) -> list[_Json]:
    if route.signed:
        return [{"sender": []}]
    return [{}] if route.scope is None else [{}, {"token": [route.scope.value]}]


def _refusals(route: Route, described: Operation) -> Iterator[int]:
    if route.scope is not None or route.signed:
        yield from (401, 403, 429, 503)
    if route.method != "GET":
        yield from (400, 408, 413, 415)
        if not route.json_api:
            yield 422
    elif described.query is not None:
        yield 422
    if "{" in route.path or described.missing:
        yield 404
    if "}/" in route.path:
        yield 405
    if described.conflicts:
        yield 409


def _not_null(schema: _Json) -> _Json:
    """A parameter of an address that is left out is no null."""
    kinds = [kind for kind in schema.pop("anyOf", ()) if kind != {"type": "null"}]
    default = schema.pop("default", None)
    one = kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
    return one | schema | ({"default": default} if default not in (None, (), []) else {})


def _named(content: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same with components called as what is answered, and without titles that repeat their names."""
    if isinstance(content, list | tuple):
        return [_named(each) for each in content]
    if not isinstance(content, dict):
        return content
    found: _Json = {}
    for key, value in content.items():
        if key == "$ref" and isinstance(value, str):
            found[key] = value.removesuffix(_SUFFIX)
        elif key == "schemas" and "responses" in content:
            found[key] = {name.removesuffix(_SUFFIX): _named(_untitled(schema)) for name, schema in value.items()}
        else:
            found[key] = _named(value)
    return found


def _untitled(schema: _Json) -> _Json:
    return {key: value for key, value in schema.items() if key != "title"}
