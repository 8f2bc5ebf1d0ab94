"""What the monitors of vendors have in common: stretches, limits, budgets, parts of answers."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.impact import judge
from afdp_exporter.model import Series, Window
from afdp_exporter.settings import build
from afdp_exporter.source_access import guarded
from afdp_exporter.sources import Source, ask
from hostile import values
from loopback import Serve
from monitors import Monitor, at_minutes, azure_monitor, cloudwatch, datadog, new_relic

MINUTE = timedelta(minutes=1)
FIRST = 1_700_000_100.0  # a multiple of five minutes


@dataclass(frozen=True)
class Row:
    """A monitor: its double, how it is built, and asked for a mean, a count, and what it refuses."""

    name: str
    double: Callable[[], Monitor]
    block: dict[str, Any]
    mean: str | dict[str, Any]
    count: str | dict[str, Any]
    refused: str | dict[str, Any]


def _statistic(metric: str, stat: str = "Average") -> dict[str, Any]:
    return {"namespace": "Shop", "metric": metric, "stat": stat}


def _of_resource(metric: str, aggregation: str = "average") -> dict[str, Any]:
    block = {"resource": azure_monitor.RESOURCE, "namespace": "Microsoft.Web/sites"}
    return {**block, "metric": metric, "aggregation": aggregation}


ROWS = (
    Row("datadog", datadog.Datadog, datadog.KEYS, "avg:m{*}", "sum:m{*}.as_count()", "avg:refused{*}"),
    Row(
        "new_relic",
        new_relic.NewRelic,
        new_relic.KEYS,
        "SELECT average(m) FROM Metric",
        "SELECT count(*) FROM m",
        "SELECT average(refused) FROM Metric",
    ),
    Row(
        "cloudwatch",
        cloudwatch.CloudWatch,
        cloudwatch.BLOCK,
        _statistic("m"),
        _statistic("m", "Sum"),
        _statistic("refused"),
    ),
    Row(
        "azure_monitor",
        azure_monitor.AzureMonitor,
        azure_monitor.BLOCK,
        _of_resource("m"),
        _of_resource("m", "total"),
        _of_resource("refused"),
    ),
)
Made = tuple[Any, Source, Row]
Make = Callable[..., Awaitable[Made]]


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def make(request: pytest.FixtureRequest, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Make:
    row: Row = request.param
    for name, value in cloudwatch.KEYS.items():
        monkeypatch.setenv(name, value)

    async def made(*series: Series, **block: object) -> Made:
        double = row.double()
        double.series = series
        if isinstance(double, new_relic.NewRelic):
            double.fails["refused"] = ("no such attribute", "NRQL_ERROR")
        url = await serve(double.answer)  # type: ignore[attr-defined]
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        return double, build("sources", row.name, {"url": url, **row.block, **block}, ""), row

    return made


def minutes(number: int, first: float = FIRST) -> Window:
    return Window(start=datetime.fromtimestamp(first, UTC), end=datetime.fromtimestamp(first + 60 * (number - 1), UTC))


async def fetched(source: Source, query: str | dict[str, Any], number: int, step: timedelta = MINUTE) -> Series:
    (series,) = await ask(source, query, {}, minutes(number), step)
    return series


async def test_a_change_is_seen_at_the_end_of_its_first_stretch_and_never_before(make: Make) -> None:
    values = [1.0] * 10 + [5.0] * 10
    _, source, row = await make(at_minutes(FIRST, values))
    series = await fetched(source, row.mean, 20)
    assert series.values.tolist() == values


NULLS: dict[str, list[dict[str, Any]]] = {
    "datadog": [{"data": {"attributes": {"series": None, "times": None, "values": None}}}],
    "new_relic": [{"data": {"actor": {"account": {"q0": {"results": None, "metadata": None}}}}}],
    "azure_monitor": [
        {"values": None},
        {"values": [{"resourceid": azure_monitor.RESOURCE, "interval": "PT1M", "value": None}]},
        {
            "values": [
                {
                    "resourceid": azure_monitor.RESOURCE,
                    "interval": "PT1M",
                    "value": [{"name": {"value": "m"}, "errorCode": None, "timeseries": None}],
                }
            ]
        },
    ],
}


@pytest.mark.parametrize(
    ("row", "written"),
    [(row, written) for row in ROWS for written in NULLS.get(row.name, [])],
    ids=lambda each: getattr(each, "name", "null"),
)
async def test_nothing_found_is_nothing_where_a_server_writes_null(
    row: Row, written: dict[str, Any], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    double: Any = row.double()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = request.method == "POST" and "oauth2" not in request.path
        return web.json_response(written) if asked else await double.answer(request)

    url = await serve(answer)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
    source: Source = build("sources", row.name, {"url": url, **row.block}, "")
    (found,) = await source.fetch([source.prepare(row.mean).bind({})], minutes(5), MINUTE)
    assert found == []


async def test_nothing_is_a_gap_and_zero_is_zero(make: Make) -> None:
    _, source, row = await make(at_minutes(FIRST, [1.0, np.nan, 0.0, np.nan, 2.0]))
    series = await fetched(source, row.mean, 5)
    assert np.isnan(series.values).tolist() == [False, True, False, True, False]
    assert series.values[2] == 0


async def test_counts_come_per_second(make: Make) -> None:
    _, source, row = await make(at_minutes(FIRST, [3.0] * 10))
    for step in (MINUTE, timedelta(minutes=5)):
        found = (await fetched(source, row.count, 6, step)).values
        wanted = 3.0 if row.name != "datadog" else 3.0 / step.total_seconds()  # its double answers the count as it is
        assert found[-1] == pytest.approx(wanted)


async def test_stretches_of_two_steps_are_held_and_longer_ones_refused(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, np.arange(60.0)))
    if row.name == "cloudwatch":
        return  # it answers with the period that it was asked for
    double.widened = 2
    found = (await fetched(source, row.mean, 40)).values
    known = found[~np.isnan(found)]
    assert set(np.unique(known, return_counts=True)[1].tolist()) <= {1, 2}
    double.widened = 5
    with pytest.raises(SourceRefused, match="stands for 300 s, which is too coarse for a step of 60 s") as caught:
        await fetched(source, row.mean, 40)
    assert caught.value.reason == "resolution"


async def test_several_queries_go_in_one_call_and_a_refused_one_fails_for_itself(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, [1.0]))
    asked = [source.prepare(row.mean).bind({}) for _ in range(3)]
    found = await source.fetch(asked, minutes(1), MINUTE)
    assert [[each.values.tolist() for each in answer] for answer in found if isinstance(answer, list)] == [[[1.0]]] * 3
    assert len(double.asked) == 1
    found = await source.fetch([*asked, source.prepare(row.refused).bind({})], minutes(1), MINUTE)
    assert [type(each) for each in found] == [list, list, list, SourceRefused]


async def test_what_has_settled_is_not_asked_again(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, np.arange(3000.0)))
    kept = guarded(source)
    for number in (2950, 2960, 3000):
        whole, recalled = await fetched(source, row.mean, number), await fetched(kept, row.mean, number)
        assert recalled.values.tolist() == whole.values.tolist()
    double.asked.clear()
    await fetched(kept, row.mean, 3000)
    assert len(double.asked) == 1


async def test_a_budget_is_kept_and_shown_and_nothing_asked_beyond_it(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, [1.0]), calls_per_hour=3)
    for _ in range(3):
        await fetched(source, row.mean, 1)
    with pytest.raises(SourceUnavailable, match=r"3 of 3 .* an hour are spent") as caught:
        await fetched(source, row.mean, 1)
    assert (caught.value.reason, len(double.asked)) == ("budget", 3)


async def test_a_question_that_needs_more_than_the_budget_is_not_begun(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, [1.0]), calls_per_hour=1)
    if row.name == "cloudwatch":
        return  # all of it fits in one call
    with pytest.raises(SourceUnavailable, match="more are needed"):
        await fetched(source, row.mean, 3000)
    assert double.asked == []


@pytest.mark.usefixtures("no_waits")
async def test_a_limit_that_is_reached_is_tried_again_where_that_may_help(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, [1.0]))
    if row.name == "cloudwatch":
        double.refuses = [(400, "ThrottlingException")] * 2
    else:
        double.refuses = [web.Response(status=429, headers={"Retry-After": "1", "X-RateLimit-Reset": "1"})] * 2
    assert (await fetched(source, row.mean, 1)).values.tolist() == [1.0]
    assert len(double.asked) == 3


async def test_whoever_wants_to_be_left_alone_for_long_is(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, [1.0]))
    if row.name == "cloudwatch":
        return  # it shows no time
    double.refuses = [web.Response(status=429, headers={"Retry-After": "90", "X-RateLimit-Reset": "90"})]
    for _ in range(3):
        with pytest.raises(SourceUnavailable) as caught:
            await fetched(source, row.mean, 1)
        assert caught.value.reason == "rate_limit"
    assert len(double.asked) == 1


async def test_wrong_keys_are_reported_without_them(make: Make) -> None:
    double, source, row = await make(at_minutes(FIRST, [1.0]))
    if row.name == "cloudwatch":
        double.refuses = [(403, "SignatureDoesNotMatch")]
    elif row.name == "azure_monitor":
        double.refuses = [web.Response(status=403)]
    else:
        url = {"url": source.url, **row.block, "api_key": "wr0ng"}  # type: ignore[attr-defined]
        source = build("sources", row.name, url, "")
    with pytest.raises(SourceUnavailable) as caught:
        await fetched(source, row.mean, 1)
    assert caught.value.reason in {"http_401", "http_403"}
    assert "wr0ng" not in str(caught.value) + repr(source)


async def test_what_answers_at_all_is_reached_and_what_does_not_is_not(make: Make) -> None:
    _, source, row = await make()
    await source.reach()
    gone = build("sources", row.name, {"url": "http://127.0.0.1:1", **row.block}, "")
    with pytest.raises(SourceUnavailable) as caught:
        await gone.reach()
    assert caught.value.reason == "connection"
    assert source.remote
    assert source.settles_after >= MINUTE


async def test_the_same_world_has_the_same_verdict_and_onset_from_each(make: Make) -> None:
    chance = np.random.default_rng(18)
    for lift in (0.0, 3.0):
        world = 10.0 + chance.normal(0, 0.5, 1500)
        world[1400:] += lift
        deployed = FIRST + 60 * 1395
        _, source, row = await make(at_minutes(FIRST, world))
        series = await fetched(source, row.mean, 1500)
        finding = judge(series.times, series.values, deployed, worse="up")
        known = judge(FIRST + 60 * np.arange(1500.0), world, deployed, worse="up")
        assert finding.verdict == known.verdict == ("attributed" if lift else "no_effect")
        assert (finding.onset is None) is (known.onset is None)
        if finding.onset is not None and known.onset is not None:
            assert abs(finding.onset - known.onset) <= 60


# What each of them says in its own way.


async def partial(make: Make) -> tuple[Source, Row, Any]:
    double, source, row = await make(at_minutes(FIRST, [1.0]))
    match row.name:
        case "datadog":
            double.errors = "a shard is away"
        case "new_relic":
            double.messages = ["a shard is away"]
        case "azure_monitor":
            double.code = "a part is away"
        case _:
            double.status = "PartialData"
    return source, row, double


async def test_a_part_that_is_missing_is_reported_and_never_taken_for_nothing(make: Make) -> None:
    source, row, double = await partial(make)
    (warning,) = (await fetched(source, row.mean, 1)).warnings
    assert "away" in warning or "part of the data" in warning
    double.series = ()
    with pytest.raises(SourceUnavailable, match="nothing was found, and not everything was asked"):
        await fetched(source, row.mean, 1)


# New Relic

RELIC = build("sources", "new_relic", {**new_relic.KEYS}, "")
STRING = re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL)


def test_no_value_leaves_its_string_in_nrql() -> None:
    query = RELIC.prepare("SELECT average(duration) FROM Transaction WHERE appName = '$service' AND v IN ('$version')")
    placed = 0
    for value in values():
        try:
            text = query.bind({"service": value, "version": value}).text
        except SourceRefused:
            assert not value.isprintable()
            continue
        found = [re.sub(r"\\(.)", r"\1", each) for each in STRING.findall(text)]
        assert found == [value, value]
        assert STRING.sub("''", text) == "SELECT average(duration) FROM Transaction WHERE appName = '' AND v IN ('')"
        placed += 1
    assert placed > 100


@pytest.mark.parametrize(
    "query",
    [
        "SELECT average(a) FROM T WHERE b LIKE '%$service%'",
        "SELECT average(a) FROM T WHERE b RLIKE r'$service'",
        "SELECT average(a) FROM T WHERE b = $service",
        "SELECT average(a) FROM T WHERE `$service` = 1",
        "SELECT average(a) FROM T WHERE b = 'x",
        "SELECT average(a) FROM T SINCE 1 day ago",
        "SELECT average(a) FROM T TIMESERIES",
        "SELECT average(a) FROM T -- more",
        "SELECT average(a) FROM T WHERE b = '$nonsense'",
        {"nrql": "SELECT 1 FROM a"},
    ],
)
def test_what_is_no_query_in_nrql_is_refused(query: str | dict[str, str]) -> None:
    with pytest.raises(SourceRefused):
        RELIC.prepare(query)


@pytest.mark.parametrize(
    ("query", "counts"),
    [
        ("SELECT count(*) FROM T", True),
        ("SELECT sum(amount) * 3600 FROM T", True),
        ("SELECT rate(count(*), 1 hour) FROM T", False),
        ("SELECT percentage(count(*), WHERE error) FROM T", False),
        ("SELECT filter(count(*), WHERE error) / count(*) FROM T", False),
        ("SELECT average(`sum(x)`) FROM T WHERE a = 'count(*)'", False),
    ],
)
def test_a_count_is_known_by_what_is_selected(query: str, counts: bool) -> None:
    assert RELIC.prepare(query).bind({}).counts is counts


@pytest.mark.parametrize(
    ("kind", "expected", "reason"),
    [
        ("TOO_MANY_REQUESTS", SourceUnavailable, "rate_limit"),
        ("TIMEOUT", SourceUnavailable, "timeout"),
        ("SERVER_ERROR", SourceUnavailable, "nrql"),
        ("NRQL_SYNTAX", SourceRefused, "nrql"),
    ],
)
async def test_an_error_of_graphql_is_its_own_querys(
    serve: Serve, kind: str, expected: type[Exception], reason: str
) -> None:
    double = new_relic.NewRelic((at_minutes(FIRST, [1.0]),), fails={"(bad)": ("it failed", kind)})
    source = build("sources", "new_relic", {"url": await serve(double.answer), **new_relic.KEYS}, "")
    asked = [source.prepare(f"SELECT average({name}) FROM Metric").bind({}) for name in ("m", "bad")]
    well, ill = await source.fetch(asked, minutes(1), MINUTE)
    assert isinstance(well, list)
    assert (type(ill), ill.reason) == (expected, reason)
    assert f"it failed ({kind})" in str(ill)


@pytest.mark.parametrize(
    ("document", "expected", "reason"),
    [
        (
            {
                "data": {"actor": {"account": {"q0": None}}},
                "errors": [{"message": "later", "extensions": {"errorClass": "TOO_MANY_REQUESTS"}}],
            },
            SourceUnavailable,
            "rate_limit",
        ),
        (
            {
                "data": {"actor": {"account": {"q0": None}}},
                "errors": [{"message": "no such thing", "path": None, "extensions": {"errorClass": "NRQL_SYNTAX"}}],
            },
            SourceRefused,
            "nrql",
        ),
        (
            {
                "data": {
                    "actor": {
                        "account": {
                            "q0": {
                                "results": [{"beginTimeSeconds": 0, "endTimeSeconds": 60, "latest.version": "v2"}],
                                "metadata": {"facets": None, "messages": []},
                            }
                        }
                    }
                }
            },
            SourceRefused,
            "bad_query",
        ),
    ],
)
async def test_new_relics_error_without_a_place_and_a_text_as_value_say_what_they_are(
    serve: Serve, document: dict[str, Any], expected: type[Exception], reason: str
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(document)

    source = build("sources", "new_relic", {"url": await serve(answer), **new_relic.KEYS}, "")
    (found,) = await source.fetch([source.prepare("SELECT latest(version) FROM T").bind({})], minutes(1), MINUTE)
    assert (type(found), found.reason) == (expected, reason)


# CloudWatch

WATCH = build("sources", "cloudwatch", {**cloudwatch.BLOCK}, "")


def test_no_value_leaves_its_dimension_in_cloudwatch() -> None:
    query = WATCH.prepare({**_statistic("m"), "dimensions": {"Service": "$service", "Version": "v-$version"}})
    placed = 0
    for value in values():
        try:
            bound = query.bind({"service": value, "version": value})
        except SourceRefused:
            assert not re.fullmatch(r"[\x20-\x7e]+", value)
            continue
        (asked,) = bound.queries(0, 60)
        assert asked["MetricStat"]["Metric"]["Dimensions"] == [
            {"Name": "Service", "Value": value},
            {"Name": "Version", "Value": f"v-{value}"},
        ]
        placed += 1
    assert placed > 100


@pytest.mark.parametrize(
    "query",
    [
        "AWS/ECS CPUUtilization",
        {"namespace": "a", "metric": "$service", "stat": "Average"},
        {"namespace": "a", "metric": "b", "stat": "p101x"},
        {"namespace": "a", "metric": "b", "stat": "Average", "dimensions": {"c": 1}},
        {"expression": "m1 / m2", "metrics": {"m1": _statistic("a")}},
        {"expression": "SEARCH('{a}', 'Sum')", "metrics": {"m1": _statistic("a")}},
        {"expression": "m1", "metrics": {"M1": _statistic("a")}},
        {"expression": "m1 * $traffic_ratio", "metrics": {"m1": _statistic("a")}},
        {"namespace": "a", "metric": "b", "stat": "Sum", "period": 60},
        {"namespace": "a", "metric": "b", "stat": "Sum", "dimensions": {"c": "$nonsense"}},
    ],
)
def test_what_is_no_query_of_cloudwatch_is_refused(query: str | dict[str, Any]) -> None:
    with pytest.raises(SourceRefused):
        WATCH.prepare(query)


@pytest.fixture
async def watch(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[tuple[Any, Source]]]:
    for name, value in cloudwatch.KEYS.items():
        monkeypatch.setenv(name, value)

    async def made(*series: Series, **block: object) -> tuple[Any, Source]:
        double = cloudwatch.CloudWatch(series)
        block = {"url": await serve(double.answer), **cloudwatch.BLOCK, **block}
        return double, build("sources", "cloudwatch", block, "")

    return made


@pytest.mark.parametrize(
    ("expression", "counts"),
    [
        ("m1 * 3600", True),
        ("m1 + FILL(m2, 0)", True),
        ("m1 / m2", False),
        ("RATE(m1)", False),
        ("60 * RATE(m1)", False),
    ],
)
def test_a_sum_that_is_made_a_rate_is_no_count(expression: str, counts: bool) -> None:
    query = {"metrics": {name: _statistic(name, "Sum") for name in ("m1", "m2")}, "expression": expression}
    assert WATCH.prepare(query).bind({}).counts is counts


async def test_cloudwatchs_pages_are_joined_and_math_is_its_own(
    watch: Callable[..., Awaitable[tuple[Any, Source]]],
) -> None:
    double, source = await watch(at_minutes(FIRST, np.arange(1.0, 31.0)), at_minutes(FIRST, [2.0] * 30, "n"))
    double.page = 7
    query = {"metrics": {"m1": _statistic("m", "Sum"), "m2": _statistic("n", "Sum")}, "expression": "m1 / m2"}
    series = await fetched(source, query, 30)
    assert series.values.tolist() == (np.arange(1.0, 31.0) / 2).tolist()
    assert series.warnings == ()  # a page that is not the last one is no part
    assert len(double.calls) == 5


async def test_money_is_kept_and_shown(watch: Callable[..., Awaitable[tuple[Any, Source]]]) -> None:
    double, source = await watch(at_minutes(FIRST, [1.0]), usd_per_hour=0.00003)
    for _ in range(3):
        await fetched(source, _statistic("m"), 1)
    with pytest.raises(SourceUnavailable, match="3e-05 of 3e-05 USD an hour are spent"):
        await fetched(source, _statistic("m"), 1)
    assert len(double.calls) == 3


async def test_what_cloudwatch_no_longer_keeps_is_missing_and_not_absent(
    watch: Callable[..., Awaitable[tuple[Any, Source]]],
) -> None:
    double, source = await watch(at_minutes(FIRST, [1.0]))
    double.date = datetime.fromtimestamp(FIRST, UTC) + timedelta(days=20)
    (warning,) = (await fetched(source, _statistic("m"), 1)).warnings
    assert "periods of 60 s for 15 days" in warning
    double.series = ()
    with pytest.raises(SourceUnavailable, match="periods of 60 s for 15 days"):
        await fetched(source, _statistic("m"), 1)
    double.series = (at_minutes(FIRST, [1.0] * 6),)
    assert (await fetched(source, _statistic("m"), 6, timedelta(minutes=5))).warnings == ()


async def test_a_step_that_is_no_period_is_refused(watch: Callable[..., Awaitable[tuple[Any, Source]]]) -> None:
    _, source = await watch(at_minutes(FIRST, [1.0]))
    with pytest.raises(SourceRefused, match="multiple of 60 s, and no 45 s"):
        await fetched(source, _statistic("m"), 2, timedelta(seconds=45))


# Azure

AZURE = build("sources", "azure_monitor", {**azure_monitor.BLOCK}, "")


def test_no_value_leaves_its_place_in_azures_filter_and_resource() -> None:
    query = AZURE.prepare({**_of_resource("m"), "dimensions": {"Service": "$service", "Region": "west"}})
    named = AZURE.prepare({**_of_resource("m"), "resource": azure_monitor.RESOURCE.replace("web", "$service")})
    placed = 0
    for text in values():
        try:
            found = query.bind({"service": text}).filter
        except SourceRefused:
            assert not text.isprintable() or "*" in text or not text.strip()
            continue
        first = re.fullmatch(r"Region eq 'west' and Service eq '((?:[^']|'')*)'", found)
        assert first is not None
        assert first[1].replace("''", "'") == text
        placed += 1
        try:
            assert named.bind({"service": text}).resource.count("/") == azure_monitor.RESOURCE.count("/")
        except SourceRefused:
            assert not re.fullmatch(r"[A-Za-z0-9_.()-]{1,90}", text)
    assert placed > 100


@pytest.mark.parametrize(
    "more",
    [{"resource": "web"}, {"aggregation": "p95"}, {"dimensions": {"a' or b": "c"}}, {"metric": "$service"}, {"top": 1}],
)
def test_what_is_no_query_of_azure_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(SourceRefused):
        AZURE.prepare({**_of_resource("m"), **more})
