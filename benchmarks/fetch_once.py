"""How many points the checks ask a metrics server for, with and without a memory of what has settled.

Some services, each deployed once a day at a time of its own; each check of each deployment fetches its evidence as the
exporter does (seven days before it, its own metrics and those of five other services) from a server that counts. One
check in a hundred is asked without the memory, too: its evidence has to be the same to the last bit.
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from afdp_exporter.model import Deployment, Layer, Metric, Series, Service, Status, Window
from afdp_exporter.source_access import guarded
from afdp_exporter.sources import Bound, Fetched, Source, grid
from afdp_exporter.sources._promql import SpeaksPromQL
from afdp_exporter.watching.evidence import AnalysisSettings, MetricData, MonitoringConfig, NullObserver, gather

START = datetime(2026, 3, 2, tzinfo=UTC)
CHECKS = [timedelta(minutes=each) for each in (2, 5, 10, 15, 60, 240, 1440)]
STEP = AnalysisSettings().step
NOISE = np.random.default_rng(1).normal(size=1_000_003)


class Server(SpeaksPromQL):
    """Answers each query with a series of its own, and counts the calls, the queries and their points."""

    remote = True

    def __init__(self) -> None:
        self.queries = self.points = 0

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`."""
        times = grid(window, step)
        self.queries += len(asked)
        self.points += len(asked) * times.size
        places = (times // step.total_seconds()).astype(np.int64)
        found: list[Fetched] = []
        for each in asked:
            offset = int.from_bytes(each.text.encode(), "big") % NOISE.size
            found.append([Series(metric="", labels={}, times=times, values=NOISE[(places + offset) % NOISE.size])])
        return found


def checks(services: int, days: int) -> Iterator[tuple[datetime, Deployment]]:
    """Each check with its deployment, in the order of time."""
    found = []
    for service in range(services):
        for day in range(days):
            at = START + timedelta(days=day, minutes=37 * service % 1440)
            deployment = Deployment(
                id=f"{service}-{day}", service=f"service-{service}", environment="production", started_at=at,
                finished_at=at, status=Status.SUCCEEDED, received_at=at,
            )  # fmt: skip
            found += [(at + after, deployment) for after in CHECKS]
    yield from sorted(found, key=lambda each: each[0])


def watching(source: Source, services: int, metrics: int) -> MonitoringConfig:
    """A configuration with so many services and metrics."""
    return MonitoringConfig(
        sources={"prometheus": source},
        metrics=tuple(
            Metric(name=f"metric_{number}", layer=Layer.TECHNICAL, query=f'm{number}{{service="$service"}}')
            for number in range(metrics)
        ),
        services={f"service-{number}": Service(name=f"service-{number}") for number in range(services)},
    )


async def evidence(watched: MonitoringConfig, deployment: Deployment, now: datetime) -> tuple[MetricData, ...]:
    """What a check fetches."""
    window = Window(start=deployment.started_at - watched.settings.history, end=now)
    return await gather(deployment, window, watched=watched, observer=NullObserver(), now=now)


def same(one: Sequence[MetricData], other: Sequence[MetricData]) -> bool:
    """Whether all series of two checks are equal to the last bit."""
    pairs = [
        (first, second)
        for left, right in zip(one, other, strict=True)
        for first, second in zip(
            [left.series, *left.peers.values()], [right.series, *right.peers.values()], strict=True
        )
    ]
    return all(
        first is not None and second is not None and first.values.tobytes() == second.values.tobytes()
        for first, second in pairs
    )


async def measure(services: int, metrics: int, days: int) -> None:
    """Print the table."""
    counted, plain, recalled = Server(), Server(), Server()
    remembering, direct = (watching(each, services, metrics) for each in (guarded(recalled), plain))
    arithmetic = watching(counted, services, metrics)
    equal = compared = 0
    number = 0
    for number, (now, deployment) in enumerate(checks(services, days), 1):
        found = await evidence(remembering, deployment, now)
        if number % 100 == 0:
            compared += 1
            equal += same(found, await evidence(direct, deployment, now))
    sample = list(checks(services, days))[:: max(number // 200, 1)]
    for now, deployment in sample:
        await evidence(arithmetic, deployment, now)
    points, queries = (number / len(sample) * each for each in (counted.points, counted.queries))
    print(f"{services} services x {metrics} metrics x {days} deployments x {len(CHECKS)} checks, step {STEP}\n")
    print("| | queries | points |\n|---|---|---|")
    print(f"| each check by itself | {queries:,.0f} | {points:,.0f} |")
    print(f"| with the memory | {recalled.queries:,} | {recalled.points:,} |")
    print(f"\n{points / recalled.points:.1f} times fewer points; {equal} of {compared} checks equal to the last bit")


def main() -> None:
    """Read the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--metrics", type=int, default=20)
    parser.add_argument("--days", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(measure(options.services, options.metrics, options.days))


if __name__ == "__main__":
    main()
