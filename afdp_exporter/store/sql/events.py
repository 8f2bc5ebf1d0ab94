"""The SQL of what was reported that is no deployment: functions of a connection, run by the writer or a reader."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from afdp_exporter.model import CalendarEntryKind, Event
from afdp_exporter.store.exactness import check_storable
from afdp_exporter.store.follow_ups import EVENT
from afdp_exporter.store.sql.connection import Connection, Row
from afdp_exporter.store.sql.rows import to_time, to_us

_SAVE = """
INSERT INTO events (id, name, kind, started_us, ended_us, services, description, url, told_us, received_from)
VALUES (:id, :name, :kind, :started_us, :ended_us, :services, :description, :url, :told_us, :received_from)
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, kind = excluded.kind, started_us = excluded.started_us,
    ended_us = coalesce(excluded.ended_us, events.ended_us), services = excluded.services,
    description = coalesce(excluded.description, events.description), url = coalesce(excluded.url, events.url),
    told_us = CASE WHEN excluded.told_us > events.told_us THEN excluded.told_us ELSE events.told_us END,
    received_from = excluded.received_from
"""

_OF = "SELECT * FROM events WHERE id IN ({})"

_BETWEEN = """
SELECT * FROM events WHERE started_us < :end AND coalesce(ended_us, told_us + 86400000000) >= :start
ORDER BY started_us, id
"""


def save(connection: Connection, event: Event) -> tuple[Event, bool]:
    """Keep an event, or what is new of it; how it stands now, and whether it was not there before."""
    connection.serialise("event", event.id)
    known = connection.execute("SELECT 1 FROM events WHERE id = ?", (event.id,)).fetchone()
    connection.execute(_SAVE, _values(event))
    connection.append_changes(EVENT, event.id)
    kept = connection.execute("SELECT * FROM events WHERE id = ?", (event.id,)).fetchone()
    return _event_of(kept), known is None


def of(connection: Connection, event_ids: Sequence[str]) -> list[Event]:
    """These, as far as they are known."""
    statement = _OF.format(connection.dialect.listed.format("ids"))
    ids = orjson.dumps(list(event_ids)).decode()
    return [_event_of(row) for row in connection.execute(statement, {"ids": ids})]


def overlapping(connection: Connection, start: datetime, end: datetime) -> list[Event]:
    """Those that touch the window, oldest first."""
    return [_event_of(row) for row in connection.execute(_BETWEEN, {"start": to_us(start), "end": to_us(end)})]


def _values(event: Event) -> Mapping[str, Any]:
    check_storable(event)
    return {
        "id": event.id,
        "name": event.name,
        "kind": event.kind,
        "started_us": to_us(event.start),
        "ended_us": None if event.end is None else to_us(event.end),
        "services": orjson.dumps(event.services).decode(),
        "description": event.description,
        "url": event.url,
        "told_us": to_us(event.told_at),
        "received_from": event.received_from,
    }


def _event_of(row: Row) -> Event:
    return Event(
        id=row["id"],
        name=row["name"],
        kind=CalendarEntryKind(row["kind"]),
        start=to_time(row["started_us"]),
        end=None if row["ended_us"] is None else to_time(row["ended_us"]),
        services=tuple(orjson.loads(row["services"])),
        description=row["description"],
        url=row["url"],
        told_at=to_time(row["told_us"]),
        received_from=row["received_from"],
    )
