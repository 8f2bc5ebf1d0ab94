"""The SQL of notices: functions of a connection, run by the writer or a reader."""

from collections.abc import Collection

from afdp_exporter.store import Job
from afdp_exporter.store.follow_ups import NOTICE, deployment_of_notice, notice
from afdp_exporter.store.sql import jobs
from afdp_exporter.store.sql.connection import Connection

_SENT = """
INSERT INTO sent_notices (receiver, deployment_id, sent, reason)
SELECT :receiver, :deployment_id, :sent, :reason
WHERE EXISTS (SELECT 1 FROM receivers WHERE name = :receiver)
    AND EXISTS (SELECT 1 FROM deployments WHERE id = :deployment_id)
ON CONFLICT (receiver, deployment_id) DO UPDATE SET sent = excluded.sent, reason = excluded.reason
"""


_RESTORE = "UPDATE sent_notices SET sent = :sent WHERE receiver = :receiver AND deployment_id = :deployment_id"
_FORGET = "UPDATE sent_notices SET sent = NULL WHERE receiver = :receiver AND deployment_id = :deployment_id"


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


def begin(connection: Connection, job: Job) -> None:
    """Forget what the receiver heard last. Raises LeaseLost where another holds the job by now."""
    connection.execute(_FORGET, _of(job))
    jobs.check_held(connection, job)


def restore(connection: Connection, job: Job, sent: str) -> None:
    """Know again what the receiver heard last. Raises LeaseLost where another holds the job by now."""
    connection.execute(_RESTORE, {**_of(job), "sent": sent})
    jobs.check_held(connection, job)


def finish(connection: Connection, job: Job, sent: str | None, reason: str | None) -> None:
    """Finish the job, and keep what was sent; have it sent once more where another holds the job by now."""
    if jobs.finish(connection, job, None):
        connection.execute(_SENT, {**_of(job), "sent": sent, "reason": reason})
    elif connection.execute("SELECT 1 FROM receivers WHERE name = ?", (job.lane,)).fetchone() is not None:
        connection.execute(_FORGET, _of(job))
        jobs.enqueue(connection, [notice(job.lane, deployment_of_notice(job))])


def _of(job: Job) -> dict[str, str]:
    return {"receiver": job.lane, "deployment_id": deployment_of_notice(job)}


def pending(connection: Connection) -> dict[str, int]:
    """How many notices wait for each receiver."""
    counted = connection.execute(
        "SELECT name, (SELECT count(*) FROM jobs WHERE kind = ? AND lane = name) FROM receivers", (NOTICE,)
    )
    return dict(counted.fetchall())
