"""The demo's story of the API, where each monitor serves the shop, and where several serve a part of it each."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from afdp_exporter.demo import shop
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import Impact, Layer, Metric, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import Source
from afdp_exporter.sources.recording import InMemorySource
from afdp_exporter.watching.analysis import assess, question_of
from afdp_exporter.watching.evidence import AnalysisSettings, MonitoringConfig, NullObserver, gather
from loopback import Serve
from monitors import Monitor, azure_monitor, cloudwatch, datadog, new_relic

END = datetime(2026, 11, 24, 9, 40, tzinfo=UTC)
TRUE_COST = 1200  # dollars an hour, as the world is documented
OWN = "$service"
HISTORY = timedelta(days=3)


@dataclass(frozen=True)
class Vendor:
    """A monitor's double, its block, and how it is asked for a metric, of a service or of the whole shop."""

    double: Callable[[], Monitor]
    block: dict[str, Any]
    query: Callable[[str, dict[str, str]], str | Mapping[str, Any]]


def _datadog(name: str, of: dict[str, str]) -> str:
    return f"avg:{name}{{{','.join(f'{tag}:{value}' for tag, value in of.items()) or '*'}}}"


def _new_relic(name: str, of: dict[str, str]) -> str:
    return f"SELECT average({name}) FROM Metric" + "".join(f" WHERE {tag} = '{value}'" for tag, value in of.items())


def _cloudwatch(name: str, of: dict[str, str]) -> dict[str, Any]:
    return {"namespace": "Shop", "metric": name, "stat": "Average", "dimensions": of}


def _azure(name: str, of: dict[str, str]) -> dict[str, Any]:
    named = {"resource": azure_monitor.RESOURCE, "namespace": "Microsoft.Web/sites", "aggregation": "average"}
    return {**named, "metric": name, "dimensions": of}


VENDORS = {
    "datadog": Vendor(datadog.Datadog, datadog.KEYS, _datadog),
    "new_relic": Vendor(new_relic.NewRelic, new_relic.KEYS, _new_relic),
    "cloudwatch": Vendor(cloudwatch.CloudWatch, cloudwatch.BLOCK, _cloudwatch),
    "azure_monitor": Vendor(azure_monitor.AzureMonitor, azure_monitor.BLOCK, _azure),
}


@pytest.fixture(scope="module")
def world() -> World:
    """As far as an analysis of the update looks here."""
    whole = make_world(END)
    last = whole.update.ended_at + timedelta(hours=2)
    begins = (whole.update.started_at - HISTORY - timedelta(hours=1)).timestamp()
    series = [each.until(last) for each in whole.series]
    cut = [
        replace(each, times=each.times[each.times >= begins], values=each.values[each.times >= begins])
        for each in series
    ]
    return replace(whole, series=tuple(cut))


def asked_of(metric: Metric, source: str) -> Metric:
    """A metric of the shop, in the language of another source."""
    query = VENDORS[source].query
    of = {"service": OWN} if OWN in str(metric.query) else {}
    control = query(str(metric.control), {}) if metric.control is not None else None
    return replace(metric, query=query(metric.name, of), control=control, source=source)


async def stories(world: World, sources: Mapping[str, Source], metrics: tuple[Metric, ...]) -> Impact:
    """What the newest update of the API did, looked at an hour later."""
    watched = MonitoringConfig(
        sources=sources,
        metrics=metrics,
        services={each.name: each for each in shop.SERVICES if each.name == shop.API},
        calendar=(world.sale,),
        settings=AnalysisSettings(history=HISTORY),
    )
    end = world.update.ended_at + timedelta(hours=1)
    window = Window(start=world.update.started_at - HISTORY, end=end)
    now = end + timedelta(minutes=10)
    found = await gather(world.update, window, watched=watched, observer=NullObserver(), now=now)
    assert [each.problem for each in found] == [None] * len(metrics)
    others = [each for each in world.deployments if window.start <= each.started_at <= window.end]
    return assess(question_of(world.update, found, others=others, now=end, watched=watched))


def opened(name: str, url: str) -> Source:
    source: Source = build("sources", name, {"url": url, **VENDORS[name].block}, "")
    return source


@pytest.fixture(scope="module")
def known(world: World) -> Impact:
    """The same story, read from the series themselves."""
    return asyncio.run(stories(world, {"shop": InMemorySource(world.series)}, shop.METRICS))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloudwatch.KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def served(world: World, serve: Serve, keys: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    async def made(name: str) -> Source:
        double = VENDORS[name].double()
        double.series = world.series
        url = await serve(double.answer)  # type: ignore[attr-defined]
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
        return opened(name, url)

    return made


def the_same(one: Impact, other: Impact) -> None:
    """The same verdicts, onsets within a minute, the same links in their order."""
    assert {each.metric: each.verdict for each in one.shifts} == {each.metric: each.verdict for each in other.shifts}
    for mine, theirs in zip(one.shifts, other.shifts, strict=True):
        assert (mine.onset is None) is (theirs.onset is None), mine.metric
        if mine.onset is not None and theirs.onset is not None:
            assert abs(mine.onset - theirs.onset) <= shop.STEP, mine.metric


def its_money_lies_inside(impact: Impact) -> None:
    (cost,) = impact.costs
    assert cost.currency == "USD"
    assert cost.per_hour.low <= TRUE_COST <= cost.per_hour.high


@pytest.mark.parametrize("name", VENDORS)
async def test_the_story_is_the_same_from_each_monitor(
    world: World, known: Impact, served: Callable[[str], Any], name: str
) -> None:
    metrics = tuple(asked_of(metric, name) for metric in shop.METRICS)
    found = await stories(world, {name: await served(name)}, metrics)
    the_same(found, known)
    its_money_lies_inside(found)
    assert found.story == known.story


@pytest.mark.parametrize("seller", ["datadog", "cloudwatch"])
async def test_what_moves_in_one_monitor_and_costs_in_another_is_one_sequence(
    world: World, known: Impact, served: Callable[[str], Any], seller: str
) -> None:
    sources: dict[str, Source] = {"shop": InMemorySource(world.series), seller: await served(seller)}
    sources["new_relic"] = await served("new_relic")
    of_layer = {Layer.BUSINESS: seller, Layer.USER: "new_relic"}
    metrics = tuple(
        asked_of(metric, of_layer[metric.layer]) if metric.layer in of_layer else metric for metric in shop.METRICS
    )
    found = await stories(world, sources, metrics)
    the_same(found, known)
    its_money_lies_inside(found)
    sentence = found.story[0]
    places = [sentence.index(words) for words in ("request latency p95", "cart abandonment", "revenue")]
    assert places == sorted(places), sentence
    assert "$" in sentence
