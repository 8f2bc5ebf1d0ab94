"""The SQL of impacts: functions of a connection, run by the writer or a reader."""

from collections.abc import Sequence

import orjson

from afdp_exporter.model import Impact, stated_decision
from afdp_exporter.store.follow_ups import IMPACT
from afdp_exporter.store.sql import changes
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import deployment_of, impact_of, impact_values

_SAVE = """
INSERT INTO impacts (deployment_id, measured_us, outcome, document)
VALUES (:deployment_id, :measured_us, :outcome, :document)
ON CONFLICT (deployment_id) DO UPDATE SET
    measured_us = excluded.measured_us, outcome = excluded.outcome, document = excluded.document
WHERE excluded.measured_us >= impacts.measured_us
"""

_OF_SEVERAL = "SELECT deployment_id, document FROM impacts WHERE deployment_id IN ({})"


def save(connection: Connection, impact: Impact) -> bool:
    """Put an impact in the place of the earlier one, unless that was measured later: looks may end in any order."""
    if not connection.execute(_SAVE, impact_values(impact)).rowcount:
        return False
    row = connection.execute("SELECT * FROM deployments WHERE id = ?", (impact.deployment_id,)).fetchone()
    said = stated_decision(deployment_of(row))
    outcome = impact.outcome if said is None else said.outcome
    connection.execute("UPDATE deployments SET measured = 1, outcome = ? WHERE id = ?", (outcome, impact.deployment_id))
    changes.append_of(connection, IMPACT, deployment_of(row))
    return True


def of_several(connection: Connection, deployment_ids: Sequence[str]) -> dict[str, Impact]:
    """The impacts of those of which one is known, by deployment."""
    listed = connection.dialect.listed.format("ids")
    rows = connection.execute(_OF_SEVERAL.format(listed), {"ids": orjson.dumps(list(deployment_ids)).decode()})
    return {row["deployment_id"]: impact_of(row["document"]) for row in rows}


def find(connection: Connection, deployment_id: str) -> Impact | None:
    """The impact of a deployment, where one is known."""
    row = connection.execute("SELECT document FROM impacts WHERE deployment_id = ?", (deployment_id,)).fetchone()
    return impact_of(row["document"]) if row is not None else None
