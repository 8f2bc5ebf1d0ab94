"""`/api/v1/dataset`: what was measured as training data."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.handlers.reading import read_query
from afdp_exporter.handlers.state import STATE
from afdp_exporter.planning.training import laid_out

_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv"}


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["jsonl", "csv"] = "jsonl"
    free_text: bool = False
    limit: Annotated[int, Field(ge=1, le=100_000)] = 10_000


async def dataset(request: web.Request) -> web.Response:
    """Lay out the newest measured deployments, people hashed; the column `split` tells the part of the time."""
    state = request.app[STATE]
    wanted = read_query(_Wanted, request)
    rules, now = state.rules, state.clock()
    history = await state.store.history(before=now, limit=wanted.limit)
    known = (history, rules.plans.calendar(now), await state.store.salt(), rules.schedule)
    content = await state.workers.run(
        laid_out, *known, free_text=wanted.free_text, form=wanted.format, deadline=rules.plans.settings.deadline
    )
    name = f'attachment; filename="deployments.{wanted.format}"'
    return web.Response(
        body=content, content_type=_TYPES[wanted.format], charset="utf-8", headers={"Content-Disposition": name}
    )
