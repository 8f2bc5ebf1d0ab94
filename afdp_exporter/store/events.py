"""The SQL of what was told that is no deployment: functions of a connection, run by the writer or a reader."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from afdp_exporter.model import Event, OccasionKind
from afdp_exporter.store.connection import Connection, Row
from afdp_exporter.store.rows import check_storable, to_time, to_us

_TELL = """
INSERT INTO events (id, name, kind, started_us, ended_us, services, description, url, told_us, received_from)
VALUES (:id, :name, :kind, :started_us, :ended_us, :services, :description, :url, :told_us, :received_from)
ON CONFLICT DO UPDATE SET
    name = excluded.name, kind = excluded.kind, started_us = excluded.started_us,
    ended_us = coalesce(excluded.ended_us, ended_us), services = excluded.services,
    description = coalesce(excluded.description, description), url = coalesce(excluded.url, url),
    told_us = max(told_us, excluded.told_us), received_from = excluded.received_from
"""

_BETWEEN = """
SELECT * FROM events WHERE started_us < :end AND coalesce(ended_us, told_us + 86400000000) >= :start
ORDER BY started_us, id
"""


def tell(connection: Connection, event: Event) -> tuple[Event, bool]:
    """Keep an event, or what is new of it; how it stands now, and whether it was not there before."""
    known = connection.execute("SELECT 1 FROM events WHERE id = ?", (event.id,)).fetchone()
    connection.execute(_TELL, _values(event))
    kept = connection.execute("SELECT * FROM events WHERE id = ?", (event.id,)).fetchone()
    return _event_of(kept), known is None


def between(connection: Connection, start: datetime, end: datetime) -> list[Event]:
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
        kind=OccasionKind(row["kind"]),
        start=to_time(row["started_us"]),
        end=None if row["ended_us"] is None else to_time(row["ended_us"]),
        services=tuple(orjson.loads(row["services"])),
        description=row["description"],
        url=row["url"],
        told_at=to_time(row["told_us"]),
        received_from=row["received_from"],
    )
