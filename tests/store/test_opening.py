"""The URL of a store says which kind it is."""

import sys
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.opening import open_store, url_of_file
from afdp_exporter.store.sqlite import SQLiteStore


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "100% #1?.db", "größe.db"])
async def test_the_url_of_a_file_opens_that_file(tmp_path: Path, name: str) -> None:
    store = await open_store(url_of_file(tmp_path / "made" / name), make=True)
    assert isinstance(store, SQLiteStore)
    await store.close()
    assert (tmp_path / "made" / name).is_file()


async def test_a_store_in_memory_holds_nothing_of_another_one() -> None:
    first, second = await open_store("memory:"), await open_store("memory:")
    assert isinstance(first, MemoryStore)
    assert await first.pseudonym_key() != await second.pseudonym_key()


@pytest.mark.parametrize("kind", ["postgresql", "postgres"])
@pytest.mark.parametrize(
    ("place", "expected"),
    [("127.0.0.1:1/afdp", "postgresql://afdp@127.0.0.1:1/afdp: .*refused"), ("[::1/afdp", "cannot be read")],
)
async def test_a_postgresql_that_is_away_or_no_url_of_one_is_reported_without_its_password(
    kind: str, place: str, expected: str
) -> None:
    with pytest.raises(StoreError, match=expected) as caught:
        await open_store(f"{kind}://afdp:secret@{place}")
    assert "secret" not in str(caught.value)


async def test_where_the_driver_is_missing_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("afdp_exporter.store.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"'afdp-exporter\[postgresql\]'"):
        await open_store("postgresql://afdp@127.0.0.1:1/afdp")


@pytest.mark.parametrize(
    "url", ["", "afdp.db", "sqlite:afdp.db", "sqlite://host/afdp.db", "memory:x", "mysql://u:secret@db"]
)
async def test_what_is_no_url_of_a_store_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///path or memory:") as caught:
        await open_store(url)
    assert "secret" not in str(caught.value)
