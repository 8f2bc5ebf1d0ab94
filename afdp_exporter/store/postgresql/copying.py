"""Takes in all of another store, by COPY and in one transaction: it is there whole, or not at all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol

import psycopg
from psycopg import sql

from afdp_exporter.errors import StoreError
from afdp_exporter.store.postgresql.session import Session, connect, password_of, shown, translate

_NUMBERED = ("annotations", "decisions", "level_changes")


class Source(Protocol):
    """What is copied, table by table."""

    @property
    def tables(self) -> Sequence[str]: ...

    def columns(self, table: str) -> Sequence[str]: ...

    def count(self, table: str) -> int: ...

    def rows(self, table: str) -> Iterator[Sequence[Any]]: ...

    def newest_ids(self) -> Mapping[str, int]: ...

    def pseudonym_key(self) -> bytes: ...


def copy_in(url: str, source: Source, copied: Callable[[str, int], None]) -> dict[str, int]:
    """How many rows each table has now; `copied` is called for each table and row.

    The tables are there already. Raises StoreError where one of them holds something, and nothing is kept then.
    """
    place = shown(url)
    try:
        with closing(connect(url)) as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            _refuse_what_is_not_empty(connection, source.tables)
            session = Session(connection)
            for table in source.tables:
                _copy(connection, session, source, table, copied)
            _go_on_after(session, source)
            return {table: _checked(connection, source, table) for table in source.tables}
    except psycopg.Error as error:
        raise StoreError(f"{place}: {translate(error, password=password_of(url))}") from None
    except StoreError as error:
        raise StoreError(f"{place}: {error}") from None


def _refuse_what_is_not_empty(connection: psycopg.Connection[Any], tables: Sequence[str]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, tables))
    connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(names))
    for table in tables:
        found = connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone()
        if found is not None:
            raise StoreError(f"the table {table} is not empty; a store is copied into an empty one")


def _copy(
    connection: psycopg.Connection[Any],
    session: Session,
    source: Source,
    table: str,
    copied: Callable[[str, int], None],
) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, source.columns(table)))
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), columns)
    if table == "courses":
        for ended_us in {row[-1] for row in source.rows(table)}:
            session.make_partition(ended_us)
    copied(table, 0)
    with connection.cursor().copy(statement) as copy:
        for row in source.rows(table):
            copy.write_row(row)
            copied(table, 1)


def _go_on_after(session: Session, source: Source) -> None:
    """What is numbered from now on has a number that was never given; pseudonyms stay what they were."""
    newest = source.newest_ids()
    session.execute("UPDATE change_head SET seq = ?", (newest.get("changes", 0),))
    for table in _NUMBERED:
        if table in newest:
            session.execute("SELECT setval(pg_get_serial_sequence(?, 'id'), ?)", (table, newest[table]))
    session.execute("DELETE FROM pseudonym_key")
    session.execute("INSERT INTO pseudonym_key (key) VALUES (?)", (source.pseudonym_key(),))


def _checked(connection: psycopg.Connection[Any], source: Source, table: str) -> int:
    (found,) = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchall()
    if found[0] != source.count(table):
        raise StoreError(f"{found[0]} of {source.count(table)} rows of {table} arrived; nothing is kept")
    return int(found[0])
