"""One run: a seed draws the traffic, the faults and the order of things; what is found names the seed."""

import asyncio
import gc
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from afdp_exporter.config import Config, Policy
from afdp_exporter.errors import AFDPError, StoreDamaged, StoreError
from afdp_exporter.handlers.context import AppContext
from afdp_exporter.impact.story import headline
from afdp_exporter.job_kinds import HOUSEKEEPING
from afdp_exporter.jobs import Kind
from afdp_exporter.jobs.follower import Follower
from afdp_exporter.jobs.runner import LEASE, Runner
from afdp_exporter.metrics import SelfMetrics
from afdp_exporter.model import (
    Announcement,
    Deployment,
    Layer,
    MeasuredDeployment,
    Metric,
    Notification,
    Origin,
    Status,
)
from afdp_exporter.store import Amendment
from afdp_exporter.tracking import ingestion
from afdp_exporter.tracking.intake import apply, read_change, read_deployment
from afdp_exporter.tracking.merge import deployment_id
from afdp_exporter.watching.evidence import AnalysisSettings
from afdp_exporter.watching.watch import Schedule, reschedule_looks, schedule_looks
from simulation.conditions import DAY, HOUR, MINUTE, OF_A_FILE, Episode, Fault, drawn
from simulation.disk import Disk, MemoryDisk
from simulation.oracle import Oracle, Violation
from simulation.outside import START, STEP, Listener, Metrics, PolledFeed, Truth, Upstream
from simulation.process import Process
from simulation.virtual_time import Stuck, VirtualLoop

SERVICES = ("checkout", "search", "basket", "pay")
SCHEDULE = Schedule(looks=(timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=4)))
DRAIN = DAY / 2
_ENDS = (Status.SUCCEEDED, Status.SUCCEEDED, Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


@dataclass(slots=True)
class Builders:
    """What a process is built from: the product's own parts, which a planted defect replaces."""

    runner: Callable[..., Runner] = Runner
    follower: Callable[..., Follower] = Follower
    kinds: Callable[[Iterable[Kind], AppContext], Iterable[Kind]] = lambda kinds, _: kinds
    disk: Callable[[], Disk] = MemoryDisk
    source: Callable[..., Metrics] = Metrics
    lease: timedelta = LEASE
    rest: timedelta = timedelta(hours=1)  # who waits to be woken is not saved by looking often
    clock_error: float = 1.0
    answers_first: frozenset[str] = frozenset()  # operations that are answered before they are kept
    notifies_first: bool = False  # receivers hear of what is about to be recorded


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: `broken` is None where everything held."""

    seed: int
    broken: str | None
    days: float
    deployments: int
    checks: int
    notices: int
    starts: int
    cpu: float  # seconds
    story: tuple[str, ...] = ()  # the last operations, and what was wrong at that time


def run(
    seed: int,
    days: float = 30.0,
    *,
    change: Callable[[Builders], None] = lambda _: None,
    faults: Iterable[Fault] = Fault,
    disk: Callable[[], Disk] = MemoryDisk,
) -> Result:
    """Simulate so many days; `change` plants a defect."""
    chance, began = random.Random(seed), time.process_time()
    loop = VirtualLoop(random.Random(chance.random()))
    loop.set_exception_handler(lambda *_: None)  # what ends a process is found by the world itself
    collects = gc.isenabled()
    gc.disable()
    try:
        happening = frozenset(faults) - (OF_A_FILE if disk is MemoryDisk else set())
        world = World(chance, loop, days, happening, change, disk)
        try:
            loop.run_until_complete(world.run())
        except Violation:
            pass
        except Stuck:
            world.oracle.found = world.oracle.found or "nothing can happen any more"
        kept = 0 if world.oracle.found else len(world.disk.deployments())  # a disk that is damaged cannot be read
        return Result(
            seed, world.oracle.found, days, kept, world.oracle.checks, world.oracle.notices,
            world.starts, time.process_time() - began, tuple(world.story()) if world.oracle.found else (),
        )  # fmt: skip
    finally:
        world.close()
        if left := asyncio.all_tasks(loop):
            with suppress(Stuck):
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
        if collects:
            gc.enable()
            gc.collect()


class World:
    """The machines, the senders and the onlooker of a run."""

    def __init__(
        self,
        chance: random.Random,
        loop: VirtualLoop,
        days: float,
        faults: frozenset[Fault],
        change: Callable[[Builders], None],
        disk: Callable[[], Disk],
    ) -> None:
        self.chance, self.loop, self.until = chance, loop, days * DAY
        self.builders = Builders(disk=disk)
        self.builders.lease = timedelta(minutes=chance.choice([1, 5, 20]))
        self.count = 2 if disk is MemoryDisk and chance.random() < 0.25 else 1
        if self.count > 1:
            self.builders.clock_error = 1 / 3600.0  # leases of several rest on clocks that agree
        change(self.builders)
        self.conditions = drawn(chance, loop.time, days, faults)
        self.disk = self.builders.disk()
        self.disk.suffer(self.conditions, random.Random(chance.random()))
        self.truth = Truth(self.conditions)
        self.oracle = Oracle(self.disk, self.truth, self.conditions, several=self.count > 1)
        self.feed = Upstream(self.conditions)
        self.rate = chance.choice([0.5, 1.0, 3.0])  # deployments a day
        self.feed_interval = timedelta(hours=chance.choice([1, 4, 12]))
        self.processes: list[Process] = []
        self.starts = 0
        self.over = False

    async def run(self) -> None:
        """All of it, up to the end or to what is found."""
        work = [self._keep(number) for number in range(self.count)]
        work += [self._traffic(), self._episodes(), self._glances(), self._end()]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            await asyncio.wait(tasks[-1:])
            tasks[-1].result()
        finally:
            self.over = True
            for task in tasks:
                task.cancel()

    async def _end(self) -> None:
        while self.loop.time() < self.until + DRAIN:
            await asyncio.sleep(HOUR)
            if self.oracle.found is not None:
                raise Violation(self.oracle.found)
        await self._check_end()

    def story(self) -> Iterable[str]:
        """The last operations of a run, after what was wrong with the world by then."""
        now = self.loop.time()
        for each in self.conditions.episodes:
            if each.begin <= now and each.end > now - DAY:
                yield f"{each.fault} from {each.begin:.3f} to {each.end:.3f}, size {each.size:.2f}"
        for at, number, port, operation, arguments, answer in self.oracle.recent:
            yield f"{at:.3f} [{number}] {port}.{operation} {arguments} -> {answer}"

    def close(self) -> None:
        """Every process dies."""
        for process in self.processes:
            process.die()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.disk.close()

    # processes

    async def _keep(self, number: int) -> None:
        """A supervisor: whatever dies is started again."""
        wait = 1.0
        while not self.over:
            if self.count == 1:
                try:
                    self.disk.reopened()
                except StoreDamaged as error:
                    self.oracle.found = self.oracle.found or f"the store is damaged: {error}"
                    return
                except StoreError:  # it says so in a line, and is started again
                    await asyncio.sleep(MINUTE * (0.5 + self.chance.random()))
                    continue
                self.oracle.opened()
            process = Process(
                number, self.disk, self.oracle, self.conditions, random.Random(self.chance.random()), self.builders
            )
            process.config = self._config(process)
            self.starts += 1
            self.processes = [each for each in self.processes if each.number != number] + [process]
            await process.live()
            wait = 1.0 if self.loop.time() - process.began > HOUR else min(2 * wait, 5 * MINUTE)
            await asyncio.sleep(wait * (0.5 + self.chance.random()))

    def _config(self, process: Process) -> Config:
        def listener(name: str, *, appends: bool) -> Listener:
            return Listener(name, self.conditions, process.gate, partial(self._heard, process), self._refused, appends)

        names = {"latency": Layer.TECHNICAL, "errors": Layer.USER}
        return Config(
            sources={"prometheus": self.builders.source(self.truth, process.gate)},
            metrics=tuple(Metric(name=name, layer=layer, query=name) for name, layer in names.items()),
            policy=Policy(watch=SCHEDULE, analysis=AnalysisSettings(history=timedelta(hours=3), step=STEP)),
            notify={"chat": listener("chat", appends=False), "log": listener("log", appends=True)},
            feeds={"feed": PolledFeed(self.feed, process.gate, self.feed_interval)},
        )

    def _victim(self, share: float) -> Process | None:
        living = [each for each in self.processes if each.lives]
        return living[int(share * len(living))] if living else None

    async def _episodes(self) -> None:
        """Strike with what happens to a process as a whole."""
        async with asyncio.TaskGroup() as group:
            for each in self.conditions.episodes:
                await asyncio.sleep(max(each.begin - self.loop.time(), 0.0))
                victim = self._victim(each.victim)
                if victim is not None:
                    group.create_task(self._strike(each, victim))

    async def _strike(self, episode: Episode, victim: Process) -> None:
        left = episode.end - self.loop.time()
        match episode.fault:
            case Fault.CRASH:
                victim.steps_to_live = int(episode.size * 40)
                self.loop.call_later(left, victim.die)
            case Fault.STOP:
                await victim.stop()
            case Fault.PAUSE:
                if episode.size < 0.7:  # it strikes as soon as there is work under way
                    with suppress(TimeoutError):
                        await asyncio.wait_for(victim.busy.wait(), left / 2)
                victim.pause()
                self.loop.call_later(episode.end - self.loop.time(), victim.resume)

    async def _glances(self) -> None:
        """Scrapes at times that the seed draws."""
        while True:
            await asyncio.sleep(self.chance.expovariate(1.0 / (3 * HOUR)))
            for process in self.processes:
                if process.ready:
                    process.spawn(_glance(process))

    # traffic

    def _times(self) -> list[float]:
        """When something is deployed: at any time, at times so that its looks fall due just when something breaks."""
        chance, last = self.chance, self.until - 6 * HOUR
        found = [chance.random() * last for _ in range(int(self.rate * last / DAY))]
        found += [
            each.begin - chance.choice([5, 30]) * MINUTE - 10.0 * chance.random()
            for each in self.conditions.episodes
            if chance.random() < 0.2
        ]
        for at in tuple(found):
            if chance.random() < 0.02:
                found += [at] * 11
        return sorted(at for at in found if 0 < at < last)

    async def _traffic(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number, at in enumerate(self._times(), 1):
                await asyncio.sleep(max(at - self.loop.time(), 0.0))
                report = self.chance.choice([self._announced, self._recorded, self._fed])
                group.create_task(report(number))

    def _now(self) -> datetime:
        return START + timedelta(seconds=self.loop.time())

    async def _announced(self, number: int) -> None:
        """A sender of webhooks: late at times, twice at times, until it is answered."""
        group = [self._announcement("ci", number, Status.STARTED)]
        lasted = 20 * MINUTE * self.chance.random()
        if self.chance.random() < 0.5:
            await self._deliver(group[0])
        await asyncio.sleep(lasted)
        end = self._announcement("ci", number, self.chance.choice(_ENDS))
        if self.chance.random() < 0.2:
            await asyncio.sleep(3 * HOUR * self.chance.random())
        for each in self.chance.choice([[end], [end, *group], [*group, end], [end, end]]):
            await self._deliver(each)

    def _announcement(self, sender: str, number: int, status: Status) -> Announcement:
        return Announcement(
            sender=sender, key=str(number), event=f"{number}-{status}", at=self._now(), status=status,
            origin=Origin(service=SERVICES[number % len(SERVICES)], environment="production"), version=f"v{number}",
        )  # fmt: skip

    async def _deliver(self, announcement: Announcement) -> None:
        assert announcement.status is not None

        async def receive(process: Process) -> None:
            await ingestion.ingest(
                announcement, rules=(), schedule=SCHEDULE, store=process.state.store, now=process.clock()
            )

        await self._until_answered(receive)
        known = self.oracle.acked.get(deployment_id(announcement))
        if known in {None, Status.STARTED}:
            self.oracle.acknowledged(deployment_id(announcement), announcement.status)

    async def _recorded(self, number: int) -> None:
        """A caller of the API: it records what begins, and changes it when it is over."""
        body = {"id": f"api-{number}", "service": SERVICES[number % len(SERVICES)], "version": f"v{number}"}
        begun = {**body, "status": "started", "started_at": self._now().isoformat()}

        async def record(process: Process) -> None:
            now = process.clock()
            made = read_deployment(begun, now=now, new_id=body["id"])
            if self.builders.notifies_first:
                notice = Notification(deployment=made, impact=None, headline="", at=now)
                await process.config.notify["chat"].send(notice)
            await process.state.store.deployments.record(made, schedule_looks(made, SCHEDULE, now), key=body["id"])

        await self._until_answered(record)
        self.oracle.acknowledged(body["id"], Status.STARTED)
        await asyncio.sleep(20 * MINUTE * self.chance.random())
        ended = read_change({"status": "succeeded", "finished_at": self._now().isoformat()})

        async def change(process: Process) -> None:
            now = process.clock()

            def made(before: Deployment) -> Amendment:
                after = apply(ended, before, now=now)
                return Amendment(deployment=after, looks=reschedule_looks(before, after, SCHEDULE, now))

            await process.state.store.deployments.amend(body["id"], made)

        await self._until_answered(change)
        self.oracle.acknowledged(body["id"], Status.SUCCEEDED)

    async def _fed(self, number: int) -> None:
        """What only a feed reports."""
        self.feed.events.append(self._announcement("feed", number, Status.STARTED))
        await asyncio.sleep(20 * MINUTE * self.chance.random())
        self.feed.events.append(self._announcement("feed", number, Status.SUCCEEDED))

    async def _until_answered(self, call: Callable[[Process], Any]) -> None:
        """Call a process that is there, again and again until it answers within half a minute."""
        wait = 5.0
        while True:
            process = self._victim(self.chance.random())
            if process is not None and process.ready:
                task = process.spawn(_answered(process, call))
                await asyncio.wait({task}, timeout=30.0)
                if task.done() and not task.cancelled() and task.exception() is None:
                    return
                task.cancel()
            await asyncio.sleep(wait * (0.5 + self.chance.random()))
            wait = min(2 * wait, 10 * MINUTE)

    # receivers

    def _heard(self, process: Process, receiver: str, notice: Notification) -> None:
        self.oracle.heard(process, receiver, notice, shown(receiver, notice.measured))

    def _refused(self, receiver: str, notice: Notification) -> None:
        self.oracle.refused.add((receiver, notice.deployment.id))

    # the end

    async def _check_end(self) -> None:
        known, impacts = self.disk.deployments(), self.disk.impacts()
        content = {
            (receiver, name): shown(receiver, MeasuredDeployment(deployment=each, impact=impacts.get(name)))
            for receiver in ("chat", "log")
            for name, each in known.items()
            if each.received_at - each.started_at < timedelta(days=1)  # else it is history, of which nobody hears
        }
        self.oracle.drained(self._now(), content)
        for event in self.feed.events:
            stored = known.get(deployment_id(event))
            if stored is None or (event.status is Status.SUCCEEDED and stored.status is not Status.SUCCEEDED):
                self.oracle.breaks(f"what the feed said of {event.key} is lost")
        for process in self.processes:
            await self._check_memory(process)

    async def _check_memory(self, process: Process) -> None:
        """What it holds in memory is what is stored, and no more than when it began."""
        state = process.state
        if not process.ready:
            self.oracle.breaks("a process has not come up, and nothing is wrong")
        left = [job for job in state.runner._running.values() if job.kind != HOUSEKEEPING]  # which comes each hour
        if left or len(process.tasks) > 6:
            self.oracle.breaks(f"{len(process.tasks)} tasks are left at work")
        fresh = SelfMetrics(state.rules.exposure)
        for measured in await self.disk.store.history.recent(state.rules.exposure.deployments_per_service):
            fresh.show(measured.deployment, measured.impact)
        if _page(fresh) != _page(state.instruments):
            self.oracle.breaks("the metrics do not agree with the store")


async def _answered(process: Process, call: Callable[[Process], Any]) -> None:
    await call(process)
    await process.state.follower.caught_up()


async def _glance(process: Process) -> None:
    with suppress(AFDPError):
        await process.state.store.looks.backlog(process.clock())


def shown(receiver: str, measured: MeasuredDeployment) -> object:
    """What a receiver shows of a deployment; one that appends only shows what has changed for good."""
    outcome = measured.decision.outcome if measured.known else None
    if receiver == "log":
        return measured.deployment.status, outcome
    return measured.deployment, outcome, headline(measured) if measured.known else None


def _page(instruments: SelfMetrics) -> list[bytes]:
    return sorted(instruments._board.render().splitlines())
