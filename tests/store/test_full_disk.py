"""No space left: what was accepted is kept, what comes is refused, and there is no need to start again afterwards."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreFull
from afdp_exporter.model import Deployment
from afdp_exporter.store.connection import open_writer
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.writer import Writer


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
            told = await store.record(deployment(f"d{number}", description="x" * 1000), ())
            acked.append(told.deployment.id)

    with pytest.raises(StoreFull):
        await fill()
    for _ in range(5):
        with pytest.raises(StoreFull):
            await store.record(deployment("refused", description="x" * 1000), ())
    assert store.healthy
    assert [(await store.deployment(name)).id for name in acked] == acked

    ballast.unlink()
    assert (await store.record(deployment("after", description="x" * 1000), ())).created
    await store.close()

    again = await SQLiteStore.open(small_disk / "store.db")
    assert {one.id for one in (await again.deployments(limit=20_000)).deployments} == {*acked, "after"}
    await again.close()


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
