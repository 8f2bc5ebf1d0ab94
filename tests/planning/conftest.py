"""A real store and real workers for the use cases before a deployment."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.workers import Workers


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await SQLiteStore.open(tmp_path / "afdp.db")
    yield opened
    await opened.close()


@pytest.fixture(scope="package")
def workers() -> Iterator[Workers]:
    made = Workers(2)
    yield made
    made.close()
