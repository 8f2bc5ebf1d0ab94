"""The SQL of actions: functions of a connection."""

from collections.abc import Callable
from datetime import datetime

from pydantic import TypeAdapter

from afdp_exporter.errors import Conflict, Fault, NotFound
from afdp_exporter.model import Action, ActionState
from afdp_exporter.store.follow_ups import ACTION
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import to_us, whole

_action = TypeAdapter(Action)

_PUT = """
INSERT INTO actions (id, deployment_id, kind, service, environment, state, decided_us, document)
VALUES (:id, :deployment_id, :kind, :service, :environment, :state, :decided_us, :document)
ON CONFLICT (deployment_id, kind) DO NOTHING
"""

_MOVE = "UPDATE actions SET state = :state, document = :document WHERE id = :id"


def propose(connection: Connection, action: Action) -> bool:
    """Keep the intent of an action; False where there is one of its kind for the deployment already."""
    is_new = connection.execute(_PUT, _values(action)).rowcount == 1
    if is_new:
        connection.append_changes(ACTION, action.id)
    return is_new


def move(
    connection: Connection, action_id: str, expected: frozenset[ActionState], change: Callable[[Action], Action]
) -> Action:
    """Read, change and keep an action in one transaction.

    Raises NotFound, and Conflict where it is in none of the states that are expected: somebody was faster.
    """
    connection.serialise("action", action_id)
    known = find(connection, action_id)
    if known.state not in expected:
        raise Conflict(Fault("state", f"the action {action_id} is {known.state} already"))
    changed = change(known)
    connection.execute(_MOVE, _values(changed))
    connection.append_changes(ACTION, action_id)
    return changed


def find(connection: Connection, action_id: str) -> Action:
    """One action. Raises NotFound."""
    row = connection.execute("SELECT document FROM actions WHERE id = ?", (action_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no action {action_id!r}")
    return action_of(row["document"])


def search(
    connection: Connection,
    *,
    deployment_id: str | None,
    since: datetime | None,
    only_open: bool,
    limit: int,
) -> list[Action]:
    """The wanted actions, newest first."""
    rows = connection.execute(
        """
        SELECT document FROM actions
        WHERE (CAST(:deployment_id AS text) IS NULL OR deployment_id = :deployment_id)
        AND (CAST(:since_us AS bigint) IS NULL OR decided_us >= :since_us)
        AND (NOT :only_open OR state IN ('proposed', 'awaiting_approval', 'claimed', 'started', 'accepted'))
        ORDER BY decided_us DESC, id DESC LIMIT :limit
        """,
        {
            "deployment_id": deployment_id,
            "since_us": None if since is None else to_us(since),
            "only_open": only_open,
            "limit": limit,
        },
    )
    return [action_of(row["document"]) for row in rows]


@whole
def action_of(document: str) -> Action:
    """The action that a document holds."""
    return _action.validate_json(document)


def _values(action: Action) -> dict[str, object]:
    return {
        "id": action.id,
        "deployment_id": action.deployment_id,
        "kind": action.kind,
        "service": action.service,
        "environment": action.environment,
        "state": action.state,
        "decided_us": to_us(action.decided_at),
        "document": _action.dump_json(action, exclude_none=True).decode(),
    }
