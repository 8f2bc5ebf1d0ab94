"""`/api`, `/api/v1/openapi.json`, `/openapi.yaml`: every call, for people and programs; nothing in it is secret."""

from collections import defaultdict
from functools import cache
from importlib.resources import files
from typing import Any

from aiohttp import web

from afdp_exporter.handlers.openapi import TOPICS, Description
from afdp_exporter.handlers.operations import Answer, json_answer, operation, page_operation
from afdp_exporter.handlers.pages.rendering import page

DESCRIPTION: web.AppKey[Description] = web.AppKey("description", Description)


@page_operation("apiPage", "Every call of the API")
async def index(request: web.Request) -> web.Response:
    """Every call, by what it is about."""
    topics = defaultdict(list)
    for topic, *call in request.app[DESCRIPTION].calls():
        topics[topic].append(call)
    return page(request, "api.html", topics=[(says, topics[name]) for name, says in TOPICS.items()])


@operation(
    "operation",
    "openapiJson",
    "This description, as JSON",
    answers={200: json_answer(dict[str, Any], "The description.")},
)
async def description(request: web.Request) -> web.Response:
    """The description in OpenAPI."""
    return web.Response(body=request.app[DESCRIPTION].json, content_type="application/json")


@operation(
    "operation",
    "openapi",
    "This description",
    answers={200: Answer(says="The description.", content={"application/yaml": dict[str, object]})},
)
async def description_file(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature
    """The same as the file that comes with the exporter."""
    return web.Response(text=_file(), content_type="application/yaml")


@cache
def _file() -> str:
    return (files("afdp_exporter") / "openapi.yaml").read_text("utf-8")
