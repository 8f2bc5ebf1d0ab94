"""`/api/v1/dataset`: what was measured as training data."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import Answer, operation
from afdp_exporter.handlers.reading import read_query
from afdp_exporter.planning.training import laid_out

_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv"}


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["jsonl", "csv"] = "jsonl"
    free_text: Annotated[bool, Field(description="Also descriptions, commits, links and wordy traits.")] = False
    limit: Annotated[int, Field(ge=1, le=100_000)] = 10_000


@operation(
    "planning",
    "getDataset",
    "Training data",
    "One row a measured deployment, the newest ones, oldest first; columns by role (`id_`, `ctx_`, `chg_`, `out_`, "
    "`label`), people hashed, and the column `split` for the part of the time.",
    query=_Wanted,
    answers={200: Answer(says="One deployment a line.", content=dict.fromkeys(_TYPES.values(), str))},
)
async def dataset(request: web.Request) -> web.Response:
    """Lay out the newest measured deployments, people hashed; the column `split` names the part of the time."""
    state = request.app[STATE]
    wanted = read_query(_Wanted, request)
    rules, now = state.rules, state.clock()
    history = await state.store.history.measured(before=now, limit=wanted.limit)
    known = (history, rules.plans.calendar(now), await state.store.pseudonym_key(), rules.schedule)
    content = await state.compute.near.run(
        laid_out, *known, free_text=wanted.free_text, form=wanted.format, deadline=rules.plans.settings.deadline
    )
    name = f'attachment; filename="deployments.{wanted.format}"'
    return web.Response(
        body=content, content_type=_TYPES[wanted.format], charset="utf-8", headers={"Content-Disposition": name}
    )
