"""The SQL of predictions: functions of a connection, run by the writer or a reader."""

from afdp_exporter.model import Foretold, Prediction
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import deployment_of, impact_of, prediction_of, prediction_values

_KEEP = """
INSERT INTO predictions (deployment_id, document) VALUES (:deployment_id, :document)
ON CONFLICT DO UPDATE SET document = excluded.document
WHERE NOT EXISTS (SELECT 1 FROM impacts WHERE impacts.deployment_id = excluded.deployment_id)
"""

_CAME_TRUE = """
SELECT deployments.*, predictions.document AS predicted, impacts.document AS measured_impact
FROM deployments
JOIN predictions ON predictions.deployment_id = deployments.id
JOIN impacts ON impacts.deployment_id = deployments.id
WHERE deployments.service = ? AND deployments.measured = 1
ORDER BY deployments.ended_us DESC LIMIT ?
"""


def keep(connection: Connection, prediction: Prediction) -> None:
    """Keep what is expected; once anything is measured, the earlier word stays."""
    connection.execute(_KEEP, prediction_values(prediction))


def came_true(connection: Connection, service: str, limit: int) -> list[Foretold]:
    """The newest predictions of a service beside what was measured."""
    rows = connection.execute(_CAME_TRUE, (service, limit))
    return [
        Foretold(
            prediction=prediction_of(row["predicted"]),
            deployment=deployment_of(row),
            impact=impact_of(row["measured_impact"]),
        )
        for row in rows
    ]
