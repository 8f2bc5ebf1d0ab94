"""The SQL of what the gate answered: functions of a connection."""

from datetime import datetime

from pydantic import TypeAdapter

from afdp_exporter.model import Deployment, GateDecision, StoredDecision
from afdp_exporter.store.sql.connection import Connection, Row
from afdp_exporter.store.sql.rows import to_us, whole

_decision = TypeAdapter(GateDecision)

_LAST = """
SELECT * FROM decisions
WHERE service = :service AND environment = :environment AND version IS NOT DISTINCT FROM :version
AND deployment_id IS NOT DISTINCT FROM :deployment_id AND phase = :phase
ORDER BY id DESC LIMIT 1
"""

_KEEP = """
INSERT INTO decisions (
    service, environment, version, deployment_id, phase, verdict, enforced_verdict, decided_us, caller, document
) VALUES (
    :service, :environment, :version, :deployment_id, :phase, :verdict, :enforced_verdict, :decided_us, :caller,
    :document
)
RETURNING id
"""


def keep(connection: Connection, decision: GateDecision, caller: str) -> StoredDecision:
    """Keep a decision, unless the last one on the same deployment and phase said the same."""
    values = {
        "service": decision.service,
        "environment": decision.environment,
        "version": decision.version,
        "deployment_id": decision.deployment_id,
        "phase": decision.phase,
        "verdict": decision.verdict,
        "enforced_verdict": decision.enforced_verdict,
        "decided_us": to_us(decision.decided_at),
        "caller": caller,
        "document": _decision.dump_json(decision, exclude_none=True).decode(),
    }
    connection.serialise("decision", f"{decision.service}/{decision.environment}/{decision.phase}")
    last = connection.execute(_LAST, values).fetchone()
    if last is not None and (last["verdict"], last["enforced_verdict"]) == (
        decision.verdict,
        decision.enforced_verdict,
    ):
        return _stored(last)
    (kept,) = connection.execute(_KEEP, values).fetchall()
    return StoredDecision(id=kept["id"], caller=caller, decision=decision)


def search(
    connection: Connection, service: str | None, environment: str | None, since: datetime, limit: int
) -> list[StoredDecision]:
    """The decisions since a time, newest first."""
    rows = connection.execute(
        """
        SELECT * FROM decisions WHERE decided_us >= :since AND (CAST(:service AS text) IS NULL OR service = :service)
        AND (CAST(:environment AS text) IS NULL OR environment = :environment) ORDER BY id DESC LIMIT :limit
        """,
        {"service": service, "environment": environment, "since": to_us(since), "limit": limit},
    )
    return [_stored(row) for row in rows]


def on(connection: Connection, deployment: Deployment) -> StoredDecision | None:
    """The newest decision on a deployment, else on its version while it was planned."""
    row = connection.execute(
        """
        SELECT * FROM decisions WHERE service = ? AND environment = ?
        AND (deployment_id = ? OR (deployment_id IS NULL AND version IS NOT DISTINCT FROM ?)) ORDER BY id DESC LIMIT 1
        """,
        (deployment.service, deployment.environment, deployment.id, deployment.version),
    ).fetchone()
    return None if row is None else _stored(row)


def _stored(row: Row) -> StoredDecision:
    return StoredDecision(id=row["id"], caller=row["caller"], decision=decision_of(row["document"]))


@whole
def decision_of(document: str) -> GateDecision:
    """The decision that a document holds."""
    return _decision.validate_json(document)
