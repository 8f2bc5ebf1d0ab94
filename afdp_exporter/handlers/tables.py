"""Flat tables for who reads rows and not reports, such as Grafana's JSON data sources."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.fields import Name
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.reading import read_query
from afdp_exporter.handlers.state import STATE
from afdp_exporter.impact.status import harm_status
from afdp_exporter.impact.story import headline
from afdp_exporter.model import Estimate, Impact, Measured
from afdp_exporter.planning.outlook import similar_json
from afdp_exporter.watching.report import number_json, time_json


class _Stories(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name | None = None
    environment: Name | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class _One(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment_id: Annotated[str, Field(max_length=128)]


async def stories(request: web.Request) -> web.Response:
    """The newest measured deployments, a row each: what became of them, in words and in money."""
    state = request.app[STATE]
    query = read_query(_Stories, request)
    found = await state.store.history(before=state.clock(), service=query.service, limit=query.limit)
    rows = [
        _story(each, each.impact)
        for each in reversed(found)
        if each.impact is not None and query.environment in (None, each.deployment.environment)
    ]
    return answer({"rows": rows})


async def similar(request: web.Request) -> web.Response:
    """The past deployments that are most like a recorded one, a row each, with why they are."""
    state = request.app[STATE]
    query = read_query(_One, request)
    deployment = await state.store.deployment(query.deployment_id)
    prediction = await state.planner.predict(deployment, state.rules.plans, state.clock())
    others = (each for each in prediction.similar if each.deployment_id != deployment.id)
    return answer({"rows": [similar_json(each) | {"why": "; ".join(each.why)} for each in others]})


def _story(measured: Measured, impact: Impact) -> dict[str, Any]:
    deployment = measured.deployment
    cost = next(iter(impact.costs), None)
    return {
        "deployment_id": deployment.id,
        "service": deployment.service,
        "environment": deployment.environment,
        "version": deployment.version,
        "team": deployment.team,
        "started_at": time_json(deployment.started_at),
        "outcome": measured.decision.outcome.value,
        "headline": headline(measured),
        "story": " ".join(impact.story),
        "status": harm_status(impact, deployment.started_at),
        "measured_at": time_json(impact.measured_at),
        **_range("cost_per_hour", cost.per_hour if cost and not cost.ended else None),
        **_range("cost_total", cost.total if cost else None),
        "currency": cost.currency if cost else None,
        "seen_before": impact.seen_before.count,
    }


def _range(name: str, amount: Estimate | None) -> dict[str, float | None]:
    """A figure with its range as three columns, empty where it is not known or, of an hour, no longer lost."""
    ends = (amount.low, amount.median, amount.high) if amount is not None else (None, None, None)
    return dict(zip((f"{name}_low", name, f"{name}_high"), map(number_json, ends), strict=True))
