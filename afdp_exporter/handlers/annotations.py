"""`/api/annotations`: Grafana's annotation API, so that what writes annotations today can write them here."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, TypeVar

import structlog
from aiohttp import web
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from afdp_exporter.errors import BadInput, NotFound
from afdp_exporter.fields import Text, Time
from afdp_exporter.handlers.answers import answer, array
from afdp_exporter.handlers.reading import read_json
from afdp_exporter.handlers.state import STATE
from afdp_exporter.model import Annotation, Ignored
from afdp_exporter.settings import faults
from afdp_exporter.tracking import annotating
from afdp_exporter.tracking.annotations import SENDER

log = structlog.get_logger(__name__)

KIND = SENDER
_MOST = 1000
_LONGEST_ID = 18  # digits

_M = TypeVar("_M", bound=BaseModel)


def _split(tags: object) -> object:
    """Graphite's tags may be one text; null is the same as none."""
    return tags.split() if isinstance(tags, str) else tags or ()


def _given(value: object) -> object:
    """Grafana's zero and empty text are the same as nothing."""
    return value or None


Tag = Annotated[Text, Field(min_length=1, max_length=512)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=100), BeforeValidator(_split)]
Instant = Annotated[Time | None, BeforeValidator(_given)]
Panel = Annotated[int, Field(ge=0, le=2**31)]
_UID = Annotated[str, Field(max_length=256, pattern=r"^[\x21-\x7e]*$")]


class _Lenient(BaseModel):
    """Grafana overlooks what it does not know; so do we, since its clients send it."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _New(_Lenient):
    text: Annotated[Text, Field(min_length=1)]
    tags: Tags = ()
    time: Annotated[Instant, Field(validation_alias=AliasChoices("time", "when"))] = None
    time_end: Annotated[Instant, Field(alias="timeEnd")] = None
    dashboard_uid: Annotated[_UID | None, Field(alias="dashboardUID")] = None
    panel_id: Annotated[Panel | None, Field(alias="panelId")] = None


class _Graphite(_Lenient):
    what: Annotated[Text, Field(min_length=1)]
    data: Text | None = None
    tags: Tags = ()
    when: Instant = None


class _Change(_Lenient):
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


async def create(request: web.Request) -> web.Response:
    """Keep an annotation, and the deployment that it may tell of: 200 with an integer id, as Grafana answers."""
    told = _checked(_New, await read_json(request))
    made = _made(request, told.text, told.tags, told.time, told.time_end)
    kept = await _keep(request, replace(made, dashboard_uid=told.dashboard_uid or None, panel_id=told.panel_id))
    return answer({"message": "Annotation added", "id": kept.id})


async def create_graphite(request: web.Request) -> web.Response:
    """The same in Graphite's words."""
    told = _checked(_Graphite, await read_json(request))
    text = f"{told.what}\n{told.data}" if told.data else told.what
    kept = await _keep(request, _made(request, text, told.tags, told.when, None))
    return answer({"message": "Graphite annotation added", "id": kept.id})


async def update(request: web.Request) -> web.Response:
    """PUT: all of it anew."""
    told = _checked(_New, await read_json(request))
    await _amend(request, lambda old: _moved(old, told.text, told.tags, told.time or old.at, told.time_end))
    return answer({"message": "Annotation updated"})


async def patch(request: web.Request) -> web.Response:
    """PATCH: only what is named."""
    told = _checked(_Change, await read_json(request))

    def made(old: Annotation) -> Annotation:
        tags = old.tags if told.tags is None else told.tags
        return _moved(old, told.text or old.text, tags, told.time or old.at, told.time_end or old.until)

    await _amend(request, made)
    return answer({"message": "Annotation patched"})


async def get(request: web.Request) -> web.Response:
    """One of them."""
    return answer(_as_grafana(await request.app[STATE].store.annotation(_id(request))))


async def delete(request: web.Request) -> web.Response:
    """Forget an annotation; the deployment that it told of stays."""
    await request.app[STATE].store.remove_annotation(_id(request))
    return answer({"message": "Annotation deleted"})


async def list_(request: web.Request) -> web.Response:
    """Those with all of the tags that touch the time, newest first."""
    return array([_as_grafana(found) for found in await _search(request)])


async def tags(request: web.Request) -> web.Response:
    """The tags that are in use, and how often."""
    counted = Counter(tag for found in await _search(request) for tag in found.tags)
    return answer({"result": {"tags": [{"tag": tag, "count": count} for tag, count in sorted(counted.items())]}})


async def _search(request: web.Request) -> list[Annotation]:
    known = {name: value for name, value in request.query.items() if name != "tags"}
    wanted = _checked(_Wanted, {**known, "tags": request.query.getall("tags", [])})
    return await request.app[STATE].store.annotations(
        since=wanted.start,
        until=wanted.end,
        tags=wanted.tags,
        dashboard_uid=wanted.dashboard_uid or None,
        panel_id=wanted.panel_id,
        limit=wanted.limit or 100,
    )


async def _keep(request: web.Request, made: Annotation) -> Annotation:
    state = request.app[STATE]
    taken = await annotating.take(made, state.rules.annotating, store=state.store, now=state.clock())
    _tell(request, taken)
    linked = replace(made, deployment_id=taken.deployment.id if taken.deployment is not None else None)
    return await state.store.add_annotation(linked)


async def _amend(request: web.Request, made: Callable[[Annotation], Annotation]) -> None:
    state = request.app[STATE]
    now = state.clock()
    before = await state.store.annotation(_id(request))
    by = state.rules.annotating
    taken = await annotating.take(made(before), by, store=state.store, now=now, before=before)
    _tell(request, taken)
    link = taken.deployment.id if taken.deployment is not None else before.deployment_id
    await state.store.change_annotation(before.id, lambda old: replace(made(old), updated_at=now, deployment_id=link))


def _tell(request: web.Request, taken: annotating.Taken) -> None:
    state = request.app[STATE]
    if isinstance(taken.ignored, Ignored):
        state.instruments.annotations.ignored(KIND, 1)
        log.info("annotation tells of no deployment", reason=taken.ignored.reason)
    if taken.deployment is not None:
        state.instruments.annotations.received(KIND)
        state.told(taken.deployment)
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


def _checked(kind: type[_M], body: Mapping[str, object]) -> _M:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise BadInput(*faults(error)) from None


def _id(request: web.Request) -> int:
    text = request.match_info["id"]
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_ID:
        raise NotFound("no annotation has this id")
    return int(text)


def _as_grafana(annotation: Annotation) -> dict[str, Any]:
    return {
        "id": annotation.id,
        "dashboardUID": annotation.dashboard_uid or "",
        "panelId": annotation.panel_id or 0,
        "time": _ms(annotation.at),
        "timeEnd": _ms(annotation.until or annotation.at),
        "text": annotation.text,
        "tags": list(annotation.tags),
        "created": _ms(annotation.created_at),
        "updated": _ms(annotation.updated_at),
        "data": {"deployment_id": annotation.deployment_id} if annotation.deployment_id else {},
    }


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
