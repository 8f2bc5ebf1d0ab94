"""`/api/annotations`: Grafana's annotation API, so that what writes annotations today can write them here."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated

import structlog
from aiohttp import web
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from afdp_exporter.errors import NotFound
from afdp_exporter.fields import Text, Time
from afdp_exporter.handlers.answers import answer, array
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import json_answer, json_body, operation
from afdp_exporter.handlers.reading import read_json, validated
from afdp_exporter.model import Annotation, Ignored
from afdp_exporter.responses import Count, Response
from afdp_exporter.tracking import annotation_ingestion
from afdp_exporter.tracking.annotations import SENDER

log = structlog.get_logger(__name__)

KIND = SENDER
_MOST = 1000
_LONGEST_ID = 18  # digits


def _split(tags: object) -> object:
    """Graphite's tags may be one text; null is the same as none."""
    return tags.split() if isinstance(tags, str) else tags or ()


def _given(value: object) -> object:
    """Grafana's zero and empty text are the same as nothing."""
    return value or None


Tag = Annotated[Text, Field(min_length=1, max_length=512)]
Tags = Annotated[
    tuple[Tag, ...],
    Field(max_length=100),
    BeforeValidator(_split, json_schema_input_type=tuple[Tag, ...] | str | None),
    Field(description="Plain words and pairs such as `service:checkout`; as one text they are parted by spaces."),
]
Instant = Annotated[Time | None, BeforeValidator(_given)]
Panel = Annotated[int, Field(ge=0, le=2**31)]
_UID = Annotated[str, Field(max_length=256, pattern=r"^[\x21-\x7e]*$")]


class _Lenient(BaseModel):
    """Grafana overlooks what it does not know; so do we, since its clients send it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class NewAnnotation(_Lenient):
    """An annotation as Grafana takes it."""

    text: Annotated[Text, Field(min_length=1)]
    tags: Tags = ()
    time: Annotated[Instant, Field(validation_alias=AliasChoices("time", "when"))] = None
    time_end: Annotated[Instant, Field(alias="timeEnd")] = None
    dashboard_uid: Annotated[_UID | None, Field(alias="dashboardUID")] = None
    panel_id: Annotated[Panel | None, Field(alias="panelId")] = None


class GraphiteAnnotation(_Lenient):
    """An annotation as Graphite has it."""

    what: Annotated[Text, Field(min_length=1)]
    data: Text | None = None
    tags: Tags = ()
    when: Instant = None


class AnnotationChange(_Lenient):
    """What is new of an annotation."""

    text: Annotated[Text | None, BeforeValidator(_given)] = None
    tags: Tags | None = None
    time: Instant = None
    time_end: Annotated[Instant, Field(alias="timeEnd")] = None


class _Wanted(_Lenient):
    start: Annotated[Instant, Field(alias="from")] = None
    end: Annotated[Instant, Field(alias="to")] = None
    tags: Tags = ()
    dashboard_uid: Annotated[_UID | None, Field(alias="dashboardUID")] = None
    panel_id: Annotated[Panel | None, BeforeValidator(_given), Field(alias="panelId")] = None
    limit: Annotated[int, Field(ge=0, le=_MOST)] = 100


class MessageResponse(Response):
    """What was done, in Grafana's words."""

    message: str


class AddedAnnotationResponse(MessageResponse):
    """The id of a new annotation."""

    id: Annotated[int, Field(ge=1)]


class AnnotationLinkResponse(Response):
    """The deployment that an annotation reports, where it reports one."""

    deployment_id: str = ""


class AnnotationResponse(Response):
    """An annotation as Grafana has it; times in Unix ms."""

    id: int
    dashboard_uid: Annotated[str, Field(serialization_alias="dashboardUID")]
    panel_id: Annotated[int, Field(serialization_alias="panelId")]
    time: int
    time_end: Annotated[int, Field(serialization_alias="timeEnd")]
    text: str
    tags: tuple[str, ...]
    created: int
    updated: int
    data: AnnotationLinkResponse


class TagResponse(Response):
    """A tag, and how often it is in use."""

    tag: str
    count: Count


class FoundTagsResponse(Response):
    """The tags that are in use."""

    tags: tuple[TagResponse, ...]


class TagsResponse(Response):
    """The tags that are in use, as Grafana wraps them."""

    result: FoundTagsResponse


_ONE = {"id": Annotated[int, Field(ge=1)]}
_AS_GRAFANA = "As Grafana answers."
_EXAMPLE = {
    "time": 1772452800000,
    "tags": ["deploy", "service:checkout", "version:v2.1.0"],
    "text": "Deployed checkout",
}


@operation(
    "annotations",
    "addAnnotation",
    "Write an annotation as for Grafana",
    "One whose tags or text report a deployment is recorded as one.",
    body=json_body(NewAnnotation, _EXAMPLE),
    answers={200: json_answer(AddedAnnotationResponse, _AS_GRAFANA)},
)
async def create(request: web.Request) -> web.Response:
    """Keep an annotation, and the deployment that it may report: 200 with an integer id, as Grafana answers."""
    given = validated(NewAnnotation, await read_json(request))
    made = _made(request, given.text, given.tags, given.time, given.time_end)
    kept = await _keep(request, replace(made, dashboard_uid=given.dashboard_uid or None, panel_id=given.panel_id))
    return answer(AddedAnnotationResponse(message="Annotation added", id=kept.id))


@operation(
    "annotations",
    "addGraphiteAnnotation",
    "Write an annotation in Graphite's words",
    body=json_body(
        GraphiteAnnotation,
        {"what": "Event - deploy", "tags": "deploy service:checkout", "when": 1772452800, "data": "v2.1.0"},
    ),
    answers={200: json_answer(AddedAnnotationResponse, _AS_GRAFANA)},
)
async def create_graphite(request: web.Request) -> web.Response:
    """The same in Graphite's words."""
    given = validated(GraphiteAnnotation, await read_json(request))
    text = f"{given.what}\n{given.data}" if given.data else given.what
    kept = await _keep(request, _made(request, text, given.tags, given.when, None))
    return answer(AddedAnnotationResponse(message="Graphite annotation added", id=kept.id))


@operation(
    "annotations",
    "replaceAnnotation",
    "Write an annotation anew",
    path=_ONE,
    body=json_body(NewAnnotation, _EXAMPLE | {"timeEnd": 1772453040000}),
    answers={200: json_answer(MessageResponse, _AS_GRAFANA)},
)
async def update(request: web.Request) -> web.Response:
    """PUT: all of it anew."""
    given = validated(NewAnnotation, await read_json(request))
    await _amend(request, lambda old: _moved(old, given.text, given.tags, given.time or old.at, given.time_end))
    return answer(MessageResponse(message="Annotation updated"))


@operation(
    "annotations",
    "patchAnnotation",
    "Change what is named",
    "The way of scripts that report the end.",
    path=_ONE,
    body=json_body(AnnotationChange, {"timeEnd": 1772453040000}),
    answers={200: json_answer(MessageResponse, _AS_GRAFANA)},
)
async def patch(request: web.Request) -> web.Response:
    """PATCH: only what is named."""
    given = validated(AnnotationChange, await read_json(request))

    def made(old: Annotation) -> Annotation:
        tags = old.tags if given.tags is None else given.tags
        return _moved(old, given.text or old.text, tags, given.time or old.at, given.time_end or old.until)

    await _amend(request, made)
    return answer(MessageResponse(message="Annotation patched"))


@operation(
    "annotations",
    "getAnnotation",
    "One annotation",
    path=_ONE,
    answers={200: json_answer(AnnotationResponse, _AS_GRAFANA)},
)
async def get(request: web.Request) -> web.Response:
    """One of them."""
    return answer(_as_grafana(await request.app[STATE].store.annotations.find(_id(request))))


@operation(
    "annotations",
    "deleteAnnotation",
    "Forget an annotation",
    "The deployment that it announced stays.",
    path=_ONE,
    answers={200: json_answer(MessageResponse, _AS_GRAFANA)},
)
async def delete(request: web.Request) -> web.Response:
    """Forget an annotation; the deployment that it announced stays."""
    await request.app[STATE].store.annotations.remove(_id(request))
    return answer(MessageResponse(message="Annotation deleted"))


@operation(
    "annotations",
    "listAnnotations",
    "Annotations, newest first",
    query=_Wanted,
    answers={200: json_answer(list[AnnotationResponse], _AS_GRAFANA)},
)
async def list_(request: web.Request) -> web.Response:
    """Those with all of the tags that touch the time, newest first."""
    return array(AnnotationResponse, [_as_grafana(found) for found in await _search(request)])


@operation(
    "annotations",
    "listTags",
    "Tags that are in use",
    query=_Wanted,
    answers={200: json_answer(TagsResponse, _AS_GRAFANA)},
)
async def tags(request: web.Request) -> web.Response:
    """The tags that are in use, and how often."""
    counted = Counter(tag for found in await _search(request) for tag in found.tags)
    found = [TagResponse(tag=tag, count=count) for tag, count in sorted(counted.items())]
    return answer(TagsResponse(result=FoundTagsResponse(tags=found)))


async def _search(request: web.Request) -> list[Annotation]:
    known = {name: value for name, value in request.query.items() if name != "tags"}
    wanted = validated(_Wanted, {**known, "tags": request.query.getall("tags", [])})
    return await request.app[STATE].store.annotations.search(
        since=wanted.start,
        until=wanted.end,
        tags=wanted.tags,
        dashboard_uid=wanted.dashboard_uid or None,
        panel_id=wanted.panel_id,
        limit=wanted.limit or 100,
    )


async def _keep(request: web.Request, made: Annotation) -> Annotation:
    state = request.app[STATE]
    taken = await annotation_ingestion.ingest(made, state.rules.annotating, store=state.store, now=state.clock())
    _count(request, taken)
    linked = replace(made, deployment_id=taken.deployment.id if taken.deployment is not None else None)
    return await state.store.annotations.add(linked)


async def _amend(request: web.Request, made: Callable[[Annotation], Annotation]) -> None:
    state = request.app[STATE]
    now = state.clock()
    before = await state.store.annotations.find(_id(request))
    by = state.rules.annotating
    taken = await annotation_ingestion.ingest(made(before), by, store=state.store, now=now, before=before)
    _count(request, taken)
    link = taken.deployment.id if taken.deployment is not None else before.deployment_id
    await state.store.annotations.change(before.id, lambda old: replace(made(old), updated_at=now, deployment_id=link))


def _count(request: web.Request, taken: annotation_ingestion.Ingested) -> None:
    state = request.app[STATE]
    if isinstance(taken.ignored, Ignored):
        state.instruments.annotations.ignored(KIND, 1)
        log.info("annotation reports no deployment", reason=taken.ignored.reason)
    if taken.deployment is not None:
        state.instruments.annotations.received(KIND)
        log.info("deployment annotated", id=taken.deployment.id, status=taken.deployment.status)


def _made(
    request: web.Request, text: str, given: tuple[str, ...], at: datetime | None, until: datetime | None
) -> Annotation:
    now = request.app[STATE].clock()
    return _moved(Annotation(at=now, text=text, created_at=now, updated_at=now), text, given, at or until or now, until)


def _moved(old: Annotation, text: str, given: tuple[str, ...], at: datetime, until: datetime | None) -> Annotation:
    """Times are put into their order, as Grafana does it."""
    first, last = (at, None) if until is None else (min(at, until), max(at, until))
    return replace(old, text=text, tags=given, at=first, until=last)


def _id(request: web.Request) -> int:
    text = request.match_info["id"]
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_ID:
        raise NotFound("no annotation has this id")
    return int(text)


def _as_grafana(annotation: Annotation) -> AnnotationResponse:
    link = {} if annotation.deployment_id is None else {"deployment_id": annotation.deployment_id}
    return AnnotationResponse(
        id=annotation.id,
        dashboard_uid=annotation.dashboard_uid or "",
        panel_id=annotation.panel_id or 0,
        time=_ms(annotation.at),
        time_end=_ms(annotation.until or annotation.at),
        text=annotation.text,
        tags=annotation.tags,
        created=_ms(annotation.created_at),
        updated=_ms(annotation.updated_at),
        data=AnnotationLinkResponse(**link),
    )


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
