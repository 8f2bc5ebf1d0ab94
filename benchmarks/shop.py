"""Every deployment of the demo's shop looked at two hours later, and held against what was planted.

    python benchmarks/shop.py [--worlds 6] [--seed 0]

A pair is a deployment and a metric that is watched for it.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.progress import track
from rich.table import Table

from afdp_exporter.demo import shop
from afdp_exporter.demo.comparison import compare
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Deployment, Impact, MeasuredDeployment, Series
from afdp_exporter.watching.analysis import AnalysisInput, assess
from afdp_exporter.watching.evidence import MetricData

Look = Callable[..., Impact]
END = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
AFTER = timedelta(hours=2)
HISTORY = timedelta(days=7)


def looks_at(world: World) -> Look:
    """What a look two hours after a deployment finds: `look(deployment, past=())`."""
    series = {(each.metric, each.labels.get("service")): each for each in world.series}
    services = {service.name: service for service in shop.SERVICES}

    def at(deployment: Deployment, past: tuple[MeasuredDeployment, ...] = ()) -> Impact:
        start, now = deployment.started_at - HISTORY, deployment.ended_at + AFTER

        def seen(name: str | None) -> Series | None:
            found = series.get((name or "", deployment.service)) or series.get((name or "", None))
            if found is None:
                return None
            inside = (found.times >= start.timestamp()) & (found.times <= now.timestamp())
            return replace(found, times=found.times[inside], values=found.values[inside])

        chosen = services[deployment.service].metrics
        metrics = tuple(metric for metric in shop.METRICS if chosen is None or metric.name in chosen)
        case = AnalysisContext(
            deployment=deployment,
            metrics=metrics,
            step=shop.STEP,
            now=now,
            others=tuple(other for other in world.deployments if other is not deployment and other.started_at <= now),
            services=services,
            calendar=(world.sale,),
            past=past,
            per_service=frozenset(metric.name for metric in metrics if "$service" in metric.query),
        )
        evidence = (MetricData(metric=each, series=seen(each.name), control=seen(each.control)) for each in metrics)
        return assess(AnalysisInput(case=case, evidence=tuple(evidence)))

    return at


@dataclass(slots=True)
class Tally:
    """How many pairs were planted and found, how many of these ranges hold the truth, how many others were blamed."""

    planted: int = 0
    found: int = 0
    inside: int = 0
    others: int = 0
    blamed: int = 0

    def count(self, world: World, deployment: Deployment, impact: Impact) -> None:
        """Add one deployment."""
        effects = world.effects(deployment.id)
        rows = compare(deployment, effects, impact)
        self.planted += len(rows)
        self.found += sum(each.inside is not None for each in rows)
        self.inside += sum(bool(each.inside) for each in rows)
        untouched = {shift.metric: shift for shift in impact.shifts if shift.metric not in {e.metric for e in effects}}
        self.others += len(untouched)
        self.blamed += sum(shift.moved for shift in untouched.values())

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Figure, count, out of how many."""
        yield "planted pairs that were found", self.found, self.planted
        yield "of these, ranges that hold the truth", self.inside, self.found
        yield "other pairs that were blamed", self.blamed, self.others


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    tally = Tally()
    for seed in range(given.seed, given.seed + given.worlds):
        world = make_world(END, seed=seed)
        look = looks_at(world)
        seen = [each for each in world.deployments if each.ended_at + AFTER <= END]
        for deployment in track(seen, description=f"world {seed}", transient=True):
            tally.count(world, deployment, look(deployment))
    table = Table("figure", "share", "of", title=f"{given.worlds} worlds from seed {given.seed}")
    for figure, count, whole in tally.rows():
        table.add_row(figure, f"{count / whole:.1%}" if whole else "-", f"{count} of {whole}")
    Console().print(table)


if __name__ == "__main__":
    main()
