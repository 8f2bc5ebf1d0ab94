"""Worlds of deployments whose law is known: what each trait does to latency, cost and risk, and which do nothing.

Three families take turns: `steady` (every deployment moves latency by a product of effects), `two-part` (only a
troubled one does, the rest is noise) and `additive` (a sum of effects, trouble where it is too much).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from afdp_exporter.model import (
    Attribution,
    CalendarEntry,
    CalendarEntryKind,
    ChangeType,
    Context,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    MeasuredSummary,
    Outcome,
    Shift,
    Strategy,
    TrainingExample,
    Worse,
)  # fmt: skip
from afdp_exporter.patterns.features.extraction import deployment_context

START = datetime(2026, 1, 5, tzinfo=UTC)
LATENCY = "request_latency_p95_seconds"
SESSIONS = "sessions_per_minute"
FAMILIES = ("steady", "two-part", "additive")
EFFECTS = ("database", "monday", "sale", "rows")
NULLS = ("traits.reviewers", "traits.region", "traits.flagged", "traits.build_minutes", "strategy", "actor")


@dataclass(frozen=True)
class Law:
    """What is true in a world: `size` and `odds` are the logarithms of each effect on magnitude and on the odds."""

    family: str
    base_odds: float
    base_latency: float
    noise: float
    size: Mapping[str, float]
    odds: Mapping[str, float]
    dollars: float
    services: Mapping[str, float]

    def strength(self, effects: Mapping[str, float], traits: Mapping[str, float]) -> float:
        """The sum of the effects that apply."""
        return sum(effects.get(name, 0.0) * value for name, value in traits.items())

    def risk(self, traits: Mapping[str, float], service: str) -> float:
        """The true probability of trouble."""
        if self.family == "additive":
            return float(norm.sf((2.5 - self.mean_change(traits, service)) / self.noise_sd))
        return float(expit(self.base_odds + self.services[service] + self.strength(self.odds, traits)))

    def mean_change(self, traits: Mapping[str, float], service: str) -> float:
        """Additive worlds: the mean change in units of the base."""
        return 0.5 + self.services[service] + self.strength(self.size, traits)

    @property
    def noise_sd(self) -> float:
        """Additive worlds: the noise in units of the base."""
        return 2.0 * self.noise

    def mean_cost(self, traits: Mapping[str, float], service: str) -> float:
        """The true expected cost per hour."""
        if self.family == "additive":
            return self.dollars * self.mean_change(traits, service)
        grown = float(np.exp(self.strength(self.size, traits) + self.noise**2))
        return self.dollars * grown * (self.risk(traits, service) if self.family == "two-part" else 1.0)


@dataclass(frozen=True)
class World:
    """A law and a history under it, in order of time; `truth` holds each case's acting traits."""

    law: Law
    cases: list[TrainingExample]
    truth: list[dict[str, float]]
    calendar: tuple[CalendarEntry, ...]
    planted: dict[str, float] = field(default_factory=dict)  # effect -> true multiplier of the cost


def world(seed: int, deployments: int, family: str | None = None) -> World:
    """A world of its own; the same seed gives the same world."""
    rng = np.random.default_rng(seed)
    law = draw_law(rng, family or FAMILIES[seed % 3])
    times = _times(rng, deployments)
    calendar = tuple(
        CalendarEntry(name=f"sale {k}", kind=CalendarEntryKind.SALE, start=start, end=start + timedelta(days=4))
        for k in range(int((times[-1] - START).days / 24) + 2)
        for start in [START + timedelta(days=24 * k + int(rng.integers(0, 18)), hours=6)]
    )
    cases: list[TrainingExample] = []
    truth: list[dict[str, float]] = []
    past: list[Deployment] = []
    impacts: dict[str, MeasuredSummary] = {}
    for number, at in enumerate(times):
        deployment = _deployment(rng, law, number, at)
        context = deployment_context(deployment, earlier=past[-40:], impacts=impacts, zone=UTC, calendar=calendar)
        acting = acting_traits(deployment, context)
        impact = _impact(rng, law, deployment, acting)
        cases.append(TrainingExample(deployment=deployment, context=context, impact=impact))
        truth.append(acting)
        past.append(deployment)
        impacts[deployment.id] = MeasuredSummary(
            deployment=deployment, measured_at=impact.measured_at, outcome=impact.outcome
        )
    return World(law=law, cases=cases, truth=truth, calendar=calendar, planted=_multipliers(law, cases, truth))


def acting_traits(deployment: Deployment, context: Context) -> dict[str, float]:
    """What of a deployment the law looks at."""
    database = float(ChangeType.DATABASE in deployment.change_types)
    rows = float(deployment.traits.get("table_rows", 0.0))
    monday = float(context.at.weekday() == 0)
    return {
        "database": database,
        "monday": monday,
        "sale": float(any(one.kind is CalendarEntryKind.SALE for one in context.occasions)),
        "rows": float(np.log10(rows) - 5.5) if rows else 0.0,
        "database on monday": database * monday,
    }


def draw_law(rng: np.random.Generator, family: str) -> Law:
    """A law at random: which effects there are, and how strong."""
    there = {name: rng.random() < 0.75 for name in EFFECTS}
    size = {"database": rng.uniform(0.5, 1.2), "monday": rng.uniform(0.4, 0.9), "sale": rng.uniform(0.7, 1.4)}
    odds = {"database": rng.uniform(0.8, 2.0), "monday": rng.uniform(0.7, 1.6), "sale": rng.uniform(0.8, 1.8)}
    size["rows"], odds["rows"] = rng.uniform(0.25, 0.6), rng.uniform(0.5, 1.2)
    if rng.random() < 0.3:
        odds["database on monday"] = rng.uniform(0.8, 1.6)
        there["database on monday"] = True
    count = int(rng.choice([1, 1, 2, 4]))
    return Law(
        family=family,
        base_odds=float(rng.uniform(-2.6, -1.6)),
        base_latency=float(10 ** rng.uniform(-2.3, -1.0)),
        noise=float(rng.uniform(0.25, 0.6)),
        size={name: value for name, value in size.items() if there[name]},
        odds={name: value for name, value in odds.items() if there[name]},
        dollars=float(10 ** rng.uniform(1.5, 3.5)),
        services={f"service-{k}": float(rng.normal(0.0, 0.3)) for k in range(count)},
    )


def _times(rng: np.random.Generator, count: int) -> list[datetime]:
    times = []
    at = START
    while len(times) < count:
        at += timedelta(hours=float(rng.exponential(9.0)))
        busy = at.weekday() < 5 and 8 <= at.hour < 19
        if busy or rng.random() < 0.25:
            times.append(at)
    return times


def _deployment(rng: np.random.Generator, law: Law, number: int, at: datetime) -> Deployment:
    kind = ChangeType(rng.choice(["code", "config", "database", "infrastructure"], p=[0.5, 0.15, 0.25, 0.1]))
    traits: dict[str, bool | float | str] = {
        "lines_changed": float(np.round(rng.lognormal(4.0, 1.2))),
        "reviewers": float(rng.integers(1, 5)),
        "region": str(rng.choice(["eu", "us", "ap"])),
        "flagged": bool(rng.random() < 0.4),
        "build_minutes": float(np.round(rng.gamma(4.0, 2.0), 1)),
    }
    if kind is ChangeType.DATABASE:
        traits["table_rows"] = float(np.round(10 ** rng.uniform(3.5, 7.5)))
    service = str(rng.choice(list(law.services)))
    return Deployment(
        id=f"d{number}",
        service=service,
        environment="production",
        started_at=at,
        finished_at=at + timedelta(minutes=5),
        version=f"1.{number}.0",
        actor=f"person-{rng.integers(0, 6)}",
        team="shop" if service != "service-3" else "search",
        change_types=(kind,),
        strategy=Strategy(str(rng.choice(["rolling", "canary", "recreate"], p=[0.6, 0.25, 0.15]))),
        traits=traits,
        received_at=at,
    )


def _impact(rng: np.random.Generator, law: Law, deployment: Deployment, acting: Mapping[str, float]) -> Impact:
    service = deployment.service
    if law.family == "additive":
        change = law.mean_change(acting, service) + law.noise_sd * rng.standard_normal()
        cost = law.dollars * (law.mean_change(acting, service) + 0.5 * law.noise_sd * rng.standard_normal())
        troubled = change > 2.5
        moved = True
    else:
        troubled = rng.random() < law.risk(acting, service)
        moved = troubled or law.family == "steady"
        grown = law.strength(law.size, acting)
        change = float(np.exp(grown + law.noise * rng.standard_normal())) if moved else 0.1 * rng.standard_normal()
        cost = law.dollars * float(np.exp(grown + law.noise**2 / 2 + law.noise * rng.standard_normal()))
    outcome = Outcome.SUCCESS
    if troubled:
        outcome = Outcome.FAILURE if rng.random() < 0.3 else Outcome.DEGRADATION
    return Impact(
        deployment_id=deployment.id,
        measured_at=deployment.ended_at + timedelta(hours=1),
        shifts=(
            _shift(LATENCY, Layer.TECHNICAL, Worse.UP, law.base_latency * change, moved=moved),
            _shift(SESSIONS, Layer.USER, Worse.DOWN, float(rng.normal(0.0, 20.0)), moved=False),
        ),
        outcome=outcome,
        outcome_reason="planted",
        costs=(Cost(currency="USD", per_hour=Estimate(low=cost, median=cost, high=cost)),) if moved else (),
    )


def _shift(metric: str, layer: Layer, worse: Worse, change: float, *, moved: bool) -> Shift:
    verdict = Attribution.ATTRIBUTED if moved else Attribution.NO_EFFECT
    return Shift(metric=metric, layer=layer, verdict=verdict, reason="planted", worse=worse, change=change)


def _multipliers(law: Law, cases: list[TrainingExample], truth: list[dict[str, float]]) -> dict[str, float]:
    """How many times the expected cost each planted effect makes it, over the deployments of this world."""
    found = {}
    for name in ("database", "monday", "sale"):
        if name in law.size or name in law.odds:
            chosen = [(acting, case.deployment.service) for acting, case in zip(truth, cases, strict=True)]
            if name == "database":
                chosen = [(acting, service) for acting, service in chosen if acting[name]]
            sums = [sum(law.mean_cost(toggled(acting, name, on), s) for acting, s in chosen) for on in (1.0, 0.0)]
            found[name] = sums[0] / sums[1]
    return found


def toggled(acting: Mapping[str, float], name: str, value: float) -> dict[str, float]:
    """The same deployment with one effect on or off."""
    changed = {**acting, name: value}
    if name == "database" and not value:
        changed["rows"] = 0.0
    changed["database on monday"] = changed["database"] * changed["monday"]
    return changed
