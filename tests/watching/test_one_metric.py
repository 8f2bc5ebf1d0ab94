"""One metric never holds up the others: whatever one query is answered, the rest is judged."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from aiohttp import web

from afdp_exporter import config
from afdp_exporter.errors import QueryFailed, SourceError, SourceUnavailable
from afdp_exporter.model import Deployment, Window
from afdp_exporter.watching.evidence import Cause, MetricData, MonitoringConfig, gather
from loopback import Serve, matrix

START = datetime(2026, 11, 2, 14, tzinfo=UTC)
WINDOW = Window(start=START - timedelta(hours=2), end=START + timedelta(hours=1))
DEPLOYMENT = Deployment(id="d", service="shop", environment="production", started_at=START, received_at=START)
FAILED, REFUSED = Cause.FAILED, Cause.REFUSED


class Notes:
    """How the source answered."""

    def __init__(self) -> None:
        self.answered, self.failed = 0, list[SourceError]()

    def queried(self, source: str, seconds: float) -> None:
        self.answered += 1

    def query_failed(self, source: str, error: SourceError) -> None:
        self.failed.append(error)

    def skewed(self, source: str, seconds: float) -> None:
        """Only the answers count here."""


def good(form: dict[str, str]) -> dict[str, object]:
    times = np.arange(float(form["start"]), float(form["end"]) + 1, float(form["step"]))
    return matrix({"metric": {}, "values": [[at, str(index % 7)] for index, at in enumerate(times.tolist())]})


def raw(text: str, status: int = 200) -> Callable[[dict[str, str]], web.Response]:
    return lambda _: web.Response(text=text, status=status)


def data(result: object, kind: str = "matrix", **more: object) -> Callable[[dict[str, str]], web.Response]:
    return lambda _: web.json_response({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def error(status: int, kind: str, words: str) -> Callable[[dict[str, str]], web.Response]:
    return lambda _: web.json_response({"status": "error", "errorType": kind, "error": words}, status=status)


def with_data(**more: object) -> Callable[[dict[str, str]], web.Response]:
    return lambda form: web.json_response({**good(form), **more})


ON_THE_QUERY = "PromQL warning: vector contains a mix of classic and native histograms (1:20)"
ANSWERS: dict[str, tuple[Callable[[dict[str, str]], web.Response], Cause | None, str]] = {
    "null": (data(None), REFUSED, "no data for"),
    "null of no type": (data(None, ""), REFUSED, "no data for"),
    "nothing": (data([]), REFUSED, "no data for"),
    "no warnings, written as null": (data([], warnings=None), REFUSED, "no data for"),
    "nothing, and a warning on the query": (data([], warnings=[ON_THE_QUERY]), REFUSED, "no data for"),
    "data, and a warning on the query": (with_data(warnings=[ON_THE_QUERY]), None, ""),
    "data, and remarks": (with_data(infos=["PromQL info: might not be a counter"]), None, ""),
    "nothing, of a store that is away": (data([], warnings=["store 1 is away"]), FAILED, "store 1 is away"),
    "a vector": (data([{"metric": {}, "value": [0, "1"]}], "vector"), FAILED, "no series over time"),
    "a page": (raw("<h1>Sign in</h1>"), FAILED, "no JSON"),
    "an error page": (raw("<h1>Bad gateway</h1>", 502), FAILED, "502"),
    "an error without words": (raw("", 500), FAILED, "500"),
    "not allowed": (raw("", 403), FAILED, "403"),
    "a timeout of the server": (error(503, "timeout", "query timed out in expression evaluation"), FAILED, "503"),
    "an internal error": (error(500, "internal", "expanding series: chunk lost"), FAILED, "chunk lost"),
    "too many samples": (error(422, "execution", "query would load too many samples"), REFUSED, "too many samples"),
    "too long": (error(400, "bad_data", "the query time range exceeds the limit"), REFUSED, "exceeds the limit"),
    "a series without labels": (data([{"values": [[0, "1"]]}]), FAILED, "without labels"),
    "a word for a number": (data([{"metric": {}, "values": [[0, "one"]]}]), FAILED, "sample"),
    "a native histogram": (data([{"metric": {}, "histograms": [[0, {}]]}]), REFUSED, "native histogram"),
    "two series": (
        lambda form: web.json_response(
            matrix(*({**good(form)["data"]["result"][0], "metric": {"pod": pod}} for pod in "ab"))  # type: ignore[index]
        ),
        REFUSED,
        "2 series answer",
    ),
}


async def gathered(watched: MonitoringConfig, notes: Notes) -> dict[str, MetricData]:
    found = await gather(DEPLOYMENT, WINDOW, watched=watched, observer=notes, now=WINDOW.end)
    return {each.metric.name: each for each in found}


def watching(url: str, *, timeout: str = "30s", **queries: str) -> MonitoringConfig:
    metrics = [{"name": name, "layer": "technical", "query": query} for name, query in queries.items()]
    source = {"name": "prometheus", "kind": "prometheus", "url": url, "timeout": timeout}
    return config.read({"sources": [source], "metrics": metrics}).watched


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize(("answer", "cause", "words"), ANSWERS.values(), ids=ANSWERS)
async def test_whatever_one_query_is_answered_it_is_said_of_that_metric_and_the_others_have_their_series(
    serve: Serve, answer: Callable[[dict[str, str]], web.Response], cause: Cause | None, words: str
) -> None:
    async def respond(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        return answer(form) if form["query"] == "bad" else web.json_response(good(form))

    notes = Notes()
    found = await gathered(watching(await serve(respond), latency="good", errors="bad", orders="good"), notes)
    assert found["latency"].series is not None
    assert found["orders"].series is not None
    assert found["errors"].cause is cause
    assert words in (found["errors"].problem or "")
    assert not any(isinstance(each, SourceUnavailable) for each in notes.failed)  # the source is up


@pytest.mark.usefixtures("no_waits")
async def test_a_query_that_always_hangs_is_named_with_its_words_and_the_others_are_judged(serve: Serve) -> None:
    async def respond(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form["query"] == "bad":
            await asyncio.Event().wait()
        return web.json_response(good(form))

    found = await gathered(watching(await serve(respond), timeout="1s", latency="good", errors="bad"), Notes())
    assert found["latency"].series is not None
    assert found["errors"].cause is FAILED
    assert "no answer" in (found["errors"].problem or "")


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize(("status", "cause"), [(500, FAILED), (400, None)])
async def test_a_metric_of_which_nobody_could_ask_how_new_its_samples_are_is_missing_and_the_others_are_judged(
    serve: Serve, status: int, cause: Cause | None
) -> None:
    asked = list[str]()

    async def respond(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked.append(form["query"])
        if "timestamp(bad)" in form["query"]:
            return web.json_response({"status": "error", "errorType": "x", "error": "it cannot"}, status=status)
        return web.json_response(good(form))

    notes = Notes()
    found = await gathered(watching(await serve(respond), latency="good", errors="bad"), notes)
    assert found["latency"].series is not None
    assert found["errors"].cause is cause
    assert ("bad" in asked) is (found["errors"].series is not None) is (cause is None)
    assert ("asked how new its samples are: it answers 500" in (found["errors"].problem or "")) is (cause is FAILED)
    assert [type(each) for each in notes.failed] == [QueryFailed] * (cause is FAILED)


@pytest.mark.usefixtures("no_waits")
async def test_a_source_that_answers_nothing_is_away_and_the_metrics_of_another_are_judged(serve: Serve) -> None:
    async def answers(request: web.Request) -> web.Response:
        return web.json_response(good({name: str(value) for name, value in (await request.post()).items()}))

    async def is_away(_: web.Request) -> web.Response:
        return web.Response(status=503)

    urls = {"here": await serve(answers), "away": await serve(is_away)}
    sources = [{"name": name, "kind": "prometheus", "url": url} for name, url in urls.items()]
    metrics = [{"name": name, "layer": "technical", "query": "up", "source": name} for name in urls]
    watched = config.read({"sources": sources, "metrics": metrics}).watched
    found = await gathered(watched, Notes())
    assert found["here"].series is not None
    assert found["away"].cause is Cause.AWAY
    with pytest.raises(SourceUnavailable, match="503"):
        await gathered(watching(urls["away"], latency="up", errors="up"), Notes())


@pytest.mark.usefixtures("no_waits")
async def test_a_count_is_asked_with_what_it_is_counted_in_and_is_missing_where_that_is(serve: Serve) -> None:
    values = {"failed": ["1", "0", "3", "2"], "all": ["100", "0", "300", "NaN"]}

    async def respond(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if form["query"] not in values:
            return web.json_response(matrix())
        first = WINDOW.start.timestamp()
        samples = [[first + 60.0 * index, each] for index, each in enumerate(values[form["query"]])]
        return web.json_response(matrix({"metric": {}, "values": samples}))

    source = {"name": "prometheus", "kind": "prometheus", "url": await serve(respond)}
    usual = {"layer": "technical", "query": "failed"}
    metrics = [{"name": "a_ratio", **usual, "of": "all"}, {"name": "b_ratio", **usual, "of": {"query": "none"}}]
    found = await gathered(config.read({"sources": [source], "metrics": metrics}).watched, Notes())
    ratio = found["a_ratio"].series
    assert ratio is not None
    assert ratio.of is not None
    np.testing.assert_allclose(ratio.values[:4], [0.01, np.nan, 0.01, np.nan])
    np.testing.assert_allclose(ratio.of[:3], [100.0, 0.0, 300.0])
    assert (found["b_ratio"].series, found["b_ratio"].cause) == (None, REFUSED)
    assert "no data for none" in (found["b_ratio"].problem or "")
