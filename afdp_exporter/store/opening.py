"""The one way to a store: its URL says which kind it is."""

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from afdp_exporter.errors import StoreError
from afdp_exporter.store import Store
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.connection import url_of_file

__all__ = ["open_store", "open_to_read", "url_of_file"]


async def open_store(url: str, *, make: bool = False) -> Store:
    """Open the store at a URL; with `make` its folder is made where it is missing.

    `sqlite:///file` is a path from the root, percent-encoded; `postgresql://` is as libpq has it; `memory:` is gone
    when the process ends. Raises StoreError for any other URL, and where the store cannot be opened.
    """
    kind, _, rest = url.partition(":")
    match kind:
        case "sqlite" if rest.startswith("///"):
            return await SQLiteStore.open(Path(unquote(rest.removeprefix("//"))), folder=make)
        case "memory" if not rest:
            return MemoryStore()
        case "postgresql" | "postgres" if rest.startswith("//"):
            opened: Store = await _postgresql().open(url)
            return opened
    raise StoreError("the URL of a store is postgresql://user@host/database, sqlite:///path or memory:")


async def open_to_read(url: str) -> Store:
    """A store that another process holds, by its own `url`, to read what it holds. Raises StoreError."""
    kind, _, rest = url.partition(":")
    if kind == "sqlite":
        return await asyncio.to_thread(SQLiteStore.to_read, Path(unquote(rest.removeprefix("//"))))
    if kind in {"postgresql", "postgres"}:
        opened: Store = _postgresql().to_read(url)
        return opened
    raise StoreError(f"a store of the kind {kind} cannot be read by a second process")


def _postgresql() -> Any:  # noqa: ANN401 - only those who use it load it
    try:
        return import_module("afdp_exporter.store.postgresql").PostgreSQLStore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"psycopg", "psycopg_pool"}:
            raise
        raise StoreError(
            f"postgresql needs the package {error.name}: pip install 'afdp-exporter[postgresql]'"
        ) from None
