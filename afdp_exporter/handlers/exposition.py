"""`/metrics`."""

import asyncio

from aiohttp import web

from afdp_exporter.handlers.state import STATE

_IN_A_THREAD = 16_384  # bytes from which on compression leaves the event loop


async def metrics(request: web.Request) -> web.Response:
    """What is held in memory, in the format that the scraper asks for; `name[]` chooses families."""
    instruments = request.app[STATE].instruments
    accept = ",".join(request.headers.getall("Accept", []))
    names = request.query.getall("name[]", [])
    body, content_type = await asyncio.to_thread(instruments.render, accept, names)
    response = web.Response(body=body, headers={"Content-Type": content_type}, zlib_executor_size=_IN_A_THREAD)
    response.enable_compression()
    return response
