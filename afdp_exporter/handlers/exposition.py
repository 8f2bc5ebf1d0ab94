"""`/metrics`."""

import asyncio

from aiohttp import web
from pydantic import BaseModel, Field

from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import TEXT, Answer, operation

_IN_A_THREAD = 16_384  # bytes from which on compression leaves the event loop


class _Families(BaseModel):
    names: tuple[str, ...] = Field((), alias="name[]", description="Only the families of these names.")


@operation(
    "operation",
    "metrics",
    "Everything as Prometheus reads it",
    query=_Families,
    answers={
        200: Answer(
            says="Text format 0.0.4, or OpenMetrics 1.0.0 where `Accept` asks for it.",
            content={TEXT: str, "application/openmetrics-text": str},
        )
    },
)
async def metrics(request: web.Request) -> web.Response:
    """What is held in memory, in the format that the scraper asks for; `name[]` chooses families.

    Of several replicas the leader alone shows the deployments.
    """
    instruments = request.app[STATE].instruments
    accept = ",".join(request.headers.getall("Accept", []))
    names = _Families.model_validate({"name[]": request.query.getall("name[]", [])}).names
    shows = request.app[STATE].leadership.shows_to(request.remote or "")
    body, content_type = await asyncio.to_thread(instruments.render, accept, names, deployments=shows)
    response = web.Response(body=body, headers={"Content-Type": content_type}, zlib_executor_size=_IN_A_THREAD)
    response.enable_compression()
    return response
