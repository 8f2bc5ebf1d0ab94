"""The SQL of who waits for an answer of the gate: functions of a connection."""

from dataclasses import replace
from datetime import timedelta

from pydantic import TypeAdapter

from afdp_exporter.model import ApprovalState, GateEvaluation, PendingApproval
from afdp_exporter.store.follow_ups import APPROVAL
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import to_us, whole

_approval = TypeAdapter(PendingApproval)

_evaluation = TypeAdapter(GateEvaluation)

_REMEMBERED = timedelta(days=30)  # that an answered request is known as one, and what was begun can be polled


def keep(connection: Connection, waiting: PendingApproval) -> bool:
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
        _values(waiting),
    )
    if connection.execute("SELECT 1 FROM approvals WHERE id = ? AND state = 'waiting'", (waiting.id,)).fetchone():
        connection.append_changes(APPROVAL, waiting.id)
    return kept.rowcount == 1


def change(connection: Connection, waiting: PendingApproval) -> None:
    """Keep where a request stands."""
    connection.execute(
        "UPDATE approvals SET state = :state, document = :document, credential = :credential WHERE id = :id",
        _values(waiting),
    )


def waiting(connection: Connection, limit: int) -> list[PendingApproval]:
    """The requests without an answer, oldest first."""
    rows = connection.execute(
        "SELECT document, credential FROM approvals WHERE state = 'waiting' ORDER BY asked_us, id LIMIT ?", (limit,)
    )
    return [replace(approval_of(row["document"]), credential=row["credential"]) for row in rows]


def _values(waiting: PendingApproval) -> dict[str, object]:
    """A credential is kept as long as it is needed, and outside of the document."""
    return {
        "id": waiting.id,
        "state": waiting.state,
        "asked_us": to_us(waiting.asked_at),
        "document": _approval.dump_json(replace(waiting, credential=""), exclude_none=True).decode(),
        "credential": waiting.credential if waiting.state is ApprovalState.WAITING else "",
    }


@whole
def approval_of(document: str) -> PendingApproval:
    """The request that a document holds."""
    return _approval.validate_json(document)


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
