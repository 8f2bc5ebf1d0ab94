"""The pages for people."""

import jinja2
from aiohttp import web

from afdp_exporter import __version__

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("afdp_exporter.handlers"), autoescape=True, undefined=jinja2.StrictUndefined
)


async def landing(_: web.Request) -> web.Response:
    """Name, version and where everything is."""
    page = _TEMPLATES.get_template("landing.html").render(version=__version__)
    return web.Response(text=page, content_type="text/html")
