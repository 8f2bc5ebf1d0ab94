"""`/`: the deployments, newest first, with what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from afdp_exporter.automation.harm import in_harm
from afdp_exporter.fields import Name
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.operations import page_operation
from afdp_exporter.handlers.pages import filters
from afdp_exporter.handlers.pages.glance import reload_after
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.handlers.reading import read_query
from afdp_exporter.model import Deployment, MeasuredDeployment, Outcome, Trajectory
from afdp_exporter.plots.small_charts import Sparkline, sparkline
from afdp_exporter.store.follow_ups import CHECK

_PER_PAGE = 25
_LONGEST_ROLLOUT = timedelta(hours=6)


def _none_where_empty(text: object) -> object:
    return None if text == "" else text  # a form sends the fields that were left alone, too


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Annotated[Name | None, BeforeValidator(_none_where_empty)] = None
    environment: Annotated[Name | None, BeforeValidator(_none_where_empty)] = None
    outcome: Annotated[Outcome | None, BeforeValidator(_none_where_empty)] = None
    cursor: Annotated[
        Annotated[str, Field(max_length=512, pattern=r"^[\x21-\x7e]+$")] | None,
        Field(description="From the page before."),
    ] = None

    def fits(self, measured: MeasuredDeployment) -> bool:
        """Whether a deployment is among those that are asked for."""
        deployment = measured.deployment
        return (
            self.service in (None, deployment.service)
            and self.environment in (None, deployment.environment)
            and self.outcome in (None, measured.decision.outcome)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    measured: MeasuredDeployment
    outcome: str
    headline: str
    metric: str | None
    sparkline: Sparkline | None


@page_operation(
    "listPage",
    "The deployments as a page for people",
    "Where a browser asks, problems are pages, too.",
    query=_Filter,
)
async def listing(request: web.Request) -> web.Response:
    """A page of deployments; where there is none at all, the next step."""
    state, wanted = request.app[STATE], read_query(_Filter, request)
    overview = await state.store.history.overview(**wanted.model_dump(), limit=_PER_PAGE)
    watched = [metric.name for metric in state.rules.watched.metrics]
    informative = {each.deployment.id: _informative(each, watched) for each in overview.measured}
    chosen = {deployment_id: metric for deployment_id, metric in informative.items() if metric is not None}
    courses = await state.store.results.trajectories_of(chosen)
    places = await state.store.deployments.service_environments()
    next_check = (await state.store.jobs.next_at([CHECK])).get(CHECK)
    now = state.clock()
    kept = {name: value for name, value in wanted.model_dump(exclude={"cursor"}).items() if value is not None}
    return page(
        request,
        "deployments.html",
        reload_after=None if wanted.cursor else reload_after(next_check, now),
        active=await _active(state, wanted) if wanted.cursor is None else [],
        under_way=[each.deployment for each in overview.measured if _is_under_way(each.deployment, now)],
        next_check=next_check if next_check and next_check > now else None,
        narrowed=bool(kept),
        rows=_rows(state, overview.measured, chosen, courses),
        services=sorted({service for service, _ in places}),
        environments=sorted({environment for _, environment in places}),
        outcomes=list(Outcome),
        wanted=wanted,
        following=f"/?{urlencode({**kept, 'cursor': overview.cursor})}" if overview.cursor else None,
        first=f"/?{urlencode(kept)}" if wanted.cursor else None,
        address=state.external.url or f"{request.scheme}://{request.host}",
        tokens=bool(state.rules.tokens),
        sources=sorted(state.rules.watched.sources),
        metrics=watched,
        empty=not places,
    )


def _is_under_way(deployment: Deployment, now: datetime) -> bool:
    """Whether it rolls out as far as known; an end that was never reported does not keep it here for ever."""
    return deployment.running and now - _LONGEST_ROLLOUT < deployment.started_at <= now


async def _active(state: AppContext, wanted: _Filter) -> list[MeasuredDeployment]:
    """The deployments whose harm goes on, the worst first: a failure before a degradation, then by what they cost."""
    shown = filter(wanted.fits, await in_harm(state.store))
    return sorted(shown, key=lambda each: (each.decision.outcome is not Outcome.FAILURE, -_loss(each)))


def _loss(measured: MeasuredDeployment) -> float:
    costs = measured.impact.costs if measured.impact is not None else ()
    return max((cost.per_hour.median for cost in costs if not cost.ended), default=0.0)


def _informative(measured: MeasuredDeployment, watched: Sequence[str]) -> str | None:
    """The metric whose course says most: the first that moved, else the first of those that are watched."""
    if measured.impact is None:
        return None
    moved = filters.ranked(measured.impact.shifts)
    known = {shift.metric for shift in measured.impact.shifts if shift.change is not None}
    return moved[0].metric if moved else next((metric for metric in watched if metric in known), None)


def _rows(
    state: AppContext, found: Sequence[MeasuredDeployment], chosen: dict[str, str], courses: dict[str, Trajectory]
) -> list[_Row]:
    now = state.clock()
    return [
        _Row(
            measured=each,
            outcome=filters.outcome_of(each),
            headline=filters.headline(each, now),
            metric=chosen.get(each.deployment.id),
            sparkline=sparkline(courses[each.deployment.id]) if each.deployment.id in courses else None,
        )
        for each in found
    ]
