"""A source whose settled past is recalled: the same answers, and no piece of it asked twice."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.source_access import RecallingSource, guarded
from afdp_exporter.sources import Bound, Fetched, ask
from afdp_exporter.sources._promql import SpeaksPromQL
from afdp_exporter.sources.recording import InMemorySource

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=1)
SETTLES = timedelta(minutes=10)


class Server(SpeaksPromQL):
    """Two series with gaps, of which the newest ten minutes still change; counts what it is asked for."""

    remote = True
    settles_after = SETTLES

    def __init__(self) -> None:
        chance = np.random.default_rng(3)
        self.times = START.timestamp() + STEP.total_seconds() * np.arange(3000)
        self.values = chance.normal(size=(2, 3000))
        self.values[1] = np.where((np.arange(3000) // 300) % 3 == 1, np.nan, self.values[1])
        self.now = 3000  # minutes
        self.asked: list[tuple[tuple[str, ...], Window]] = []
        self.answer: Fetched | None = None
        self.warnings: tuple[str, ...] = ()

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        self.asked.append((tuple(each.text for each in asked), window))
        if self.answer is not None:
            return [self.answer for _ in asked]
        found = await self.tape().fetch(asked, window, step)
        return [[replace(each, warnings=self.warnings) for each in of] for of in found if isinstance(of, list)]

    def tape(self) -> InMemorySource:
        """What it holds now: what came within the last ten minutes is half of what it will be."""
        values = self.values[:, : self.now].copy()
        values[:, max(self.now - 10, 0) :] /= 2
        return InMemorySource(
            Series(metric="m", labels={"at": at}, times=self.times[: self.now], values=row)
            for at, row in zip("ab", values, strict=True)
        )

    def points(self) -> float:
        """How many points were asked for."""
        return sum(len(texts) * ((window.end - window.start) / STEP + 1) for texts, window in self.asked)


def window(first: int, last: int) -> Window:
    return Window(start=START + first * STEP, end=START + last * STEP)


def plain(series: list[Series]) -> list[tuple[dict[str, str], list[float], list[float | None]]]:
    return [
        (dict(each.labels), each.times.tolist(), [None if np.isnan(v) else float(v) for v in each.values])
        for each in series
    ]


@given(
    asked=st.lists(st.tuples(st.integers(30, 2900), st.integers(0, 1500)), min_size=1, max_size=6),
    most=st.sampled_from([3000, 100_000, 64 * 1024**2]),
)
def test_its_answers_are_those_of_the_source_while_time_goes_on(asked: list[tuple[int, int]], most: int) -> None:
    """Each question reaches up to what has settled by then, as those of the analysis do."""

    async def compare() -> None:
        server = Server()
        source = RecallingSource(server, most)
        for now, back in sorted(asked):
            server.now = now
            reach = window(max(now - 10 - back, 0), now - 10)
            assert plain(await ask(source, "m", {}, reach, STEP)) == plain(
                await ask(server.tape(), "m", {}, reach, STEP)
            )

    asyncio.run(compare())


@given(asked=st.lists(st.tuples(st.integers(30, 2900), st.integers(0, 1500)), min_size=2, max_size=6))
def test_its_answers_are_those_of_the_source_whatever_was_asked_before(asked: list[tuple[int, int]]) -> None:
    """Deployments are not checked in the order of their times, and their histories may not touch."""

    async def compare() -> None:
        server = Server()
        source = RecallingSource(server)
        for end, back in asked:
            reach = window(max(end - back, 0), end)
            assert plain(await ask(source, "m", {}, reach, STEP)) == plain(
                await ask(server.tape(), "m", {}, reach, STEP)
            )

    asyncio.run(compare())


async def test_seven_checks_of_a_deployment_ask_for_its_history_once() -> None:
    server, plainly = Server(), Server()
    source = RecallingSource(server)
    checks = [2, 5, 10, 15, 30, 60, 600]
    for server.now in (2000 + each for each in checks):
        reach = window(100, server.now - 10)
        for one in (source, plainly):
            await one.fetch([one.prepare(query).bind({}) for query in ("m", 'm{at="a"}')], reach, STEP)
    assert len(server.asked) == len(checks)
    assert plainly.points() / server.points() > 4
    assert all(window.start >= START + 1800 * STEP for _, window in server.asked[1:])


async def test_all_answers_share_their_times() -> None:
    server = Server()
    source = RecallingSource(server)
    for server.now in (2000, 2600):  # the second time most of it is recalled
        queries = [source.prepare(query).bind({}) for query in ('m{at="a"}', 'm{at="b"}')]
        answers = await source.fetch(queries, window(100, server.now - 10), STEP)
        series = [each for answer in answers if isinstance(answer, list) for each in answer]
        assert len(series) == 2
        assert series[0].times is series[1].times


async def test_what_came_late_is_asked_again_until_it_has_settled() -> None:
    server = Server()
    source = RecallingSource(server)
    server.now = 1000
    (early,) = await ask(source, 'm{at="a"}', {}, window(0, 999), STEP)  # up to now, which nobody should ask
    assert early.values[-1] == server.values[0, 999] / 2
    server.now = 2000
    (later,) = await ask(source, 'm{at="a"}', {}, window(0, 999), STEP)
    assert later.values.tolist() == server.values[0, :1000].tolist()


@pytest.mark.parametrize("answer", [SourceRefused("bad_data", "no"), SourceUnavailable("away", "no"), []])
async def test_an_error_and_an_empty_answer_are_not_kept(answer: SourceError | list[Series]) -> None:
    server = Server()
    source = RecallingSource(server)
    server.answer = answer
    (found,) = await source.fetch([source.prepare("m").bind({})], window(0, 500), STEP)
    assert found == answer
    server.answer = None
    assert len(await ask(source, "m", {}, window(0, 500), STEP)) == 2


async def test_a_part_is_not_kept_for_the_whole() -> None:
    server = Server()
    source = RecallingSource(server)
    server.warnings = ("a part is missing",)
    (first, _) = await ask(source, "m", {}, window(0, 500), STEP)
    server.warnings = ()
    (second, _) = await ask(source, "m", {}, window(0, 500), STEP)
    assert (first.warnings, second.warnings, len(server.asked)) == (("a part is missing",), (), 2)


async def test_an_error_of_what_is_new_is_no_answer_whatever_is_kept() -> None:
    server = Server()
    source = RecallingSource(server)
    await ask(source, "m", {}, window(0, 500), STEP)
    server.answer = SourceUnavailable("away", "no")
    with pytest.raises(SourceUnavailable):
        await ask(source, "m", {}, window(0, 900), STEP)


async def test_no_more_is_kept_than_was_allowed() -> None:
    server = Server()
    source = RecallingSource(server, 10_000)
    await ask(source, "m", {}, window(0, 2900), STEP)
    assert 0 < source._bytes <= 10_000


async def test_little_more_is_kept_than_the_longest_question_spans() -> None:
    server = Server()
    source = RecallingSource(server)
    for server.now in range(400, 3000, 50):
        await ask(source, "m", {}, window(server.now - 370, server.now - 10), STEP)
    (kept,) = source._histories.values()
    assert kept.end - kept.first <= 1.25 * (360 + 2 * 120)


async def test_what_is_recalled_takes_no_more_calls_the_longer_it_is() -> None:
    """A week was put together of 85 pieces, which took longer than all the rest of a check's question."""

    async def calls(length: int) -> int:
        server = Server()
        source = RecallingSource(server)
        await ask(source, "m", {}, window(2900 - length, 2900), STEP)
        counted = 0

        def count(frame: FrameType, event: str, _: object) -> None:
            nonlocal counted
            counted += event == "call" and frame.f_code.co_filename.endswith("recalling.py")

        sys.setprofile(count)
        try:
            await ask(source, "m", {}, window(2900 - length, 2901), STEP)
        finally:
            sys.setprofile(None)
        return counted

    assert await calls(2800) == await calls(400)


def test_every_server_is_recalled_and_what_is_only_ours_needs_neither_memory_nor_breaker() -> None:
    assert isinstance(guarded(Server()), RecallingSource)
    tape = InMemorySource([])
    assert guarded(tape) is tape


class Behind(Server):
    """A server that has samples up to an instant, and repeats the last of them for five minutes."""

    settles_after = timedelta(0)

    def tape(self) -> InMemorySource:
        values = self.values[:1].copy()
        values[0, self.now : self.now + 5] = values[0, self.now - 1]
        values[0, self.now + 5 :] = np.nan
        return InMemorySource([Series(metric="m", labels={}, times=self.times, values=values[0])])


async def test_what_a_server_repeats_until_it_has_a_newer_sample_is_not_kept() -> None:
    server = Behind()
    source = RecallingSource(server)
    for server.now in (838, 2990, 3000):  # minutes; a piece that is kept ends at 840
        (known,) = await ask(source, "m", {}, window(0, 2999), STEP)
        (truth,) = await ask(server.tape(), "m", {}, window(0, 2999), STEP)
        assert plain([known]) == plain([truth])
