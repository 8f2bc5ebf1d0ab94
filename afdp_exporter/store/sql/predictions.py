"""The SQL of predictions: functions of a connection, run by the writer or a reader."""

from collections.abc import Sequence

import orjson

from afdp_exporter.model import Prediction, ScoredPrediction
from afdp_exporter.store.follow_ups import PREDICTION
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import deployment_of, impact_of, prediction_of, prediction_values

_SAVE = """
INSERT INTO predictions (deployment_id, document) VALUES (:deployment_id, :document)
ON CONFLICT (deployment_id) DO UPDATE SET document = excluded.document
WHERE NOT EXISTS (SELECT 1 FROM impacts WHERE impacts.deployment_id = excluded.deployment_id)
"""

_OF_SEVERAL = "SELECT deployment_id, document FROM predictions WHERE deployment_id IN ({})"

_SCORED = """
SELECT deployments.*, predictions.document AS predicted, impacts.document AS measured_impact
FROM deployments
JOIN predictions ON predictions.deployment_id = deployments.id
JOIN impacts ON impacts.deployment_id = deployments.id
WHERE deployments.service = ? AND deployments.measured = 1
ORDER BY deployments.ended_us DESC LIMIT ?
"""


def save(connection: Connection, prediction: Prediction) -> None:
    """Keep what is expected; once anything is measured, the earlier word stays."""
    if connection.execute(_SAVE, prediction_values(prediction)).rowcount:
        connection.append_changes(PREDICTION, prediction.deployment_id)


def of_several(connection: Connection, deployment_ids: Sequence[str]) -> dict[str, Prediction]:
    """The predictions of those of which one is known, by deployment."""
    listed = connection.dialect.listed.format("ids")
    rows = connection.execute(_OF_SEVERAL.format(listed), {"ids": orjson.dumps(list(deployment_ids)).decode()})
    return {row["deployment_id"]: prediction_of(row["document"]) for row in rows}


def scored(connection: Connection, service: str, limit: int) -> list[ScoredPrediction]:
    """The newest predictions of a service beside what was measured."""
    rows = connection.execute(_SCORED, (service, limit))
    return [
        ScoredPrediction(
            prediction=prediction_of(row["predicted"]),
            deployment=deployment_of(row),
            impact=impact_of(row["measured_impact"]),
        )
        for row in rows
    ]
