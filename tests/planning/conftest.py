"""A real store and real workers for the use cases before a deployment."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.store.sqlite import SQLiteStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await SQLiteStore.open(tmp_path / "afdp.db")
    yield opened
    await opened.close()


@pytest.fixture(scope="package")
def compute() -> Iterator[ComputePool]:
    made = open_compute(workers=2)
    yield made
    asyncio.run(made.close())
