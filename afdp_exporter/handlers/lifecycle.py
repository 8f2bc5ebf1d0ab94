"""`/-/healthy`, `/-/ready`, `/-/reload`, as Prometheus has them."""

from aiohttp import web

from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import operation, text_answer


@operation(
    "operation",
    "healthy",
    "Whether the process works",
    answers={200: text_answer("It does."), 503: text_answer("Its store has ended.")},
)
async def healthy(request: web.Request) -> web.Response:
    """The process answers, and what it accepts is kept."""
    if not request.app[STATE].store.healthy:
        return web.Response(status=503, text="The store of afdp-exporter has ended.\n")
    return web.Response(text="afdp-exporter is healthy.\n")


@operation(
    "operation",
    "ready",
    "Whether it can be used",
    answers={200: text_answer("It can."), 503: text_answer("It starts or ends.")},
)
async def ready(request: web.Request) -> web.Response:
    """The store is open and `/metrics` shows what is in it."""
    if request.app[STATE].ready:
        return web.Response(text="afdp-exporter is ready.\n")
    return web.Response(status=503, text="afdp-exporter is not ready.\n")


@operation(
    "operation",
    "reload",
    "Read the configuration again",
    "Where it is wrong, the one before stays.",
    answers={200: text_answer("It was read.")},
)
async def reload(request: web.Request) -> web.Response:
    """Read the configuration again; where it is wrong, the one before stays."""
    await request.app[STATE].reloading.reload()
    return web.Response(text="The configuration was read again.\n")
