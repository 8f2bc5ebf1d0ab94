"""What an app does besides answering: it watches, tells, learns, foresees, replays placebos, and shows all that."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import structlog
from aiohttp import web

from afdp_exporter.automation.actions import Actions
from afdp_exporter.errors import AFDPError, StoreError
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.metrics import Instruments
from afdp_exporter.model import Announcement, Deployment, Impact, Look
from afdp_exporter.planning.planner import Planner
from afdp_exporter.store import Announced
from afdp_exporter.tracking.feeding import Feeding
from afdp_exporter.watching.analysis import Analyst, Answer
from afdp_exporter.watching.dispatch import Dispatcher
from afdp_exporter.watching.remedies import looks_again
from afdp_exporter.watching.rounds import Rounds
from afdp_exporter.watching.stability import stabilities
from afdp_exporter.watching.trust import alarms_by_metric
from afdp_exporter.watching.watch import Watcher

log = structlog.get_logger(__name__)

_RECEIVERS_SECONDS = 15.0
_TICK = 1.0  # seconds
_TICKS_PER_GLANCE = 5  # at the store, for its size and its backlog
_STABILITY_SECONDS = 60.0  # at most once in that time, when something was measured, and
_LABEL_SECONDS = 900.0  # after that time in any case: people label outcomes
_REPLAY_SECONDS = 6 * 3600.0
_FIRST_REPLAY_SECONDS = 60.0  # as long as nothing is known to have been deployed
_YOUNG_REPLAY_SECONDS = 900.0  # as long as there is too little history for any placebo
_REPLAYED_PLACES = 20  # services whose series are replayed, so that it stays a matter of minutes


async def show_all(state: State) -> None:
    """Fill `/metrics` from the store."""
    exposure = state.rules.exposure
    state.instruments.expose(exposure)
    await state.recall()
    for measured in await state.store.recent(exposure.deployments_per_service):
        state.instruments.show(measured.deployment, measured.impact)


async def showing(app: web.Application) -> AsyncIterator[None]:
    """Fill `/metrics` from the store, and keep what it tells of the process itself up to date."""
    state = app[STATE]
    await show_all(state)
    await _glance(state)
    state.ready = True
    async with _working(state, _tick(state)):
        yield
    state.ready = False


async def watching(app: web.Application) -> AsyncIterator[None]:
    """Answer due looks and learn from them as long as the app runs; what is under way then is due at the next start."""
    state = app[STATE]
    receivers = _receivers(state) if not await _receivers_kept(state) else None
    measured = asyncio.Event()
    measured.set()
    telling = _telling(state)

    comparing = Rounds(state.canaries.work, clock=state.clock, next_at=state.canaries.next_at)

    acting = Rounds(state.actions.work, clock=state.clock, next_at=state.actions.next_at)
    await state.actions.recover()
    looking = _looking(state, _Followers(state.instruments, state.planner, telling, measured, state.actions, acting))

    def due() -> None:
        looking.wake()
        comparing.wake()
        acting.wake()
        telling.wake()

    state.due = due
    works = (
        looking.run(),
        telling.run(),
        comparing.run(),
        acting.run(),
        _feeding(state),
        state.planner.run(lambda: state.rules.plans, state.clock, state.foresight.refresh),
        state.foresight.run(),
        _replaying(state),
        _judging(state, measured),
        state.reloading.run(),
        *([receivers] if receivers is not None else []),
    )
    async with AsyncExitStack() as working:
        for work in works:
            await working.enter_async_context(_working(state, work))
        yield
    await state.workers.closed()


async def _receivers_kept(state: State) -> bool:
    try:
        await state.store.set_receivers(state.rules.receivers)
    except StoreError as error:
        log.error("store does not answer", error=str(error))
        return False
    return True


async def _receivers(state: State) -> None:
    """Keep who is told, once the store can be written to."""
    while True:
        await asyncio.sleep(_RECEIVERS_SECONDS)
        if await _receivers_kept(state):
            return


def _looking(state: State, followers: "_Followers") -> Rounds:
    """Answer the looks that are due."""
    analyst = Analyst(
        watched=lambda: state.rules.watched,
        store=state.store,
        workers=state.workers,
        observer=state.instruments.queries,
    )

    async def look_at(look: Look, at: datetime) -> Answer:
        return await analyst.conclude(await analyst.weigh(look, at))

    async def follow_up(look: Look, at: datetime) -> tuple[Look, ...]:
        within = state.rules.watched.settings.impact.remedy_within
        return await looks_again(look, store=state.store, within=within, now=at)

    watcher = Watcher(
        store=state.store,
        analyse=look_at,
        schedule=lambda: state.rules.schedule,
        observer=followers,
        clock=state.clock,
        at_once=lambda: 2 * state.rules.watched.settings.workers,
        follow_up=follow_up,
    )
    return Rounds(watcher.work, clock=state.clock, next_at=state.store.next_look_at)


def _telling(state: State) -> Rounds:
    """Tell receivers what has happened."""
    dispatcher = Dispatcher(
        store=state.store,
        receivers=lambda: state.rules.receivers,
        observer=state.instruments.notifications,
        clock=state.clock,
        external=state.external,
    )
    return Rounds(dispatcher.work, clock=state.clock)


async def _feeding(state: State) -> None:
    """Follow the feeds, anew when a reload has changed them."""
    feeding = Feeding(
        store=state.store,
        rules=lambda: state.rules.mapping,
        schedule=lambda: state.rules.schedule,
        audience=_Listeners(state),
        clock=state.clock,
    )
    while True:
        feeds = state.rules.feeds
        state.instruments.annotations.feeds_changed()
        async with _working(state, feeding.follow(feeds)):
            while state.rules.feeds == feeds:  # noqa: ASYNC110 - a reload swaps the rules, and tells nobody
                await asyncio.sleep(_TICK)


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Who listens to the feeds: everything that a deployment told over HTTP reaches, too."""

    state: State

    def taken(self, announcement: Announcement, announced: Announced) -> None:
        self.state.instruments.annotations.received(announcement.sender)
        if announced.deployment is not None:
            self.state.told(announced.deployment)

    def described(self, deployment: Deployment) -> None:
        self.state.told(deployment)

    def left_out(self, feed: str, reason: str) -> None:
        self.state.instruments.annotations.ignored(feed, 1)
        log.info("event ignored", feed=feed, reason=reason)

    def fed(self, feed: str, *, well: bool) -> None:
        self.state.instruments.annotations.fed(feed, well=well)


async def _replaying(state: State) -> None:
    """Measure now and then, on the series that are watched here, how often an innocent deployment is blamed."""
    while True:
        pause = _FIRST_REPLAY_SECONDS
        watched, now = state.rules.watched, state.clock()
        try:
            recent = await state.store.recent(1)
            places = [(each.deployment.service, each.deployment.environment) for each in recent][:_REPLAYED_PLACES]
            known = await state.store.between(now - 2 * watched.settings.history, now)
            found = await alarms_by_metric(watched, places, known, workers=state.workers, now=now)
        except AFDPError as error:
            log.warning("false alarms not measured", error=str(error))
        else:
            for metric, alarms in found.items():
                state.instruments.looks.replayed(metric, blamed=alarms.count, placebos=alarms.n)
                state.gatekeeper.levels.false_alarms[metric] = (alarms.count, alarms.n)
            if places:
                known_yet = not found or any(alarms.n for alarms in found.values())
                pause = _REPLAY_SECONDS if known_yet else _YOUNG_REPLAY_SECONDS
        await asyncio.sleep(pause)


async def _judging(state: State, measured: asyncio.Event) -> None:
    """Tell how stable the deployments of each service are."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LABEL_SECONDS):
                await measured.wait()
        measured.clear()
        try:
            state.instruments.stability.show(await stabilities(state.store, state.clock()))
            await state.gatekeeper.levels.refresh(state.clock())
            state.instruments.gate.show_levels(
                {place: found.level for place, found in state.gatekeeper.levels.all().items()}
            )
            state.gatekeeper.changed()
        except StoreError as error:
            log.error("stability not measured", error=str(error))
        await asyncio.sleep(_STABILITY_SECONDS)


@dataclass(frozen=True, slots=True)
class _Followers:
    """Who follows the looks: `/metrics` shows them, receivers are told, planning and stability follow from them."""

    instruments: Instruments
    planner: Planner
    telling: Rounds
    new: asyncio.Event
    actions: Actions
    acting: Rounds

    def looked(self, verdict: str, seconds: float) -> None:
        self.instruments.looks.looked(verdict, seconds)

    def measured(self, impact: Impact) -> None:
        self.instruments.measured(impact)
        self.planner.measured(impact.deployment_id)
        self.telling.wake()
        self.new.set()
        self.actions.measured(impact.deployment_id)
        self.acting.wake()


@asynccontextmanager
async def _working(state: State, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have work done in the background that only ends with the app."""
    task = asyncio.create_task(work)
    state.background.add(task)
    try:
        yield
    finally:
        state.background.discard(task)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _tick(state: State) -> None:
    loop = asyncio.get_running_loop()
    ticks = 0
    while True:
        planned = loop.time() + _TICK
        await asyncio.sleep(_TICK)
        state.instruments.process.lagged(max(loop.time() - planned, 0))
        ticks += 1
        if ticks % _TICKS_PER_GLANCE == 0:
            await _glance(state)


async def _glance(state: State) -> None:
    told = state.instruments
    try:
        backlog = await state.store.backlog(state.clock())
        told.looks.waiting(backlog.count, backlog.oldest_due_at)
        told.process.stored(await state.store.size_bytes(), writable=state.store.writable)
        told.notifications.waiting(await state.store.pending_notices())
    except StoreError as error:
        log.error("store does not answer", error=str(error))
