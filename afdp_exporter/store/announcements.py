"""The SQL of what was announced of each deployment: functions of a connection, run by the writer."""

from datetime import datetime

from afdp_exporter.model import Announcement
from afdp_exporter.store import Announced, Assemble, History, changes, deployments, looks
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import announcement_of, announcement_values, to_time

_KEEP = """
INSERT INTO announcements (deployment_id, event, at_us, document, received_us)
VALUES (:deployment_id, :event, :at_us, :document, :received_us)
ON CONFLICT DO UPDATE SET at_us = excluded.at_us, document = excluded.document
WHERE (excluded.document ->> 'status' IS NULL, excluded.at_us, excluded.document)
    < (document ->> 'status' IS NULL, at_us, document)
"""  # of an event told in two ways that counts which has a state, then what its sender's clock has first, in any order

_OF_DEPLOYMENT = "SELECT document, received_us FROM announcements WHERE deployment_id = ? ORDER BY event"


def announce(
    connection: Connection, deployment_id: str, announcement: Announcement, received_at: datetime, assemble: Assemble
) -> Announced:
    """Keep an announcement and what the deployment is with it."""
    stored = deployments.search(connection, deployment_id)
    before = _known(connection, deployment_id)
    if connection.execute(_KEEP, announcement_values(deployment_id, announcement, received_at)).rowcount == 0:
        return Announced(deployment=stored, changed=False)
    bare = None if stored is None else changes.without(stored, changes.find(connection, stored.commit))
    amendment = assemble(bare, before, _known(connection, deployment_id))
    if amendment is None:
        return Announced(deployment=None)
    told = amendment.deployment
    deployments.put(connection, changes.with_(told, changes.find(connection, told.commit)))
    if amendment.looks is not None:
        looks.replace(connection, deployment_id, amendment.looks)
    return Announced(deployment=deployments.find(connection, deployment_id), created=stored is None)


def _known(connection: Connection, deployment_id: str) -> History:
    rows = connection.execute(_OF_DEPLOYMENT, (deployment_id,)).fetchall()
    return History(
        announcements=tuple(announcement_of(row["document"]) for row in rows),
        received_at=min((to_time(row["received_us"]) for row in rows), default=None),
    )
