"""The SQL of jobs: functions of a connection, run by the writer or a reader."""

import secrets
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

import orjson

from afdp_exporter.errors import LeaseLost
from afdp_exporter.store import Job, NewJob
from afdp_exporter.store.sql.connection import Connection, Row
from afdp_exporter.store.sql.inserting import insert
from afdp_exporter.store.sql.rows import to_time, to_us

_ENQUEUE = """
INSERT INTO jobs (kind, key, lane, due_us, ready_us) VALUES {rows}
ON CONFLICT (kind, key) DO UPDATE SET
    version = jobs.version + 1, attempts = 0,
    due_us = CASE WHEN excluded.due_us < jobs.due_us THEN excluded.due_us ELSE jobs.due_us END,
    ready_us = CASE
        WHEN jobs.owner IS NULL AND excluded.ready_us < jobs.ready_us THEN excluded.ready_us ELSE jobs.ready_us
    END
"""

_HELD = """
held (lane, n) AS (
    SELECT lane, count(*) FROM jobs {by_owner}
    WHERE owner IS NOT NULL AND kind = :kind AND ready_us > :now GROUP BY lane
)
"""

# UNION, not UNION ALL: in a damaged index the next lane may be an earlier one, and the walk has to end.
_LANES = """
lanes (lane) AS (
    SELECT min(lane) FROM jobs WHERE kind = :kind
    UNION
    SELECT (SELECT min(lane) FROM jobs WHERE kind = :kind AND lane > lanes.lane) FROM lanes WHERE lane IS NOT NULL
)
"""

_OF_LANES = {
    False: """
    CROSS JOIN jobs ON jobs.kind = :kind AND jobs.key IN (
        SELECT key FROM jobs AS own WHERE own.kind = :kind AND own.lane = lanes.lane AND own.ready_us <= :now
        ORDER BY own.ready_us LIMIT :limit
    )
    """,
    True: """
    CROSS JOIN LATERAL (
        SELECT * FROM jobs AS own WHERE own.kind = :kind AND own.lane = lanes.lane AND own.ready_us <= :now
        ORDER BY own.ready_us LIMIT :limit
    ) AS jobs
    """,
}
"""Without and with lateral subqueries. SQLite keeps to the order of a CROSS JOIN: of each lane a few jobs are read."""

# The plus keeps SQLite from walking through all that is ready, by its index, to look for the few keys.
_CLAIM_BY_LANES = """
WITH RECURSIVE {lanes}, {held},
ready AS (
    SELECT jobs.key, jobs.ready_us, jobs.due_us,
        coalesce(held.n, 0) + row_number() OVER (PARTITION BY jobs.lane ORDER BY jobs.ready_us, jobs.due_us, jobs.key)
            AS turn
    FROM lanes {of_lanes} LEFT JOIN held ON held.lane = lanes.lane
    WHERE lanes.lane IS NOT NULL {known}
),
chosen AS MATERIALIZED (
    SELECT key FROM jobs WHERE kind = :kind AND +ready_us <= :now AND key IN (
        SELECT key FROM ready WHERE turn <= :per_lane ORDER BY turn, ready_us, due_us, key LIMIT :limit
    )
    {skip_locked}
)
UPDATE jobs SET owner = :owner, token = :token, ready_us = :lease_until
WHERE kind = :kind AND key IN (SELECT key FROM chosen)
RETURNING *
"""

_CLAIM_IN_ORDER = """
WITH chosen AS MATERIALIZED (
    SELECT key FROM jobs WHERE kind = :kind AND ready_us <= :now {known} ORDER BY ready_us, due_us, key LIMIT :limit
    {skip_locked}
)
UPDATE jobs SET owner = :owner, token = :token, ready_us = :lease_until
WHERE kind = :kind AND key IN (SELECT key FROM chosen)
RETURNING *
"""

_MORE = "SELECT 1 FROM jobs WHERE kind = :kind AND ready_us <= :now LIMIT 1 OFFSET :limit"

_CLAIMED_BY = "SELECT token FROM jobs WHERE kind = :kind AND key = :key {locked}"

_FINISH = "DELETE FROM jobs WHERE kind = :kind AND key = :key AND token = :token AND version = :version"

_AGAIN = """
UPDATE jobs SET
    owner = NULL, token = NULL, attempts = 0, reason = NULL,
    due_us = CASE WHEN version = :version THEN :again ELSE due_us END,
    ready_us = CASE WHEN version = :version THEN :again ELSE due_us END
WHERE kind = :kind AND key = :key AND token = :token
"""

_POSTPONE = """
UPDATE jobs SET owner = NULL, token = NULL, attempts = attempts + 1, reason = :reason, ready_us = :until
WHERE kind = :kind AND key = :key AND token = :token
"""

_HOLD = """
UPDATE jobs SET ready_us = CASE WHEN ready_us > :until THEN ready_us ELSE :until END
WHERE kind = :kind AND key = :key AND token = :token
"""

_POSTPONE_LANE = """
UPDATE jobs SET ready_us = :until WHERE kind = :kind AND lane = :lane AND owner IS NULL AND ready_us < :until
"""

_OF_KNOWN = "AND {} IN ({})"

_NEXT_OF_LANES = """
SELECT min(ready_us) AS ready_us FROM (
    SELECT (SELECT min(ready_us) FROM jobs WHERE kind = :kind AND lane = value) AS ready_us
    FROM ({listed}) AS wanted
) AS first
"""

_NEXT = """
SELECT value AS kind, (SELECT min(ready_us) FROM jobs WHERE kind = value) AS ready_us FROM ({listed}) AS wanted
"""

_EVERY = 2**31


def enqueue(connection: Connection, jobs: Iterable[NewJob]) -> None:
    """Have these done; one that is there already is due no later than this."""
    rows = {
        (job.kind, job.key): (job.kind, job.key, job.lane, due_us, due_us)
        for job in sorted(jobs, key=lambda job: job.due_at, reverse=True)
        for due_us in [to_us(job.due_at)]
    }
    insert(connection, _ENQUEUE, "(?, ?, ?, ?, ?)", list(rows.values()))


def claim(
    connection: Connection,
    kind: str,
    now: datetime,
    *,
    owner: str,
    limit: int,
    lease: timedelta,
    per_lane: int | None,
    in_turns: bool,
    lanes: Collection[str] | None,
) -> list[Job]:
    """Hold jobs whose time has come until their lease ends."""
    values = {
        "kind": kind,
        "now": to_us(now),
        "owner": owner,
        "token": secrets.randbits(62),
        "limit": limit,
        "lease_until": to_us(now + lease),
        "per_lane": _EVERY if per_lane is None else per_lane,
        "lanes": _array(lanes or ()),
    }
    dialect = connection.dialect
    statement = _CLAIM_IN_ORDER
    # where all that is ready is taken no turns are needed, which are found lane by lane
    if per_lane is not None or (in_turns and connection.execute(_MORE, values).fetchone() is not None):
        connection.serialise("claim", kind)  # otherwise two at once could hold more of a lane than may be
        statement = _CLAIM_BY_LANES
    held = _HELD.format(by_owner=dialect.walk.format("jobs_held"))
    parts = {"lanes": _LANES, "held": held, "of_lanes": _OF_LANES[dialect.lateral], "known": ""}
    if lanes is not None:
        parts["known"] = _OF_KNOWN.format("jobs.lane", dialect.listed.format("lanes"))
    rows = connection.execute(statement.format(skip_locked=dialect.skip_locked, **parts), values).fetchall()
    return sorted((job_of(row) for row in rows), key=lambda job: job.due_at)


def heartbeat(connection: Connection, held: Iterable[Job], until: datetime) -> int:
    """Hold longer what is still held; never shorter, also where the clock was set back."""
    values = [{**_values(job), "until": to_us(until)} for job in held]
    return connection.executemany(_HOLD, values).rowcount


def is_there(connection: Connection, kind: str, key: str, *, token: int | None = None) -> bool:
    """Whether there is such a job and, where a token is given, by this claim; it stays so in the transaction."""
    statement = _CLAIMED_BY.format(locked=connection.dialect.locked)
    row = connection.execute(statement, {"kind": kind, "key": key}).fetchone()
    return row is not None and (token is None or row["token"] == token)


def check_held(connection: Connection, job: Job) -> None:
    """Raises LeaseLost where a job is held by another claim by now, or by none."""
    if not is_there(connection, job.kind, job.key, token=job.token):
        raise LeaseLost(f"{job.kind} {job.key}: another process has taken this over")


def finish(connection: Connection, job: Job, again: datetime | None) -> bool:
    """Remove a job that is done, unless it is due again."""
    values = _values(job)
    if again is None and connection.execute(_FINISH, values).rowcount == 1:
        return True
    return connection.execute(_AGAIN, {**values, "again": 0 if again is None else to_us(again)}).rowcount == 1


def postpone(connection: Connection, job: Job, until: datetime, reason: str, whole_lane: bool) -> bool:
    """Let a job wait, and count the attempt."""
    values = {**_values(job), "until": to_us(until), "reason": reason}
    if connection.execute(_POSTPONE, values).rowcount == 0:
        return False
    if whole_lane:
        connection.execute(_POSTPONE_LANE, values)
    return True


def release(connection: Connection, owner: str | None, kind: str | None) -> None:
    """Give back what an owner holds, or what anybody does."""
    connection.execute(
        """
        UPDATE jobs SET owner = NULL, token = NULL, ready_us = due_us
        WHERE owner IS NOT NULL AND (CAST(:owner AS text) IS NULL OR owner = :owner)
            AND (CAST(:kind AS text) IS NULL OR kind = :kind)
        """,
        {"owner": owner, "kind": kind},
    )


def next_at(
    connection: Connection, kinds: Collection[str], lanes: Mapping[str, Collection[str]]
) -> dict[str, datetime]:
    """When the next of each kind can be taken, of all lanes or of some."""
    listed = connection.dialect.listed
    of_all = [kind for kind in kinds if kind not in lanes]
    rows = connection.execute(_NEXT.format(listed=listed.format("kinds")), {"kinds": _array(of_all)})
    found = {row["kind"]: row["ready_us"] for row in rows}
    statement = _NEXT_OF_LANES.format(listed=listed.format("lanes"))
    for kind in kinds:
        if kind in lanes:
            values = {"kind": kind, "lanes": _array(lanes[kind])}
            found[kind] = connection.execute(statement, values).fetchone()["ready_us"]
    return {kind: to_time(ready_us) for kind, ready_us in found.items() if ready_us is not None}


def job_of(row: Row) -> Job:
    """The job that a row of `jobs` holds."""
    return Job(
        kind=row["kind"],
        key=row["key"],
        lane=row["lane"],
        due_at=to_time(row["due_us"]),
        attempts=row["attempts"],
        reason=row["reason"],
        version=row["version"],
        token=row["token"],
    )


def _values(job: Job) -> dict[str, object]:
    return {"kind": job.kind, "key": job.key, "lane": job.lane, "token": job.token, "version": job.version}


def _array(texts: Iterable[str]) -> str:
    return orjson.dumps(list(texts)).decode()
