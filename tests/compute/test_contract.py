"""What each engine for pure work promises: a call that is late, dying or cancelled harms no other."""

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.errors import AnalysisError

ENGINES: dict[str, Callable[[pytest.FixtureRequest], ComputePool]] = {
    "processes": lambda _: open_compute(workers=1),
    "dask": lambda request: open_compute(workers=1, engine=request.getfixturevalue("cluster").engine),
}

SOON, LATE = timedelta(seconds=0.5), timedelta(seconds=60)


@pytest.fixture(params=ENGINES)
async def compute(request: pytest.FixtureRequest) -> AsyncIterator[ComputePool]:
    made = ENGINES[request.param](request)
    yield made
    await made.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def begin_and_hang(begun: Path) -> None:
    with begun.open("w"):
        pass
    time.sleep(3600)


def threads_of_linear_algebra() -> set[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def pages_cleared() -> int:
    """How many pages of memory the system has to clear while arrays of 2 MB come and go."""
    np.ones(250_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(250_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def put_together(first: int, *, second: int) -> tuple[int, int]:
    return first, second


async def test_a_result_comes_back_from_another_process(compute: ComputePool) -> None:
    assert await compute.run(os.getpid, deadline=LATE) != os.getpid()


async def test_arguments_arrive_by_place_and_by_name(compute: ComputePool) -> None:
    assert await compute.run(put_together, 1, second=2, deadline=LATE) == (1, 2)


async def test_work_gives_way_to_the_server(compute: ComputePool) -> None:
    assert await compute.run(os.nice, 0, deadline=LATE) > os.nice(0)


async def test_one_thread_does_the_linear_algebra_of_a_call(compute: ComputePool) -> None:
    assert await compute.run(threads_of_linear_algebra, deadline=LATE) == {1}


async def test_the_arrays_of_a_check_lie_in_memory_that_was_used_before(compute: ComputePool) -> None:
    """An array of 2 MB has 500 pages."""
    assert await compute.run(pages_cleared, deadline=LATE) < 500


async def test_what_is_late_is_ended_and_the_next_work_is_done(compute: ComputePool) -> None:
    with pytest.raises(AnalysisError, match=r"longer than 0\.5 s"):
        await compute.run(time.sleep, 3600, deadline=SOON)
    assert await compute.run(abs, -3, deadline=LATE) == 3


async def test_a_crash_in_compiled_code_ends_one_analysis_and_not_the_workers(compute: ComputePool) -> None:
    with pytest.raises(AnalysisError, match="died"):
        await compute.run(die, deadline=LATE)
    assert await compute.run(abs, -3, deadline=LATE) == 3


async def test_an_error_of_the_work_itself_reaches_the_caller(compute: ComputePool) -> None:
    with pytest.raises(ZeroDivisionError):
        await compute.run(divmod, 1, 0, deadline=LATE)


async def test_a_caller_that_is_cancelled_frees_its_place(compute: ComputePool, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    hanging = asyncio.ensure_future(compute.run(begin_and_hang, begun, deadline=timedelta(hours=1)))
    await asyncio.to_thread(begun.read_bytes)  # returns once the work has opened it
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await compute.run(abs, -3, deadline=LATE) == 3


async def test_a_caller_that_is_cancelled_at_once_frees_its_place(compute: ComputePool) -> None:
    hanging = asyncio.ensure_future(compute.run(time.sleep, 3600, deadline=timedelta(hours=1)))
    await asyncio.sleep(0)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await compute.run(abs, -3, deadline=LATE) == 3


async def test_more_are_done_at_once_after_a_change_of_size_and_what_was_begun_is_finished(
    compute: ComputePool, tmp_path: Path
) -> None:
    paths = [tmp_path / "one", tmp_path / "other"]
    for path in paths:
        os.mkfifo(path)
    first = asyncio.ensure_future(compute.run(meet, *paths, deadline=LATE))
    compute.resize(2)
    assert await asyncio.gather(compute.run(meet, *reversed(paths), deadline=LATE), first) == [True, True]


async def test_an_end_waits_for_no_work(compute: ComputePool, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    hanging = asyncio.ensure_future(compute.run(begin_and_hang, begun, deadline=timedelta(hours=1)))
    await asyncio.to_thread(begun.read_bytes)
    await compute.close()
    with pytest.raises((asyncio.CancelledError, AnalysisError)):
        await hanging


def meet(mine: Path, theirs: Path) -> bool:
    """Ends only while another call meets it from the other side."""
    if mine < theirs:
        with mine.open("w"), theirs.open("r"):
            return True
    with theirs.open("r"), mine.open("w"):
        return True
