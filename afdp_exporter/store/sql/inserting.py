"""Inserts many rows by few statements.

A thread lets go of the interpreter's lock for each statement and has to wait for it again, behind everything else that
the process does: that takes longer than the row itself.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from afdp_exporter.store.sql.connection import Connection

_MOST = 256  # rows of one statement
_FEW = 16  # so many, or a multiple of it, so that not too many statements have to be prepared


def insert(connection: Connection, statement: str, row: str, rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows by a statement that has `{rows}` where each is to stand as `row`, with a `?` for each value."""
    done = 0
    while done < len(rows):
        left = len(rows) - done
        size = min(left if left <= _FEW else left // _FEW * _FEW, _MOST)
        values = list(chain.from_iterable(rows[done : done + size]))
        connection.execute(_of_size(statement, row, size), values)
        done += size


@lru_cache(256)
def _of_size(statement: str, row: str, size: int) -> str:
    return statement.format(rows=", ".join([row] * size))
