"""The SQL of what changed: functions of a connection. Whoever changes something appends it in the same transaction."""

from collections.abc import Iterable, Sequence

from afdp_exporter.model import Deployment
from afdp_exporter.store import NewJob, StoredChange
from afdp_exporter.store.follow_ups import DEPLOYMENT, jobs_after
from afdp_exporter.store.sql import jobs
from afdp_exporter.store.sql.connection import Connection


def append_of(connection: Connection, kind: str, deployment: Deployment) -> None:
    """Something of a deployment has changed; what follows from it becomes due."""
    connection.append_changes(kind, deployment.id)
    jobs.enqueue(connection, jobs_after(kind, deployment, _receivers(connection)))


def append_new(connection: Connection, deployments: Sequence[Deployment], planned: Iterable[NewJob]) -> None:
    """Deployments have come in; what is planned for them, and what follows from that, becomes due."""
    connection.append_changes(DEPLOYMENT, *(each.id for each in deployments), recorded=deployments)
    receivers = _receivers(connection)
    follow = (job for each in deployments for job in jobs_after(DEPLOYMENT, each, receivers))
    jobs.enqueue(connection, (*planned, *follow))


def _receivers(connection: Connection) -> list[str]:
    return [row["name"] for row in connection.execute("SELECT name FROM receivers").fetchall()]


def since(connection: Connection, seq: int, limit: int) -> list[StoredChange]:
    """Those behind this one, oldest first."""
    rows = connection.execute("SELECT seq, kind, id FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))
    return [StoredChange(seq=row["seq"], kind=row["kind"], id=row["id"]) for row in rows]


def prune(connection: Connection, keep: int) -> None:
    """Forget all but the newest."""
    connection.execute("DELETE FROM changes WHERE seq <= ?", (connection.last_change() - keep,))
