"""Kills the upgrade of a store of the last release at its first statement, its second, and so on.

FOLDER -> the number of kills on standard output; a traceback where a file was neither the old nor the new one, or could
not be brought up to date by the next start.
"""

import itertools
import json
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path
from types import FrameType

from sqlite_utils import Database

from afdp_exporter.store.sqlite.connection import _APPLICATION_ID, open_writer
from afdp_exporter.store.sqlite.schema import steps

NOON = 1_772_452_800_000_000
MINUTE = 60_000_000
DEPLOYMENT = """
INSERT INTO deployments (id, service, environment, started_us, status, change_types, traits, labels, received_us,
    received_from, "commit") VALUES (?, 'checkout', 'production', ?, 'succeeded', '[]', '{}', '{}', ?, 'api', 'abc')
"""
LOOK = "INSERT INTO looks VALUES (?, ?, ?, ?, ?, ?, NULL, ?, NULL, '{}')"
NOTICE = "INSERT INTO notices VALUES ('ear', ?, ?, ?, ?, ?, ?)"


def old(path: Path) -> None:
    """A store as the last release left it: looks and notices in every state."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    steps.migrations.apply(Database(connection), stop_before="create_jobs")
    for number in range(5):
        connection.execute(DEPLOYMENT, (f"d{number}", NOON, NOON))
    connection.execute("INSERT INTO receivers VALUES ('ear')")
    for row in (
        ("d0", 2 * MINUTE, NOON + 2 * MINUTE, NOON + 2 * MINUTE, "due", 0, None),
        ("d1", 2 * MINUTE, NOON + 2 * MINUTE, NOON + 9 * MINUTE, "waiting", 3, "it is away"),
        ("d2", 2 * MINUTE, NOON + 2 * MINUTE, NOON + 7 * MINUTE, "running", 1, None),
        ("d3", 2 * MINUTE, NOON + 2 * MINUTE, None, "done", 0, None),
        ("d3", 5 * MINUTE, NOON + 5 * MINUTE, NOON + 5 * MINUTE, "due", 0, None),
    ):
        connection.execute(LOOK, row)
    for row in (
        ("d0", 1, 0, 0, None, None),
        ("d1", 4, NOON + MINUTE, 2, "it is away", "digest"),
        ("d2", 1, None, 0, None, "digest"),
        ("d3", 2, None, 0, "it answers 400", None),
    ):
        connection.execute(NOTICE, row)
    connection.execute("INSERT INTO changes VALUES ('abc', '{\"files\": 3.0}', '[]')")
    connection.execute("INSERT INTO cursors VALUES ('github', 'page 9')")
    connection.close()


def holds(path: Path) -> str:
    """Everything that a file holds, as a reader finds it after the end of who wrote it."""
    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    own = [name for name in names if not name.startswith(("sqlite_", "_"))]
    found = {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in own}
    connection.close()
    return json.dumps(found)


def killed(path: Path, statement: int) -> bool:
    """Whether the upgrade took so many statements."""
    child = os.fork()
    if child == 0:
        seen = itertools.count(1)

        def count(_: FrameType, event: str, called: object) -> None:
            if event == "c_call" and getattr(called, "__name__", "") == "execute" and next(seen) == statement:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        open_writer(path)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    old(folder / "old.db")
    shutil.copy(folder / "old.db", folder / "new.db")
    open_writer(folder / "new.db").close()
    before, after = holds(folder / "old.db"), holds(folder / "new.db")
    for number in itertools.count(1):
        file = folder / f"{number}.db"
        shutil.copy(folder / "old.db", file)
        if not killed(file, number):
            print(number - 1)
            break
        assert holds(file) in {before, after}, f"killed at statement {number}"
        copies = list(folder.glob(f"{file.name}.before-*"))
        assert [holds(each) for each in copies if not each.name.endswith(".partial")] in ([], [before])
        open_writer(file).close()
        assert holds(file) == after, f"killed at statement {number}"
