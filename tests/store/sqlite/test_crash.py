"""What was acknowledged survives the death of the process, at whatever moment it comes."""

import asyncio
import multiprocessing
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from afdp_exporter.model import Deployment
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.connection import open_reader
from store.sqlite.writing_child import write

MIGRATING = Path(__file__).with_name("migrating_child.py")
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["afdp_exporter.store.sqlite"])


def acks_until_killed(path: Path, first: int, count: int, *, ack_first: bool) -> set[str]:
    """Let a child write, kill it without warning after so many acknowledgements, and return all that it gave."""
    heard, sender = PROCESSES.Pipe(duplex=False)
    child = PROCESSES.Process(
        target=write, args=(path, range(first, first + 1_000_000), sender), kwargs={"ack_first": ack_first}
    )
    child.start()
    sender.close()
    acks = {heard.recv_bytes().decode() for _ in range(count)}
    child.kill()
    child.join()
    while heard.poll():
        try:
            acks.add(heard.recv_bytes().decode())
        except EOFError:
            break
    heard.close()
    child.close()
    return acks


def stored(path: Path) -> list[tuple[str, int]]:
    """Every id in the file with the number of its looks, after SQLite itself has found the file whole."""
    connection = open_reader(path)
    assert connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
    rows = connection.execute(
        "SELECT id, count(after_us) FROM deployments LEFT JOIN looks ON deployment_id = id GROUP BY id"
    ).fetchall()
    connection.close()
    return [(name, looks) for name, looks in rows]


async def survive(path: Path, kills: int, *, ack_first: bool = False) -> tuple[set[str], list[tuple[str, int]]]:
    """What was acknowledged and what is stored after so many kills of a child that goes on where the last one ended."""
    chance = random.Random(f"{kills} kills")
    acked: set[str] = set()
    for kill in range(kills):
        first, count = kill * 1_000_000, chance.randint(1, 300)
        acked |= await asyncio.to_thread(acks_until_killed, path, first, count, ack_first=ack_first)
        await (await SQLiteStore.open(path)).close()
    return acked, stored(path)


@pytest.mark.parametrize("kills", [15, pytest.param(200, marks=pytest.mark.slow)])
async def test_no_acknowledged_deployment_is_lost_and_none_is_doubled_by_kill_9(path: Path, kills: int) -> None:
    acked, kept = await survive(path, kills)
    assert len(acked) >= kills
    assert acked <= {name for name, _ in kept}
    assert not [name for name, _ in kept if name.endswith("-again")]
    assert {looks for _, looks in kept} == {1}


async def test_a_delivery_that_comes_again_after_the_kill_finds_the_deployment_of_the_first(
    path: Path, deployment: Callable[..., Deployment]
) -> None:
    name = (await survive(path, 1))[0].pop()
    store = await SQLiteStore.open(path)
    again = await store.deployments.record(deployment("another"), (), key=name)
    assert (again.deployment.id, again.created) == (name, False)
    await store.close()


async def test_the_kills_would_show_an_acknowledgement_that_comes_before_the_commit(path: Path) -> None:
    acked, kept = await survive(path, 5, ack_first=True)
    assert acked - {name for name, _ in kept}


def test_a_first_start_killed_at_any_statement_is_finished_by_the_next_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(MIGRATING), str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
