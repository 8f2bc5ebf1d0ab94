"""The SQL of announcements, kept by the thread that has to be read together: functions of a connection."""

from datetime import datetime

from afdp_exporter.model import Announcement, Deployment
from afdp_exporter.store import Announced, Arrival, Assemble, changes, deployments, looks
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import announcement_of, announcement_values, to_time

_KEEP = """
INSERT INTO announcements (deployment_id, event, at_us, document, received_us)
VALUES (:deployment_id, :event, :at_us, :document, :received_us)
ON CONFLICT DO UPDATE SET at_us = excluded.at_us, document = excluded.document
WHERE (excluded.document ->> 'status' IS NULL, excluded.at_us, excluded.document)
    < (document ->> 'status' IS NULL, at_us, document)
"""  # of an event told in two ways that counts which has a state, then what its sender's clock has first, in any order

_FORGET = "DELETE FROM announcements WHERE deployment_id = ? AND event = ?"

_OF_THREAD = "SELECT event, document, received_us FROM announcements WHERE deployment_id = ? ORDER BY event"


def announce(
    connection: Connection, thread: str, announcement: Announcement, received_at: datetime, assemble: Assemble
) -> Announced:
    """Keep an announcement and what the deployments of its thread are with it."""

    def stored(deployment_id: str) -> Deployment | None:
        found = deployments.search(connection, deployment_id)
        return None if found is None else changes.without(found, changes.find(connection, found.commit))

    values = announcement_values(thread, announcement, received_at)
    before = _known(connection, thread)
    new = connection.execute(_KEEP, values).rowcount > 0
    after = _known(connection, thread)
    kept = after[str(values["event"])].announcement
    assembled = assemble(stored, kept, tuple(before.values()), tuple(after.values()))
    known = assembled.deployment_id is not None and deployments.search(connection, assembled.deployment_id) is not None
    for amendment in assembled.amendments:
        changed = amendment.deployment
        deployments.put(connection, changes.with_(changed, changes.find(connection, changed.commit)))
        if amendment.looks is not None:
            looks.replace(connection, changed.id, amendment.looks)
    if new and not assembled.keep:
        connection.execute(_FORGET, (thread, values["event"]))
    found = None if assembled.deployment_id is None else deployments.search(connection, assembled.deployment_id)
    return Announced(deployment=found, created=found is not None and not known, changed=new and assembled.keep)


def _known(connection: Connection, thread: str) -> dict[str, Arrival]:
    rows = connection.execute(_OF_THREAD, (thread,)).fetchall()
    return {row["event"]: Arrival(announcement_of(row["document"]), to_time(row["received_us"])) for row in rows}
