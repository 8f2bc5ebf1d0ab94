"""Kills a runner at its first statement, its second, and so on, and lets the next one finish its jobs.

FOLDER -> the number of kills on standard output; a traceback where a job was lost, or its answer kept twice.
"""

import asyncio
import itertools
import os
import shutil
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from afdp_exporter.jobs import Kind, Next, Settled
from afdp_exporter.jobs.runner import LEASE, Runner
from afdp_exporter.model import Deployment, Impact, Look, LookState, Outcome
from afdp_exporter.store import Job, NewJob
from afdp_exporter.store.follow_ups import CHECK
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LOOK = timedelta(minutes=2)
NAMES = ("d1", "d2")


async def fill(path: Path) -> None:
    """Two deployments with a due look each, and one job that recurs."""
    store = await SQLiteStore.open(path)
    for name in NAMES:
        deployment = Deployment(id=name, service=name, environment="production", started_at=NOON, received_at=NOON)
        await store.deployments.record(deployment, (Look(deployment_id=name, after=LOOK, due_at=NOON + LOOK),))
    await store.jobs.enqueue(NewJob(kind="recurring", key="", due_at=NOON))
    await store.close()


async def work(path: Path, die_at: int | None) -> int:
    """Do everything that is due; killed at a statement of a job's claim, heartbeat or end. How many there were."""
    store = await SQLiteStore.open(path)
    count = itertools.count(1)
    seen = 0

    def statement(_: str) -> None:
        nonlocal seen
        seen = next(count)
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def now() -> datetime:
        return NOON + timedelta(hours=1)

    async def answer(job: Job) -> Next:
        look = await store.looks.of_job(job)
        assert look is not None
        await store.jobs.heartbeat([job], now() + LEASE)
        done = replace(look, state=LookState.DONE, done_at=now(), outcome=Outcome.SUCCESS)
        found = Impact(
            deployment_id=look.deployment_id, measured_at=now(), shifts=(), outcome=Outcome.SUCCESS, outcome_reason=""
        )
        await store.looks.finish(done, found, job=job)
        return Settled.SETTLED

    async def recur(_: Job) -> Next:
        return now() + timedelta(hours=1)

    store._writer._connection.set_trace_callback(statement)
    kinds = Kind(name=CHECK, run=answer, slots=lambda: 2), Kind(name="recurring", run=recur)
    await Runner(store, *kinds, clock=now).drain()
    store._writer._connection.set_trace_callback(None)
    await store.close()
    return seen


async def check(path: Path) -> None:
    """Every look has its one answer, no job is lost or left."""
    store = await SQLiteStore.open(path)
    answers = [change.id for change in await store.changes.since(0) if change.kind == "impact"]
    assert sorted(answers) == list(NAMES), answers
    for name in NAMES:
        (look,) = await store.looks.of_deployment(name)
        assert look.state is LookState.DONE, look
    assert await store.jobs.next_at([CHECK, "recurring"]) == {"recurring": NOON + timedelta(hours=2)}
    await store.close()


def killed(path: Path, statement: int) -> bool:
    """Whether the work took so many statements."""
    child = os.fork()
    if child == 0:
        asyncio.run(work(path, statement))
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asyncio.run(fill(folder / "full.db"))
    for number in itertools.count(1):
        here = folder / str(number)
        here.mkdir()
        shutil.copy(folder / "full.db", here / "afdp.db")
        if not killed(here / "afdp.db", number):
            print(number - 1)
            break
        asyncio.run(work(here / "afdp.db", None))
        asyncio.run(check(here / "afdp.db"))
