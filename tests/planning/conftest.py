"""A real store and real workers for the use cases before a deployment."""

import asyncio
from collections.abc import Iterator

import pytest

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.opening import open_compute


@pytest.fixture(scope="package")
def compute() -> Iterator[ComputePool]:
    made = open_compute(workers=2)
    yield made
    asyncio.run(made.close())
