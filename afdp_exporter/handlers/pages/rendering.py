"""Templates into answers, under a policy that lets a browser run nothing but the file that is served here."""

from datetime import datetime
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from typing import Literal

import jinja2
from aiohttp import web

from afdp_exporter import __version__
from afdp_exporter.errors import NotFound
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import Answer, operation
from afdp_exporter.handlers.pages import filters
from afdp_exporter.wording.times import time_zone

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_TYPES = {"afdp.css": "text/css", "afdp.js": "text/javascript", "afdp.svg": "image/svg+xml"}
_ASSETS = {name: (files("afdp_exporter.handlers") / "assets" / name).read_bytes() for name in _TYPES}

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("afdp_exporter.handlers"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(filters.FILTERS)
_TEMPLATES.globals.update(version=__version__, time_zone=lambda: str(time_zone()))

_MEANINGS = {
    HTTPStatus.UNAUTHORIZED: "This page needs a credential: a user and password, or a token as the password.",
    HTTPStatus.FORBIDDEN: "This credential does not allow to read here.",
    HTTPStatus.NOT_FOUND: "There is no such page or deployment here.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store does not answer just now. What was recorded is kept; try again soon.",
}


def page(
    request: web.Request, template: str, *, status: int = 200, reload_after: int | None = None, **content: object
) -> web.Response:
    """A page in HTML, at the time that the app's clock shows; a browser loads it again after so many seconds."""
    now = request.app[STATE].clock()
    external = request.app[STATE].external
    path = external.own_path(request.path)
    answer = _answer(
        template, now, root=external.prefix, path=path, status=status, reload_after=reload_after, **content
    )
    if reload_after is not None:
        answer.headers["Refresh"] = str(reload_after)
    return answer


def problem_page(request: web.Request, answered: web.Response, detail: str) -> web.Response:
    """A problem that was answered to programs, as people read it."""
    status = HTTPStatus(answered.status)
    answer = _answer(
        "problem.html",
        request.app[STATE].clock(),
        root=request.app[STATE].external.prefix,
        path="",
        status=status,
        title=status.phrase,
        meaning=_MEANINGS.get(status, ""),
        detail=detail,
    )
    headers = {name: value for name, value in answered.headers.items() if not name.startswith("Content-")}
    answer.headers.update(headers)
    return answer


def wants_page(request: web.Request) -> bool:
    """Whether whoever asks is a browser that shows a page."""
    path = request.app[STATE].external.own_path(request.path)
    return "text/html" in request.headers.get("Accept", "") and not path.startswith("/api/")


@operation(
    "pages",
    "asset",
    "Style, script and icon of the pages",
    path={"name": Literal["afdp.css", "afdp.js", "afdp.svg"]},
    answers={200: Answer(says="The file.", content=dict.fromkeys(_TYPES.values(), str))},
)
async def asset(request: web.Request) -> web.Response:
    """The style, the script and the icon of the pages."""
    name = request.match_info["name"]
    if name not in _ASSETS:
        raise NotFound("there is no such file")
    headers = {"Cache-Control": "public, max-age=86400"}
    return web.Response(body=_ASSETS[name], content_type=_TYPES[name], charset="utf-8", headers=headers)


def _answer(template: str, now: datetime, *, root: str, path: str, status: int, **content: object) -> web.Response:
    relative = partial(filters.relative, now=now)
    text = _TEMPLATES.get_template(template).render(now=now, root=root, path=path, relative=relative, **content)
    headers = {"Content-Security-Policy": _POLICY}
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
