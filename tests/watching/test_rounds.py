"""Work goes on round by round, whatever happens in one of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.watching.rounds import Rounds, retry_after


class Work:
    """Rounds that find as much to do as they were told, or fail; each can be waited for."""

    def __init__(self, *outcomes: bool | Exception) -> None:
        self.outcomes = list(outcomes)
        self.done: asyncio.Queue[datetime] = asyncio.Queue()

    async def __call__(self) -> bool:
        self.done.put_nowait(now())
        outcome = self.outcomes.pop(0) if self.outcomes else False
        if isinstance(outcome, Exception):
            raise ExceptionGroup("a round", [outcome])
        return outcome


def now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def running(work: Work, next_at: Callable[[], Awaitable[datetime | None]] | None = None) -> AsyncIterator[Rounds]:
    """Rounds of work as long as the block lasts; what does not come in ten seconds does not come."""
    rounds = Rounds(work, clock=now, next_at=next_at)
    task = asyncio.create_task(rounds.run())
    async with asyncio.timeout(10):
        yield rounds
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_next_round_comes_at_once_while_there_is_work() -> None:
    work = Work(True, True)
    async with running(work):
        for _ in range(3):
            await work.done.get()


async def test_who_is_called_looks_again() -> None:
    work = Work()
    async with running(work) as rounds:
        await work.done.get()
        rounds.wake()
        await work.done.get()


@pytest.mark.parametrize("error", [StoreError("the disk is full"), RuntimeError("unforeseen")])
async def test_a_round_that_fails_does_not_end_the_work(error: Exception) -> None:
    work = Work(error)
    async with running(work) as rounds:
        await work.done.get()
        rounds.wake()
        await work.done.get()


async def test_what_is_known_to_come_is_done_when_it_is_due() -> None:
    due_at = now() + timedelta(seconds=0.2)
    work = Work()

    async def next_at() -> datetime | None:
        return due_at

    async with running(work, next_at):
        while await work.done.get() < due_at:
            pass


def test_what_could_not_be_done_waits_longer_each_time_and_never_long() -> None:
    waits = [retry_after(attempts) for attempts in range(40)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (timedelta(seconds=15), timedelta(minutes=5))
