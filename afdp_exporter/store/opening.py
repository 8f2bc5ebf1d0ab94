"""The one way to a store: its URL says which kind it is."""

import asyncio
import os
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from afdp_exporter.errors import StoreError
from afdp_exporter.store import Store
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.connection import url_of_file

__all__ = ["DATABASE", "Opening", "open_store", "open_to_read", "url_of_file"]

DATABASE = "afdp.db"  # the file's name in the folder that keeps everything


class Opening:
    """A store that is wanted soon. A file that is there is held and checked from now on, by a thread: a large one
    takes seconds, in which its process has other things to do. Nothing is written, and none is made, before `store`.

    Raises StoreError where another process holds it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        kind, path = url.partition(":")[0], _path_of(url)
        self._path = path
        self._held = SQLiteStore.begin(path) if kind == "sqlite" and os.path.exists(path) else None  # noqa: PTH110

    async def store(self) -> Store:
        """The store; made with its folder where there is none. Raises StoreError."""
        if self._held is None:
            return await open_store(self._url, make=True)
        return await SQLiteStore.finish(self._path, self._held)

    def give_up(self) -> None:
        """Let go of the file: nobody will ask for the store."""
        if self._held is not None:
            self._held.let_go()


async def open_store(url: str, *, make: bool = False) -> Store:
    """Open the store at a URL; with `make` its folder is made where it is missing.

    `sqlite:///file` is a path from the root, percent-encoded; `postgresql://` is as libpq has it; `memory:` is gone
    when the process ends. Raises StoreError for any other URL, and where the store cannot be opened.
    """
    kind, _, rest = url.partition(":")
    match kind:
        case "sqlite" if rest.startswith("///"):
            return await SQLiteStore.open(_path_of(url), folder=make)
        case "memory" if not rest:
            return MemoryStore()
        case "postgresql" | "postgres" if rest.startswith("//"):
            opened: Store = await _postgresql().open(url)
            return opened
    raise StoreError("the URL of a store is postgresql://user@host/database, sqlite:///path or memory:")


async def open_to_read(url: str) -> Store:
    """A store that another process holds, by its own `url`, to read what it holds. Raises StoreError."""
    kind = url.partition(":")[0]
    if kind == "sqlite":
        return await asyncio.to_thread(SQLiteStore.to_read, _path_of(url))
    if kind in {"postgresql", "postgres"}:
        opened: Store = _postgresql().to_read(url)
        return opened
    raise StoreError(f"a store of the kind {kind} cannot be read by a second process")


def _path_of(url: str) -> Path:
    return Path(unquote(url.removeprefix("sqlite://")))


def _postgresql() -> Any:  # noqa: ANN401 - only those who use it load it
    try:
        return import_module("afdp_exporter.store.postgresql").PostgreSQLStore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"psycopg", "psycopg_pool"}:
            raise
        raise StoreError(
            f"postgresql needs the package {error.name}: pip install 'afdp-exporter[postgresql]'"
        ) from None
