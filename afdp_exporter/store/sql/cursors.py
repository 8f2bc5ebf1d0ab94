"""The SQL of cursors: functions of a connection, run by the writer or a reader."""

from afdp_exporter.store.sql.connection import Connection


def find(connection: Connection, feed: str) -> str | None:
    """Up to where a feed was read."""
    row = connection.execute("SELECT cursor FROM cursors WHERE feed = ?", (feed,)).fetchone()
    return None if row is None else str(row["cursor"])


def save(connection: Connection, feed: str, cursor: str) -> None:
    """Keep up to where a feed was read."""
    connection.execute(
        "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (feed) DO UPDATE SET cursor = excluded.cursor", (feed, cursor)
    )
