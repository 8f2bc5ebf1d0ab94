"""One Dask cluster for all tests that leave it whole."""

from collections.abc import Iterator

import pytest

from compute.clusters import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    made.scheduler()
    made.worker()
    made.worker()
    yield made
    made.end()
