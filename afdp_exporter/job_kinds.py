"""Every kind of job that the exporter does in the background: what it does, how many at once, when it is due again."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from afdp_exporter.errors import BillError
from afdp_exporter.handlers.context import AppContext
from afdp_exporter.jobs import Kind, Next
from afdp_exporter.model import Announcement, Look
from afdp_exporter.planning.billing import compare
from afdp_exporter.store import Job, NewJob
from afdp_exporter.store.follow_ups import AT_ONCE, CHECK, DECIDE, NOTICE, PREDICT
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.tracking.feeding import Feeding
from afdp_exporter.watching.analysis import AnalysisResult, Analyst
from afdp_exporter.watching.notifier import Notifier
from afdp_exporter.watching.placebo_runs import false_alarms_by_metric
from afdp_exporter.watching.remedies import looks_again
from afdp_exporter.watching.stability import stabilities
from afdp_exporter.watching.watch import AnalysisWorker

log = structlog.get_logger(__name__)

ACT, APPROVE, BOOK, FEED, FOLLOW, HOUSEKEEPING = "act", "approve", "book", "feed", "follow", "housekeeping"
BILL, LEARN, PLACEBO, REFRESH, STABILITY = "bill", "learn", "placebo", "refresh", "stability"
"""The kinds that follow from no single change; `store.follow_ups` has the others."""

OWN = frozenset({BILL, LEARN, REFRESH, STABILITY})
"""The kinds that fill the memory of a process: each process does them, all others are done by one of those that share a
store."""

_MANY = 100  # notices and feeds under way, each of another receiver or feed
_DECISIONS = _PREDICTIONS = 4  # under way, so that those of a burst are taken and kept by few commits
_HOUR = timedelta(hours=1)
_BILL_EVERY = timedelta(days=1)
_RESTS = 9  # times as long as it took to learn, before it is done anew
_STABILITY_AT_MOST_EVERY = timedelta(minutes=1)
_STABILITY_EVERY = timedelta(minutes=15)  # people label outcomes
_PLACEBO_EVERY = timedelta(hours=6)
_PLACEBO_FIRST = timedelta(minutes=1)  # as long as nothing is known to have been deployed
_PLACEBO_YOUNG = timedelta(minutes=15)  # as long as there is too little history for any placebo
_PLACEBO_PLACES = 20  # services whose series are replayed, so that it stays a matter of minutes
_CHANGES_KEPT = 100_000


def kinds(state: AppContext) -> tuple[Kind, ...]:
    """All that the processes which share a store do for each other."""
    watcher, dispatcher = _watcher(state), _dispatcher(state)
    recurring = Recurring(state)
    return (
        Kind(name=CHECK, run=watcher.answer, slots=lambda: 2 * state.rules.watched.settings.workers),
        Kind(
            name=NOTICE,
            run=dispatcher.notify,
            slots=lambda: _MANY,
            per_lane=1,
            lanes=lambda: set(state.rules.receivers),
        ),
        Kind(name=DECIDE, run=recurring.decide, slots=lambda: _DECISIONS),
        Kind(name=ACT, run=recurring.act),
        Kind(name=APPROVE, run=recurring.approve),
        Kind(name=BOOK, run=recurring.book),
        Kind(name=FOLLOW, run=recurring.follow),
        Kind(name=FEED, run=_feeding(state).poll, slots=lambda: _MANY, lanes=lambda: set(state.rules.feeds)),
        Kind(name=PREDICT, run=recurring.predict, slots=lambda: _PREDICTIONS),
        Kind(name=PLACEBO, run=recurring.placebo),
        Kind(name=HOUSEKEEPING, run=recurring.housekeeping),
    )


def own_kinds(state: AppContext) -> tuple[Kind, ...]:
    """Those that each process does for itself."""
    recurring = Recurring(state)
    return (
        Kind(name=BILL, run=recurring.bill, lanes=lambda: set(state.rules.bills)),
        Kind(name=LEARN, run=recurring.learn),
        Kind(name=REFRESH, run=recurring.refresh),
        Kind(name=STABILITY, run=recurring.stability),
    )


def single(*kinds: str) -> Iterable[NewJob]:
    """Jobs of which there is one of a kind, due at once."""
    return (NewJob(kind=kind, key="", due_at=AT_ONCE) for kind in kinds)


def feeds(state: AppContext) -> Iterable[NewJob]:
    """Each feed that is configured, to be read at once."""
    return (NewJob(kind=FEED, key=name, due_at=AT_ONCE, lane=name) for name in state.rules.feeds)


def bills(state: AppContext) -> Iterable[NewJob]:
    """Each bill that is configured, to be asked for at once."""
    return (NewJob(kind=BILL, key=name, due_at=AT_ONCE, lane=name) for name in state.rules.bills)


def _watcher(state: AppContext) -> AnalysisWorker:
    analyst = Analyst(
        watched=lambda: state.rules.watched,
        reader=StoreReader(state.store, state.compute, lambda: state.rules.watched.settings.deadline),
        observer=state.instruments.queries,
    )

    async def look_at(look: Look, at: datetime) -> AnalysisResult:
        return await analyst.conclude(await analyst.measure(look, at))

    async def follow_up(look: Look, at: datetime) -> tuple[Look, ...]:
        within = state.rules.watched.settings.impact.remedy_within
        return await looks_again(look, store=state.store, within=within, now=at)

    return AnalysisWorker(
        store=state.store,
        analyse=look_at,
        schedule=lambda: state.rules.schedule,
        observer=state.instruments.looks,
        clock=state.clock,
        follow_up=follow_up,
    )


def _dispatcher(state: AppContext) -> Notifier:
    return Notifier(
        store=state.store,
        receivers=lambda: state.rules.receivers,
        observer=state.instruments.notifications,
        clock=state.clock,
        external=state.external,
    )


def _feeding(state: AppContext) -> Feeding:
    return Feeding(
        store=state.store,
        rules=lambda: state.rules.mapping,
        schedule=lambda: state.rules.schedule,
        feeds=lambda: state.rules.feeds,
        audience=_Counted(state),
        clock=state.clock,
    )


@dataclass(frozen=True, slots=True)
class _Counted:
    """What feeds report is counted on `/metrics`; what is left out is in the log, too."""

    state: AppContext

    def taken(self, announcement: Announcement) -> None:
        self.state.instruments.annotations.received(announcement.sender)

    def left_out(self, feed: str, reason: str) -> None:
        self.state.instruments.annotations.ignored(feed, 1)
        log.info("event ignored", feed=feed, reason=reason)

    def fed(self, feed: str, *, well: bool) -> None:
        self.state.instruments.annotations.fed(feed, well=well)


@dataclass(slots=True)
class Recurring:
    """What is decided, learned and measured, each when something is new or a while has passed."""

    state: AppContext
    _judged_at: datetime = field(default=AT_ONCE)
    _learns_from: datetime = field(default=AT_ONCE)

    async def decide(self, job: Job) -> Next:
        """What follows from what is new about a deployment."""
        await self.state.actions.decide(job.key)
        return None

    async def act(self, _: Job) -> Next:
        """Take actions that are open a step on; what an ended process has left is taken up first."""
        await self.state.actions.recover()
        return await self.state.actions.work()

    async def approve(self, _: Job) -> Next:
        """Call back who waits for a verdict."""
        return await self.state.approvals.work()

    async def book(self, _: Job) -> Next:
        """Book what holds have spared and cost, and what people have called wrong since."""
        await self.state.actions.books.work()
        return self.state.clock() + _STABILITY_EVERY

    async def follow(self, _: Job) -> Next:
        """Compare the new versions that are under way with those beside them."""
        return await self.state.following.work()

    async def predict(self, job: Job) -> Next:
        """Foresee a deployment."""
        await self.state.refresher.predict(job.key)
        return None

    async def learn(self, _: Job) -> Next:
        """Learn from what was measured, and show that; however much is measured, it takes a tenth of the time."""
        now, clock = self.state.clock(), asyncio.get_running_loop().time
        if now < self._learns_from:
            return self._learns_from
        began = clock()
        await self.state.planner.renew(self.state.rules.plans, now)
        await self.state.refresher.refresh()
        self._learns_from = self.state.clock() + timedelta(seconds=_RESTS * (clock() - began))
        return None

    async def refresh(self, _: Job) -> Next:
        """Rank the coming hours: the risk of deploying now changes with the hour."""
        await self.state.refresher.refresh()
        return self.state.clock() + _HOUR

    async def stability(self, _: Job) -> Next:
        """How stable the deployments of each service are, and how far automation is earned by that."""
        state, now = self.state, self.state.clock()
        if now - self._judged_at < _STABILITY_AT_MOST_EVERY:
            return self._judged_at + _STABILITY_AT_MOST_EVERY
        state.instruments.stability.show(await state.reader.read(stabilities, now))
        levels = state.gatekeeper.levels
        await levels.refresh(now)
        state.instruments.gate.show_levels({place: found.level for place, found in levels.all().items()})
        state.instruments.gate.show_paused(await state.actions.paused() is not None)
        state.gatekeeper.changed()
        self._judged_at = now
        return now + _STABILITY_EVERY

    async def bill(self, job: Job) -> Next:
        """How what is paid compares with list prices; what a bill says of a day is settled after some."""
        state = self.state
        try:
            found = await compare(job.key, state.rules.bills[job.key], state.rules.watched.sources, state.clock())
        except BillError as error:
            log.warning("bill not compared", bill=job.key, error=str(error))
            return state.clock() + _HOUR
        state.rules = state.rules.at({**state.rules.plans.billed, job.key: found})
        state.instruments.bills.show(state.rules.plans.billed)
        await state.refresher.refresh()
        return state.clock() + _BILL_EVERY

    async def placebo(self, _: Job) -> Next:
        """On the series that are watched here, how often an innocent deployment is blamed."""
        state, now = self.state, self.state.clock()
        watched = state.rules.watched
        recent = await state.store.history.recent(1)
        places = [(each.deployment.service, each.deployment.environment) for each in recent][:_PLACEBO_PLACES]
        known = await state.store.deployments.overlapping(now - 2 * watched.settings.history, now)
        found = await false_alarms_by_metric(watched, places, known, compute=state.compute, now=now)
        await state.store.levels.keep_false_alarms(
            {metric: (alarms.count, alarms.n) for metric, alarms in found.items()}
        )
        if not places:
            return state.clock() + _PLACEBO_FIRST
        known_yet = not found or any(alarms.n for alarms in found.values())
        return state.clock() + (_PLACEBO_EVERY if known_yet else _PLACEBO_YOUNG)

    async def housekeeping(self, _: Job) -> Next:
        """Forget changes that everybody has followed long ago, and courses that are kept no longer."""
        await self.state.store.changes.prune(_CHANGES_KEPT)
        kept = self.state.rules.retention.courses
        if kept is not None:
            await self.state.store.results.forget_courses(self.state.clock() - kept)
        return self.state.clock() + _HOUR
