"""Worlds with a planted chain of shifts, and the look of the program at them.

Every series has three days of a minute's step before the deployment and two hours after it: a season of the day, a
first-order autoregressive flicker with heavy tails (its standard deviation is the sigma of the sizes) and a wander of
hours. Each world goes the way of a look at a real deployment: every metric judged in its turn, then all together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations

import numpy as np
from scipy.signal import lfilter

from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import CalendarEntry, Deployment, Impact, Layer, Metric, Series, Worse
from afdp_exporter.watching.analysis import AnalysisInput, assess
from afdp_exporter.watching.evidence import MetricData

STEP = timedelta(minutes=1)
BEFORE, AFTER = 3 * 1440, 120
DEPLOYED = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
TIMES = DEPLOYED.timestamp() + 60.0 * np.arange(-BEFORE, AFTER)
LAGS = (0, 1, 2, 3, 5, 7, 10)

LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='l{service="$service"}', worse=Worse.UP)
SESSIONS = Metric(name="sessions", layer=Layer.USER, query="sessions", worse=Worse.DOWN)
REVENUE = Metric(name="revenue_usd_per_hour", layer=Layer.BUSINESS, query="revenue", worse=Worse.DOWN)
TICKETS = Metric(name="tickets", layer=Layer.USER, query="tickets", worse=Worse.UP)
ORDERS = Metric(name="orders", layer=Layer.BUSINESS, query="orders", worse=Worse.DOWN)
ERRORS = Metric(name="failures", layer=Layer.TECHNICAL, query="failures", worse=Worse.UP)
CHAIN = (LATENCY, SESSIONS, REVENUE)
ALL = (*CHAIN, TICKETS, ORDERS, ERRORS)
PLANTED = {(cause.name, effect.name) for cause, effect in combinations(CHAIN, 2)}


@dataclass(frozen=True)
class World:
    """What happens: the onset of each metric's shift in samples after the deployment, and its size in sigma."""

    onsets: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, float] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ALL


def chain_world(rng: np.random.Generator, lag: int) -> World:
    """Latency within two samples of the deployment, sessions `lag` samples after it, revenue as long after these."""
    start = float(rng.integers(0, 3))
    onsets = {metric.name: start + index * lag for index, metric in enumerate(CHAIN)}
    return World(onsets=onsets, sizes={metric.name: float(rng.uniform(2, 5)) for metric in CHAIN})


def look(
    world: World,
    rng: np.random.Generator,
    *,
    values: Mapping[str, Series] | None = None,
    by: Deployment | None = None,
    others: tuple[Deployment, ...] = (),
    calendar: tuple[CalendarEntry, ...] = (),
    witnesses: int = 0,
    elsewhere: World | None = None,
) -> Impact:
    """What a look two hours after the deployment finds; `elsewhere` is what happens to witnesses, if not the same."""
    seen = values or {metric.name: series_of(world, metric.name, rng) for metric in world.metrics}
    case = AnalysisContext(
        deployment=by or deployment("checkout", 0),
        metrics=world.metrics,
        step=STEP,
        now=DEPLOYED + AFTER * STEP,
        others=others,
        calendar=calendar,
        per_service=frozenset(metric.name for metric in world.metrics if "$service" in metric.query),
    )
    evidence = tuple(
        MetricData(
            metric=metric,
            series=seen[metric.name],
            peers={f"other{index}": series_of(elsewhere or world, metric.name, rng) for index in range(witnesses)},
        )
        for metric in world.metrics
    )
    return assess(AnalysisInput(case=case, evidence=evidence))


def blames(impact: Impact) -> bool:
    return any(shift.moved for shift in impact.shifts)


def deployment(service: str, minute: float) -> Deployment:
    start = DEPLOYED + minute * STEP
    return Deployment(id=service, service=service, environment="production", started_at=start, received_at=start)


def series_of(world: World, name: str, rng: np.random.Generator) -> Series:
    """A metric around 100 with a sigma of 1; its shift goes up."""
    count = len(TIMES)
    season = 3.0 * np.sin(2 * np.pi * TIMES / 86400 + rng.uniform(0, 2 * np.pi))
    flicker = lfilter([1.0], [1.0, -0.5], rng.standard_t(5, count)) * np.sqrt(0.75 * 3 / 5)
    wander = lfilter([1.0], [1.0, -1 + 1 / 240], rng.standard_normal(count)) * 0.5 * np.sqrt(2 / 240)
    values = 100.0 + season + flicker + wander
    if name in world.onsets:
        values[BEFORE + int(world.onsets[name]) :] += world.sizes[name]
    return Series(metric=name, labels={}, times=TIMES, values=values)
