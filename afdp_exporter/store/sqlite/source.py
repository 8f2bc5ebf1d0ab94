"""Everything that a file holds, table by table, to be copied to another store."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from os import close
from pathlib import Path
from typing import Any

from afdp_exporter.errors import StoreError
from afdp_exporter.store.sql import jobs
from afdp_exporter.store.sqlite.connection import Connection, check_version, lock, open_writer, translated
from afdp_exporter.store.sqlite.pseudonym_key import pseudonym_key

_COURSES = """
SELECT courses.deployment_id, courses.metric, courses.document, deployments.ended_us
FROM courses JOIN deployments ON deployments.id = courses.deployment_id
"""


class SQLiteSource:
    """A file that no other process writes to. A table comes after those that it refers to."""

    tables = (
        "deployments", "idempotency_keys", "looks", "impacts", "predictions", "courses", "announcements",
        "commit_changes", "annotations", "events", "cursors", "decisions", "level_changes", "rollouts", "actions",
        "approvals", "evaluations", "false_alarms", "changes", "jobs", "receivers", "sent_notices",
    )  # fmt: skip

    def __init__(self, connection: Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def columns(self, table: str) -> Sequence[str]:
        """In the order of `rows`; those that follow from others are left out."""
        own = [row["name"] for row in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        return (*own, "ended_us") if table == "courses" else own

    def count(self, table: str) -> int:
        """How many rows there are."""
        (row,) = self._connection.execute(f"SELECT count(*) AS n FROM {table}").fetchall()  # noqa: S608 - one of ours
        return int(row["n"])

    def rows(self, table: str) -> Iterator[Sequence[Any]]:
        """Each of them."""
        columns = ", ".join(f'"{name}"' for name in self.columns(table))
        statement = _COURSES if table == "courses" else f"SELECT {columns} FROM {table}"  # noqa: S608 - ours
        with translated(self._path):
            yield from map(tuple, self._connection.execute(statement))

    def newest_ids(self) -> Mapping[str, int]:
        """By table, the last number that was given, also where what had it is gone."""
        return {row["name"]: row["seq"] for row in self._connection.execute("SELECT name, seq FROM sqlite_sequence")}

    def pseudonym_key(self) -> bytes:
        """Of the folder."""
        return pseudonym_key(self._path.parent)


@contextmanager
def open_source(path: Path) -> Iterator[SQLiteSource]:
    """The file, held and brought up to date; what was held in it is due again. Raises StoreError."""
    if not path.is_file():
        raise StoreError(f"{path} does not exist")
    check_version()
    held = lock(path)
    try:
        with closing(open_writer(path)) as connection, translated(path):
            jobs.release(connection, None, None)
            yield SQLiteSource(connection, path)
    finally:
        close(held)
