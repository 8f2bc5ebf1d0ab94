"""The SQL of looks: functions of a connection, run by the writer or a reader."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from afdp_exporter.model import Look, LookState
from afdp_exporter.store import Backlog
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import look_of, look_values, to_time, to_us

_INSERT = """
INSERT INTO looks (deployment_id, after_us, due_us, ready_us, state, attempts, done_us, reason, outcome, account)
VALUES (:deployment_id, :after_us, :due_us, :ready_us, :state, :attempts, :done_us, :reason, :outcome, :account)
"""

_REPLACE = f"""
{_INSERT}
ON CONFLICT DO UPDATE SET
    due_us = excluded.due_us, ready_us = excluded.ready_us, state = excluded.state, attempts = excluded.attempts,
    done_us = excluded.done_us, reason = excluded.reason, outcome = excluded.outcome, account = excluded.account
WHERE due_us <> excluded.due_us
"""

_CLAIM = """
UPDATE looks SET state = :running, ready_us = :lease_until
WHERE (deployment_id, after_us) IN (
    SELECT deployment_id, after_us FROM looks WHERE ready_us <= :now ORDER BY ready_us, due_us LIMIT :limit
)
RETURNING *
"""

_FINISH = """
UPDATE looks SET
    ready_us = NULL, state = :state, attempts = :attempts, done_us = :done_us, reason = :reason, outcome = :outcome,
    account = :account
WHERE deployment_id = :deployment_id AND after_us = :after_us AND due_us = :due_us AND ready_us IS NOT NULL
"""

_POSTPONE = """
UPDATE looks SET ready_us = :until, state = :waiting, attempts = attempts + 1, reason = :reason
WHERE deployment_id = :deployment_id AND after_us = :after_us AND due_us = :due_us AND ready_us IS NOT NULL
"""

_BACKLOG = """
SELECT count(*), min(due_us) FROM (
    SELECT ready_us AS due_us FROM looks WHERE ready_us <= :now AND state = 'due'
    UNION ALL
    SELECT due_us FROM looks WHERE state IN ('waiting', 'running') AND due_us <= :now
)
"""


def insert(connection: Connection, planned: Iterable[Look]) -> None:
    """Plan the looks at a new deployment."""
    connection.executemany(_INSERT, [look_values(look) for look in planned])


def add(connection: Connection, planned: Iterable[Look]) -> None:
    """Plan further looks; one that is planned already stays as it is."""
    connection.executemany(f"{_INSERT} ON CONFLICT DO NOTHING", [look_values(look) for look in planned])


def replace(connection: Connection, deployment_id: str, planned: Iterable[Look]) -> None:
    """Plan anew what has no answer; an answer stays unless its look is now due at another time."""
    connection.execute("DELETE FROM looks WHERE deployment_id = ? AND ready_us IS NOT NULL", (deployment_id,))
    connection.executemany(_REPLACE, [look_values(look) for look in planned])


def of_deployment(connection: Connection, deployment_id: str) -> tuple[Look, ...]:
    """All looks at a deployment in order of time."""
    rows = connection.execute("SELECT * FROM looks WHERE deployment_id = ? ORDER BY after_us", (deployment_id,))
    return tuple(look_of(row) for row in rows)


def claim(connection: Connection, now: datetime, limit: int, lease: timedelta) -> list[Look]:
    """Mark looks whose time has come as running until their lease ends."""
    rows = connection.execute(
        _CLAIM,
        {"running": LookState.RUNNING, "lease_until": to_us(now + lease), "now": to_us(now), "limit": limit},
    ).fetchall()
    return sorted((look_of(row) for row in rows), key=lambda look: look.due_at)


def finish(connection: Connection, look: Look) -> bool:
    """Keep an answer; False where the look was answered already or planned anew meanwhile."""
    return connection.execute(_FINISH, look_values(look)).rowcount == 1


def postpone(connection: Connection, look: Look, until: datetime, reason: str) -> bool:
    """Let a look without an answer wait, and count the attempt; False as in `finish`."""
    changed = connection.execute(
        _POSTPONE,
        {
            "until": to_us(until),
            "waiting": LookState.WAITING,
            "reason": reason,
            "deployment_id": look.deployment_id,
            "after_us": look.after // timedelta(microseconds=1),
            "due_us": to_us(look.due_at),
        },
    )
    return changed.rowcount == 1


def release(connection: Connection) -> None:
    """Give back what an ended process had taken; nobody but this process holds the file."""
    connection.execute(
        "UPDATE looks SET state = ?, ready_us = due_us WHERE state = ?", (LookState.DUE, LookState.RUNNING)
    )


def next_at(connection: Connection) -> datetime | None:
    """When the next look can be taken."""
    (ready_us,) = connection.execute("SELECT min(ready_us) FROM looks WHERE ready_us IS NOT NULL").fetchone()
    return to_time(ready_us) if ready_us is not None else None


def backlog(connection: Connection, now: datetime) -> Backlog:
    """What is due and has no answer."""
    count, oldest_us = connection.execute(_BACKLOG, {"now": to_us(now)}).fetchone()
    return Backlog(count=count, oldest_due_at=to_time(oldest_us) if oldest_us is not None else None)
