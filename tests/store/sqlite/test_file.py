"""The file: who may open it, which SQLite may touch it, and what is said of one that is broken or not ours."""

import asyncio
import math
import random
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlite_utils import Database

from afdp_exporter.errors import StoreDamaged, StoreError
from afdp_exporter.model import Deployment, Impact, Look, LookState
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.connection import check_version, open_writer
from afdp_exporter.store.sqlite.schema import steps

OPEN = "import asyncio, pathlib, sys; from afdp_exporter.store.sqlite import SQLiteStore as S; "
OPEN += "asyncio.run(S.open(pathlib.Path(sys.argv[1])))"

DOCUMENTATION = Path(__file__).parents[3] / "docs/store.md"

STEPS = steps.names


def contents(path: Path) -> bytes:
    """All bytes of a file."""
    return path.read_bytes()


def put(path: Path, data: bytes | bytearray) -> None:
    """Replace a file."""
    path.write_bytes(data)


@pytest.fixture
async def filled(
    path: Path,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
) -> Path:
    """The file of a store that was closed."""
    store = await SQLiteStore.open(path)
    for number in range(200):
        await store.deployments.record(
            deployment(f"d{number}", description="words " * 20), (look(f"d{number}"),), key=f"k{number}"
        )
        await store.looks.finish(look(f"d{number}", state=LookState.DONE), impact(f"d{number}"))
    await store.close()
    return path


async def test_a_second_process_is_refused_with_one_line(store: SQLiteStore, path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(path)]
    second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await second.communicate()
    assert said.decode().splitlines()[-1].endswith(f"StoreError: the store {path} is in use by another process")


async def test_a_second_store_in_this_process_is_refused_until_the_first_is_closed(path: Path) -> None:
    store = await SQLiteStore.open(path)
    with pytest.raises(StoreError, match="in use"):
        await SQLiteStore.open(path)
    await store.close()
    await (await SQLiteStore.open(path)).close()


@pytest.mark.parametrize("version", ["3.7.0", "3.37.2", "3.40.1", "3.44.5", "3.45.0", "3.49.9", "3.50.6", "3.51.2"])
def test_a_sqlite_whose_log_can_be_damaged_is_refused_with_what_helps(version: str) -> None:
    with pytest.raises(StoreError, match=f"SQLite {version} .* pip install pysqlite3"):
        check_version(version)


@pytest.mark.parametrize("version", ["3.44.6", "3.44.12", "3.50.7", "3.51.3", "3.52.0", "3.53.4", "4.0.0"])
def test_a_mended_sqlite_is_accepted(version: str) -> None:
    check_version(version)


async def test_what_stands_between_us_and_the_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"missing/store.db: No such file or directory"):
        await SQLiteStore.open(tmp_path / "missing" / "store.db")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StoreError, match=r"folder.db.*unable to open"):
        await SQLiteStore.open(tmp_path / "folder.db")


async def test_the_folder_is_held_whatever_is_removed_from_it(path: Path) -> None:
    held = await SQLiteStore.open(path)
    for file in path.parent.iterdir():
        if file != path:
            file.unlink()
    with pytest.raises(StoreError, match="in use by another process"):
        await SQLiteStore.open(path)
    await held.close()
    await (await SQLiteStore.open(path)).close()


async def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path, deployment: Callable[..., Deployment]) -> None:
    path = tmp_path / "made" / "store.db"
    store = await SQLiteStore.open(path, folder=True)
    await store.deployments.record(deployment(), ())
    modes = {each.name: oct(each.stat().st_mode & 0o777) for each in (path.parent, *path.parent.iterdir())}
    await store.close()
    assert modes == {"made": "0o700", "store.db": "0o600", "store.db-wal": "0o600", "store.db-shm": "0o600"}


def test_the_log_is_copied_into_the_file_before_it_takes_twenty_megabytes(path: Path) -> None:
    connection = open_writer(path)
    log = path.with_name(f"{path.name}-wal")
    for number in range(40):
        connection.execute("INSERT INTO cursors VALUES (?, ?)", (f"{number}", "x" * 1_000_000))
        assert log.stat().st_size < 20_000_000
    assert path.stat().st_size > 20_000_000
    connection.close()


async def test_a_path_with_signs_that_mean_something_in_a_uri_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "what? 100% #1.db"
    await (await SQLiteStore.open(path)).close()
    assert path.exists()


async def test_a_database_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE deployments (id TEXT)")
    other.close()
    before = contents(path)
    with pytest.raises(StoreDamaged, match="not written by this program"):
        await SQLiteStore.open(path)
    assert contents(path) == before


async def test_the_system_is_asked_for_the_whole_file_in_its_order_before_it_is_checked(filled: Path) -> None:
    """The check of a file of gigabytes that no memory holds took half a minute, since it jumps about."""
    called: list[str] = []

    def count(_: object, event: str, function: object) -> None:
        if event == "c_call":
            called.append(getattr(function, "__name__", ""))

    sys.setprofile(count)
    try:
        held = SQLiteStore.begin(filled)
    finally:
        sys.setprofile(None)
    held.let_go()
    assert called.count("posix_fadvise") == math.ceil(len(contents(filled)) / 1024**2)


async def test_a_file_of_a_newer_version_is_refused(filled: Path) -> None:
    connection = open_writer(filled)
    steps.migrations._record_applied(Database(connection), "from_the_future")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        await SQLiteStore.open(filled)


async def test_a_table_that_is_missing_is_reported_as_an_error_of_the_store(filled: Path) -> None:
    connection = open_writer(filled)
    connection.execute("DROP TABLE jobs")
    connection.close()
    with pytest.raises(StoreError, match="no such table"):
        await SQLiteStore.open(filled)


@pytest.mark.parametrize("step", STEPS)
async def test_a_file_at_any_older_state_is_brought_up_to_date(
    path: Path, tmp_path: Path, step: str, deployment: Callable[..., Deployment]
) -> None:
    connection = open_writer(tmp_path / "today.db")
    today = schema(connection)
    connection.close()

    old = sqlite3.connect(path, isolation_level=None)
    (application,) = sqlite3.connect(tmp_path / "today.db").execute("PRAGMA application_id").fetchone()
    old.execute(f"PRAGMA application_id = {application}")
    steps.migrations.apply(Database(old), stop_before=step)
    old.close()
    store = await SQLiteStore.open(path)
    assert (await store.deployments.record(deployment(), ())).created
    await store.close()

    connection = open_writer(path)
    assert schema(connection) == today
    connection.close()


def schema(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Every table and index, as SQLite shows it."""
    return {(row["name"], row["sql"]) for row in connection.execute("SELECT name, sql FROM sqlite_schema")}


async def test_every_error_of_a_damaged_file_is_one_line(filled: Path) -> None:
    put(filled, b"not a database at all" * 1000)
    with pytest.raises(StoreDamaged) as caught:
        await SQLiteStore.open(filled)
    assert "\n" not in str(caught.value)


def truncate(data: bytearray, chance: random.Random) -> None:
    """Cut the file anywhere."""
    del data[chance.randrange(1, len(data)) :]


def flip(data: bytearray, chance: random.Random) -> None:
    """Turn one bit."""
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def wipe(data: bytearray, chance: random.Random) -> None:
    """Lose a block of the disk."""
    start = chance.randrange(len(data)) // 4096 * 4096
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))


def scribble(data: bytearray, chance: random.Random) -> None:
    """Put noise in the middle."""
    start = chance.randrange(len(data))
    data[start : start + 64] = chance.randbytes(len(data[start : start + 64]))


async def error_of(path: Path) -> StoreError | None:
    """The error that opening the store or any of its reads ends with."""
    try:
        store = await SQLiteStore.open(path)
    except StoreError as error:
        return error
    try:
        page = await store.deployments.page(limit=1000)
        latest = max(one.ended_at for one in page.deployments)
        await store.deployments.overlapping(latest, latest)
        await store.history.measured(before=latest)
        await store.history.recent(5)
        await store.looks.backlog(latest)
        for one in page.deployments:
            await store.looks.of_deployment(one.id)
            await store.results.impact(one.id)
    except StoreError as error:
        return error
    finally:
        await store.close()
    return None


@pytest.mark.parametrize("damage", [truncate, flip, wipe, scribble])
@pytest.mark.parametrize("cases", [35, pytest.param(75, marks=pytest.mark.slow)])
async def test_a_damaged_file_is_reported_as_such_or_read_as_if_it_were_whole(
    filled: Path, tmp_path: Path, damage: Callable[[bytearray, random.Random], None], cases: int
) -> None:
    whole = contents(filled)
    reported = 0
    for case in range(cases):
        path = tmp_path / f"{case}.db"
        data = bytearray(whole)
        damage(data, random.Random(f"{damage.__name__} {case}"))
        put(path, data)
        error = await error_of(path)
        assert error is None or "\n" not in str(error)
        reported += error is not None
    assert reported or damage is flip


async def test_a_log_that_lost_its_end_gives_what_was_before_it(
    store: SQLiteStore, path: Path, tmp_path: Path, deployment: Callable[..., Deployment]
) -> None:
    for number in range(50):
        await store.deployments.record(deployment(f"d{number:02}"), ())
    copy = tmp_path / "elsewhere" / "copy.db"
    copy.parent.mkdir()
    shutil.copy(path, copy)
    log = contents(Path(f"{path}-wal"))
    put(Path(f"{copy}-wal"), log[: len(log) // 2])
    again = await SQLiteStore.open(copy)
    found = sorted(one.id for one in (await again.deployments.page()).deployments)
    assert 0 < len(found) < 50
    assert found == [f"d{number:02}" for number in range(len(found))]
    await again.close()


async def test_a_copy_made_while_the_store_is_written_to_is_a_whole_store(
    store: SQLiteStore, path: Path, tmp_path: Path, deployment: Callable[..., Deployment]
) -> None:
    before = [f"before-{number}" for number in range(100)]
    await asyncio.gather(*(store.deployments.record(deployment(name), (), key=name) for name in before))
    writing = [
        asyncio.create_task(store.deployments.record(deployment(f"during-{number}"), ())) for number in range(1000)
    ]
    documented = re.search(r"python -c '(.*)' copy.db", contents(DOCUMENTATION).decode())
    assert documented is not None
    place = tmp_path / "elsewhere" / "copy.db"
    place.parent.mkdir()
    code = documented[1].replace("data/afdp.db", str(path))
    copying = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(place))
    assert await copying.wait() == 0
    await asyncio.gather(*writing)

    copy = await SQLiteStore.open(place)
    found = {one.id for one in (await copy.deployments.page(limit=5000)).deployments}
    assert set(before) <= found
    assert not (await copy.deployments.record(deployment("again"), (), key="before-0")).created
    await copy.close()
