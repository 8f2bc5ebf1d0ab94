"""A source behind a pace: the same answers, fewer questions."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import QueryFailed, SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.source_access import PacedSource, PacingPolicy, paced
from afdp_exporter.sources import Bound, Fetched, ask
from afdp_exporter.sources._promql import SpeaksPromQL
from afdp_exporter.sources.recording import InMemorySource

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
FAST = PacingPolicy(queries_at_once=4, queries_per_second=1e6, patience=timedelta(seconds=5))


class Server(SpeaksPromQL):
    """Two series with gaps on one grid, counted questions, failures on demand."""

    remote = True

    def __init__(self) -> None:
        chance = np.random.default_rng(1)
        times = START.timestamp() + STEP.total_seconds() * np.arange(2000)
        gaps = np.where((np.arange(2000) // 300) % 3 == 1, np.nan, chance.normal(size=2000))
        self.tape = InMemorySource(
            [
                Series(metric="m", labels={"at": "a"}, times=times, values=chance.normal(size=2000)),
                Series(metric="m", labels={"at": "b"}, times=times, values=gaps),
            ]
        )
        self.asked: list[tuple[str, Window]] = []
        self.failures: list[SourceError] = []
        self.under_way = self.most = 0

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        self.asked += [(each.text, window) for each in asked]
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.failures:
            return [self.failures.pop(0)]
        return await self.tape.fetch(asked, window, step)


def window(first: int, last: int) -> Window:
    return Window(start=START + first * STEP, end=START + last * STEP)


def thrifty(server: Server, pace: PacingPolicy = FAST) -> PacedSource:
    return PacedSource(server, piece=timedelta(hours=10), until=START + 1990 * STEP, pace=pace)


def plain(series: list[Series]) -> list[tuple[str, dict[str, str], list[float], list[float | None]]]:
    return [
        (each.metric, dict(each.labels), each.times.tolist(), [None if np.isnan(v) else v for v in each.values])
        for each in series
    ]


@given(ranges=st.lists(st.tuples(st.integers(-300, 2100), st.integers(0, 400)), min_size=1, max_size=4))
def test_its_answers_are_those_of_the_source(ranges: list[tuple[int, int]]) -> None:
    async def compare() -> None:
        server = Server()
        source = thrifty(server)
        for first, length in ranges:
            asked = window(first, first + length)
            assert plain(await ask(source, "m", {}, asked, STEP)) == plain(await ask(server.tape, "m", {}, asked, STEP))

    asyncio.run(compare())


async def test_no_stretch_is_asked_for_twice_however_many_ask_at_once() -> None:
    server = Server()
    source = thrifty(server)
    await asyncio.gather(*(ask(source, "m", {}, window(first, first + 200), STEP) for first in range(0, 200, 10)))
    starts = [asked.start for _, asked in server.asked]
    assert len(starts) == len(set(starts)) == 4
    assert server.most <= FAST.queries_at_once


async def test_questions_keep_their_distance() -> None:
    server = Server()
    source = thrifty(server, PacingPolicy(queries_per_second=50))
    started = asyncio.get_running_loop().time()
    await asyncio.gather(*(ask(source, f"m{n}", {}, window(0, 10), STEP) for n in range(6)))
    assert asyncio.get_running_loop().time() - started >= 5 / 50


async def test_a_refusal_is_remembered_and_a_source_that_comes_back_is_asked_again(no_waits: None) -> None:
    server = Server()
    source = thrifty(server)
    server.failures = [SourceRefused("bad_data", "no")]
    for _ in range(2):
        with pytest.raises(SourceRefused):
            await ask(source, "m", {}, window(0, 10), STEP)
    assert len(server.asked) == 1
    server.failures = [SourceUnavailable("connection", "away"), SourceUnavailable("connection", "away")]
    assert await ask(source, "m", {}, window(500, 510), STEP)
    assert len(server.asked) == 4


async def test_a_source_that_stays_away_is_reported_and_not_remembered(no_waits: None) -> None:
    server = Server()
    source = thrifty(server)
    server.failures = [SourceUnavailable("connection", "away")] * 10
    with pytest.raises(SourceUnavailable):
        await ask(source, "m", {}, window(0, 10), STEP)
    assert await ask(source, "m", {}, window(0, 10), STEP)


async def test_a_query_that_fails_alone_is_tried_a_few_times_and_then_remembered(no_waits: None) -> None:
    server = Server()
    source = thrifty(server)
    server.failures = [QueryFailed("timeout", "no answer within 30 s")] * 3
    for _ in range(2):
        with pytest.raises(QueryFailed):
            await ask(source, "m", {}, window(0, 10), STEP)
    assert len(server.asked) == 3


def test_what_is_only_ours_has_no_pace() -> None:
    tape, server = InMemorySource([]), Server()
    assert paced(tape, piece=STEP, until=START, pace=FAST) is tape
    assert isinstance(paced(server, piece=STEP, until=START, pace=FAST), PacedSource)
