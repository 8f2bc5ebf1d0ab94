"""`/`: the deployments, newest first, with what became of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from afdp_exporter.fields import Name
from afdp_exporter.handlers.pages import words
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.handlers.reading import read_query
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.model import Course, Measured, Outcome
from afdp_exporter.pictures.sparkline import Sparkline, sparkline

_PER_PAGE = 25
_NEWEST = 5  # deployments of each service that may hold its last measured one
_BAD = frozenset({Outcome.DEGRADATION, Outcome.FAILURE})


def _none_where_empty(text: object) -> object:
    return None if text == "" else text  # a form sends the fields that were left alone, too


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Annotated[Name | None, BeforeValidator(_none_where_empty)] = None
    environment: Annotated[Name | None, BeforeValidator(_none_where_empty)] = None
    outcome: Annotated[Outcome | None, BeforeValidator(_none_where_empty)] = None
    cursor: Annotated[str, Field(max_length=512, pattern=r"^[\x21-\x7e]+$")] | None = None

    def fits(self, measured: Measured) -> bool:
        """Whether a deployment is among those that are asked for."""
        deployment = measured.deployment
        return (
            self.service in (None, deployment.service)
            and self.environment in (None, deployment.environment)
            and self.outcome in (None, measured.decision.outcome)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    measured: Measured
    outcome: str
    headline: str
    metric: str | None
    sparkline: Sparkline | None


async def listing(request: web.Request) -> web.Response:
    """A page of deployments; where there is none at all, the next step."""
    state, wanted = request.app[STATE], read_query(_Filter, request)
    overview = await state.store.overview(**wanted.model_dump(), limit=_PER_PAGE)
    watched = [metric.name for metric in state.rules.watched.metrics]
    telling = {each.deployment.id: _telling(each, watched) for each in overview.measured}
    chosen = {deployment_id: metric for deployment_id, metric in telling.items() if metric is not None}
    courses = await state.store.chosen_courses(chosen)
    places = await state.store.places()
    kept = {name: value for name, value in wanted.model_dump(exclude={"cursor"}).items() if value is not None}
    return page(
        request,
        "deployments.html",
        active=await _active(state, wanted) if wanted.cursor is None else [],
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


async def _active(state: State, wanted: _Filter) -> list[Measured]:
    """The deployments whose harm goes on, the worst first: a failure before a degradation, then by what they cost.

    Only the last deployment of a service can be one, since the next one ends what is put down to it; the newest may
    be planned or under way.
    """
    newest = await state.store.recent(_NEWEST)
    found = [each for each in newest if each.impact is not None and each.impact.harm and each.impact.harm.active]
    shown = [each for each in found if wanted.fits(each) and each.decision.outcome in _BAD]
    return sorted(shown, key=lambda each: (each.decision.outcome is not Outcome.FAILURE, -_loss(each)))


def _loss(measured: Measured) -> float:
    costs = measured.impact.costs if measured.impact is not None else ()
    return max((cost.per_hour.median for cost in costs if not cost.ended), default=0.0)


def _telling(measured: Measured, watched: Sequence[str]) -> str | None:
    """The metric whose course tells most: the first that moved, else the first of those that are watched."""
    if measured.impact is None:
        return None
    moved = words.ranked(measured.impact.shifts)
    known = {shift.metric for shift in measured.impact.shifts if shift.change is not None}
    return moved[0].metric if moved else next((metric for metric in watched if metric in known), None)


def _rows(state: State, found: Sequence[Measured], chosen: dict[str, str], courses: dict[str, Course]) -> list[_Row]:
    now = state.clock()
    return [
        _Row(
            measured=each,
            outcome=words.outcome_of(each),
            headline=words.headline(each, now),
            metric=chosen.get(each.deployment.id),
            sparkline=sparkline(courses[each.deployment.id]) if each.deployment.id in courses else None,
        )
        for each in found
    ]
