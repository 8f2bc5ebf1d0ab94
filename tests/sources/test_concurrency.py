"""How many calls are under way at once: what a server takes, found by what it answers."""

import asyncio

import pytest

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_client import Answer
from afdp_exporter.sources._concurrency import AdaptiveConcurrency

WELL, BUSY = (Answer(status=status, headers={}, body=b"") for status in (200, 503))


class Server:
    """Takes so many calls at once, and says of any more that it is overloaded."""

    def __init__(self, takes: int) -> None:
        self.takes = takes
        self.under_way = self.most = self.refused = 0

    async def call(self, calls: AdaptiveConcurrency) -> None:
        async with calls.slot() as slot:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            too_many = self.under_way > self.takes
            await asyncio.sleep(0)
            self.under_way -= 1
            self.refused += too_many
            slot.answered(BUSY if too_many else WELL)


async def once(calls: AdaptiveConcurrency, number: int, answer: Answer) -> None:
    """So many calls that are under way together, each with this answer."""
    all_there = asyncio.Barrier(number)

    async def call() -> None:
        async with calls.slot() as slot:
            await all_there.wait()
            slot.answered(answer)

    async with asyncio.timeout(10.0):
        await asyncio.gather(*(call() for _ in range(number)))


@pytest.mark.parametrize("takes", [1, 3, 20])
async def test_a_server_is_asked_about_as_much_as_it_takes(takes: int) -> None:
    server, calls = Server(takes), AdaptiveConcurrency(16)
    await asyncio.gather(*(server.call(calls) for _ in range(1000)))
    assert server.most <= 16
    assert server.refused <= 1000 * 2 / (takes + 1)  # about one in as many as fit, with the first round
    assert calls.limit <= max(2 * takes, 2)


async def test_calls_that_are_refused_together_are_one_sign() -> None:
    calls = AdaptiveConcurrency(8)
    for expected in (4, 2, 1, 1):
        await once(calls, calls.limit, BUSY)
        assert calls.limit == expected


async def test_it_recovers_by_one_a_round() -> None:
    calls = AdaptiveConcurrency(4)
    await once(calls, 4, BUSY)
    seen = []
    for _ in range(5):
        seen.append(calls.limit)
        await once(calls, calls.limit, WELL)
    assert seen == sorted(seen)
    assert calls.limit == 4


async def test_a_timeout_is_a_sign_and_another_failure_is_none() -> None:
    calls = AdaptiveConcurrency(8)
    for reason, expected in (("connection", 8), ("timeout", 4)):
        with pytest.raises(CallFailed):
            async with calls.slot():
                raise CallFailed(reason, "no answer")
        assert calls.limit == expected


async def test_who_gives_up_waiting_takes_no_place() -> None:
    calls = AdaptiveConcurrency(1)
    async with calls.slot():
        waiting = asyncio.create_task(once(calls, 1, WELL))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await once(calls, 1, WELL)


async def test_a_call_that_was_given_up_shows_nothing() -> None:
    calls = AdaptiveConcurrency(4)
    await once(calls, 4, BUSY)
    for _ in range(20):
        with pytest.raises(asyncio.CancelledError):
            async with calls.slot():
                raise asyncio.CancelledError
    assert calls.limit == 2
