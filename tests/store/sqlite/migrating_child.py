"""Kills the making of a store at its first statement, its second, and so on, and lets the next start finish it.

FOLDER -> the number of kills on standard output; a traceback where one of the files could not be opened again.
"""

import itertools
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from afdp_exporter.store.sqlite.connection import open_writer


def die_at(statement: int) -> None:
    """Kill this process when it is about to run so many statements."""
    seen = itertools.count(1)

    def count(_: FrameType, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") == "execute" and next(seen) == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def killed(path: Path, statement: int) -> bool:
    """Whether making the store took so many statements."""
    child = os.fork()
    if child == 0:
        die_at(statement)
        open_writer(path)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def tables(path: Path) -> list[tuple[str, ...]]:
    """The whole schema."""
    connection = open_writer(path)
    found = [tuple(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")]
    connection.close()
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    expected = tables(folder / "whole.db")
    for number in itertools.count(1):
        file = folder / f"{number}.db"
        if not killed(file, number):
            print(number - 1)
            break
        assert tables(file) == expected, f"killed at statement {number}"
