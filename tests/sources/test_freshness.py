"""On how new samples an answer rests: asked once for all metrics of a check, and never less honest for that."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from aiohttp import web

from afdp_exporter.errors import SourceError, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import Bound, Freshness, FreshnessAnswer, Source
from loopback import Serve, matrix
from real_parts.servers import Prometheus

STEP = timedelta(seconds=15)
END = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
WINDOW = Window(start=END - timedelta(minutes=15), end=END)
QUERIES = (
    "latency_seconds",
    'sum(rate(errors_total{code="500"}[1m])) / sum(rate(requests_total[1m]))',
    "nowhere",
    "3600 * requests_total",
    "vector(1)",
)

pytestmark = pytest.mark.usefixtures("no_waits")


def every(seconds: int, until: timedelta) -> np.ndarray:
    """Times from an hour before the end on."""
    return END.timestamp() + np.arange(-3600, until.total_seconds() + 1, seconds)


def bound(source: Source, *queries: str) -> list[Bound]:
    return [source.prepare(each).bind({}) for each in queries]


def stamps(known: FreshnessAnswer) -> list[float] | None:
    return np.nan_to_num(known.newest, nan=-1.0).tolist() if isinstance(known, Freshness) else None


def is_known(answer: FreshnessAnswer) -> bool:
    """Whether there is a sample at each time."""
    return isinstance(answer, Freshness) and not np.isnan(answer.newest).any()


async def test_what_is_asked_together_is_what_is_asked_alone(prometheus: Prometheus) -> None:
    late = timedelta(minutes=-4)
    written = (("latency_seconds", 60, late), ("errors_total", 15, timedelta(0)), ("requests_total", 30, late))
    prometheus.remote_write(
        Series(metric=name, labels={"code": "500"}, times=times, values=np.ones(len(times)))
        for name, seconds, until in written
        for times in [every(seconds, until)]
    )
    source = build("sources", "prometheus", {"url": prometheus.url}, "")
    together = await source.freshness(bound(source, *QUERIES), WINDOW, STEP)
    for known, fetched in zip(together[:4], await source.fetch(bound(source, *QUERIES[:4]), WINDOW, STEP), strict=True):
        assert isinstance(known, Freshness)
        assert not isinstance(fetched, SourceError)
        assert (known.values is not None) is bool(fetched)
        for series in fetched:
            np.testing.assert_array_equal(known.values, series.values)
    alone = [(await source.freshness(bound(source, each), WINDOW, STEP))[0] for each in QUERIES]
    assert [stamps(each) for each in together[:4]] == [stamps(each) for each in alone[:4]]
    assert isinstance(together[0], Freshness)
    assert together[0].newest[-1] == END.timestamp() - 240
    assert isinstance(together[1], Freshness)
    assert together[1].newest[-1] == END.timestamp()  # the newer of its selectors


class Counting:
    """A server that counts what it is asked, refuses what it does not know, and fails on what is `failing`."""

    def __init__(self, refused: str = "nothing at all", failing: str = "nothing at all") -> None:
        self.refused = refused
        self.failing = failing
        self.asked = list[str]()

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = str(form["query"])
        self.asked.append(query)
        if self.refused in query:
            error = {"status": "error", "errorType": "bad_data", "error": "unknown function"}
            return web.json_response(error, status=400)
        if self.failing in query:
            error = {"status": "error", "errorType": "timeout", "error": "query timed out"}
            return web.json_response(error, status=503)
        times = np.arange(float(str(form["start"])), float(str(form["end"])) + 1, 15.0)
        values = [[at, str(at)] for at in times]
        places = range(max(query.count("label_replace("), 1))
        return web.json_response(matrix(*({"metric": {"afdp_place": str(each)}, "values": values} for each in places)))


async def test_one_question_is_asked_for_all_metrics_of_a_check(serve: Serve) -> None:
    server = Counting()
    source = build("sources", "prometheus", {"url": await serve(server.answer)}, "")
    found = await source.freshness(bound(source, "a", "b / a", "sum(rate(c[1m]))"), WINDOW, STEP)
    (asked,) = server.asked
    assert [asked.count(f"timestamp({each})") for each in "abc"] == [1, 1, 1]
    assert all(map(is_known, found))


async def test_a_query_that_is_refused_is_not_asked_for_its_value_again(serve: Serve) -> None:
    server = Counting(refused="topk(2, a / b")
    source = build("sources", "prometheus", {"url": await serve(server.answer)}, "")
    for _ in range(2):
        known = await source.freshness(bound(source, "a / b"), WINDOW, STEP)
        assert list(map(is_known, known)) == [True]
    assert len(server.asked) == 4  # both together, each alone, and both together without the value


async def test_what_answers_with_several_series_tells_no_value(prometheus: Prometheus) -> None:
    times = every(15, timedelta(0))
    prometheus.remote_write(
        Series(metric="by_pod", labels={"pod": pod}, times=times, values=np.ones(len(times))) for pod in "abc"
    )
    source = build("sources", "prometheus", {"url": prometheus.url}, "")
    several, one = await source.freshness(bound(source, "by_pod", "sum(by_pod) # of all"), WINDOW, STEP)
    assert isinstance(several, Freshness)
    assert several.values is None
    assert isinstance(one, Freshness)
    assert one.values is not None
    assert set(one.values.tolist()) == {3.0}


async def test_one_selector_that_is_refused_leaves_the_others_known(serve: Serve) -> None:
    server = Counting(refused="timestamp(b)")
    source = build("sources", "prometheus", {"url": await serve(server.answer)}, "")
    known, unknown, both = await source.freshness(bound(source, "a", "b", "a / b"), WINDOW, STEP)
    assert is_known(known)
    assert (unknown, both) == (None, None)
    assert len(server.asked) == 3


async def test_one_selector_that_is_not_answered_says_so_of_its_queries_and_leaves_the_others_known(
    serve: Serve,
) -> None:
    server = Counting(failing="timestamp(b)")
    url = await serve(server.answer)
    source = build("sources", "prometheus", {"url": url}, "")
    known, *failed = await source.freshness(bound(source, "a", "b", "a / b"), WINDOW, STEP)
    assert is_known(known)
    words = f"{url}, asked how new its samples are: it answers 503: query timed out"
    assert [(type(each), str(each)) for each in failed] == [(SourceUnavailable, words)] * 2
    assert len(server.asked) == 3


async def test_a_query_of_which_one_selector_is_refused_can_never_tell_whatever_the_other_one_is_answered(
    serve: Serve,
) -> None:
    server = Counting(refused="timestamp(b)", failing="timestamp(a)")
    source = build("sources", "prometheus", {"url": await serve(server.answer)}, "")
    assert await source.freshness(bound(source, "a / b"), WINDOW, STEP) == [None]


@pytest.mark.parametrize(
    ("status", "reason"), [(429, "http_429"), (500, "http_500"), (503, "http_503"), (200, "malformed")]
)
async def test_a_server_that_answers_nothing_usable_could_not_be_asked(serve: Serve, status: int, reason: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no answer of Prometheus")

    source = build("sources", "prometheus", {"url": await serve(answer)}, "")
    (found,) = await source.freshness(bound(source, "a"), WINDOW, STEP)
    assert isinstance(found, SourceUnavailable)
    assert found.reason == reason


@pytest.mark.parametrize("status", [400, 422])
async def test_a_server_that_refuses_to_tell_time_stamps_cannot_tell_how_new_its_samples_are(
    serve: Serve, status: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        refused = {"status": "error", "errorType": "bad_data", "error": "unknown function timestamp"}
        return web.json_response(refused, status=status)

    source = build("sources", "prometheus", {"url": await serve(answer)}, "")
    assert await source.freshness(bound(source, "a", "b"), WINDOW, STEP) == [None, None]


async def test_a_server_that_hangs_could_not_be_asked(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    source = build("sources", "prometheus", {"url": await serve(answer), "timeout": "100ms"}, "")
    (found,) = await source.freshness(bound(source, "a"), WINDOW, STEP)
    assert isinstance(found, SourceUnavailable)
    assert found.reason == "timeout"


async def test_a_server_that_lacks_the_function_to_tell_answers_apart_is_asked_for_each(serve: Serve) -> None:
    server = Counting(refused="label_replace")
    source = build("sources", "prometheus", {"url": await serve(server.answer)}, "")
    assert all(map(is_known, await source.freshness(bound(source, "a", "b"), WINDOW, STEP)))
    assert len(server.asked) == 3


async def test_a_server_that_breaks_every_connection_is_not_asked_for_each(serve: Serve) -> None:
    asked = list[str]()

    async def answer(request: web.Request) -> web.Response:
        asked.append(str((await request.post())["query"]))
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    source = build("sources", "prometheus", {"url": await serve(answer)}, "")
    found = await source.freshness(bound(source, "a", "b", "c"), WINDOW, STEP)
    assert [each.reason for each in found if isinstance(each, SourceUnavailable)] == ["connection"] * 3
    assert len(asked) == 3
    assert len(set(asked)) == 1


async def test_a_check_opens_no_more_connections_than_it_has_questions_at_once(serve: Serve) -> None:
    peers, server = set[object](), Counting()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return await server.answer(request)

    source = build("sources", "prometheus", {"url": await serve(answer), "concurrency": 2}, "")
    for _ in range(3):
        await source.freshness(bound(source, "a", "b"), WINDOW, STEP)
        await asyncio.gather(*(source.fetch(bound(source, each), WINDOW, STEP) for each in "abc"))
    assert len(server.asked) == 12
    assert len(peers) == 2
