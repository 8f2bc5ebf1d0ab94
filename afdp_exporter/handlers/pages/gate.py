"""`/gate`: what the gate answered lately, how far automation goes, and what was done about deployments."""

from datetime import timedelta

from aiohttp import web

from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.handlers.state import STATE

_LATELY = timedelta(days=30)
_SHOWN = 50


async def gate(request: web.Request) -> web.Response:
    """The newest decisions and actions, and where each service stands."""
    state = request.app[STATE]
    store = state.store.automation
    return page(
        request,
        "gate.html",
        decisions=await store.decisions(since=state.clock() - _LATELY, limit=_SHOWN),
        standings=sorted(state.gatekeeper.levels.all().items()),
        actions=await store.actions(limit=_SHOWN),
        paused=await state.actions.paused(),
        ways=state.rules.ways,
    )
