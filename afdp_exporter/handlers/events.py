"""`/api/v1/events`: what is no deployment and yet special about a time."""

import uuid
from datetime import timedelta
from typing import Annotated

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import Identifier, Link, Name, Text, Time
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.reading import read_json, read_query
from afdp_exporter.handlers.state import STATE
from afdp_exporter.model import Event, OccasionKind
from afdp_exporter.tracking.intake import read_fields
from afdp_exporter.watching.report import event_json

log = structlog.get_logger(__name__)

KIND = "api"
_AROUND = timedelta(days=30)


class _New(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    kind: OccasionKind = OccasionKind.OTHER
    id: Identifier | None = None
    start: Time | None = None
    end: Time | None = None
    services: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    description: Text | None = None
    url: Link | None = None


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Time | None = None
    until: Time | None = None


async def create(request: web.Request) -> web.Response:
    """Record an event. Answered once it is committed: 201, or 200 where it was there before."""
    state = request.app[STATE]
    told = read_fields(_New, await read_json(request))
    now = state.clock()
    start = told.start or now
    if told.end is not None and told.end < start:
        raise BadInput(Fault("end", "lies before start"))
    event = Event(
        id=told.id or str(uuid.uuid4()),
        name=told.name,
        kind=told.kind,
        start=start,
        end=told.end,
        services=told.services,
        description=told.description,
        url=told.url,
        told_at=now,
        received_from=KIND,
    )
    stored, created = await state.store.tell(event)
    state.instruments.annotations.received(KIND)
    await state.recall()
    log.info("event recorded", id=stored.id, kind=stored.kind)
    return answer(event_json(stored), 201 if created else 200)


async def list_(request: web.Request) -> web.Response:
    """The events around now, or of a time."""
    state = request.app[STATE]
    query, now = read_query(_Filter, request), state.clock()
    found = await state.store.events(query.since or now - _AROUND, query.until or now + _AROUND)
    return answer({"events": [event_json(event) for event in found]})
