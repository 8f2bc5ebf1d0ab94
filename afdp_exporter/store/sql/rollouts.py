"""The SQL of what canaries and greens show: functions of a connection."""

import zlib
from datetime import datetime

from pydantic import TypeAdapter

from afdp_exporter.model import Rollout
from afdp_exporter.store.follow_ups import ROLLOUT
from afdp_exporter.store.sql import changes, deployments
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import to_us, whole

_rollout = TypeAdapter(Rollout)


def keep(connection: Connection, service: str, rollout: Rollout) -> None:
    """Keep the newest of a deployment."""
    connection.execute(
        """
        INSERT INTO rollouts (deployment_id, service, measured_us, document) VALUES (?, ?, ?, ?)
        ON CONFLICT (deployment_id) DO UPDATE SET measured_us = excluded.measured_us, document = excluded.document
        """,
        (rollout.deployment_id, service, to_us(rollout.as_of), zlib.compress(_rollout.dump_json(rollout))),
    )
    changes.append_of(connection, ROLLOUT, deployments.find(connection, rollout.deployment_id))


def find(connection: Connection, deployment_id: str) -> Rollout | None:
    """The newest of a deployment."""
    row = connection.execute("SELECT document FROM rollouts WHERE deployment_id = ?", (deployment_id,)).fetchone()
    return None if row is None else rollout_of(row["document"])


def newest(connection: Connection, service: str | None, before: datetime, limit: int) -> list[Rollout]:
    """The newest of a service, or of all, oldest first."""
    rows = connection.execute(
        """
        SELECT document FROM rollouts
        WHERE (CAST(:service AS text) IS NULL OR service = :service) AND measured_us < :before
        ORDER BY measured_us DESC LIMIT :limit
        """,
        {"service": service, "before": to_us(before), "limit": limit},
    ).fetchall()
    return [rollout_of(row["document"]) for row in reversed(rows)]


@whole
def rollout_of(document: bytes) -> Rollout:
    """The rollout that a document holds."""
    return _rollout.validate_json(zlib.decompress(document))
