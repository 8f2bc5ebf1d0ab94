"""The tables, as numbered SQL files: each is applied once, in a transaction of its own, and never changed afterwards.

The first line of a file says with which version of the tables a program still works once the file was applied, so that
replicas of an earlier version go on during an upgrade: what they need is taken away one version later at the earliest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from afdp_exporter.errors import StoreError
from afdp_exporter.store.postgresql.session import Session

_LOCK = "hashtextextended('afdp schema', 0)"
_WORKS_WITH = re.compile(r"-- works with: (\d+)\n")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its number, the oldest version of the tables that a program may know to work with it, its SQL."""

    number: int
    works_with: int
    statements: str


def shipped() -> tuple[Migration, ...]:
    """All of this program, in their order."""
    files = resources.files(__package__).joinpath("migrations").iterdir()
    return tuple(sorted((_read(each.name, each.read_text()) for each in files), key=lambda one: one.number))


def _read(name: str, text: str) -> Migration:
    found = _WORKS_WITH.match(text)
    if found is None:
        raise StoreError(f"{name} does not say which programs work with it")
    return Migration(int(name.split("_", maxsplit=1)[0]), int(found[1]), text)


def upgrade(session: Session, migrations: Sequence[Migration]) -> None:
    """Bring the tables up to date, one process at a time. Raises StoreError where they are too new for this program."""
    session.run(f"SELECT pg_advisory_lock({_LOCK})")
    try:
        session.run(
            """
            CREATE TABLE IF NOT EXISTS schema_version (
                number integer PRIMARY KEY,
                works_with integer NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        applied = {row["number"]: row["works_with"] for row in session.run("SELECT * FROM schema_version")}
        newest = migrations[-1].number
        if any(number > newest and works_with > newest for number, works_with in applied.items()):
            raise StoreError(
                "was brought up to date by a newer version of this program, which this one cannot work with"
            )
        for migration in migrations:
            if migration.number not in applied:
                _apply(session, migration)
    finally:
        session.run(f"SELECT pg_advisory_unlock({_LOCK})")


def _apply(session: Session, migration: Migration) -> None:
    session.run("BEGIN")
    session.run("SET LOCAL lock_timeout = '5s'")  # rather than stop all that goes on behind a lock it waits for
    session.run("SET LOCAL statement_timeout = 0")
    session.run(migration.statements)
    session.execute(
        "INSERT INTO schema_version (number, works_with) VALUES (?, ?)", (migration.number, migration.works_with)
    )
    session.run("COMMIT")
