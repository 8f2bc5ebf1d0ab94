"""The SQL of announcements, kept by the thread that has to be read together: functions of a connection."""

from dataclasses import replace
from datetime import datetime

from afdp_exporter.model import Announcement, Deployment
from afdp_exporter.store import Announced, Arrival, Assemble
from afdp_exporter.store.described import described_by, undescribed
from afdp_exporter.store.sql import commit_changes, deployments, looks
from afdp_exporter.store.sql.connection import Connection, Row
from afdp_exporter.store.sql.rows import announcement_of, announcement_values, to_time

_KEEP = """
INSERT INTO announcements (deployment_id, event, at_us, document, received_us)
VALUES (:deployment_id, :event, :at_us, :document, :received_us)
ON CONFLICT (deployment_id, event) DO UPDATE SET at_us = excluded.at_us, document = excluded.document
"""

_FORGET = "DELETE FROM announcements WHERE deployment_id = ? AND event = ?"

_COUNT = "UPDATE announcements SET earlier = ? WHERE deployment_id = ? AND event = ?"

_OF_THREAD = """
SELECT event, at_us, document, received_us, earlier FROM announcements WHERE deployment_id = ? ORDER BY event
"""


def apply_announcement(
    connection: Connection, thread: str, announcement: Announcement, received_at: datetime, assemble: Assemble
) -> Announced:
    """Keep an announcement and what the deployments of its thread are with it."""

    def stored(deployment_id: str) -> Deployment | None:
        connection.serialise("deployment", deployment_id)
        found = deployments.search(connection, deployment_id)
        return None if found is None else undescribed(found, commit_changes.find(connection, found.commit))

    values = announcement_values(thread, announcement, received_at)
    event = str(values["event"])
    connection.serialise("thread", thread)
    rows = {row["event"]: row for row in connection.execute(_OF_THREAD, (thread,)).fetchall()}
    new = event not in rows or _rank(values) < _rank(rows[event])
    if new:
        connection.execute(_KEEP, values)
    before = {name: _arrival(row) for name, row in rows.items()}
    after = before
    if new:
        timed = announcement_of(str(values["document"]))
        arrival = replace(before[event], announcement=timed) if event in before else Arrival(timed, received_at)
        after = dict(sorted({**before, event: arrival}.items()))
    kept = after[event].announcement
    assembled = assemble(stored, kept, tuple(before.values()), tuple(after.values()))
    known = assembled.deployment_id is not None and deployments.search(connection, assembled.deployment_id) is not None
    for amendment in assembled.amendments:
        changed = amendment.deployment
        deployments.put(connection, described_by(changed, commit_changes.find(connection, changed.commit)))
        if amendment.looks is not None:
            looks.replace(connection, changed.id, amendment.looks)
    for unread in (*assembled.forgotten, *((event,) if new and not assembled.keep else ())):
        connection.execute(_FORGET, (thread, unread))
    for counting, earlier in assembled.earlier.items():
        connection.execute(_COUNT, (earlier, thread, counting))
    found = None if assembled.deployment_id is None else deployments.search(connection, assembled.deployment_id)
    return Announced(deployment=found, created=found is not None and not known, changed=new and assembled.keep)


def _rank(row: Row) -> tuple[bool, int, str]:
    """Of an event reported in two ways, in any order, that counts which has a state, then what its sender has first."""
    return announcement_of(row["document"]).status is None, row["at_us"], row["document"]


def _arrival(row: Row) -> Arrival:
    return Arrival(announcement_of(row["document"]), to_time(row["received_us"]), row["earlier"])
