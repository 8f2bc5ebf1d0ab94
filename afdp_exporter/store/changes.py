"""The SQL of what commits changed, and of the deployments that bring them; run by the writer."""

from dataclasses import replace

import orjson

from afdp_exporter.model import Change, ChangeType, Deployment
from afdp_exporter.store import deployments
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import check_storable, deployment_of

_KEEP = """
INSERT INTO changes ("commit", traits, change_types) VALUES (:commit, :traits, :change_types)
ON CONFLICT DO UPDATE SET traits = excluded.traits, change_types = excluded.change_types
"""


def describe(connection: Connection, change: Change) -> list[Deployment]:
    """Keep what a commit changed; the deployments that are described by it now."""
    check_storable(change)
    known = find(connection, change.commit)
    whole = change if known is None else _united(known, change)
    if whole == known:
        return []
    values = {
        "commit": whole.commit,
        "traits": orjson.dumps(dict(whole.traits)).decode(),
        "change_types": orjson.dumps(whole.change_types).decode(),
    }
    connection.execute(_KEEP, values)
    rows = connection.execute('SELECT * FROM deployments WHERE "commit" = ?', (change.commit,)).fetchall()
    described = [with_(without(deployment_of(row), known), whole) for row in rows]
    for deployment in described:
        deployments.put(connection, deployment)
    return described


def find(connection: Connection, commit: str | None) -> Change | None:
    """What is known of a commit."""
    row = connection.execute('SELECT * FROM changes WHERE "commit" = ?', (commit,)).fetchone()
    if row is None:
        return None
    types = tuple(ChangeType(name) for name in orjson.loads(row["change_types"]))
    return Change(commit=row["commit"], traits=orjson.loads(row["traits"]), change_types=types)


def with_(deployment: Deployment, change: Change | None) -> Deployment:
    """The deployment with what its commit changed; what it says itself holds."""
    if change is None:
        return deployment
    traits = {**change.traits, **deployment.traits}
    return replace(deployment, traits=traits, change_types=deployment.change_types or change.change_types)


def without(deployment: Deployment, change: Change | None) -> Deployment:
    """The deployment as it was before `with_`."""
    if change is None:
        return deployment
    own = {name: value for name, value in deployment.traits.items() if change.traits.get(name) != value}
    types = () if deployment.change_types == change.change_types else deployment.change_types
    return replace(deployment, traits=own, change_types=types)


def _united(known: Change, change: Change) -> Change:
    """Of two figures for the same trait the larger one: a push may have left files out."""
    traits = dict(known.traits)
    for name, value in change.traits.items():
        mine = traits.get(name)
        traits[name] = max(mine, value) if isinstance(mine, float) and isinstance(value, float) else value
    types = tuple(sorted({*known.change_types, *change.change_types}))
    return replace(known, traits=traits, change_types=types)
