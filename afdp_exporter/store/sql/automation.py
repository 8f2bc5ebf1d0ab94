"""The SQL of the gate's decisions, of automation levels and of actions: functions of a connection."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from afdp_exporter.errors import Conflict, Fault, NotFound
from afdp_exporter.model import (
    Action,
    ActionState,
    ApprovalState,
    Deployment,
    GateDecision,
    GateEvaluation,
    LevelChange,
    PendingApproval,
    Rollout,
    StoredDecision,
)
from afdp_exporter.store.follow_ups import ACTION, APPROVAL, FALSE_ALARMS, ROLLOUT
from afdp_exporter.store.sql import changes, deployments
from afdp_exporter.store.sql.connection import Connection, Reading, Row, Writing
from afdp_exporter.store.sql.rows import to_time, to_us, whole

_decision = TypeAdapter(GateDecision)
_action = TypeAdapter(Action)
_rollout = TypeAdapter(Rollout)
_approval = TypeAdapter(PendingApproval)
_evaluation = TypeAdapter(GateEvaluation)
_REMEMBERED = timedelta(days=30)  # that an answered request is known as one, and what was begun can be polled

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

_PUT = """
INSERT INTO actions (id, deployment_id, kind, service, environment, state, decided_us, document)
VALUES (:id, :deployment_id, :kind, :service, :environment, :state, :decided_us, :document)
ON CONFLICT (deployment_id, kind) DO NOTHING
"""

_LAST_LEVEL = """
SELECT level FROM level_changes WHERE service = ? AND environment = ? AND kind = 'level' ORDER BY id DESC LIMIT 1
"""

_MOVE = "UPDATE actions SET state = :state, document = :document WHERE id = :id"


class SQLAutomation:
    """An `AutomationStore` over a database."""

    def __init__(self, writer: Writing, readers: Reading) -> None:
        self._writer = writer
        self._readers = readers

    async def keep_decision(self, decision: GateDecision, caller: str) -> StoredDecision:
        return await self._writer.write(lambda connection: keep_decision(connection, decision, caller))

    async def decisions(
        self, *, since: datetime, service: str | None = None, environment: str | None = None, limit: int = 1000
    ) -> list[StoredDecision]:
        return await self._readers.read(lambda connection: decisions(connection, service, environment, since, limit))

    async def decision_on(self, deployment: Deployment) -> StoredDecision | None:
        return await self._readers.read(lambda connection: decision_on(connection, deployment))

    async def record_level(self, change: LevelChange) -> None:
        await self._writer.write(lambda connection: record_level(connection, change))

    async def level_changes(self, service: str | None = None) -> list[LevelChange]:
        return await self._readers.read(lambda connection: level_changes(connection, service))

    async def keep_false_alarms(self, found: Mapping[str, tuple[int, int]]) -> None:
        await self._writer.write(lambda connection: keep_false_alarms(connection, found))

    async def false_alarms(self) -> dict[str, tuple[int, int]]:
        return await self._readers.read(false_alarms)

    async def keep_rollout(self, service: str, rollout: Rollout) -> None:
        await self._writer.write(lambda connection: keep_rollout(connection, service, rollout))

    async def rollout(self, deployment_id: str) -> Rollout | None:
        return await self._readers.read(lambda connection: find_rollout(connection, deployment_id))

    async def rollouts(self, service: str | None, *, before: datetime, limit: int = 20) -> list[Rollout]:
        return await self._readers.read(lambda connection: rollouts(connection, service, before, limit))

    async def keep_approval(self, waiting: PendingApproval) -> bool:
        return await self._writer.write(lambda connection: keep_approval(connection, waiting))

    async def change_approval(self, waiting: PendingApproval) -> None:
        await self._writer.write(lambda connection: change_approval(connection, waiting))

    async def approvals(self, *, limit: int = 1000) -> list[PendingApproval]:
        return await self._readers.read(lambda connection: approvals(connection, limit))

    async def keep_evaluation(self, evaluation: GateEvaluation) -> None:
        await self._writer.write(lambda connection: keep_evaluation(connection, evaluation))

    async def evaluation(self, evaluation_id: str) -> GateEvaluation | None:
        return await self._readers.read(lambda connection: find_evaluation(connection, evaluation_id))

    async def propose(self, action: Action) -> bool:
        return await self._writer.write(lambda connection: propose(connection, action))

    async def move(
        self, action_id: str, expected: frozenset[ActionState], change: Callable[[Action], Action]
    ) -> Action:
        return await self._writer.write(lambda connection: move(connection, action_id, expected, change))

    async def action(self, action_id: str) -> Action:
        return await self._readers.read(lambda connection: find(connection, action_id))

    async def actions(
        self,
        *,
        deployment_id: str | None = None,
        since: datetime | None = None,
        only_open: bool = False,
        limit: int = 1000,
    ) -> list[Action]:
        wanted = {"deployment_id": deployment_id, "since": since, "only_open": only_open, "limit": limit}
        return await self._readers.read(lambda connection: actions(connection, wanted))


def keep_decision(connection: Connection, decision: GateDecision, caller: str) -> StoredDecision:
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


def decisions(
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


def decision_on(connection: Connection, deployment: Deployment) -> StoredDecision | None:
    """The newest decision on a deployment, else on its version while it was planned."""
    row = connection.execute(
        """
        SELECT * FROM decisions WHERE service = ? AND environment = ?
        AND (deployment_id = ? OR (deployment_id IS NULL AND version IS NOT DISTINCT FROM ?)) ORDER BY id DESC LIMIT 1
        """,
        (deployment.service, deployment.environment, deployment.id, deployment.version),
    ).fetchone()
    return None if row is None else _stored(row)


def record_level(connection: Connection, change: LevelChange) -> None:
    """Append to the trail; what the rules found only where it is new, since each process looks for itself."""
    connection.serialise("level", change.service)
    if change.kind == "level":
        last = connection.execute(_LAST_LEVEL, (change.service, change.environment)).fetchone()
        if last is not None and last["level"] == change.level:
            return
    connection.execute(
        """
        INSERT INTO level_changes (service, environment, kind, level, changed_by, reason, at_us)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (*astuple(change)[:6], to_us(change.at)),
    )


def level_changes(connection: Connection, service: str | None = None) -> list[LevelChange]:
    """The whole trail, oldest first."""
    rows = connection.execute(
        "SELECT * FROM level_changes WHERE (CAST(:service AS text) IS NULL OR service = :service) ORDER BY id",
        {"service": service},
    )
    return [
        LevelChange(
            service=row["service"], environment=row["environment"], kind=row["kind"], level=row["level"],
            by=row["changed_by"], reason=row["reason"], at=to_time(row["at_us"]),
        )
        for row in rows
    ]  # fmt: skip


def keep_false_alarms(connection: Connection, found: Mapping[str, tuple[int, int]]) -> None:
    """Keep these in place of the last."""
    connection.execute("DELETE FROM false_alarms")
    connection.executemany(
        "INSERT INTO false_alarms (metric, blamed, judged) VALUES (?, ?, ?)",
        [(metric, *counts) for metric, counts in found.items()],
    )
    connection.append_change(FALSE_ALARMS, "")


def false_alarms(connection: Connection) -> dict[str, tuple[int, int]]:
    """By metric."""
    return {row["metric"]: (row["blamed"], row["judged"]) for row in connection.execute("SELECT * FROM false_alarms")}


def keep_rollout(connection: Connection, service: str, rollout: Rollout) -> None:
    """Keep the newest of a deployment."""
    connection.execute(
        """
        INSERT INTO rollouts (deployment_id, service, measured_us, document) VALUES (?, ?, ?, ?)
        ON CONFLICT (deployment_id) DO UPDATE SET measured_us = excluded.measured_us, document = excluded.document
        """,
        (rollout.deployment_id, service, to_us(rollout.as_of), zlib.compress(_rollout.dump_json(rollout))),
    )
    changes.append_of(connection, ROLLOUT, deployments.find(connection, rollout.deployment_id))


def find_rollout(connection: Connection, deployment_id: str) -> Rollout | None:
    """The newest of a deployment."""
    row = connection.execute("SELECT document FROM rollouts WHERE deployment_id = ?", (deployment_id,)).fetchone()
    return None if row is None else rollout_of(row["document"])


def rollouts(connection: Connection, service: str | None, before: datetime, limit: int) -> list[Rollout]:
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


def keep_approval(connection: Connection, waiting: PendingApproval) -> bool:
    """Keep a request; False where it is known already, and due anew. What was asked a month ago is forgotten."""
    connection.execute(
        "DELETE FROM approvals WHERE state <> 'waiting' AND asked_us < ?", (to_us(waiting.asked_at - _REMEMBERED),)
    )
    kept = connection.execute(
        """
        INSERT INTO approvals (id, state, asked_us, document, credential)
        VALUES (:id, :state, :asked_us, :document, :credential)
        ON CONFLICT (id) DO NOTHING
        """,
        _approval_values(waiting),
    )
    if connection.execute("SELECT 1 FROM approvals WHERE id = ? AND state = 'waiting'", (waiting.id,)).fetchone():
        connection.append_change(APPROVAL, waiting.id)
    return kept.rowcount == 1


def change_approval(connection: Connection, waiting: PendingApproval) -> None:
    """Keep where a request stands."""
    connection.execute(
        "UPDATE approvals SET state = :state, document = :document, credential = :credential WHERE id = :id",
        _approval_values(waiting),
    )


def approvals(connection: Connection, limit: int) -> list[PendingApproval]:
    """The requests without an answer, oldest first."""
    rows = connection.execute(
        "SELECT document, credential FROM approvals WHERE state = 'waiting' ORDER BY asked_us, id LIMIT ?", (limit,)
    )
    return [replace(approval_of(row["document"]), credential=row["credential"]) for row in rows]


def _approval_values(waiting: PendingApproval) -> dict[str, object]:
    """A credential is kept as long as it is needed, and outside of the document."""
    return {
        "id": waiting.id,
        "state": waiting.state,
        "asked_us": to_us(waiting.asked_at),
        "document": _approval.dump_json(replace(waiting, credential=""), exclude_none=True).decode(),
        "credential": waiting.credential if waiting.state is ApprovalState.WAITING else "",
    }


def keep_evaluation(connection: Connection, evaluation: GateEvaluation) -> None:
    """Keep what was begun, and forget what was begun a month before it."""
    connection.execute("DELETE FROM evaluations WHERE begun_us < ?", (to_us(evaluation.begun_at - _REMEMBERED),))
    connection.execute(
        """
        INSERT INTO evaluations (id, begun_us, document) VALUES (?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET begun_us = excluded.begun_us, document = excluded.document
        """,
        (evaluation.id, to_us(evaluation.begun_at), _evaluation.dump_json(evaluation, exclude_none=True).decode()),
    )


def find_evaluation(connection: Connection, evaluation_id: str) -> GateEvaluation | None:
    """What was begun under this id."""
    row = connection.execute("SELECT document FROM evaluations WHERE id = ?", (evaluation_id,)).fetchone()
    return None if row is None else _evaluation.validate_json(row["document"])


def propose(connection: Connection, action: Action) -> bool:
    """Keep the intent of an action; False where there is one of its kind for the deployment already."""
    is_new = connection.execute(_PUT, _values(action)).rowcount == 1
    if is_new:
        connection.append_change(ACTION, action.id)
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
    connection.append_change(ACTION, action_id)
    return changed


def find(connection: Connection, action_id: str) -> Action:
    """One action. Raises NotFound."""
    row = connection.execute("SELECT document FROM actions WHERE id = ?", (action_id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no action {action_id!r}")
    return action_of(row["document"])


def actions(connection: Connection, wanted: Mapping[str, Any]) -> list[Action]:
    """The wanted actions, newest first."""
    since = wanted["since"]
    rows = connection.execute(
        """
        SELECT document FROM actions
        WHERE (CAST(:deployment_id AS text) IS NULL OR deployment_id = :deployment_id)
        AND (CAST(:since_us AS bigint) IS NULL OR decided_us >= :since_us)
        AND (NOT :only_open OR state IN ('proposed', 'awaiting_approval', 'claimed', 'started', 'accepted'))
        ORDER BY decided_us DESC, id DESC LIMIT :limit
        """,
        {**wanted, "since_us": None if since is None else to_us(since), "since": None},
    )
    return [action_of(row["document"]) for row in rows]


def _stored(row: Row) -> StoredDecision:
    return StoredDecision(id=row["id"], caller=row["caller"], decision=decision_of(row["document"]))


@whole
def decision_of(document: str) -> GateDecision:
    """The decision that a document holds."""
    return _decision.validate_json(document)


@whole
def rollout_of(document: bytes) -> Rollout:
    """The rollout that a document holds."""
    return _rollout.validate_json(zlib.decompress(document))


@whole
def approval_of(document: str) -> PendingApproval:
    """The request that a document holds."""
    return _approval.validate_json(document)


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
