"""`/api/v1/deployments`: told, changed, listed, and what they did."""

import uuid
from typing import Annotated, Any
from urllib.parse import urlencode

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.automation.answers import quoted_json
from afdp_exporter.errors import Conflict, Fault, NotFound
from afdp_exporter.external import External
from afdp_exporter.fields import ID, Name, Time
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.reading import read_json, read_key, read_query
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.model import Deployment
from afdp_exporter.store import Amendment
from afdp_exporter.tracking.intake import apply, read_change, read_deployment
from afdp_exporter.watching.report import deployment_json, report_json, series_json
from afdp_exporter.watching.watch import plan, plan_anew

log = structlog.get_logger(__name__)

KIND = "api"
_PATH = "/api/v1/deployments"


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name | None = None
    environment: Name | None = None
    since: Time | None = None
    cursor: Annotated[str, Field(max_length=512, pattern=r"^[\x21-\x7e]+$")] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class _Series(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Annotated[str, Field(min_length=1, max_length=200)] | None = None


async def create(request: web.Request) -> web.Response:
    """Record a deployment. Answered once it is committed: 201, or 200 where it was there before."""
    state = request.app[STATE]
    key = read_key(request)
    body = await read_json(request)
    now = state.clock()
    told = read_deployment(body, now=now, new_id=str(uuid.uuid4()), received_from=KIND)
    recorded = await state.store.record(told, plan(told, state.rules.schedule, now), key=key)
    stored = recorded.deployment
    if not recorded.created:
        _check_same(told, stored)
        return answer(_stored(stored, state), headers={"Location": _link(stored, state.external)})
    state.instruments.annotations.received(KIND)
    state.told(stored)
    log.info("deployment recorded", id=stored.id, service=stored.service, environment=stored.environment)
    return answer(_stored(stored, state), 201, {"Location": _link(stored, state.external)})


async def change(request: web.Request) -> web.Response:
    """Change what is known of a deployment; its looks are planned anew where its end changes."""
    state = request.app[STATE]
    deployment_id = _id(request)
    wanted = read_change(await read_json(request))
    now = state.clock()

    def amend(deployment: Deployment) -> Amendment:
        changed = apply(wanted, deployment, now=now)
        looks = plan_anew(deployment, changed, state.rules.schedule, now)
        return Amendment(deployment=changed, looks=looks)

    stored = await state.store.amend(deployment_id, amend)
    state.instruments.annotations.received(KIND)
    state.told(stored)
    log.info("deployment changed", id=stored.id, fields=sorted(wanted.model_fields_set))
    return answer(_stored(stored, state))


async def get(request: web.Request) -> web.Response:
    """The whole report."""
    state = request.app[STATE]
    store = state.store
    deployment = await store.deployment(_id(request))
    impact = await store.impact(deployment.id)
    looks = await store.looks(deployment.id)
    quoted = quoted_json(await store.automation.decision_on(deployment))
    return answer(report_json(deployment, impact, looks) | {"gate": quoted} | _beside(deployment, state))


async def series(request: web.Request) -> web.Response:
    """Each metric around the deployment, as its judgement saw it; one of them where `metric` names it."""
    store, wanted = request.app[STATE].store, read_query(_Series, request)
    deployment = await store.deployment(_id(request))
    impact, courses = await store.impact(deployment.id), await store.courses(deployment.id)
    chosen = [course for course in courses if wanted.metric in (None, course.metric)]
    return answer(series_json(deployment, impact, chosen))


async def list_(request: web.Request) -> web.Response:
    """A page of deployments, newest first, and the address of the next one."""
    query = read_query(_Filter, request)
    state = request.app[STATE]
    page = await state.store.deployments(**query.model_dump())
    following = None
    if page.cursor is not None:
        following = state.external.link(f"{_PATH}?{urlencode({**request.query, 'cursor': page.cursor})}")
    return answer(
        {
            "deployments": [_stored(deployment, state) for deployment in page.deployments],
            "cursor": page.cursor,
            "links": {"next": following},
        }
    )


def _check_same(told: Deployment, stored: Deployment) -> None:
    for field in ("service", "environment", "version"):
        mine, theirs = getattr(told, field), getattr(stored, field)
        if mine is not None and theirs is not None and mine != theirs:
            raise Conflict(Fault("id", f"stands for another deployment already, whose {field} is {theirs}"))


def _id(request: web.Request) -> str:
    deployment_id = request.match_info["id"]
    if not ID.fullmatch(deployment_id):
        raise NotFound("no deployment has this id")
    return deployment_id


def _stored(deployment: Deployment, state: State) -> dict[str, Any]:
    return deployment_json(deployment) | _beside(deployment, state)


def _beside(deployment: Deployment, state: State) -> dict[str, Any]:
    return {
        "warnings": list(state.rules.watched.warnings(deployment.service)),
        "links": links(deployment, state.external),
    }


def links(deployment: Deployment, external: External) -> dict[str, str]:
    """Where a deployment, its report, its series and its page are found."""
    report = _link(deployment, external)
    return {
        "self": report,
        "report": report,
        "series": f"{report}/series",
        "page": external.link(f"/deployments/{deployment.id}"),
    }


def _link(deployment: Deployment, external: External) -> str:
    return external.link(f"{_PATH}/{deployment.id}")
