"""`/api/v1/digest`: some days in short."""

from datetime import timedelta
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.fields import Name
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import json_answer, operation
from afdp_exporter.handlers.reading import read_query
from afdp_exporter.impact.digest import digest, digest_text
from afdp_exporter.model import Deployment, Outcome
from afdp_exporter.responses import Count, MoneyResponse, Response, Time

_MOST = 5000  # measured deployments, the newest


class _Stretch(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    days: Annotated[int, Field(ge=1, le=92)] = 7
    service: Name | None = None
    environment: Name | None = None


class DigestResponse(Response):
    """Some days in short."""

    start: Time
    end: Time
    deployments: Count
    outcomes: dict[Outcome, Count]
    lost: Annotated[
        tuple[MoneyResponse, ...],
        Field(description="What the harmful ones cost so far; the ends of the ranges are added up, too"),
    ]
    harmful: Annotated[tuple[str, ...], Field(description="Ids of deployments, the worst first")]
    going_on: Annotated[
        tuple[str, ...], Field(description="Ids of all deployments whose harm goes on, the worst first")
    ]
    text: Annotated[str, Field(description="The same in words, as plain text")]


@operation(
    "deployments",
    "digest",
    "Some days in short",
    "How many deployments there were, which did harm, what that cost, and which harm goes on.",
    query=_Stretch,
    answers={200: json_answer(DigestResponse, "The digest, up to now.")},
)
async def get(request: web.Request) -> web.Response:
    """The digest of the last days."""
    state = request.app[STATE]
    query = read_query(_Stretch, request)
    end = state.clock()
    start = end - timedelta(days=query.days)

    def wanted(each: Deployment) -> bool:
        return query.service in (None, each.service) and query.environment in (None, each.environment)

    begun = filter(wanted, await state.store.deployments.overlapping(start, end))
    measured = await state.store.history.measured(before=end, service=query.service, limit=_MOST)
    found = digest(begun, (each for each in measured if wanted(each.deployment)), start=start, end=end)
    return answer(
        DigestResponse(
            start=start,
            end=end,
            deployments=found.deployments,
            outcomes={word: found.outcomes.get(word, 0) for word in Outcome},
            lost=tuple(filter(None, (MoneyResponse.of(amount, currency) for currency, amount in found.lost.items()))),
            harmful=tuple(each.deployment.id for each in found.harmful),
            going_on=tuple(each.deployment.id for each in found.going_on),
            text=digest_text(found, state.external.report),
        )
    )
