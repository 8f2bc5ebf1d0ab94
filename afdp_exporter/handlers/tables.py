"""Flat tables for who reads rows and not reports, such as Grafana's JSON data sources."""

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.fields import Name
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import json_answer, operation
from afdp_exporter.handlers.reading import read_query
from afdp_exporter.impact.story import harm_status, headline
from afdp_exporter.model import Estimate, Impact, MeasuredDeployment, Outcome, Similar
from afdp_exporter.responses import Count, Number, Ratio, Response, Time


class _Stories(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name | None = None
    environment: Name | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class _One(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment_id: Annotated[str, Field(max_length=128)]


class StoryRow(Response):
    """What became of a deployment, in words and in money."""

    deployment_id: str
    service: str
    environment: str
    version: str | None
    team: str | None
    started_at: Time
    outcome: Outcome
    headline: str
    story: str
    status: Annotated[
        str | None,
        Field(description="Whether harm goes on, as of when, or how it ended; null where none was found"),
    ]
    measured_at: Time
    cost_per_hour_low: Number
    cost_per_hour: Annotated[Number, Field(description="Null once nothing is lost any more")]
    cost_per_hour_high: Number
    cost_total_low: Number
    cost_total: Annotated[Number, Field(description="So far, or in all once it is over")]
    cost_total_high: Number
    currency: str | None
    seen_before: Count


class StoryRows(Response):
    """Stories, the newest first."""

    rows: tuple[StoryRow, ...]


class SimilarRow(Response):
    """A past deployment that is like another one, and why."""

    deployment_id: str
    service: str
    version: str | None
    started_at: Time
    similarity_ratio: Ratio
    why: str
    outcome: Outcome
    cost_per_hour: Number


class SimilarRows(Response):
    """Similar deployments, the most similar first."""

    rows: tuple[SimilarRow, ...]


@operation(
    "deployments",
    "tableOfStories",
    "Stories as rows",
    "The newest measured deployments, the newest first, flat, for JSON data sources such as Grafana's Infinity.",
    query=_Stories,
    answers={200: json_answer(StoryRows, "One row a deployment.")},
)
async def stories(request: web.Request) -> web.Response:
    """The newest measured deployments, a row each: what became of them, in words and in money."""
    state = request.app[STATE]
    query = read_query(_Stories, request)
    found = await state.store.history.measured(before=state.clock(), service=query.service, limit=query.limit)
    rows = [
        _story(each, each.impact)
        for each in reversed(found)
        if each.impact is not None and query.environment in (None, each.deployment.environment)
    ]
    return answer(StoryRows(rows=rows))


@operation(
    "deployments",
    "tableOfSimilarDeployments",
    "Similar deployments as rows",
    "The past deployments that are most like a recorded one, and why.",
    query=_One,
    answers={200: json_answer(SimilarRows, "One row a deployment, the most similar first.")},
    missing=True,
)
async def similar(request: web.Request) -> web.Response:
    """The past deployments that are most like a recorded one, a row each, with why they are."""
    state = request.app[STATE]
    query = read_query(_One, request)
    deployment = await state.store.deployments.find(query.deployment_id)
    prediction = await state.planner.predict(deployment, state.rules.plans, state.clock())
    others = (each for each in prediction.similar if each.deployment_id != deployment.id)
    return answer(SimilarRows(rows=[_similar(each) for each in others]))


def _story(measured: MeasuredDeployment, impact: Impact) -> StoryRow:
    deployment = measured.deployment
    cost = next(iter(impact.costs), None)
    return StoryRow(
        deployment_id=deployment.id,
        service=deployment.service,
        environment=deployment.environment,
        version=deployment.version,
        team=deployment.team,
        started_at=deployment.started_at,
        outcome=measured.decision.outcome,
        headline=headline(measured),
        story=" ".join(impact.story),
        status=harm_status(impact, deployment.started_at),
        measured_at=impact.measured_at,
        **_range("cost_per_hour", cost.per_hour if cost and not cost.ended else None),
        **_range("cost_total", cost.total if cost else None),
        currency=cost.currency if cost else None,
        seen_before=impact.seen_before.count,
    )


def _similar(similar: Similar) -> SimilarRow:
    return SimilarRow(
        deployment_id=similar.deployment_id,
        service=similar.service,
        version=similar.version,
        started_at=similar.started_at,
        similarity_ratio=similar.similarity_ratio,
        why="; ".join(similar.why),
        outcome=similar.outcome,
        cost_per_hour=similar.cost_per_hour,
    )


def _range(name: str, amount: Estimate | None) -> dict[str, float | None]:
    """A figure with its range as three columns, empty where it is not known or, of an hour, no longer lost."""
    ends = (amount.low, amount.median, amount.high) if amount is not None else (None, None, None)
    return dict(zip((f"{name}_low", name, f"{name}_high"), ends, strict=True))
