"""A store in a file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from afdp_exporter.store.sqlite import SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store's file is."""
    return tmp_path / "store.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    """An open store."""
    opened = await SQLiteStore.open(path)
    yield opened
    await opened.close()
