"""What the next deployment will do, when to deploy, and what was learned."""

import uuid
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.fields import Name
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.reading import read_json, read_query
from afdp_exporter.handlers.state import STATE
from afdp_exporter.model import PatternKind, Status
from afdp_exporter.planning.outlook import patterns_json, prediction_json, windows_json
from afdp_exporter.tracking.intake import read_deployment
from afdp_exporter.watching.report import deployment_json


class _Hours(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name
    hours: Annotated[int, Field(ge=1, le=744)] = 168


class _Kind(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: PatternKind | None = None


async def predict(request: web.Request) -> web.Response:
    """Predict a planned deployment; nothing is recorded."""
    state = request.app[STATE]
    body = {"status": Status.PLANNED.value, **await read_json(request)}
    now = state.clock()
    planned = read_deployment(body, now=now, new_id=str(uuid.uuid4()))
    prediction = await state.planner.predict(planned, state.rules.plans, now)
    found = prediction_json(prediction)
    warnings = [*state.rules.watched.warnings(planned.service), *found["warnings"]]
    return answer(found | {"warnings": warnings, "deployment": deployment_json(planned)})


async def windows(request: web.Request) -> web.Response:
    """Rank the coming hours for a service."""
    state = request.app[STATE]
    query = read_query(_Hours, request)
    ranked = await state.planner.windows(query.service, query.hours, state.rules.plans, state.clock())
    return answer(windows_json(ranked))


async def patterns(request: web.Request) -> web.Response:
    """Tell what was learned."""
    state = request.app[STATE]
    query = read_query(_Kind, request)
    found = await state.planner.patterns(state.rules.plans, state.clock())
    return answer({"patterns": patterns_json(each for each in found if query.kind in (None, each.kind))})
