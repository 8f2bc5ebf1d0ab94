"""What another process finds in a store that this one holds."""

import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.errors import NotFound, StoreError
from afdp_exporter.model import Deployment
from afdp_exporter.store import Store
from afdp_exporter.store.opening import open_store, url_of_file
from afdp_exporter.store.reading import StoreReader

PATIENCE = timedelta(minutes=2)


@pytest.fixture
async def compute() -> AsyncIterator[ComputePool]:
    made = open_compute(workers=1)
    yield made
    await made.close()


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An open, empty store of each kind; the file's name is one that a URL has to escape."""
    opened = await open_store("memory:" if request.param == "memory" else url_of_file(tmp_path / "a #1 %.db"))
    yield opened
    await opened.close()


async def service_of(store: Store, deployment_id: str, *, twice: bool) -> tuple[str, int]:
    found = (await store.deployments.find(deployment_id)).service
    return found * (1 + twice), os.getpid()


async def written(store: Store, deployment: Deployment) -> None:
    await store.deployments.record(deployment, ())


async def test_a_worker_reads_what_was_acknowledged_a_moment_ago(
    store: Store, compute: ComputePool, deployment: Callable[..., Deployment]
) -> None:
    for name in ("first", "second"):
        await store.deployments.record(deployment(name, service=name), ())
        found, process = await StoreReader(store, compute, lambda: PATIENCE).read(service_of, name, twice=True)
        assert found == 2 * name
        assert (process == os.getpid()) is (store.url is None)


async def test_what_a_read_raises_reaches_who_asked(store: Store, compute: ComputePool) -> None:
    with pytest.raises(NotFound, match="nothing"):
        await StoreReader(store, compute, lambda: PATIENCE).read(service_of, "nothing", twice=False)


async def test_a_worker_cannot_write_and_the_holder_still_can(
    tmp_path: Path, compute: ComputePool, deployment: Callable[..., Deployment]
) -> None:
    store = await open_store(url_of_file(tmp_path / "afdp.db"))
    with pytest.raises(StoreError, match="only reads"):
        await StoreReader(store, compute, lambda: PATIENCE).read(written, deployment())
    await store.deployments.record(deployment(), ())
    assert (await store.deployments.find("d1")).service == "checkout"
    await store.close()
