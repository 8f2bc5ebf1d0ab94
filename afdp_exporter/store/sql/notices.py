"""The SQL of notices: functions of a connection, run by the writer or a reader."""

from collections.abc import Collection

from afdp_exporter.store import Job
from afdp_exporter.store.follow_ups import NOTICE
from afdp_exporter.store.sql import jobs
from afdp_exporter.store.sql.connection import Connection

_SENT = """
INSERT INTO sent_notices (receiver, deployment_id, sent, reason)
SELECT :receiver, :deployment_id, :sent, :reason
WHERE EXISTS (SELECT 1 FROM receivers WHERE name = :receiver)
    AND EXISTS (SELECT 1 FROM deployments WHERE id = :deployment_id)
ON CONFLICT (receiver, deployment_id) DO UPDATE SET sent = excluded.sent, reason = excluded.reason
"""


def set_receivers(connection: Connection, names: Collection[str]) -> None:
    """From now on these hear of every change; what waits for others is dropped."""
    known = {row["name"] for row in connection.execute("SELECT name FROM receivers")}
    for name in known - set(names):
        connection.execute("DELETE FROM receivers WHERE name = ?", (name,))
        connection.execute("DELETE FROM jobs WHERE kind = ? AND lane = ?", (NOTICE, name))
    connection.executemany(
        "INSERT INTO receivers (name) VALUES (?) ON CONFLICT DO NOTHING", [(name,) for name in set(names) - known]
    )


def last_sent(connection: Connection, receiver: str, deployment_id: str) -> str | None:
    """The digest of what was sent last."""
    row = connection.execute(
        "SELECT sent FROM sent_notices WHERE receiver = ? AND deployment_id = ?", (receiver, deployment_id)
    ).fetchone()
    return None if row is None else row["sent"]


def finish(connection: Connection, job: Job, sent: str | None, reason: str | None) -> None:
    """Finish the job, and keep what was sent; nothing of a job that another holds by now."""
    values = {"receiver": job.lane, "deployment_id": job.key.removeprefix(f"{job.lane}/")}
    if jobs.finish(connection, job, None):
        connection.execute(_SENT, {**values, "sent": sent, "reason": reason})


def pending(connection: Connection) -> dict[str, int]:
    """How many notices wait for each receiver."""
    counted = connection.execute(
        "SELECT name, (SELECT count(*) FROM jobs WHERE kind = ? AND lane = name) FROM receivers", (NOTICE,)
    )
    return dict(counted.fetchall())
