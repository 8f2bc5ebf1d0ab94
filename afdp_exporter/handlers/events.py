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
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import json_answer, json_body, operation
from afdp_exporter.handlers.reading import read_json, read_query
from afdp_exporter.model import CalendarEntryKind, Event
from afdp_exporter.responses import Response
from afdp_exporter.tracking.intake import read_fields
from afdp_exporter.watching.report import EventResponse

log = structlog.get_logger(__name__)

KIND = "api"
_AROUND = timedelta(days=30)


class NewEvent(BaseModel):
    """What is special about a time, as it is reported."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    kind: CalendarEntryKind = CalendarEntryKind.OTHER
    id: Identifier | None = None
    start: Annotated[Time | None, Field(description="Now when left out.")] = None
    end: Annotated[Time | None, Field(description="As long as it is not known it is left out.")] = None
    services: Annotated[
        tuple[Name, ...], Field(max_length=100, description="Those that it concerns; all when left out.")
    ] = ()
    description: Text | None = None
    url: Link | None = None


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Annotated[Time | None, Field(description="30 days ago when left out.")] = None
    until: Annotated[Time | None, Field(description="30 days ahead when left out.")] = None


class EventsResponse(Response):
    """Events, oldest first."""

    events: tuple[EventResponse, ...]


@operation(
    "events",
    "recordEvent",
    "Record what is no deployment",
    "A sale, an incident, a freeze, more traffic: it is taken into account at once, by what is judged, predicted and "
    "learned. The same `id` again reports what is new of it, such as its end.",
    body=json_body(
        NewEvent,
        {"name": "spring-sale", "kind": "sale", "start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
    ),
    answers={
        201: json_answer(EventResponse, "It is recorded."),
        200: json_answer(EventResponse, "It was recorded before; what is new of it is recorded now."),
    },
)
async def create(request: web.Request) -> web.Response:
    """Record an event. Answered once it is committed: 201, or 200 where it was there before."""
    state = request.app[STATE]
    given = read_fields(NewEvent, await read_json(request))
    now = state.clock()
    start = given.start or now
    if given.end is not None and given.end < start:
        raise BadInput(Fault("end", "lies before start"))
    event = Event(
        id=given.id or str(uuid.uuid4()),
        name=given.name,
        kind=given.kind,
        start=start,
        end=given.end,
        services=given.services,
        description=given.description,
        url=given.url,
        told_at=now,
        received_from=KIND,
    )
    stored, created = await state.store.events.save(event)
    state.instruments.annotations.received(KIND)
    log.info("event recorded", id=stored.id, kind=stored.kind)
    return answer(EventResponse.model_validate(stored), 201 if created else 200)


@operation(
    "events",
    "listEvents",
    "What was reported that is no deployment",
    "Those that touch the time between `since` and `until`, oldest first.",
    query=_Filter,
    answers={200: json_answer(EventsResponse, "The events.")},
)
async def list_(request: web.Request) -> web.Response:
    """The events around now, or of a time."""
    state = request.app[STATE]
    query, now = read_query(_Filter, request), state.clock()
    found = await state.store.events.overlapping(query.since or now - _AROUND, query.until or now + _AROUND)
    return answer(EventsResponse(events=found))
