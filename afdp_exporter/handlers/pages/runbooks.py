"""`/runbooks/`: what to do when an alert fires, one page an alert; no credential is needed, nothing in it is secret."""

from aiohttp import web
from markupsafe import Markup

from afdp_exporter.alerts import html_of, runbook_names, title_of
from afdp_exporter.errors import NotFound
from afdp_exporter.handlers.operations import page_operation
from afdp_exporter.handlers.pages.rendering import page


@page_operation("runbooksPage", "What to do about each alert")
async def index(request: web.Request) -> web.Response:
    """All alerts, with what each of them means."""
    alerts = [(name, title_of(name)) for name in runbook_names()]
    return page(request, "runbooks.html", alerts=alerts)


@page_operation("runbookPage", "What to do about one alert")
async def runbook(request: web.Request) -> web.Response:
    """The runbook of one alert; its name may end in `.md`, as files are linked."""
    name = request.match_info["name"].removesuffix(".md")
    if name not in runbook_names():
        raise NotFound("no alert has this name")
    body = Markup(html_of(name))  # noqa: S704 - our own text, rendered without raw HTML
    return page(request, "runbook.html", name=name, body=body)
