"""A Dask cluster for a test that brings some of it down."""

from collections.abc import Iterator

import pytest

from compute.clusters import Cluster


@pytest.fixture
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler without workers, for a test that brings some down."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.scheduler()
    yield made
    made.end()
