"""The SQL of impacts and their shifts: functions of a connection, run by the writer or a reader."""

from afdp_exporter.model import Impact
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import impact_of, impact_values, shift_values

_KEEP = """
INSERT INTO impacts (deployment_id, measured_us, outcome, document)
VALUES (:deployment_id, :measured_us, :outcome, :document)
ON CONFLICT DO UPDATE SET measured_us = excluded.measured_us, outcome = excluded.outcome, document = excluded.document
WHERE excluded.measured_us >= measured_us
"""

_SHIFT = """
INSERT INTO shifts (
    deployment_id, metric, layer, verdict, worse, onset_us, before, after, change, low, high, change_ratio, p_value,
    attribution_ratio, shape, duration_us, recovered_us, "primary"
) VALUES (
    :deployment_id, :metric, :layer, :verdict, :worse, :onset_us, :before, :after, :change, :low, :high, :change_ratio,
    :p_value, :attribution_ratio, :shape, :duration_us, :recovered_us, :primary
)
"""


def keep(connection: Connection, impact: Impact) -> None:
    """Put an impact and its shifts in the place of the earlier ones; looks may end in any order, the newest stays."""
    if not connection.execute(_KEEP, impact_values(impact)).rowcount:
        return
    connection.execute("UPDATE deployments SET measured = 1 WHERE id = ?", (impact.deployment_id,))
    connection.execute("DELETE FROM shifts WHERE deployment_id = ?", (impact.deployment_id,))
    connection.executemany(_SHIFT, [shift_values(impact, shift) for shift in impact.shifts])


def find(connection: Connection, deployment_id: str) -> Impact | None:
    """The impact of a deployment, where one is known."""
    row = connection.execute("SELECT document FROM impacts WHERE deployment_id = ?", (deployment_id,)).fetchone()
    return impact_of(row["document"]) if row is not None else None
