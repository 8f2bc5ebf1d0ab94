"""The SQL of looks: functions of a connection, run by the writer or a reader. What is open has a job, too."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

import orjson

from afdp_exporter.model import Look
from afdp_exporter.store import Backlog, Job
from afdp_exporter.store.follow_ups import CHECK, check, check_key, look_of_key
from afdp_exporter.store.sql import inserting, jobs
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import Values, look_of, look_values, to_time, to_us

_MICROSECOND = timedelta(microseconds=1)

_INSERT = """
INSERT INTO looks (deployment_id, after_us, due_us, state, attempts, done_us, reason, outcome, account)
VALUES (:deployment_id, :after_us, :due_us, :state, :attempts, :done_us, :reason, :outcome, :account)
"""

_INSERT_UNTOUCHED = "INSERT INTO looks (deployment_id, after_us, due_us, state, attempts, account) VALUES {rows}"
_UNTOUCHED = "(?, ?, ?, 'due', 0, '{}')"
"""By far the most, without what is not known of them: for a None Python's `sqlite3` takes as long as for 30 numbers."""

_ADD = f"{_INSERT} ON CONFLICT DO NOTHING"

_REPLACE = f"""
{_INSERT}
ON CONFLICT (deployment_id, after_us) DO UPDATE SET
    due_us = excluded.due_us, state = excluded.state, attempts = excluded.attempts,
    done_us = excluded.done_us, reason = excluded.reason, outcome = excluded.outcome, account = excluded.account
WHERE looks.due_us <> excluded.due_us
"""

_SELECT = """
SELECT looks.*, (
    SELECT owner FROM jobs WHERE kind = 'check' AND key = looks.deployment_id || '/' || looks.after_us
) AS owner
FROM looks
"""

_FORGET = """
DELETE FROM jobs WHERE kind = 'check' AND key IN (
    SELECT deployment_id || '/' || after_us FROM looks
    WHERE deployment_id = :deployment_id AND state IN ('due', 'waiting')
)
"""

_FINISH = """
UPDATE looks SET
    state = :state, attempts = :attempts, done_us = :done_us, reason = :reason, outcome = :outcome, account = :account
WHERE deployment_id = :deployment_id AND after_us = :after_us AND due_us = :due_us AND state IN ('due', 'waiting')
"""

_POSTPONE = """
UPDATE looks SET state = 'waiting', attempts = attempts + 1, reason = :reason
WHERE deployment_id = :deployment_id AND after_us = :after_us AND due_us = :due_us AND state IN ('due', 'waiting')
"""

_BACKLOG = """
SELECT count(*), min(due_us) FROM (
    SELECT due_us FROM jobs WHERE kind = 'check' AND ready_us <= :now {of_services}
    UNION ALL
    SELECT due_us FROM jobs
    WHERE kind = 'check' AND ready_us <> due_us AND due_us <= :now AND ready_us > :now {of_services}
) AS due
"""


def insert(connection: Connection, planned: Iterable[Look]) -> None:
    """Plan the looks at new deployments; their jobs are enqueued with what else follows from these."""
    untouched, others = list[tuple[str, int, int]](), list[Values]()
    for look in planned:
        if look.is_untouched:
            untouched.append((look.deployment_id, look.after // _MICROSECOND, to_us(look.due_at)))
        else:
            others.append(look_values(look))
    inserting.insert(connection, _INSERT_UNTOUCHED, _UNTOUCHED, untouched)
    if others:
        connection.executemany(_INSERT, others)


def add(connection: Connection, planned: Iterable[Look]) -> None:
    """Plan further looks; one that is planned already stays as it is."""
    _plan(connection, _ADD, planned)


def replace(connection: Connection, deployment_id: str, planned: Iterable[Look]) -> None:
    """Plan anew what has no answer; an answer stays unless its look is now due at another time."""
    connection.execute(_FORGET, {"deployment_id": deployment_id})
    connection.execute("DELETE FROM looks WHERE deployment_id = ? AND state IN ('due', 'waiting')", (deployment_id,))
    _plan(connection, _REPLACE, planned)


def _plan(connection: Connection, statement: str, planned: Iterable[Look]) -> None:
    for look in planned:
        if connection.execute(statement, look_values(look)).rowcount == 1 and look.is_open:
            (service,) = connection.execute(
                "SELECT service FROM deployments WHERE id = ?", (look.deployment_id,)
            ).fetchone()
            jobs.enqueue(connection, (check(look, service),))


def of_deployment(connection: Connection, deployment_id: str) -> tuple[Look, ...]:
    """All looks at a deployment in order of time."""
    rows = connection.execute(f"{_SELECT} WHERE deployment_id = ? ORDER BY after_us", (deployment_id,))
    return tuple(look_of(row) for row in rows)


def of_job(connection: Connection, job: Job) -> Look | None:
    """The look of a job."""
    deployment_id, after = look_of_key(job.key)
    row = connection.execute(
        f"{_SELECT} WHERE deployment_id = ? AND after_us = ? AND due_us = ?",
        (deployment_id, after // _MICROSECOND, to_us(job.due_at)),
    ).fetchone()
    return None if row is None else look_of(row)


def finish(connection: Connection, look: Look, job: Job | None) -> bool:
    """Keep an answer; False where the look was answered already or planned anew meanwhile, or is held by another."""
    if not _is_held(connection, look, job) or connection.execute(_FINISH, look_values(look)).rowcount == 0:
        return False
    connection.execute("DELETE FROM jobs WHERE kind = ? AND key = ?", (CHECK, check_key(look)))
    return True


def postpone(connection: Connection, look: Look, until: datetime, reason: str, job: Job | None) -> bool:
    """Let a look without an answer wait, and count the attempt; False as in `finish`."""
    values = {**look_values(look), "reason": reason}
    if not _is_held(connection, look, job) or connection.execute(_POSTPONE, values).rowcount == 0:
        return False
    connection.execute(
        """
        UPDATE jobs SET owner = NULL, token = NULL, attempts = attempts + 1, reason = ?, ready_us = ?
        WHERE kind = ? AND key = ?
        """,
        (reason, to_us(until), CHECK, check_key(look)),
    )
    return True


def _is_held(connection: Connection, look: Look, job: Job | None) -> bool:
    return jobs.is_there(connection, CHECK, check_key(look), token=None if job is None else job.token)


def backlog(connection: Connection, now: datetime, services: Collection[str] | None = None) -> Backlog:
    """What is due and has no answer, of all services or of these."""
    known = "" if services is None else f"AND lane IN ({connection.dialect.listed.format('services')})"
    values = {"now": to_us(now), "services": orjson.dumps(list(services or ())).decode()}
    count, oldest_us = connection.execute(_BACKLOG.format(of_services=known), values).fetchone()
    return Backlog(count=count, oldest_due_at=to_time(oldest_us) if oldest_us is not None else None)
