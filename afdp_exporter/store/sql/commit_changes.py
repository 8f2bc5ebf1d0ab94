"""The SQL of what commits changed, and of the deployments that bring them; run by the writer."""

import orjson

from afdp_exporter.model import ChangeType, CommitChange, Deployment
from afdp_exporter.store.described import described_by, undescribed, united
from afdp_exporter.store.exactness import check_storable
from afdp_exporter.store.sql import deployments
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import deployment_of

_SAVE = """
INSERT INTO commit_changes ("commit", traits, change_types) VALUES (:commit, :traits, :change_types)
ON CONFLICT ("commit") DO UPDATE SET traits = excluded.traits, change_types = excluded.change_types
"""


def save(connection: Connection, change: CommitChange) -> list[Deployment]:
    """Keep what a commit changed; the deployments that are described by it now."""
    check_storable(change)
    connection.serialise("commit", change.commit)
    known = find(connection, change.commit)
    whole = change if known is None else united(known, change)
    if whole == known:
        return []
    values = {
        "commit": whole.commit,
        "traits": orjson.dumps(dict(whole.traits)).decode(),
        "change_types": orjson.dumps(whole.change_types).decode(),
    }
    connection.execute(_SAVE, values)
    rows = connection.execute('SELECT * FROM deployments WHERE "commit" = ?', (change.commit,)).fetchall()
    described = [described_by(undescribed(deployment_of(row), known), whole) for row in rows]
    for deployment in described:
        deployments.put(connection, deployment)
    return described


def find(connection: Connection, commit: str | None) -> CommitChange | None:
    """What is known of a commit."""
    row = connection.execute('SELECT * FROM commit_changes WHERE "commit" = ?', (commit,)).fetchone()
    if row is None:
        return None
    types = tuple(ChangeType(name) for name in orjson.loads(row["change_types"]))
    return CommitChange(commit=row["commit"], traits=orjson.loads(row["traits"]), change_types=types)
