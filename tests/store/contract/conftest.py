"""Each store that there is: a further one is one more row."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from afdp_exporter.store import Store
from afdp_exporter.store.opening import open_store, url_of_file

STORES: dict[str, Callable[[pytest.FixtureRequest], str]] = {
    "sqlite": lambda request: url_of_file(_folder(request) / "store.db"),
    "memory": lambda _: "memory:",
    "postgresql": lambda request: str(request.getfixturevalue("database")),
}


def _folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue("tmp_path"))


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest) -> str:
    """Of an empty store of each kind."""
    return STORES[request.param](request)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """An open, empty store of each kind."""
    opened = await open_store(url)
    yield opened
    await opened.close()
