"""Both databases have the same tables, with the same columns."""

from contextlib import closing
from pathlib import Path

import psycopg

from afdp_exporter.store.sqlite.connection import open_writer

# What one of the two has besides: numbers without gaps, partitions, and what is kept in files beside the one of SQLite
OWN = {"schema_version", "change_head", "pseudonym_key", "leaders", "_sqlite_migrations", "sqlite_sequence"}


def test_a_table_of_one_is_a_table_of_the_other(tmp_path: Path, database: str) -> None:
    file = tmp_path / "store.db"
    file.touch()
    with closing(open_writer(file)) as connection:
        ours = {
            (row["tbl"], row["name"])
            for row in connection.execute(
                """
                SELECT tables.name AS tbl, columns.name AS name
                FROM sqlite_schema AS tables JOIN pragma_table_xinfo(tables.name) AS columns WHERE tables.type = 'table'
                """
            )
        }
    with psycopg.connect(database) as connection:
        theirs = set(
            connection.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            ).fetchall()
        )
    assert {(table, column) for table, column in ours if table not in OWN} | {("courses", "ended_us")} == {
        (table, column) for table, column in theirs if table not in OWN and not table.startswith("courses_")
    }
