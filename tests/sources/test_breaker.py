"""Whether a source is away, or only one of its queries fails."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from afdp_exporter.errors import QueryFailed, SourceRefused, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.source_access import Breaker
from afdp_exporter.sources import Bound, Fetched, Freshness, FreshnessAnswer, ask
from afdp_exporter.sources._promql import SpeaksPromQL

STEP = timedelta(seconds=60)
WINDOW = Window(start=datetime(2026, 3, 1, tzinfo=UTC), end=datetime(2026, 3, 1, 1, tzinfo=UTC))
SERIES = [Series(metric="up", labels={}, times=np.zeros(1), values=np.ones(1))]
AWAY = SourceUnavailable("connection", "no connection")
FRESH = Freshness(times=np.zeros(1), newest=np.zeros(1))


class Server(SpeaksPromQL):
    """Answers what is good, fails on what is bad, and on everything while it is down; counts what it is sent."""

    remote = True

    def __init__(self) -> None:
        self.down = False
        self.queries = self.probes = 0
        self.may_fail = asyncio.Event()
        self.may_fail.set()

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        self.queries += len(asked)
        return [await self._answer(each.text) for each in asked]

    async def _answer(self, query: str) -> Fetched:
        if query == "bad":
            await self.may_fail.wait()
        if self.down or query == "bad":
            return AWAY
        return SourceRefused("bad_data", "no such function") if query == "refused" else SERIES

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        self.queries += len(asked)
        answers = {"bad": AWAY, "unknown": None}
        return [AWAY if self.down else answers.get(each.text, FRESH) for each in asked]

    async def reach(self) -> None:
        self.probes += 1
        await asyncio.sleep(0)
        if self.down:
            raise AWAY


async def fetched(source: Breaker, query: str) -> list[Series]:
    return await ask(source, query, {}, WINDOW, STEP)


async def failing_query(server: Server, source: Breaker) -> asyncio.Task[list[Series]]:
    """One that is under way, and fails once the server may."""
    server.may_fail.clear()
    failing = asyncio.create_task(fetched(source, "bad"))
    await asyncio.sleep(0)
    return failing


async def fresh(source: Breaker, *queries: str) -> list[FreshnessAnswer]:
    return await source.freshness([source.prepare(each).bind({}) for each in queries], WINDOW, STEP)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets the loop's clock go on."""
    loop_time, ahead = asyncio.BaseEventLoop.time, [0.0]
    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: loop_time(loop) + ahead[0])

    def go_on(seconds: float) -> None:
        ahead[0] += seconds

    return go_on


async def test_a_query_that_fails_while_a_probe_is_answered_fails_by_itself() -> None:
    server = Server()
    source = Breaker(server)
    with pytest.raises(QueryFailed, match="no connection") as failed:
        await fetched(source, "bad")
    assert failed.value.reason == "connection"
    assert await fetched(source, "good") == SERIES
    with pytest.raises(SourceRefused):
        await fetched(source, "refused")
    assert server.probes == 1


async def test_no_probe_is_needed_where_another_query_was_answered_meanwhile() -> None:
    server = Server()
    source = Breaker(server)
    failing = await failing_query(server, source)
    await fetched(source, "good")
    server.may_fail.set()
    with pytest.raises(QueryFailed):
        await failing
    assert server.probes == 0


async def test_of_one_call_the_answered_queries_clear_the_source() -> None:
    server = Server()
    source = Breaker(server)
    bad, good = await source.fetch([source.prepare("bad").bind({}), source.prepare("good").bind({})], WINDOW, STEP)
    assert isinstance(bad, QueryFailed)
    assert good == SERIES
    assert server.probes == 0


async def test_a_source_that_is_away_is_probed_once_in_15_seconds_and_asked_nothing(
    later: Callable[[float], None],
) -> None:
    server = Server()
    server.down = True
    source = Breaker(server)

    async def crowd() -> None:
        answers = await asyncio.gather(*(fetched(source, "good") for _ in range(50)), return_exceptions=True)
        assert {type(each) for each in answers} == {SourceUnavailable}

    await crowd()
    asked = server.queries
    for _ in range(8):
        later(14.9)
        await crowd()
    assert server.queries == asked
    assert server.probes <= 8
    server.down = False
    later(15.0)
    assert await fetched(source, "good") == SERIES
    assert server.queries == asked + 1


async def test_how_new_the_samples_of_a_query_are_may_fail_by_itself() -> None:
    server = Server()
    source = Breaker(server)
    bad, good = await fresh(source, "bad", "good")
    assert isinstance(bad, QueryFailed)
    assert good is FRESH
    assert server.probes == 0
    assert [type(each) for each in await fresh(source, "bad")] == [QueryFailed]
    assert server.probes == 1


async def test_a_source_that_is_away_is_not_asked_how_new_its_samples_are() -> None:
    server = Server()
    server.down = True
    source = Breaker(server)
    assert await fresh(source, "good") == [AWAY]
    asked = server.queries
    assert await fresh(source, "good") == [AWAY]
    with pytest.raises(SourceUnavailable):
        await fetched(source, "good")
    assert server.queries == asked


async def test_a_source_that_cannot_tell_how_new_its_samples_are_has_shown_nothing_by_that() -> None:
    server = Server()
    source = Breaker(server)
    failing = await failing_query(server, source)
    assert await fresh(source, "unknown") == [None]
    server.down = True
    server.may_fail.set()
    with pytest.raises(SourceUnavailable):
        await failing
    assert server.probes == 1
