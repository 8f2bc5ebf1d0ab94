"""What the next deployment will do, when to deploy, and what was learned."""

import uuid
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.fields import Name
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import json_answer, json_body, operation
from afdp_exporter.handlers.reading import read_json, read_query
from afdp_exporter.model import PatternKind, Status
from afdp_exporter.planning.outlook import PatternResponse, PredictionResponse, WindowsResponse, prediction_of
from afdp_exporter.responses import Response
from afdp_exporter.tracking.intake import NewDeployment, read_deployment
from afdp_exporter.watching.report import DeploymentResponse


class _Hours(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name
    hours: Annotated[int, Field(ge=1, le=744)] = 168


class _Kind(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: PatternKind | None = None


class PatternsResponse(Response):
    """What was learned, the surest first."""

    patterns: tuple[PatternResponse, ...]


@operation(
    "planning",
    "predict",
    "Predict a planned deployment",
    "The body is that of a deployment; nothing is recorded.",
    body=json_body(
        NewDeployment, {"service": "checkout", "change_types": ["database"], "traits": {"table_rows": 1200000}}
    ),
    answers={200: json_answer(PredictionResponse, "What it is expected to do.")},
)
async def predict(request: web.Request) -> web.Response:
    """Predict a planned deployment; nothing is recorded."""
    state = request.app[STATE]
    body = {"status": Status.PLANNED.value, **await read_json(request)}
    now = state.clock()
    planned = read_deployment(body, now=now, new_id=str(uuid.uuid4()))
    prediction = await state.planner.predict(planned, state.rules.plans, now)
    warnings = tuple(state.rules.watched.warnings(planned.service))
    return answer(prediction_of(prediction, DeploymentResponse.model_validate(planned), warnings))


@operation(
    "planning",
    "rankWindows",
    "The coming hours, ranked by predicted risk and cost",
    query=_Hours,
    answers={200: json_answer(WindowsResponse, "The hours, the best first.")},
)
async def windows(request: web.Request) -> web.Response:
    """Rank the coming hours for a service."""
    state = request.app[STATE]
    query = read_query(_Hours, request)
    ranked = await state.planner.windows(query.service, query.hours, state.rules.plans, state.clock())
    return answer(WindowsResponse.model_validate(ranked))


@operation(
    "planning",
    "listPatterns",
    "What was learned",
    query=_Kind,
    answers={200: json_answer(PatternsResponse, "The surest first.")},
)
async def patterns(request: web.Request) -> web.Response:
    """What was learned."""
    state = request.app[STATE]
    query = read_query(_Kind, request)
    found = await state.planner.patterns(state.rules.plans, state.clock())
    return answer(PatternsResponse(patterns=[each for each in found if query.kind in (None, each.kind)]))
