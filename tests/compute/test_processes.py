"""What the system does to worker processes while nothing is done in them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest

from afdp_exporter.compute.processes import ProcessComputePool
from afdp_exporter.errors import AnalysisError

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def pool() -> AsyncIterator[ProcessComputePool]:
    made = ProcessComputePool(1)
    yield made
    await made.close()


async def killed(pid: int) -> None:
    """It is dead."""
    dead, of_it = asyncio.Event(), os.pidfd_open(pid)
    asyncio.get_running_loop().add_reader(of_it, dead.set)
    os.kill(pid, signal.SIGKILL)
    await dead.wait()
    asyncio.get_running_loop().remove_reader(of_it)
    os.close(of_it)


async def worker_of(pool: ProcessComputePool) -> int:
    """The process of a worker; of two calls at most one is handed to a process that has just died."""
    with suppress(AnalysisError):
        return await pool.run(os.getpid, deadline=MINUTE)
    return await pool.run(os.getpid, deadline=MINUTE)


async def test_a_worker_that_is_killed_at_rest_is_replaced(pool: ProcessComputePool) -> None:
    first = await pool.run(os.getpid, deadline=MINUTE)
    await killed(first)
    assert await worker_of(pool) != first


async def test_what_starts_workers_is_started_anew_where_it_is_killed(pool: ProcessComputePool) -> None:
    first, starter = await pool.run(os.getpid, deadline=MINUTE), await pool.run(os.getppid, deadline=MINUTE)
    await killed(starter)
    await killed(first)
    assert await worker_of(pool) != first
    assert await pool.run(os.getppid, deadline=MINUTE) != starter


async def test_a_hangup_that_reaches_a_worker_does_not_end_it(pool: ProcessComputePool) -> None:
    first = await pool.run(os.getpid, deadline=MINUTE)
    os.kill(first, signal.SIGHUP)
    assert await pool.run(os.getpid, deadline=MINUTE) == first


async def test_after_the_end_nothing_is_started(pool: ProcessComputePool) -> None:
    await pool.run(os.getpid, deadline=MINUTE)
    await pool.close()
    with pytest.raises(AnalysisError, match="have ended"):
        await pool.run(os.getpid, deadline=MINUTE)
