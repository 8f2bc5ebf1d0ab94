"""Work in processes of its own: late or dying, it harms nobody else."""

import os
import signal
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from afdp_exporter.errors import AnalysisError
from afdp_exporter.workers import Workers

SOON, LATE = timedelta(seconds=0.5), timedelta(seconds=60)


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(1)
    yield made
    made.close()


def die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


async def test_a_result_comes_back_from_another_process(workers: Workers) -> None:
    assert await workers.run(os.getpid, deadline=LATE) != os.getpid()


async def test_work_gives_way_to_the_server(workers: Workers) -> None:
    assert await workers.run(os.nice, 0, deadline=LATE) > os.nice(0)


async def test_what_is_late_is_ended_and_the_next_work_is_done(workers: Workers) -> None:
    with pytest.raises(AnalysisError, match=r"longer than 0\.5 s"):
        await workers.run(time.sleep, 3600, deadline=SOON)
    assert await workers.run(abs, -3, deadline=LATE) == 3


async def test_a_crash_in_compiled_code_ends_one_analysis_and_not_the_workers(workers: Workers) -> None:
    with pytest.raises(AnalysisError, match="died"):
        await workers.run(die, deadline=LATE)
    assert await workers.run(abs, -3, deadline=LATE) == 3


async def test_an_error_of_the_work_itself_reaches_the_caller(workers: Workers) -> None:
    with pytest.raises(ZeroDivisionError):
        await workers.run(divmod, 1, 0, deadline=LATE)
