"""The SQL of automation levels and of the false alarms that they rest on: functions of a connection."""

from collections.abc import Mapping
from dataclasses import astuple

from afdp_exporter.model import LevelChange
from afdp_exporter.store.follow_ups import FALSE_ALARMS
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import to_time, to_us

_LAST = """
SELECT level FROM level_changes WHERE service = ? AND environment = ? AND kind = 'level' ORDER BY id DESC LIMIT 1
"""


def record(connection: Connection, change: LevelChange) -> None:
    """Append to the trail; what the rules found only where it is new, since each process looks for itself."""
    connection.serialise("level", change.service)
    if change.kind == "level":
        last = connection.execute(_LAST, (change.service, change.environment)).fetchone()
        if last is not None and last["level"] == change.level:
            return
    connection.execute(
        """
        INSERT INTO level_changes (service, environment, kind, level, changed_by, reason, at_us)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        (*astuple(change)[:6], to_us(change.at)),
    )


def trail(connection: Connection, service: str | None = None) -> list[LevelChange]:
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
    connection.append_changes(FALSE_ALARMS, "")


def false_alarms(connection: Connection) -> dict[str, tuple[int, int]]:
    """By metric."""
    return {row["metric"]: (row["blamed"], row["judged"]) for row in connection.execute("SELECT * FROM false_alarms")}
