"""A store of the last release is brought up to date with everything in it."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.model import Deployment, LookState
from afdp_exporter.store import Job
from afdp_exporter.store.sqlite import SQLiteStore
from store.sqlite import upgrading_child

CHILD = Path(__file__).with_name("upgrading_child.py")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


async def taken(store: SQLiteStore, kind: str, now: datetime) -> list[Job]:
    """What is due then, given back at once."""
    jobs = await store.jobs.claim(kind, now, owner="me", limit=9, lease=MINUTE)
    for job in jobs:
        await store.jobs.postpone(job, now, job.reason or "")
    return jobs


async def test_open_looks_and_notices_become_jobs_and_answers_stay(path: Path) -> None:
    upgrading_child.old(path)
    store = await SQLiteStore.open(path)
    looks = {each: await store.looks.of_deployment(each) for each in ("d0", "d1", "d2", "d3")}
    assert [[look.state for look in found] for found in looks.values()] == [
        [LookState.DUE],
        [LookState.WAITING],
        [LookState.DUE],
        [LookState.DONE, LookState.DUE],
    ]
    assert (looks["d1"][0].attempts, looks["d1"][0].reason) == (3, "it is away")
    assert (await store.looks.backlog(NOON + 3 * MINUTE)).count == 3
    due = await taken(store, "check", NOON + 5 * MINUTE)
    assert [(job.key.split("/")[0], job.lane) for job in due] == [(each, "checkout") for each in ("d0", "d2", "d3")]
    (waiting,) = [job for job in await taken(store, "check", NOON + 9 * MINUTE) if job.key.startswith("d1/")]
    assert (waiting.attempts, waiting.reason) == (3, "it is away")

    assert await store.notices.pending() == {"ear": 2}
    assert [job.key for job in await taken(store, "notice", NOON)] == ["ear/d0"]
    assert sorted(job.key for job in await taken(store, "notice", NOON + MINUTE)) == ["ear/d0", "ear/d1"]
    assert [await store.notices.last_sent("ear", each) for each in ("d0", "d1", "d2")] == [None, "digest", "digest"]
    assert await store.cursors.find("github") == "page 9"
    assert await store.changes.since(0) == []
    await store.close()


async def test_before_an_upgrade_a_copy_is_kept_that_the_earlier_version_can_open(path: Path) -> None:
    upgrading_child.old(path)
    before = upgrading_child.holds(path)
    await (await SQLiteStore.open(path)).close()
    (copy,) = path.parent.glob(f"{path.name}.before-*")
    assert copy.name == f"{path.name}.before-create_jobs"
    assert upgrading_child.holds(copy) == before != upgrading_child.holds(path)
    assert copy.stat().st_mode & 0o777 == 0o600

    copy.replace(path)  # the way back
    assert upgrading_child.holds(path) == before
    await (await SQLiteStore.open(path)).close()  # and forth again
    assert upgrading_child.holds(copy) == before


async def test_where_no_copy_can_be_kept_one_line_says_so_and_the_store_stays_as_it_was(path: Path) -> None:
    upgrading_child.old(path)
    before = upgrading_child.holds(path)
    path.with_name(f"{path.name}.before-create_jobs.partial").mkdir()
    with pytest.raises(StoreError, match="no copy can be kept before the update") as refused:
        await SQLiteStore.open(path)
    assert "\n" not in str(refused.value)
    assert upgrading_child.holds(path) == before


async def test_a_store_of_today_and_an_empty_one_are_not_copied(
    tmp_path: Path, deployment: Callable[..., Deployment]
) -> None:
    for _ in range(2):
        store = await SQLiteStore.open(tmp_path / "afdp.db")
        await store.deployments.record(deployment(), ())
        await store.close()
    assert not [name for name in os.listdir(tmp_path) if "before" in name]  # noqa: PTH208


@pytest.mark.slow
def test_an_upgrade_killed_at_any_statement_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, CHILD, tmp_path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 30
