"""Datadog, against its own recordings and its own client."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aiohttp import web
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.metrics_api import MetricsApi
from datadog_api_client.v2.model.formula_limit import FormulaLimit  # noqa: F401 - as its users import it
from datadog_api_client.v2.model.metrics_data_source import MetricsDataSource
from datadog_api_client.v2.model.metrics_timeseries_query import MetricsTimeseriesQuery
from datadog_api_client.v2.model.query_formula import QueryFormula
from datadog_api_client.v2.model.timeseries_formula_query_request import TimeseriesFormulaQueryRequest
from datadog_api_client.v2.model.timeseries_formula_request import TimeseriesFormulaRequest
from datadog_api_client.v2.model.timeseries_formula_request_attributes import TimeseriesFormulaRequestAttributes
from datadog_api_client.v2.model.timeseries_formula_request_queries import TimeseriesFormulaRequestQueries
from datadog_api_client.v2.model.timeseries_formula_request_type import TimeseriesFormulaRequestType

from afdp_exporter.errors import ConfigError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Window
from afdp_exporter.settings import build
from afdp_exporter.sources import ask
from afdp_exporter.sources.datadog import Datadog
from hostile import values
from loopback import Serve
from monitors import at_minutes
from monitors.datadog import KEYS
from monitors.datadog import Datadog as Double

RECORDINGS = Path(__file__).parent.parent / "monitors/recordings/datadog"
MINUTE = timedelta(minutes=1)
FIRST = 1_700_000_040


def window(first: float, last: float) -> Window:
    return Window(start=datetime.fromtimestamp(first, UTC), end=datetime.fromtimestamp(last, UTC))


def source(url: str, **block: object) -> Datadog:
    built: Datadog = build("sources", "datadog", {"url": url, **KEYS, **block}, "sources[0]")
    return built


def recording(name: str) -> dict[str, Any]:
    exchange: dict[str, Any] = yaml.safe_load((RECORDINGS / f"{name}.yaml").read_text())["interactions"][0]
    return exchange


async def test_the_recorded_question_is_asked_and_its_answer_read(serve: Serve) -> None:
    exchange = recording("v2-test_timeseries_cross_product_query_returns_ok_response")
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.path, await request.json()))
        return web.Response(text=exchange["response"]["body"]["string"], content_type="application/vnd.api+json")

    query = "avg:datadog.estimated_usage.metrics.custom{*}"
    asked = window(1_711_977_605, 1_711_981_200)
    (series,) = await ask(source(await serve(answer)), query, {}, asked, timedelta(seconds=5))
    ((path, body),) = seen
    wanted = json.loads(exchange["request"]["body"])
    assert path == "/api/v2/query/timeseries"
    sent, recorded = body["data"]["attributes"], wanted["data"]["attributes"]
    assert body["data"]["type"] == wanted["data"]["type"]
    assert sent["interval"] == recorded["interval"]
    assert (sent["from"], sent["to"]) == (1_711_977_600_000, 1_711_981_200_000)
    assert sent["queries"] == [recorded["queries"][0] | {"name": "q0_a"}]
    known = ~np.isnan(series.values)
    # a minute apart and twice only: rare data of five seconds each, known five seconds after they began
    assert series.times[known].tolist() == [1_711_977_650, 1_711_977_710, 1_711_980_230]
    assert series.values[known].tolist() == [1, 1, 87]
    assert (series.metric, dict(series.labels)) == ("datadog.estimated_usage.metrics.custom", {})


async def test_the_recorded_refusal_is_reported_in_datadogs_words(serve: Serve) -> None:
    exchange = recording("v2-test_timeseries_cross_product_query_returns_bad_request_response")

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=exchange["response"]["status"]["code"], text=exchange["response"]["body"]["string"])

    with pytest.raises(SourceRefused, match=r'answers 400: API input validation failed: Invalid type\. Expected "time'):
        await ask(source(await serve(answer)), "avg:a{*}", {}, window(FIRST, FIRST + 60), MINUTE)


async def test_the_vendors_own_client_asks_the_same(serve: Serve) -> None:
    double = Double((at_minutes(FIRST, [1.0, 2.0], "a.b", env="prod"), at_minutes(FIRST, [4.0, 4.0], "c")))
    url = await serve(double.answer)
    query = {"queries": {"x": "sum:a.b{env:prod}.as_count()", "y": "sum:c{*}.as_count()"}, "formula": "x / y"}
    (series,) = await ask(source(url), query, {}, window(FIRST, FIRST + 60), MINUTE)
    assert series.values.tolist() == [0.25, 0.5]
    texts = {"q0_x": "sum:a.b{env:prod}.as_count()", "q0_y": "sum:c{*}.as_count()"}
    request = TimeseriesFormulaQueryRequest(
        data=TimeseriesFormulaRequest(
            type=TimeseriesFormulaRequestType.TIMESERIES_REQUEST,
            attributes=TimeseriesFormulaRequestAttributes(
                _from=(FIRST - 60) * 1000,
                to=(FIRST + 60) * 1000,
                interval=60_000,
                formulas=[QueryFormula(formula="q0_x / q0_y")],
                queries=TimeseriesFormulaRequestQueries(
                    [
                        MetricsTimeseriesQuery(data_source=MetricsDataSource.METRICS, name=name, query=text)
                        for name, text in texts.items()
                    ]
                ),
            ),
        )
    )

    def theirs() -> Any:  # noqa: ANN401 - as the client makes it
        configuration = Configuration(host=url, api_key={"apiKeyAuth": KEYS["api_key"], "appKeyAuth": KEYS["app_key"]})
        with ApiClient(configuration) as client:
            return MetricsApi(client).query_timeseries_data(request)

    answer = await asyncio.to_thread(theirs)
    (our_request, ours), (their_request, body) = double.asked
    assert json.loads(ours) == json.loads(body)
    assert our_request.path == their_request.path
    for name in ("DD-API-KEY", "DD-APPLICATION-KEY", "Content-Type"):
        assert our_request.headers[name] == their_request.headers[name]
    assert answer["data"]["attributes"]["values"].value[0].value == [0.25, 0.5]


async def test_a_quarter_of_the_organisations_limit_is_asked_and_nothing_beyond_it(serve: Serve) -> None:
    limits = {"X-RateLimit-Limit": "8", "X-RateLimit-Period": "3600", "X-RateLimit-Remaining": "5"}
    double = Double((at_minutes(FIRST, [1.0]),), headers=limits)
    datadog = source(await serve(double.answer), calls_per_hour=100)
    for _ in range(2):
        await ask(datadog, "avg:m{*}", {}, window(FIRST, FIRST), MINUTE)
    with pytest.raises(SourceUnavailable, match="2 of 2 calls an hour are spent") as caught:
        await ask(datadog, "avg:m{*}", {}, window(FIRST, FIRST), MINUTE)
    assert (caught.value.reason, len(double.asked)) == ("budget", 2)


async def test_where_nothing_remains_nothing_is_asked_until_the_reset(serve: Serve) -> None:
    double = Double((at_minutes(FIRST, [1.0]),), headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "90"})
    datadog = source(await serve(double.answer))
    await ask(datadog, "avg:m{*}", {}, window(FIRST, FIRST), MINUTE)
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="asked again in 90 s"):
            await ask(datadog, "avg:m{*}", {}, window(FIRST, FIRST), MINUTE)
        with pytest.raises(SourceUnavailable, match="asked again in 90 s"):
            await datadog.reach()
    assert len(double.asked) == 1


SCOPE = re.compile(r"avg:m\{service:([A-Za-z0-9_./-]+),version:([A-Za-z0-9_./-]+)\} by \{host\}")


def test_no_value_leaves_its_place() -> None:
    query = source("http://x").prepare("avg:m{service:$service,version:$version} by {host}")
    placed = 0
    for value in values():
        try:
            bound = query.bind({"service": value, "version": "1.0"})
        except SourceRefused:
            assert not re.fullmatch(r"[A-Za-z0-9_./-]+", value)
            continue
        assert SCOPE.fullmatch(bound.text).groups() == (value, "1.0")  # type: ignore[union-attr]
        placed += 1
    assert placed > 5


@pytest.mark.parametrize(
    "query",
    [
        "avg:m",
        "m{a:b}",
        "avg:m{a:$nonsense}",
        "avg:$service{*}",
        "avg:m{$service}",
        "avg:m{a:b} by {$service}",
        "avg:m{a:$service$version}",
        "avg:m{a:b}\n",
        {"queries": {"a": "avg:m{*}"}, "formula": "a + b"},
        {"queries": {"A": "avg:m{*}"}, "formula": "A"},
        {"queries": {"a": "avg:m{*}"}, "formula": "$service"},
        {"queries": {}, "formula": "1"},
        {"queries": {"a": "avg:m{*}"}},
    ],
)
def test_what_is_no_query_is_refused(query: str | dict[str, object]) -> None:
    with pytest.raises(SourceRefused):
        source("http://x").prepare(query)


def test_keys_are_needed_once_and_stand_in_no_text() -> None:
    with pytest.raises(ConfigError, match="exactly one of app_key and app_key_file"):
        build("sources", "datadog", {"api_key": "a"}, "sources[0]")
    assert "the-api-key" not in repr(source("http://x"))


async def test_a_rollup_of_its_own_is_what_a_value_stands_for_whatever_is_asked_beside_it(serve: Serve) -> None:
    asked = source(await serve(Double((at_minutes(FIRST, [6.0] * 40),)).answer))
    queries = [asked.prepare(f"sum:m{{*}}.as_count(){text}").bind({}) for text in (".rollup(sum, 120)", "")]
    (rolled,), (plain,) = [each for each in await asked.fetch(queries, window(FIRST, FIRST + 1800), MINUTE) if each]  # type: ignore[misc]
    (alone,) = await ask(asked, "sum:m{*}.as_count().rollup(sum, 120)", {}, window(FIRST, FIRST + 1800), MINUTE)
    assert np.nanmax(rolled.values) == np.nanmin(rolled.values) == np.nanmax(alone.values) == 6 / 120
    assert plain.values[-1] == 6 / 60
    (finer,) = await ask(
        asked, "sum:m{*}.as_count().rollup(sum, 60)", {}, window(FIRST + 60, FIRST + 1860), timedelta(minutes=5)
    )
    assert finer.values[-1] == 6 / 60


async def test_a_rollup_that_is_too_coarse_is_refused_whatever_is_asked_beside_it(serve: Serve) -> None:
    asked = source(await serve(Double((at_minutes(FIRST, [6.0] * 40),)).answer))
    queries = [asked.prepare(f"sum:m{{*}}{text}").bind({}) for text in (".rollup(sum, 300)", "")]
    coarse, _ = await asked.fetch(queries, window(FIRST, FIRST + 1800), MINUTE)
    assert isinstance(coarse, SourceRefused)
    assert coarse.reason == "resolution"


@pytest.mark.parametrize(
    ("formula", "counts"),
    [("a", True), ("a * 3600", True), ("a / b", False), ("per_second(a)", False), ("per_minute(a) + b", False)],
)
def test_a_count_that_is_made_a_rate_is_none(formula: str, counts: bool) -> None:
    queries = {name: f"sum:{name}{{*}}.as_count()" for name in ("a", "b")}
    assert source("http://x").prepare({"queries": queries, "formula": formula}).bind({}).counts is counts
