"""A month of automation: does the ladder climb only by its rule, how often is it wrong, and what is it worth?

    .venv/bin/python benchmarks/automation.py [--deployments 500] [--seed 1]

Deployments of two services with known harm go through the exporter's own gatekeeper, actions and levels, on a store in
memory and a clock of its own. What the checks find is generated: some harm is missed, and of those that are blamed with
a chance of 95 % one in twenty is innocent; costs are measured with an error. A person takes harm back after about an
hour, and approves what is proposed rightly after ten minutes; two have allowed every level from the start. Each
executor made its dry run and its rehearsal beforehand.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from afdp_exporter import logs
from afdp_exporter.automation.actions import Actions
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.levels import Levels
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.executors import Order, Plan, Scope, Way
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    Action,
    ActionState,
    Attribution,
    Cost,
    Deployment,
    Estimate,
    Forecast,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    PoolingLevel,
    Prediction,
    Shift,
    ShiftState,
    Status,
    TrailEntry,
    Worse,
)
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Amendment
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.watching.watch import Schedule

SERVICES = ("checkout", "search")
START = datetime(2026, 3, 1, tzinfo=UTC)
MONTH = timedelta(days=30)
MINUTE = timedelta(minutes=1)
HARMFUL = 0.15
MISSED = 0.08  # of harm
_SURE = np.linspace(0.9, 0.999, 100)  # how sure a check says to be that harm is this deployment's doing, and ...
_WRONG = float(np.mean((1 - _SURE) / _SURE))  # ... how many are blamed wrongly for each one rightly, where that is true
_WRONGLY = (1 - _SURE) / _SURE / ((1 - _SURE) / _SURE).sum()
SEVERE = 200.0  # dollars an hour
LATENCY = "latency_seconds"
_LOOKS = (10, 45, 80)  # minutes after a deployment


@dataclass(frozen=True)
class Truth:
    """What a deployment really does."""

    harmful: bool
    cost: float  # dollars an hour
    noticed_after: timedelta  # by a person


@dataclass
class Target:
    """What executors act on: takes back whatever it is asked to, and counts."""

    taken_back: Counter[str] = field(default_factory=Counter)

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        return Plan(order=order, sentence="back", request={}, seen={}, done=False)

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`."""
        self.taken_back[plan.order.deployment_id] += 1
        return {"status": 200}

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        return self.taken_back[plan.order.deployment_id] > 0


@dataclass
class Month:
    """Money, as booked by the exporter and in truth: dollars."""

    booked: float = 0.0
    spent: float = 0.0
    prevented: float = 0.0  # in truth
    suffered: float = 0.0
    without: float = 0.0  # what all harm would have cost without automation
    repeated: int = 0  # deployments that were taken back more than once
    at_level: Counter[int] = field(default_factory=Counter)  # deployments by the level that was in force


@dataclass
class World:
    """The exporter's parts that act, on a store in memory, and a clock."""

    chance: np.random.Generator
    store: MemoryStore = field(default_factory=MemoryStore)
    target: Target = field(default_factory=Target)
    now: datetime = START
    month: Month = field(default_factory=Month)
    truths: dict[str, Truth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = GateSettings(severe_per_hour=SEVERE, rollback_cost=50.0)
        reader = StoreReader(self.store, open_compute(workers=1), lambda: timedelta(minutes=1))
        self.levels = Levels(reader=reader, false_alarms={LATENCY: (1, 200)})
        self.gatekeeper = Gatekeeper(
            store=self.store, planner=Planner(reader), levels=self.levels, plans=Plans,
            settings=lambda _: settings, clock=lambda: self.now,
        )  # fmt: skip
        way = Way(name="cluster", kind="x", executor=self.target, scope=Scope(services=SERVICES, dry_run=False))
        self.actions = Actions(
            store=self.store, gatekeeper=self.gatekeeper, ways=lambda: (way,), settings=lambda _: settings,
            schedule=Schedule, clock=lambda: self.now, moved=lambda _: None, booked=self.book,
        )  # fmt: skip

    def book(self, action: Action) -> None:
        """As `/metrics` counts it."""
        self.month.booked += action.prevented or 0.0
        self.month.spent += action.spent or 0.0

    async def rehearse(self, service: str) -> None:
        """A dry run in production and a rollback in staging, by hand."""
        for environment, dry in (("production", True), ("staging", False)):
            state = ActionState.SKIPPED if dry else ActionState.VERIFIED
            action = Action(
                id=f"{service}-{environment}", deployment_id=f"{service}-{environment}", service=service,
                environment=environment, kind="rollback", executor="cluster", state=state, level=2, reason="rehearsal",
                request={"sentence": "back"}, decided_at=START - timedelta(days=1), dry_run=dry, approved_by="ada",
                trail=(TrailEntry(at=START - timedelta(days=1), state=state, by="ada", reason="rehearsal"),),
            )  # fmt: skip
            await self.store.actions.propose(action)

    async def live_through(self, number: int) -> None:
        """One deployment from its start to what is known of it 80 minutes later."""
        service = SERVICES[number % len(SERVICES)]
        truth = self._truth()
        deployment = Deployment(
            id=f"{service}-{number}", service=service, environment="production", version=f"v{number}",
            previous_version=f"v{number - 2}", started_at=self.now, finished_at=self.now + 2 * MINUTE,
            received_at=self.now,
        )  # fmt: skip
        looks = [
            Look(deployment_id=deployment.id, after=after * MINUTE, due_at=deployment.ended_at + after * MINUTE)
            for after in _LOOKS
        ]
        self.truths[deployment.id] = truth
        self.month.at_level[self.levels.of(service, "production").level] += 1
        await self.store.deployments.record(deployment, tuple(looks))
        seen = _Seen.of(truth, self.chance)
        await self.store.results.save_prediction(self._foretold(deployment, truth, seen))
        back: datetime | None = None
        for look in looks:
            self.now = look.due_at
            back = back or await self._noticed(deployment, truth)
            await self.store.looks.finish(
                replace(look, state=LookState.DONE, done_at=self.now, outcome=seen.outcome),
                seen.impact(deployment, truth, back, self.now),
            )
            await self.actions.decide(deployment.id)
            await self.actions.work()
            await self._decide(deployment, truth)
            if back is None and self.target.taken_back[deployment.id]:
                back = self.now
        await self._label(deployment, truth, seen)
        self._account(deployment, truth, back)
        await self.levels.refresh(self.now)

    def _truth(self) -> Truth:
        return Truth(
            harmful=bool(self.chance.random() < HARMFUL),
            cost=float(500.0 * np.exp(self.chance.normal(0, 0.7))),
            noticed_after=min(float(50 * np.exp(self.chance.normal(0, 0.4))), 75.0) * MINUTE,
        )

    def _foretold(self, deployment: Deployment, truth: Truth, seen: "_Seen") -> Prediction:
        """A prediction that knows something: its ranges hold nine times of ten, its risk is higher before harm."""
        center = seen.change + self.chance.normal(0, 0.01)
        chance = float(self.chance.beta(5, 4) if truth.harmful else self.chance.beta(1.2, 12))
        risk = Estimate(low=chance / 2, median=chance, high=min(1.5 * chance, 1.0))
        reach = Forecast(low=center - 0.0165, median=center, high=center + 0.0165)
        return Prediction(
            deployment_id=deployment.id, basis=PoolingLevel.SERVICE, n=30, risk=risk, failure=risk,
            metrics={LATENCY: reach},
        )  # fmt: skip

    async def _noticed(self, deployment: Deployment, truth: Truth) -> datetime | None:
        """A person takes harm back by hand, as soon as it is noticed."""
        at = deployment.ended_at + truth.noticed_after
        if not truth.harmful or self.now < at or self.target.taken_back[deployment.id]:
            return None
        await self._amend(deployment, labelled_outcome=Outcome.FAILURE, status=Status.ROLLED_BACK)
        return at

    async def _decide(self, deployment: Deployment, truth: Truth) -> None:
        """A person decides on what waits for that, ten minutes later and rightly."""
        for action in await self.store.actions.search(deployment_id=deployment.id):
            if action.state is not ActionState.AWAITING_APPROVAL:
                continue
            self.now += 10 * MINUTE
            decide = self.actions.approve if truth.harmful else self.actions.refuse
            await decide(action.id, by="ada")
            await self.actions.work()

    async def _label(self, deployment: Deployment, truth: Truth, seen: "_Seen") -> None:
        """People look into every failure that was none, and into some of the rest."""
        blamed = not truth.harmful and seen.outcome is not Outcome.SUCCESS
        if not truth.harmful and (blamed or self.chance.random() < 0.1):
            await self._amend(deployment, labelled_outcome=Outcome.SUCCESS)

    async def _amend(self, deployment: Deployment, **words: Any) -> None:  # noqa: ANN401
        await self.store.deployments.amend(deployment.id, lambda known: Amendment(deployment=replace(known, **words)))

    def _account(self, deployment: Deployment, truth: Truth, back: datetime | None) -> None:
        month, hour = self.month, timedelta(hours=1)
        month.repeated += self.target.taken_back[deployment.id] > 1
        if not truth.harmful:
            return
        lasted = min((back or self.now) - deployment.ended_at, truth.noticed_after)
        month.without += truth.cost * (truth.noticed_after / hour)
        month.suffered += truth.cost * (lasted / hour)
        if self.target.taken_back[deployment.id]:
            month.prevented += truth.cost * ((truth.noticed_after - lasted) / hour)


@dataclass(frozen=True)
class _Seen:
    """What the checks find of a deployment: its outcome, how sure that is, and its cost an hour."""

    outcome: Outcome
    attribution: float
    cost: float
    change: float

    @classmethod
    def of(cls, truth: Truth, chance: np.random.Generator) -> "_Seen":
        """Some harm is missed, some innocent ones blamed, as often as the checks say; a cost is off by a tenth."""
        blamed = HARMFUL * (1 - MISSED) * _WRONG / (1 - HARMFUL)
        bad = bool(chance.random() < (1 - MISSED if truth.harmful else blamed))
        failure = bool(chance.random() < 0.7)
        outcome = (Outcome.FAILURE if failure else Outcome.DEGRADATION) if bad else Outcome.SUCCESS
        sure = float(chance.choice(_SURE, p=None if truth.harmful else _WRONGLY)) if bad else 0.02
        cost = truth.cost * float(chance.normal(1.0, 0.1)) if bad else 0.0
        return cls(outcome, sure, cost, 0.08 if bad else float(chance.normal(0, 0.002)))

    def impact(self, deployment: Deployment, truth: Truth, back: datetime | None, now: datetime) -> Impact:
        """As a check reports it at a time; what was blamed wrongly does not come back by a rollback."""
        bad = self.outcome is not Outcome.SUCCESS
        over = back is not None and truth.harmful
        state = ShiftState.RECOVERED if over else ShiftState.ACTIVE
        shift = Shift(
            metric=LATENCY, layer=Layer.TECHNICAL, worse=Worse.UP, reason="generated", before=0.2, change=self.change,
            verdict=Attribution.ATTRIBUTED if bad else Attribution.NO_EFFECT, low=self.change - 0.01,
            high=self.change + 0.01, change_ratio=self.change / 0.2, attribution_ratio=self.attribution,
            onset=deployment.ended_at, state=state if bad else None, recovered_at=back if over and bad else None,
        )  # fmt: skip
        per_hour = Estimate(low=0.8 * self.cost, median=self.cost, high=1.2 * self.cost)
        return Impact(
            deployment_id=deployment.id, measured_at=now, shifts=(shift,), outcome=self.outcome,
            outcome_reason="generated", costs=(Cost(currency="USD", per_hour=per_hour),) if bad else (),
        )  # fmt: skip


async def simulate(deployments: int, seed: int, *, allowed: int = 5) -> World:
    """Live through a month with so many deployments, where two people allow at most a level."""
    world = World(chance=np.random.default_rng(seed))
    for service in SERVICES:
        await world.rehearse(service)
        for person in ("ada", "bob"):
            await world.levels.allow(service, "production", allowed, by=person, reason="a month", now=START)
    for number in range(deployments):
        world.now = max(START + number * (MONTH / deployments), world.now)
        await world.live_through(number)
    return world


async def rollbacks(world: World) -> dict[int, tuple[int, int]]:
    """By automation level: the rollbacks that nobody approved, and how many of them were of innocent deployments."""
    found: dict[int, tuple[int, int]] = dict.fromkeys(range(6), (0, 0))
    for action in await world.store.actions.search(limit=10_000):
        begun = any(entry.state is ActionState.STARTED for entry in action.trail)
        if begun and action.approved_by is None:
            count, wrong = found[action.level]
            found[action.level] = count + 1, wrong + (not world.truths[action.deployment_id].harmful)
    return found


async def climbs(world: World) -> list[tuple[str, int, int, int]]:
    """Each change of a level: the service, the level before and after, and its deployments by then."""
    found, last = [], dict.fromkeys(SERVICES, 0)
    for change in await world.store.levels.trail():
        if change.kind == "level":
            known = await world.store.history.measured(before=change.at, service=change.service, limit=10_000)
            found.append((change.service, last[change.service], change.level, len(known)))
            last[change.service] = change.level
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--months", type=int, default=1, help="So many, each from a seed of its own.")
    given = parser.parse_args()
    logs.set_up("warn", "logfmt")
    asyncio.run(_main(given.deployments, range(given.seed, given.seed + given.months)))


async def _main(deployments: int, seeds: range) -> None:
    started = time.perf_counter()
    worlds = [await simulate(deployments, seed) for seed in seeds]
    if len(worlds) == 1:
        print("| service | level | deployments by then |\n|---|---|---|")
        for service, before, after, known in await climbs(worlds[0]):
            print(f"| {service} | {before} to {after} | {known} |")
    acted = [await rollbacks(world) for world in worlds]
    print("\n| level | deployments | rollbacks without asking | of innocent deployments |\n|---|---|---|---|")
    for level in range(6):
        lived = sum(world.month.at_level[level] for world in worlds)
        count, wrong = (sum(each[level][place] for each in acted) for place in (0, 1))
        print(f"| {level} | {lived} | {count} | {wrong} |")
    _worth(worlds)
    print(f"\n{deployments} deployments a month, seeds {seeds.start} to {seeds.stop - 1}, "
          f"{time.perf_counter() - started:.0f} s")  # fmt: skip


def _worth(worlds: list[World]) -> None:
    def total(name: str) -> str:
        return f"${sum(getattr(world.month, name) for world in worlds):,.0f}"

    harmful = sum(truth.harmful for world in worlds for truth in world.truths.values())
    taken = sum(world.truths[each].harmful for world in worlds for each in world.target.taken_back)
    over = sum(world.month.booked > world.month.prevented for world in worlds)
    print(f"\n| harmful; of these taken back | {harmful}; {taken} |\n|---|---|")
    print(f"| taken back more than once | {sum(world.month.repeated for world in worlds)} |")
    print(f"| harm without automation; suffered | {total('without')}; {total('suffered')} |")
    print(f"| prevented: in truth; booked | {total('prevented')}; {total('booked')} |")
    print(f"| months in which more was booked than prevented | {over} of {len(worlds)} |")
    print(f"| spent: booked | {total('spent')} |")


if __name__ == "__main__":
    main()
