"""From one store to another."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from afdp_exporter.store.opening import open_store
from afdp_exporter.store.sqlite.source import open_source


async def copy_store(file: Path, url: str, copied: Callable[[str, int], None]) -> dict[str, int]:
    """Copy all that a file holds into an empty PostgreSQL, and count it there; by table, the rows.

    `copied` is called for each table and row. Raises StoreError, and nothing was copied then.
    """
    await (await open_store(url)).close()  # which makes the tables
    module = import_module("afdp_exporter.store.postgresql.copying")
    with open_source(file) as source:
        counts: dict[str, int] = module.copy_in(url, source, copied)
    return counts
