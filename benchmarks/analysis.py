"""How many deployments can be analysed a second, and where the time goes: `python benchmarks/analysis.py --help`."""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import ruptures
from prometheus_api_client import MetricRangeDataFrame, PrometheusConnect
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.errors import SourceError
from afdp_exporter.impact import judge
from afdp_exporter.model import Deployment, Floats, Layer, Look, Metric, Outcome, Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import Source, _prometheus_json, ask, grid
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.analysis import Analyst
from afdp_exporter.watching.evidence import AnalysisSettings, MonitoringConfig
from real_parts.servers import Prometheus

STEP = timedelta(seconds=60)
AFTER = timedelta(minutes=60)  # of data behind the deployment
AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A Prometheus with one latency for each service, every other one of which gets slower at its deployment."""

    server: Prometheus
    source: Source
    deployments: tuple[Deployment, ...]
    window: Window

    @staticmethod
    def query(service: str) -> str:
        return f'latency_seconds{{service="{service}"}}'


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage."""

    wall: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.wall.setdefault(name, []).append(time.perf_counter() - started)

    def median(self, name: str) -> float:
        return statistics.median(self.wall[name])


class Silent:
    """Nobody watches the queries here."""

    def queried(self, source: str, seconds: float) -> None:
        """Not reported."""

    def query_failed(self, source: str, error: SourceError) -> None:
        """Not reported either: a failed query ends the measurement by itself."""


def make_world(folder: Path, services: int, history: timedelta) -> World:
    """Write the series into a Prometheus of its own."""
    server = Prometheus(folder)
    server.start()
    end = time.time() // 60 * 60 - 60
    deployed = end - AFTER.total_seconds()
    times = np.arange(deployed - history.total_seconds(), end + 1, STEP.total_seconds())
    deployments, series = [], []
    for number in range(services):
        name = f"s{number}"
        series.append(
            Series(
                metric="latency_seconds",
                labels={"service": name},
                times=times,
                values=_latency(number, times, deployed),
            )
        )
        at = datetime.fromtimestamp(deployed, UTC)
        deployments.append(Deployment(id=name, service=name, environment="production", started_at=at, received_at=at))
    server.remote_write(series)
    window = Window(start=datetime.fromtimestamp(times[0], UTC), end=datetime.fromtimestamp(end, UTC))
    source = build("sources", "prometheus", {"url": server.url}, "")
    return World(server=server, source=source, deployments=tuple(deployments), window=window)


def _latency(seed: int, times: Floats, deployed: float) -> Floats:
    chance = np.random.default_rng(seed)
    noise = np.convolve(chance.normal(size=len(times) + 9), 0.7 ** np.arange(10), mode="valid")
    day = 0.05 * np.sin(2 * np.pi * times / 86400)
    return 0.3 + day + 0.01 * noise + 0.06 * (seed % 2) * (times >= deployed)


async def end_to_end(world: World, folder: Path, history: timedelta) -> tuple[float, int]:
    """Analyses a second as `afdp serve` makes them, with store and worker processes; and how many reported harm."""
    metric = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='latency_seconds{service="$service"}')
    watched = MonitoringConfig(
        sources={"prometheus": world.source}, metrics=(metric,), settings=AnalysisSettings(history=history)
    )
    store = await SQLiteStore.open(folder)
    compute = open_compute(workers=watched.settings.workers)
    reader = StoreReader(store, compute, lambda: watched.settings.deadline)
    analyst = Analyst(watched=lambda: watched, reader=reader, observer=Silent())
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(deployment: Deployment) -> bool:
        look = Look(deployment_id=deployment.id, after=AFTER, due_at=deployment.ended_at + AFTER)
        async with slots:
            answer = await analyst.conclude(await analyst.measure(look, world.window.end))
        return answer.impact.outcome is not Outcome.SUCCESS

    try:
        for deployment in world.deployments:
            await store.deployments.record(deployment, ())
        await asyncio.gather(*map(one, world.deployments[:AT_ONCE]))  # the worker processes are up
        started = time.perf_counter()
        found = await asyncio.gather(*map(one, world.deployments))
        return len(found) / (time.perf_counter() - started), sum(found)
    finally:
        await compute.close()
        await store.close()


async def by_stage(world: World, watch: Stopwatch) -> None:
    """One analysis after the other, in this process."""
    for deployment in world.deployments:
        query = world.query(deployment.service)
        with watch.stage("fetch"):
            (series,) = await ask(world.source, query, {}, world.window, STEP)
        with watch.stage("server"):
            body = _bare(world, query)
        with watch.stage("parse"):
            _prometheus_json.to_series(*_prometheus_json.read(body), grid(world.window, STEP), STEP.total_seconds())
        with watch.stage("judge"):
            judge(series.times, series.values, deployment.started_at.timestamp(), step=STEP.total_seconds())


def _bare(world: World, query: str) -> bytes:
    """The bytes of the same answer, by nothing but a request."""
    start, end = (str(each.timestamp()) for each in (world.window.start, world.window.end))
    fields = {"query": query, "start": start, "end": end, "step": str(STEP.total_seconds())}
    url = f"{world.server.url}/api/v1/query_range"
    return bytes(world.server.http.request("POST", url, fields=fields, encode_multipart=False).data)


def naive(world: World, watch: Stopwatch, times: int) -> None:
    """What one writes first: the client's DataFrame, and Pelt over the whole range."""
    client = PrometheusConnect(world.server.url)
    for deployment in world.deployments[:times]:
        with watch.stage("naive fetch"):
            result = client.custom_query_range(
                world.query(deployment.service), world.window.start, world.window.end, f"{STEP.total_seconds():g}"
            )
        with watch.stage("naive parse"):
            values = MetricRangeDataFrame(result)["value"].to_numpy()
        with watch.stage("naive judge"):
            penalty = 2 * np.log(len(values)) * values.var()
            ruptures.Pelt(model="l2").fit(values).predict(pen=penalty)


def report(console: Console, history: timedelta, watch: Stopwatch, rate: float, found: tuple[int, int]) -> None:
    """The table of one range."""
    server, parse, judged, fetch = (watch.median(name) for name in ("server", "parse", "judge", "fetch"))
    ours = [
        ("Prometheus and the wire", server),
        ("parse", parse),
        ("client", max(fetch - server - parse, 0.0)),
        ("judge", judged),
    ]
    theirs = [(name, watch.median(f"naive {name}")) for name in ("fetch", "parse", "judge")]
    points = int(history / STEP) + int(AFTER / STEP) + 1
    table = Table("path", "stage", "ms (median)", "share", title=f"{points} points a series", title_justify="left")
    for path, stages in (("afdp", ours), ("naive", theirs)):
        whole = sum(seconds for _, seconds in stages)
        for name, seconds in stages:
            table.add_row(path, name, f"{seconds * 1000:.2f}", f"{seconds / whole:.0%}")
        table.add_row(path, "one after the other", f"{whole * 1000:.2f}", "", end_section=True)
    console.print(table)
    ratio = sum(seconds for _, seconds in theirs) / (fetch + judged)
    console.print(f"one after the other: {1 / (fetch + judged):.1f} analyses/s, {ratio:.1f} times the naive path")
    console.print(f"end to end, with store and 2 worker processes: {rate:.1f} analyses/s")
    console.print(f"{found[0]} of {found[1]} reported harm; every other one was harmed\n")


async def measure(console: Console, history: timedelta, arguments: argparse.Namespace) -> None:
    """Everything for one range."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder) / "prometheus", arguments.services, history)
        try:
            watch = Stopwatch()
            await by_stage(world, watch)
            naive(world, watch, arguments.naive)
            rate, found = await end_to_end(world, Path(folder) / "store", history)
            report(console, history, watch, rate, (found, len(world.deployments)))
        finally:
            world.server.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=40, help="analyses of a range")
    parser.add_argument("--naive", type=int, default=5, help="of which the naive path makes so many")
    for hours in (5, 7 * 24):
        asyncio.run(measure(Console(), timedelta(hours=hours), parser.parse_args()))
