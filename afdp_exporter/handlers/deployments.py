"""`/api/v1/deployments`: announced, changed, listed, and what they did."""

import uuid
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.automation.answers import QuotedDecisionResponse, quoted_of
from afdp_exporter.errors import Conflict, Fault, NotFound
from afdp_exporter.external import External
from afdp_exporter.fields import ID, Identifier, Name, Time
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.operations import json_answer, json_body, operation
from afdp_exporter.handlers.reading import KEY, read_json, read_key, read_query
from afdp_exporter.model import Deployment
from afdp_exporter.responses import Response
from afdp_exporter.store import Amendment
from afdp_exporter.tracking.intake import DeploymentPatch, NewDeployment, apply, read_change, read_deployment
from afdp_exporter.watching.report import CoursesResponse, DeploymentResponse, MeasuredReport, courses_of, report_of
from afdp_exporter.watching.watch import reschedule_looks, schedule_looks

log = structlog.get_logger(__name__)

KIND = "api"
_PATH = "/api/v1/deployments"


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name | None = None
    environment: Name | None = None
    since: Annotated[Time | None, Field(description="Only deployments that started then or later.")] = None
    cursor: Annotated[
        Annotated[str, Field(max_length=512, pattern=r"^[\x21-\x7e]+$")] | None,
        Field(description="From the page before."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class _Series(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Annotated[
        Annotated[str, Field(min_length=1, max_length=200)] | None, Field(description="Only this one.")
    ] = None


class LinksResponse(Response):
    """Where a deployment, its report, its series and its page are found."""

    self_: Annotated[str, Field(serialization_alias="self")]
    report: str
    series: str
    page: str


_Warnings = Annotated[
    tuple[str, ...],
    Field(description="What its sender should know, as sentences, such as that the service is not configured."),
]


class StoredDeploymentResponse(DeploymentResponse):
    """A deployment as it is kept."""

    warnings: _Warnings
    links: LinksResponse


class ReportResponse(MeasuredReport):
    """The whole report of a deployment."""

    gate: Annotated[
        QuotedDecisionResponse | None,
        Field(
            description="The gate's newest decision on it, or on its version while it was planned; null where it was "
            "never asked."
        ),
    ]
    warnings: _Warnings
    links: LinksResponse


class NextResponse(Response):
    """Where the next page is."""

    next: str | None


class DeploymentsResponse(Response):
    """A page of deployments, newest first."""

    deployments: tuple[StoredDeploymentResponse, ...]
    cursor: Annotated[str | None, Field(description="null on the last page")]
    links: NextResponse


_ONE = {"id": Identifier}


@operation(
    "deployments",
    "recordDeployment",
    "Record a deployment",
    "Answered once it is on disk. The same `id` or `Idempotency-Key` again is answered with the stored object. A "
    "deployment in the past is analysed at once with the data that exists.",
    headers={"Idempotency-Key": KEY},
    body=json_body(
        NewDeployment,
        {"service": "checkout", "version": "v2.1.0", "id": "pipeline-42", "change_types": ["code", "database"]},
    ),
    answers={
        201: json_answer(StoredDeploymentResponse, "It is recorded.", Location="Where its report is."),
        200: json_answer(StoredDeploymentResponse, "It was recorded before.", Location="Where its report is."),
    },
    conflicts=True,
)
async def create(request: web.Request) -> web.Response:
    """Record a deployment. Answered once it is committed: 201, or 200 where it was there before."""
    state = request.app[STATE]
    key = read_key(request)
    body = await read_json(request)
    now = state.clock()
    given = read_deployment(body, now=now, new_id=_new_id(body), received_from=KIND)
    recorded = await state.store.deployments.record(given, schedule_looks(given, state.rules.schedule, now), key=key)
    stored = recorded.deployment
    if not recorded.created:
        _check_same(given, stored)
        return answer(_stored(stored, state), headers={"Location": _link(stored, state.external)})
    state.instruments.annotations.received(KIND)
    log.info("deployment recorded", id=stored.id, service=stored.service, environment=stored.environment)
    return answer(_stored(stored, state), 201, {"Location": _link(stored, state.external)})


@operation(
    "deployments",
    "changeDeployment",
    "Report its end, its rollback, or what a human says of it",
    "Only what is named changes; null takes a word back; traits and labels are added to the known ones. Looks are "
    "planned anew where the end changes.",
    path=_ONE,
    body=json_body(
        DeploymentPatch,
        {"status": "rolled_back", "outcome": "failure", "note": "The new index locked the orders table."},
    ),
    answers={200: json_answer(StoredDeploymentResponse, "It is changed.")},
)
async def change(request: web.Request) -> web.Response:
    """Change what is known of a deployment; its looks are planned anew where its end changes."""
    stored = await amend(request, id_of(request), read_change(await read_json(request)))
    return answer(_stored(stored, request.app[STATE]))


async def amend(request: web.Request, deployment_id: str, wanted: DeploymentPatch) -> Deployment:
    """Keep a change that somebody asks for, have it shown and looked at. Raises BadInput or NotFound."""
    state = request.app[STATE]
    now = state.clock()

    def amend(deployment: Deployment) -> Amendment:
        changed = apply(wanted, deployment, now=now)
        looks = reschedule_looks(deployment, changed, state.rules.schedule, now)
        return Amendment(deployment=changed, looks=looks)

    stored = await state.store.deployments.amend(deployment_id, amend)
    state.instruments.annotations.received(KIND)
    log.info("deployment changed", id=stored.id, fields=sorted(wanted.model_fields_set))
    return stored


@operation(
    "deployments",
    "getReport",
    "The whole report of a deployment",
    path=_ONE,
    answers={200: json_answer(ReportResponse, "What is known by now.")},
)
async def get(request: web.Request) -> web.Response:
    """The whole report."""
    state = request.app[STATE]
    store = state.store
    deployment = await store.deployments.find(id_of(request))
    looks = await store.looks.of_deployment(deployment.id)  # before the impact, which is there once one is done
    impact = await store.results.impact(deployment.id)
    report = ReportResponse.beside(
        report_of(deployment, impact, looks),
        gate=quoted_of(await store.decisions.on(deployment)),
        warnings=state.rules.watched.warnings(deployment.service),
        links=links(deployment, state.external),
    )
    return answer(report)


@operation(
    "deployments",
    "getSeries",
    "Each metric around a deployment, beside what was to be expected without it",
    "What the newest judgement saw, kept with it: nothing is fetched, and the answer is the same when a source is "
    "away. `expected` begins at the deployment. Nine of ten single values were to lie between `low` and `high`; the "
    "interval of the mean that was judged is in `level`, and `level.measured - level.expected` is the `change` of the "
    "report. A metric without a series is left out.",
    path=_ONE,
    query=_Series,
    answers={200: json_answer(CoursesResponse, "The series, in the order of their names.")},
)
async def series(request: web.Request) -> web.Response:
    """Each metric around the deployment, as its judgement saw it; one of them where `metric` names it."""
    store, wanted = request.app[STATE].store, read_query(_Series, request)
    deployment = await store.deployments.find(id_of(request))
    impact, courses = await store.results.impact(deployment.id), await store.results.trajectories(deployment.id)
    chosen = [course for course in courses if wanted.metric in (None, course.metric)]
    return answer(courses_of(deployment, impact, chosen))


@operation(
    "deployments",
    "listDeployments",
    "List deployments, newest first",
    query=_Filter,
    answers={200: json_answer(DeploymentsResponse, "A page.")},
)
async def list_(request: web.Request) -> web.Response:
    """A page of deployments, newest first, and the address of the next one."""
    query = read_query(_Filter, request)
    state = request.app[STATE]
    page = await state.store.deployments.page(**query.model_dump())
    following = None
    if page.cursor is not None:
        following = state.external.link(f"{_PATH}?{urlencode({**request.query, 'cursor': page.cursor})}")
    return answer(
        DeploymentsResponse(
            deployments=[_stored(deployment, state) for deployment in page.deployments],
            cursor=page.cursor,
            links=NextResponse(next=following),
        )
    )


def _new_id(body: Mapping[str, object]) -> str:
    """For one that brings none."""
    return str(uuid.uuid4()) if body.get("id") is None else ""


def _check_same(given: Deployment, stored: Deployment) -> None:
    for field in ("service", "environment", "version"):
        mine, theirs = getattr(given, field), getattr(stored, field)
        if mine is not None and theirs is not None and mine != theirs:
            raise Conflict(Fault("id", f"stands for another deployment already, whose {field} is {theirs}"))


def id_of(request: web.Request) -> str:
    """The id in the address. Raises NotFound for one that no deployment can have."""
    deployment_id = request.match_info["id"]
    if not ID.fullmatch(deployment_id):
        raise NotFound("no deployment has this id")
    return deployment_id


def _stored(deployment: Deployment, state: AppContext) -> StoredDeploymentResponse:
    return StoredDeploymentResponse.beside(
        deployment,
        warnings=state.rules.watched.warnings(deployment.service),
        links=links(deployment, state.external),
    )


def links(deployment: Deployment, external: External) -> LinksResponse:
    """Where a deployment, its report, its series and its page are found."""
    report = _link(deployment, external)
    page = external.link(f"/deployments/{deployment.id}")
    return LinksResponse(self_=report, report=report, series=f"{report}/series", page=page)


def _link(deployment: Deployment, external: External) -> str:
    return external.link(f"{_PATH}/{deployment.id}")
