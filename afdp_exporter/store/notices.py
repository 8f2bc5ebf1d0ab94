"""The SQL of notices: functions of a connection, run by the writer or a reader.

That a notice is due is written by triggers (see `schema.py`), in the transaction of the change that it tells of.
"""

from collections.abc import Collection
from datetime import datetime

import orjson

from afdp_exporter.model import DueNotice
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import to_us

_DUE = """
SELECT receiver, deployment_id, version, attempts, sent FROM notices
WHERE ready_us <= :now AND receiver NOT IN (SELECT value FROM json_each(:without))
ORDER BY ready_us, deployment_id LIMIT :limit
"""

_FINISH = """
UPDATE notices SET ready_us = CASE WHEN version = :version THEN NULL ELSE ready_us END, sent = :sent, reason = :reason
WHERE receiver = :receiver AND deployment_id = :deployment_id
"""

_FAILED = """
UPDATE notices SET attempts = attempts + 1, reason = :reason, ready_us = max(ready_us, :until)
WHERE receiver = :receiver AND deployment_id = :deployment_id AND ready_us IS NOT NULL
"""

_POSTPONE = "UPDATE notices SET ready_us = :until WHERE receiver = :receiver AND ready_us < :until"


def set_receivers(connection: Connection, names: Collection[str]) -> None:
    """From now on these hear of every change; what waits for others is dropped."""
    known = {row["name"] for row in connection.execute("SELECT name FROM receivers")}
    connection.executemany("DELETE FROM receivers WHERE name = ?", [(name,) for name in known - set(names)])
    connection.executemany("INSERT INTO receivers (name) VALUES (?)", [(name,) for name in set(names) - known])


def due(connection: Connection, now: datetime, limit: int, without: Collection[str]) -> list[DueNotice]:
    """What is to be sent now, the oldest first, to others than these."""
    values = {"now": to_us(now), "limit": limit, "without": orjson.dumps(sorted(without)).decode()}
    return [DueNotice(**dict(row)) for row in connection.execute(_DUE, values)]


def finish(connection: Connection, notice: DueNotice, sent: str | None, reason: str | None) -> None:
    """Nothing is left to send, unless something has changed meanwhile."""
    connection.execute(_FINISH, _values(notice) | {"version": notice.version, "sent": sent, "reason": reason})


def postpone(connection: Connection, notice: DueNotice, until: datetime, reason: str) -> None:
    """Count a failure, and let everything that is due for this receiver wait."""
    values = _values(notice) | {"until": to_us(until)}
    connection.execute(_FAILED, values | {"reason": reason})
    connection.execute(_POSTPONE, values)


def pending(connection: Connection) -> dict[str, int]:
    """How many notices wait for each receiver."""
    counted = connection.execute(
        "SELECT name, (SELECT count(*) FROM notices WHERE receiver = name AND ready_us IS NOT NULL) FROM receivers"
    )
    return dict(counted.fetchall())


def _values(notice: DueNotice) -> dict[str, object]:
    return {"receiver": notice.receiver, "deployment_id": notice.deployment_id}
