"""What every source promises, held against each: same data in, same series out."""

import string
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
from _pytest.mark import ParameterSet

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Floats, Series, Window
from afdp_exporter.settings import build, kinds
from afdp_exporter.sources import Source, ask
from loopback import Serve
from monitors import azure_monitor, cloudwatch, datadog, new_relic
from trial.graphite_like import GraphiteLike

STEP = timedelta(seconds=60)
# The data end an hour or two ago, and never at midnight: VictoriaMetrics looks for the sample of that very instant in
# the day before alone.
END = time.time() // 3600 * 3600 - 5400.0

Holder: TypeAlias = Callable[[list[Series]], Awaitable[Source]]
"""Makes a source hold series, and gives it."""


async def _recording(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    folder: Path = request.getfixturevalue("tmp_path")
    names = sorted({name for each in series for name in each.labels})
    with (folder / "all.csv").open("w", encoding="utf-8") as file:
        file.write(",".join(["timestamp", "metric", *names, "value"]) + "\n")
        for each in series:
            labels = [f'"{each.labels.get(name, "").replace(chr(34), chr(34) * 2)}"' for name in names]
            for at, value in zip(each.times.tolist(), each.values.tolist(), strict=True):
                file.write(",".join([repr(at), each.metric, *labels, repr(value)]) + "\n")
    return build("sources", "recording", {"path": str(folder)}, "")


async def _parquet(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    folder: Path = request.getfixturevalue("tmp_path")
    rows = [
        {"timestamp": at, "metric": each.metric, **each.labels, "value": value}
        for each in series
        for at, value in zip(each.times.tolist(), each.values.tolist(), strict=True)
    ]
    pd.DataFrame(rows).to_parquet(folder / "all.parquet", index=False)
    return build("sources", "parquet", {"path": str(folder)}, "")


async def _prometheus(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    server = request.getfixturevalue("prometheus")
    server.remote_write(series)
    return build("sources", "prometheus", {"url": server.url}, "")


async def _victoria_metrics(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    server = request.getfixturevalue("victoria_metrics")
    server.remote_write(series)
    return build("sources", "prometheus", {"url": f"{server.url}/"}, "")


async def _graphite_like(_: pytest.FixtureRequest, series: list[Series]) -> Source:
    return GraphiteLike(series)


async def _datadog(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    serve: Serve = request.getfixturevalue("serve")
    return build("sources", "datadog", {"url": await serve(datadog.Datadog(tuple(series)).answer), **datadog.KEYS}, "")


async def _new_relic(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    serve: Serve = request.getfixturevalue("serve")
    block = {"url": await serve(new_relic.NewRelic(tuple(series)).answer), **new_relic.KEYS}
    return build("sources", "new_relic", block, "")


async def _cloudwatch(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    serve: Serve = request.getfixturevalue("serve")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in cloudwatch.KEYS.items():
        patch.setenv(name, value)
    block = {"url": await serve(cloudwatch.CloudWatch(tuple(series)).answer), **cloudwatch.BLOCK}
    return build("sources", "cloudwatch", block, "")


async def _azure_monitor(request: pytest.FixtureRequest, series: list[Series]) -> Source:
    serve: Serve = request.getfixturevalue("serve")
    url = await serve(azure_monitor.AzureMonitor(tuple(series)).answer)
    request.getfixturevalue("monkeypatch").setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
    return build("sources", "azure_monitor", {"url": url, **azure_monitor.BLOCK}, "")


def _promql(name: str, service: str | None) -> str:
    return name if service is None else f'{name}{{service="{service}"}}'


def _tags(name: str, service: str | None) -> dict[str, object]:
    return {"target": name, "where": {} if service is None else {"service": service}}


def _metric_query(name: str, service: str | None) -> str:
    return f"avg:{name}{{*}} by {{service,at}}" if service is None else f"avg:{name}{{service:{service}}}"


def _nrql(name: str, service: str | None) -> str:
    where = "FACET service, at" if service is None else f"WHERE service = '{service}'"
    return f"SELECT average({name}) FROM Metric {where}"


def _metric(name: str, service: str | None) -> dict[str, object]:
    dimensions = {"service": "cart" if service is None else service}  # a query is one series
    return {"namespace": "Shop", "metric": name, "stat": "Average", "dimensions": dimensions}


def _resource_metric(name: str, service: str | None) -> dict[str, object]:
    where = {"service": "cart" if service is None else service}
    block = {"resource": azure_monitor.RESOURCE, "namespace": "Microsoft.Web/sites", "metric": name}
    return {**block, "aggregation": "average", "dimensions": where}


@dataclass(frozen=True)
class Row:
    """A source, how it is made to hold series, how it is asked for those of a name and service, what it refuses.

    `takes`: the signs of which values can stand for a variable; any, where it is empty. `averages`: it
    keeps the means of stretches, none of which is infinite, and no samples. `named`: it answers the name of the metric,
    `many`: one query can select several series, told apart by labels.
    """

    name: str
    make: Callable[[pytest.FixtureRequest, list[Series]], Awaitable[Source]]
    query: Callable[[str, str | None], str | dict[str, object]] = _promql
    refused: str | dict[str, object] = "up{"
    real: bool = True
    takes: str = ""
    averages: bool = False
    named: bool = True
    many: bool = True
    variable: str = "$service"


ROWS = (
    Row("recording", _recording, real=False),
    Row("parquet", _parquet, real=False),
    Row("prometheus", _prometheus),
    Row("prometheus of VictoriaMetrics", _victoria_metrics),
    Row("datadog", _datadog, query=_metric_query, refused="avg:up", real=False, takes="a.b", averages=True),
    Row("new_relic", _new_relic, query=_nrql, refused="SELECT 1", real=False, averages=True, named=False),
    Row(
        "cloudwatch",
        _cloudwatch,
        query=_metric,
        refused="SELECT AVG(up)",
        real=False,
        averages=True,
        many=False,
        takes=string.printable,
    ),
    Row(
        "azure_monitor",
        _azure_monitor,
        query=_resource_metric,
        refused="CpuTime",
        real=False,
        averages=True,
        many=False,
        takes="".join(set(map(chr, range(32, 256))) - {"*"}),
    ),
    Row("(trial)", _graphite_like, query=_tags, refused={"metric": "up"}, real=False, variable="{{service}}"),
)


def params(rows: Iterable[Row]) -> list[ParameterSet]:
    return [pytest.param(row, marks=[pytest.mark.real] if row.real else [], id=row.name) for row in rows]


def test_every_kind_is_held_to_the_contract() -> None:
    assert {row.name.split()[0] for row in ROWS} - {"(trial)"} == set(kinds("sources"))


@pytest.fixture(params=params(ROWS))
def row(request: pytest.FixtureRequest) -> Row:
    chosen: Row = request.param
    return chosen


@pytest.fixture
def hold(request: pytest.FixtureRequest, row: Row, serve: Serve) -> Holder:  # rows ask for it later
    return lambda series: row.make(request, series)


_numbers = count()


@pytest.fixture
def name() -> str:
    """A metric's name that no other test uses: the servers are shared."""
    return f"contract_{next(_numbers)}"


def points(number: int, every: float = 60) -> Floats:
    return END - every * np.arange(number, dtype=np.float64)[::-1]


def window(number: int, *, early: float = 0, late: float = 0) -> Window:
    """From the first of so many minutes to the last."""
    first, last = END - 60 * (number - 1) - early, END + late
    return Window(start=datetime.fromtimestamp(first, UTC), end=datetime.fromtimestamp(last, UTC))


def series(name: str, values: list[float] | Floats, **labels: str) -> Series:
    return Series(metric=name, labels=labels, times=points(len(values)), values=np.asarray(values, dtype=np.float64))


MANY = pytest.mark.parametrize("row", params(row for row in ROWS if row.many), indirect=True)


async def test_what_was_recorded_comes_back(hold: Holder, row: Row, name: str) -> None:
    values = [0.3, -0.0125, 1234.5, 0.0, 3.14159, -7.0, 65536.0]  # VictoriaMetrics rounds wider ranges
    values.append(5.0 if row.averages else np.inf)
    source = await hold([series(name, values, service="cart")])
    (found,) = await ask(source, row.query(name, None), {}, window(8), STEP)
    assert (found.metric, dict(found.labels), found.warnings) == (
        name if row.named else "",
        {"service": "cart"} if row.many else {},
        (),
    )
    assert found.values.tolist() == values
    assert found.times.tolist() == points(8).tolist()
    assert not found.values.flags.writeable
    assert not found.times.flags.writeable


@MANY
async def test_series_are_told_apart_by_labels_of_any_characters(hold: Holder, row: Row, name: str) -> None:
    labels = ["plain", "é\U0001f600", "a,b", 'a"b', "a'b", "a\\b", "a\nb", "{}", "NA", " "]
    source = await hold([series(name, [index], service=label) for index, label in enumerate(labels)])
    found = await ask(source, row.query(name, None), {}, window(1), STEP)
    assert {each.labels["service"]: each.values[0] for each in found} == dict(zip(labels, range(10), strict=True))


SELECTED = {
    '="a"': ["a"],
    '!="a"': ["ab", "b", "none"],
    '=~"a.*"': ["a", "ab"],
    '!~"a|b"': ["ab", "none"],
    '=""': ["none"],
    '=~".*"': ["a", "ab", "b", "none"],
}


@pytest.mark.parametrize("row", params(row for row in ROWS if row.query is _promql), indirect=True)
@pytest.mark.parametrize(("matcher", "selected"), SELECTED.items())
async def test_a_selector_selects_the_same_everywhere(
    hold: Holder, name: str, matcher: str, selected: list[str]
) -> None:
    source = await hold([*(series(name, [1], service=value) for value in ("a", "b", "ab")), series(name, [1])])
    found = await ask(source, f"{name}{{service{matcher}}}", {}, window(1), STEP)
    assert sorted(each.labels.get("service", "none") for each in found) == selected


async def test_a_long_gap_stays_a_gap(hold: Holder, row: Row, name: str) -> None:
    values = np.arange(90.0)
    values[30:60] = np.nan
    source = await hold([series(name, values, service="cart")])
    (found,) = await ask(source, row.query(name, None), {}, window(90), STEP)
    recorded = ~np.isnan(values)
    assert found.values[recorded].tolist() == values[recorded].tolist()
    assert np.isnan(found.values[40:60]).all()  # from ten minutes on; servers may fill up to five


@MANY
async def test_a_series_that_ends_early_or_starts_late_has_gaps_there(hold: Holder, row: Row, name: str) -> None:
    early, late = series(name, np.full(90, np.nan), at="early"), series(name, np.full(90, np.nan), at="late")
    early.values[:30], late.values[60:] = 1, 2
    source = await hold([early, late])
    first, second = await ask(source, row.query(name, None), {}, window(90), STEP)
    assert (first.labels["at"], second.labels["at"]) == ("early", "late")
    assert np.isnan(first.values[40:]).all()
    assert np.isnan(second.values[:60]).all()
    assert (first.times == second.times).all()


async def test_a_window_is_answered_on_the_multiples_of_the_step_inside_it(hold: Holder, row: Row, name: str) -> None:
    source = await hold([series(name, np.arange(120.0), service="cart")])
    (found,) = await ask(source, row.query(name, None), {}, window(100, early=17, late=31), STEP)
    assert found.times.tolist() == points(100).tolist()
    assert found.values.tolist() == list(range(20, 120))
    (coarse,) = await ask(source, row.query(name, None), {}, window(101, late=31), timedelta(minutes=5))
    assert (coarse.times % 300 == 0).all()
    behind = 2 if row.averages else 0
    assert coarse.values.tolist() == [119 - (END - at) / 60 - behind for at in coarse.times]


async def test_a_range_beyond_what_a_server_gives_at_once_comes_in_one_piece(hold: Holder, row: Row, name: str) -> None:
    values = np.arange(23_456.0)
    source = await hold([series(name, values, service="cart")])
    (found,) = await ask(source, row.query(name, None), {}, window(23_456), STEP)
    assert (found.values == values).all()


async def test_what_is_not_there_is_an_empty_list(hold: Holder, row: Row, name: str) -> None:
    source = await hold([series(name, [1], service="a")])
    assert await ask(source, row.query(f"{name}_absent", None), {}, window(10), STEP) == []
    assert await ask(source, row.query(name, "b"), {}, window(10), STEP) == []
    long_ago = Window(start=datetime.fromtimestamp(END - 90_000, UTC), end=datetime.fromtimestamp(END - 86_400, UTC))
    assert await ask(source, row.query(name, None), {}, long_ago, STEP) == []


async def test_what_is_not_its_language_is_refused_before_anything_is_asked(hold: Holder, row: Row, name: str) -> None:
    source = await hold([series(name, [1])])
    with pytest.raises(SourceRefused):
        source.prepare(row.refused)


VALUES = ["a", "a*", "[ab]", "a.b", "?", 'a"b', "a\\b", "{{service}}", "$service", "é"]


async def test_a_value_selects_its_own_series_and_nothing_else(hold: Holder, row: Row, name: str) -> None:
    source = await hold([series(name, [place], service=value) for place, value in enumerate(VALUES)])
    query = source.prepare(row.query(name, row.variable))
    assert query.variables == {"service"}
    places = {value: place for place, value in enumerate(VALUES) if not row.takes or set(value) <= set(row.takes)}
    found = await source.fetch([query.bind({"service": value}) for value in places], window(1), STEP)
    assert [[each.values[0] for each in answer] for answer in found if isinstance(answer, list)] == [
        [place] for place in places.values()
    ]
    for value in set(VALUES) - set(places):
        with pytest.raises(SourceRefused, match="cannot stand"):
            query.bind({"service": value})
    with pytest.raises(SourceRefused, match="service"):
        query.bind({})


async def test_an_answer_stands_for_each_query_in_its_order_and_one_that_fails_for_itself(
    hold: Holder, row: Row, name: str
) -> None:
    source = await hold([series(name, [1], service="a"), series(name, [2], service="b")])
    asked = [source.prepare(row.query(name, each)).bind({}) for each in ("b", "absent", "a", "b")]
    found = await source.fetch(asked, window(1), STEP)
    assert [[each.values[0] for each in answer] for answer in found if isinstance(answer, list)] == [[2], [], [1], [2]]
    assert source.settles_after >= timedelta(0)
    assert source.queries_per_call >= 1
    await source.reach()


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=-60), timedelta(milliseconds=1500)])
async def test_a_step_that_is_no_whole_number_of_seconds_is_refused(
    hold: Holder, row: Row, name: str, step: timedelta
) -> None:
    with pytest.raises(SourceRefused, match="whole number of seconds"):
        await ask(await hold([series(name, [1])]), row.query(name, None), {}, window(10), step)


async def test_a_window_without_a_point_of_the_grid_is_refused_and_never_empty(
    hold: Holder, row: Row, name: str
) -> None:
    between = Window(start=datetime.fromtimestamp(END + 1, UTC), end=datetime.fromtimestamp(END + 59, UTC))
    with pytest.raises(SourceRefused, match="no multiple of 60 s"):
        await ask(await hold([series(name, [1])]), row.query(name, None), {}, between, STEP)
