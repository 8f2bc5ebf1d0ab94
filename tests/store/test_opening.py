"""The URL of a store says which kind it is."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreDamaged, StoreError
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.opening import Opening, open_store, url_of_file
from afdp_exporter.store.sqlite import SQLiteStore


def contents(path: Path) -> bytes:
    """All bytes of a file."""
    return path.read_bytes()


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "100% #1?.db", "größe.db"])
async def test_the_url_of_a_file_opens_that_file(tmp_path: Path, name: str) -> None:
    store = await open_store(url_of_file(tmp_path / "made" / name), make=True)
    assert isinstance(store, SQLiteStore)
    await store.close()
    assert (tmp_path / "made" / name).is_file()


async def test_a_file_is_held_and_left_as_it_is_until_its_store_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "afdp.db"
    await (await Opening(url_of_file(path)).store()).close()
    before = contents(path)
    early = Opening(url_of_file(path))
    with pytest.raises(StoreError, match="in use by another process"):
        Opening(url_of_file(path))
    assert contents(path) == before
    store = await early.store()
    assert store.writable
    await store.close()


@pytest.mark.parametrize("damage", [b"", b"\x00" * 4096])
async def test_a_file_whose_store_nobody_will_ask_for_is_let_go(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "afdp.db"
    await (await Opening(url_of_file(path)).store()).close()
    whole = contents(path)
    path.write_bytes(damage + whole[len(damage) :])
    held = SQLiteStore.begin(path)
    held.let_go()
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # waits until it is let go
    os.close(folder)
    path.write_bytes(whole)
    await (await Opening(url_of_file(path)).store()).close()


async def test_nothing_is_made_before_a_store_is_asked_for(tmp_path: Path) -> None:
    Opening(url_of_file(tmp_path / "folder" / "afdp.db"))
    assert not (tmp_path / "folder").exists()


async def test_a_damaged_file_is_reported_when_its_store_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "afdp.db"
    await (await Opening(url_of_file(path)).store()).close()
    path.write_bytes(contents(path)[:4096] + b"\x00" * 40_000)
    with pytest.raises(StoreDamaged, match="is damaged"):
        await Opening(url_of_file(path)).store()


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
