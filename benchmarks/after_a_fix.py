"""Harm that lasts until another deployment of the service fixes it hours later: what the checks say of it.

    python benchmarks/after_a_fix.py [--worlds 4] [--seed 0] [--checks 5m,15m,60m,4h,24h]

Series are the demo's shop with fresh seeds, effects and fixes drawn here. Each deployment is checked at the planned
times, each check knowing the one before it; the last one is held against what was planted. `--alone` leaves out all
checks but the last, as for a deployment that was imported later.
"""

import argparse
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import exp, log

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from afdp_exporter.demo import shop
from afdp_exporter.demo.effects import Effect, Shape
from afdp_exporter.demo.telemetry import Key, telemetry
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import (
    CalendarEntry,
    CalendarEntryKind,
    Deployment,
    Impact,
    Layer,
    Outcome,
    Series,
    ShiftState,
    Status,
)
from afdp_exporter.settings import parse_duration
from afdp_exporter.watching.analysis import AnalysisInput, assess
from afdp_exporter.watching.evidence import MetricData

START = datetime(2026, 9, 7, tzinfo=UTC)
DAYS = 42
HISTORY = timedelta(days=7)
CHECKS = "5m,10m,15m,30m,60m,4h,24h"
MINUTE = timedelta(minutes=1)
NO_SALE = CalendarEntry(
    name="none", kind=CalendarEntryKind.SALE, start=START - timedelta(days=99), end=START - timedelta(days=98)
)
LAG = {Layer.TECHNICAL: 0, Layer.SYSTEM: 0, Layer.USER: 4, Layer.BUSINESS: 10}
SIZES = {  # as a share of the mean; of ratios in points
    shop.LATENCY: (0.04, 0.4),
    shop.ERRORS: (0.002, 0.03),
    shop.CPU: (0.02, 0.15),
    shop.REPLICAS: (0.15, 0.5),
    shop.INFRA_COST: (0.15, 0.5),
    shop.SESSIONS: (0.006, 0.06),
    shop.ABANDONMENT: (0.006, 0.05),
    shop.REVENUE: (0.02, 0.25),
}
KINDS = (  # what moves together
    (shop.LATENCY, shop.SESSIONS, shop.ABANDONMENT, shop.REVENUE),
    (shop.ERRORS, shop.SESSIONS, shop.REVENUE),
    (shop.LATENCY, shop.REPLICAS, shop.INFRA_COST),
    (shop.LATENCY, shop.ERRORS, shop.CPU, shop.REVENUE),
    (shop.CPU, shop.REPLICAS, shop.INFRA_COST),
)


@dataclass(frozen=True)
class World:
    """Series, deployments and what they do; `fixed` by id of the harmful deployment, the deployment that fixed it."""

    series: dict[Key, Series]
    deployments: tuple[Deployment, ...]
    effects: tuple[Effect, ...]
    fixed: dict[str, Deployment]


def make_world(seed: int) -> World:
    """Six weeks: harms one after another, each fixed after 30 minutes to 12 hours, innocent deployments between."""
    rng = np.random.default_rng((seed, 77))
    times = np.arange(START.timestamp(), (START + timedelta(days=DAYS)).timestamp(), 60.0)
    values = telemetry(times, NO_SALE, 1000 + seed)
    deployments, effects, fixed = [], [], {}
    at = START + timedelta(days=8)
    while at < START + timedelta(days=DAYS - 3):
        service = str(rng.choice([shop.API, shop.CHECKOUT]))
        started = at + timedelta(minutes=int(rng.integers(0, 600)), seconds=int(rng.integers(0, 60)))
        harm = _deployment(len(deployments), service, started, rng)
        lasts = timedelta(hours=exp(rng.uniform(log(0.5), log(12))))
        fix = _deployment(len(deployments) + 1, service, started + lasts, rng)
        beside = _deployment(len(deployments) + 2, shop.WORKER, started + rng.uniform(0.3, 0.9) * lasts, rng)
        calm = _deployment(len(deployments) + 3, service, started + lasts + timedelta(hours=rng.uniform(8, 20)), rng)
        deployments += [harm, fix, beside, calm]
        fixed[harm.id] = fix
        effects += _effects(harm, fix, values, rng)
        at = started + lasts + timedelta(hours=30)
    for effect in effects:
        values[effect.metric, effect.service] = values[effect.metric, effect.service] + effect.course(times)
    series = {
        key: Series(metric=key[0], labels={}, times=times, values=np.maximum(found, 0)) for key, found in values.items()
    }
    return World(series, tuple(sorted(deployments, key=lambda each: each.started_at)), tuple(effects), fixed)


def _deployment(number: int, service: str, at: datetime, rng: np.random.Generator) -> Deployment:
    return Deployment(
        id=f"d{number}", service=service, environment=shop.ENVIRONMENT, version=f"v1.{number}", status=Status.SUCCEEDED,
        started_at=at, finished_at=at + timedelta(seconds=int(rng.integers(30, 300))), received_at=at,
    )  # fmt: skip


def _effects(
    harm: Deployment, fix: Deployment, values: dict[Key, np.ndarray], rng: np.random.Generator
) -> list[Effect]:
    strength, found = float(rng.uniform(0, 1)), []
    for metric in KINDS[int(rng.integers(len(KINDS)))]:
        known = next(each for each in shop.METRICS if each.name == metric)
        service = harm.service if (metric, harm.service) in values else None
        low, high = SIZES[metric]
        size = exp(log(low) + (log(high) - log(low)) * min(max(strength + rng.normal(0, 0.15), 0), 1))
        if not metric.endswith("_ratio"):
            size *= float(values[metric, service].mean())
        if known.worse == "down":
            size = -size
        lag = LAG[known.layer] * MINUTE
        found.append(
            Effect(
                deployment_id=harm.id, metric=metric, service=service, shape=Shape.LEVEL, onset=harm.started_at + lag,
                size=round(size) if metric == shop.REPLICAS else size, duration=fix.started_at - harm.started_at,
            )
        )  # fmt: skip
    return found


def check(world: World, deployment: Deployment, after: timedelta, before: Impact | None) -> Impact:
    """One check of a deployment, which knows the one before it."""
    services = {service.name: service for service in shop.SERVICES}
    start, now = deployment.started_at - HISTORY, deployment.ended_at + after
    chosen = services[deployment.service].metrics
    metrics = tuple(metric for metric in shop.METRICS if chosen is None or metric.name in chosen)

    def seen(name: str | None) -> Series | None:
        found = world.series.get((name or "", deployment.service)) or world.series.get((name or "", None))
        if found is None:
            return None
        inside = (found.times >= start.timestamp()) & (found.times <= now.timestamp())
        return replace(found, times=found.times[inside], values=found.values[inside])

    case = AnalysisContext(
        deployment=deployment, metrics=metrics, step=shop.STEP, now=now, services=services, previous=before,
        others=tuple(other for other in world.deployments if other is not deployment and other.started_at <= now),
    )  # fmt: skip
    evidence = (MetricData(metric=each, series=seen(each.name), control=seen(each.control)) for each in metrics)
    return assess(AnalysisInput(case=case, evidence=tuple(evidence)))


def count(world: World, deployment: Deployment, checks: list[Impact], tally: Counter[str]) -> None:
    """Add one deployment to the tally."""
    impact = checks[-1]
    planted = {effect.metric: effect for effect in world.effects if effect.deployment_id == deployment.id}
    shifts = {shift.metric: shift for shift in impact.shifts}
    step = shop.STEP
    for metric, effect in planted.items():
        shift = shifts[metric]
        tally["effects"] += 1
        if not shift.moved or (shift.change or 0) * effect.size <= 0:
            continue
        tally["found"] += 1
        tally["hold"] += (shift.low or 0) <= effect.size <= (shift.high or 0)
        end = effect.onset + (effect.duration or timedelta(0))
        fix = world.fixed[deployment.id]
        back = shift.recovered_at
        tally["recovered"] += back is not None and shift.ended_by == fix.id
        tally["recovered in time"] += back is not None and end - 2 * step <= back <= end + 2 * step
        tally["of the fix"] += back is not None and fix.started_at - 2 * step <= back <= fix.ended_at + 2 * step
        tally["still active"] += shift.state is ShiftState.ACTIVE
    mended = {
        effect.metric
        for effect in world.effects
        if effect.deployment_id in world.fixed and world.fixed[effect.deployment_id].id == deployment.id
    }
    for shift in impact.shifts:
        if shift.metric not in planted and shift.metric not in mended:
            tally["others"] += 1
            tally["blamed"] += shift.moved
    if shop.REVENUE in planted:
        effect = planted[shop.REVENUE]
        hours = (effect.duration or timedelta(0)) / timedelta(hours=1)
        tally["losses"] += 1
        costs = [cost for cost in impact.costs if shop.REVENUE in cost.metrics]
        tally["costs reported"] += bool(costs)
        tally["costs hold"] += any(
            cost.total is not None and cost.total.low <= -effect.size * hours <= cost.total.high for cost in costs
        )
    good = {Outcome.SUCCESS}
    bad = {Outcome.FAILURE, Outcome.DEGRADATION}
    if planted:
        tally["harms"] += 1
        tally["harms called success"] += impact.outcome in good
        tally["harms called worse"] += impact.outcome in bad
        turned = any(one.outcome in bad and two.outcome in good for one, two in pairwise(checks))
        tally["turned to success"] += turned
    elif deployment.id not in {fix.id for fix in world.fixed.values()}:
        tally["innocent"] += 1
        tally["innocent unknown"] += impact.outcome is Outcome.UNKNOWN
        tally["innocent worse"] += impact.outcome in bad
    else:
        tally["fixes"] += 1
        tally["fixes worse"] += impact.outcome in bad


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checks", default=CHECKS)
    parser.add_argument("--alone", action="store_true")
    given = parser.parse_args()
    after = [parse_duration(text) for text in given.checks.split(",")]
    tally: Counter[str] = Counter()
    for seed in range(given.seed, given.seed + given.worlds):
        world = make_world(seed)
        for deployment in track(world.deployments, description=f"world {seed}", transient=True):
            checks: list[Impact] = []
            for each in after[-1:] if given.alone else after:
                checks.append(check(world, deployment, each, checks[-1] if checks else None))
            count(world, deployment, checks, tally)
    rows = (
        ("planted effects that were found", "found", "effects", ">= 75 %"),
        ("of these, ranges that hold the truth", "hold", "found", ">= 85 %"),
        ("of these, back by the fix", "recovered", "found", ""),
        ("of these, back within two steps of the planted end", "recovered in time", "found", ">= 90 %"),
        ("of these, back within two steps of the fix", "of the fix", "found", ""),
        ("of these, still called active a day later", "still active", "found", ""),
        ("losses of revenue whose cost is reported", "costs reported", "losses", ">= 45 %"),
        ("of these, totals that hold the truth", "costs hold", "costs reported", ""),
        ("other metrics that were blamed", "blamed", "others", "<= 1 %"),
        ("harms called success", "harms called success", "harms", ""),
        ("harms that went from worse to success", "turned to success", "harms", "0"),
        ("innocent deployments that end as unknown", "innocent unknown", "innocent", "<= 15 %"),
        ("innocent deployments called worse", "innocent worse", "innocent", ""),
        ("fixes called worse", "fixes worse", "fixes", ""),
    )
    table = Table("figure", "share", "of", "has to be", title=f"{given.worlds} worlds from seed {given.seed}")
    for figure, name, whole, target in rows:
        share = f"{tally[name] / tally[whole]:.1%}" if tally[whole] else "-"
        table.add_row(figure, share, f"{tally[name]} of {tally[whole]}", target)
    Console().print(table)


if __name__ == "__main__":
    main()
