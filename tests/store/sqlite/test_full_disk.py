"""No space left: what was accepted is kept, what comes is refused, and there is no need to start again afterwards."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreError, StoreFull
from afdp_exporter.model import Deployment
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.connection import open_writer
from afdp_exporter.store.sqlite.writer import Writer

CRASH = """
import os, sys
from sqlite_utils.utils import sqlite3
connection = sqlite3.connect(sys.argv[1])
connection.execute("UPDATE deployments SET actor = 'crashed'")
connection.commit()
os._exit(0)
"""


def run(*arguments: str) -> None:
    subprocess.run(arguments, check=True)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the loop's clock go on."""
    loop_time, ahead = asyncio.BaseEventLoop.time, [0.0]
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: loop_time(loop) + ahead[0])

    def go_on(seconds: float) -> None:
        ahead[0] += seconds

    return go_on


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"a small disk needs the right to mount: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_refuses_what_comes_and_keeps_what_it_acknowledged(
    small_disk: Path, deployment: Callable[..., Deployment]
) -> None:
    store = await SQLiteStore.open(small_disk / "store.db")
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    acked: list[str] = []

    async def fill() -> None:
        for number in range(10_000):
            stored = await store.deployments.record(deployment(f"d{number}", description="x" * 1000), ())
            acked.append(stored.deployment.id)

    with pytest.raises(StoreFull):
        await fill()
    for _ in range(5):
        with pytest.raises(StoreFull):
            await store.deployments.record(deployment("refused", description="x" * 1000), ())
    assert store.healthy
    assert [(await store.deployments.find(name)).id for name in acked] == acked

    ballast.unlink()
    assert (await store.deployments.record(deployment("after", description="x" * 1000), ())).created
    await store.close()

    again = await SQLiteStore.open(small_disk / "store.db")
    assert {one.id for one in (await again.deployments.page(limit=20_000)).deployments} == {*acked, "after"}
    await again.close()


async def filled(path: Path, deployment: Callable[..., Deployment]) -> None:
    """A store with one deployment, closed."""
    store = await SQLiteStore.open(path)
    await store.deployments.record(deployment("kept"), ())
    await store.close()


@pytest.mark.parametrize("crashed", [False, True], ids=["after an end", "after a crash"])
async def test_a_start_on_a_full_disk_serves_reads_and_takes_in_again_once_there_is_space(
    small_disk: Path, deployment: Callable[..., Deployment], later: Callable[[float], None], crashed: bool
) -> None:
    path, ballast = small_disk / "store.db", small_disk / "ballast"
    await filled(path, deployment)
    if crashed:
        run(sys.executable, "-c", CRASH, str(path))
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    store = await SQLiteStore.open(path)
    assert store.healthy
    assert store.writable is crashed  # its own files beside it are there, then
    assert (await store.deployments.find("kept")).id == "kept"
    with pytest.raises(StoreFull, match="no space is left"):
        await store.deployments.record(deployment("refused"), ())
    ballast.unlink()
    later(6.0)
    assert (await store.deployments.record(deployment("after"), ())).created
    assert store.writable
    assert {one.id for one in (await store.deployments.page()).deployments} == {"kept", "after"}
    await store.close()


async def test_a_start_on_a_disk_that_can_only_be_read_serves_reads_and_refuses_the_rest(
    small_disk: Path, deployment: Callable[..., Deployment], later: Callable[[float], None]
) -> None:
    path = small_disk / "store.db"
    await filled(path, deployment)
    run("mount", "-o", "remount,ro", str(small_disk))
    store = await SQLiteStore.open(path)
    assert not store.writable
    assert (await store.deployments.find("kept")).id == "kept"
    with pytest.raises(StoreError, match="can only be read"):
        await store.deployments.record(deployment("refused"), ())
    run("mount", "-o", "remount,rw", str(small_disk))
    later(6.0)
    assert (await store.deployments.record(deployment("after"), ())).created
    await store.close()


async def test_nothing_is_made_on_a_disk_that_can_only_be_read(small_disk: Path) -> None:
    run("mount", "-o", "remount,ro", str(small_disk))
    with pytest.raises(StoreError, match="Read-only file system"):
        await SQLiteStore.open(small_disk / "new" / "store.db", folder=True)


async def test_a_file_that_may_not_grow_refuses_one_operation_and_takes_the_next_smaller_one(path: Path) -> None:
    connection = open_writer(path)
    connection.execute("CREATE TABLE notes (text TEXT) STRICT")
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    writer = Writer(connection)
    with pytest.raises(StoreFull):
        await writer.write(lambda opened: opened.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,)))
    await writer.write(lambda opened: opened.execute("INSERT INTO notes VALUES ('short')"))
    assert writer.alive
    writer.close()
