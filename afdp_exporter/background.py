"""What an app does besides answering: it follows what changes, does what is due, and shows both."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime

import structlog
from aiohttp import web

from afdp_exporter.errors import StoreError
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.job_kinds import (
    ACT,
    APPROVE,
    BOOK,
    FOLLOW,
    HOUSEKEEPING,
    LEARN,
    OWN,
    PLACEBO,
    REFRESH,
    STABILITY,
    bills,
    feeds,
    single,
)
from afdp_exporter.model import Action, Deployment, Event, MeasuredDeployment
from afdp_exporter.planning.refresher import is_ahead
from afdp_exporter.store import NewJob, StoredChange
from afdp_exporter.store.follow_ups import (
    ACTION,
    APPROVAL,
    AT_ONCE,
    DEPLOYMENT,
    EVENT,
    FALSE_ALARMS,
    IMPACT,
    PREDICT,
    PREDICTION,
    ROLLOUT,
)

log = structlog.get_logger(__name__)

_OF_DEPLOYMENTS = frozenset({DEPLOYMENT, IMPACT, PREDICTION, ROLLOUT})
_FOLLOWED_BY = {ACTION: ACT, APPROVAL: APPROVE}
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_AGAIN_SECONDS = 15.0  # until a store that takes nothing in is tried again
_TICK = 1.0  # seconds
_TICKS_PER_GLANCE = 5  # at the store, for its size and its backlog


async def show_all(state: AppContext) -> None:
    """Fill `/metrics` from the store, and take the events that were reported into account."""
    exposure = state.rules.exposure
    state.instruments.expose(exposure)
    state.happened.clear()
    take_into_account(state, await state.store.events.overlapping(_EVER, _NEVER))
    recent = await state.store.history.recent(exposure.deployments_per_service)
    for measured in recent:
        state.instruments.show(measured.deployment, measured.impact)
        await _show_rollout(state, measured.deployment)
    await _show_predictions(state, [each.deployment for each in recent])
    await _show_false_alarms(state)


async def _show_predictions(state: AppContext, deployments: Sequence[Deployment]) -> None:
    """Show what is expected of those that are planned or running, whichever process has predicted it."""
    ahead = {each.id: each for each in deployments if is_ahead(each)}
    if not ahead:
        return
    for deployment_id, prediction in (await state.store.results.predictions(tuple(ahead))).items():
        state.instruments.outlook.predicted(ahead[deployment_id], prediction)


async def _show_false_alarms(state: AppContext) -> None:
    """Show how often innocent times are blamed, whichever process has replayed them, and count with that."""
    found = await state.store.levels.false_alarms()
    for metric, (blamed, judged) in found.items():
        state.instruments.looks.replayed(metric, blamed=blamed, placebos=judged)
    state.gatekeeper.levels.false_alarms = found


async def _show_rollout(state: AppContext, deployment: Deployment) -> None:
    """Show how a new version under way does beside the one before it, whichever process has compared them."""
    if not state.following.take(deployment):
        return
    rollout = await state.store.rollouts.find(deployment.id)
    if rollout is not None:
        state.instruments.rollouts.show(deployment, rollout)


def take_into_account(state: AppContext, events: Iterable[Event]) -> None:
    """These events, too, as they stand in the store."""
    state.happened.update((event.id, event.calendar_entry) for event in events)
    state.rules = state.rules.during(state.happened.values())
    state.instruments.events.show(state.rules.plans.occasions)
    state.gatekeeper.changed()


async def serve_metrics(app: web.Application) -> AsyncIterator[None]:
    """Fill `/metrics` from the store, follow what changes there, and keep what it says of the process up to date."""
    state = app[STATE]
    await state.follower.begin()
    await show_all(state)
    await _sample_store(state)
    state.ready = True
    async with _working(state, _measure_loop_lag(state)), _working(state, state.follower.run()):
        yield
    state.ready = False


async def run_jobs(app: web.Application) -> AsyncIterator[None]:
    """Do what is due as long as the app runs; what is under way at its end is due at the next start."""
    state = app[STATE]
    await state.actions.recall()
    await state.leadership.campaign()
    async with AsyncExitStack() as stack:
        for work in (_jobs(state), _own_jobs(state), state.leadership.run(), state.reloading.run()):
            await stack.enter_async_context(_working(state, work))
        yield
    await state.compute.close()


async def analysing(app: web.Application) -> AsyncIterator[None]:
    """Answer due looks for those who serve, at what is paid."""
    state = app[STATE]
    await state.own_jobs.enqueue(*bills(state))
    async with AsyncExitStack() as stack:
        for work in (state.runner.run(), state.own_runner.run(), state.reloading.run()):
            await stack.enter_async_context(_working(state, work))
        yield
    await state.compute.close()


async def _jobs(state: AppContext) -> None:
    """Have everything that recurs begin anew, once the store takes it in, and do what is due from then on."""
    while True:
        try:
            await state.store.notices.set_receivers(state.rules.receivers)
            ahead = [NewJob(kind=PREDICT, key=each, due_at=AT_ONCE) for each in await state.refresher.ahead()]
            await state.store.jobs.enqueue(
                *single(FOLLOW, ACT, APPROVE, BOOK, HOUSEKEEPING, PLACEBO), *feeds(state), *ahead
            )
            break
        except StoreError as error:
            log.error("store does not answer", error=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
    await state.runner.run()


async def _own_jobs(state: AppContext) -> None:
    """What fills the memory of this process, whichever others share the store: its jobs are its own."""
    await state.own_jobs.enqueue(*single(REFRESH, STABILITY), *bills(state))
    await state.own_runner.run()


async def follow(state: AppContext, changes: Sequence[StoredChange]) -> None:
    """Bring what is held in memory in line with what has changed in the store, and have done what follows."""
    kinds = {(change.kind, change.id) for change in changes}
    changed = {kind for kind, _ in kinds}
    if EVENT in changed:
        take_into_account(state, await state.store.events.of([each for kind, each in kinds if kind == EVENT]))
    follows = {_FOLLOWED_BY[kind] for kind in changed & _FOLLOWED_BY.keys()} | (
        {APPROVE} if state.rules.lines else set()
    )
    if FALSE_ALARMS in changed:
        await _show_false_alarms(state)
        follows.add(STABILITY)
    known = await _known(state, [each for each in changes if each.kind in _OF_DEPLOYMENTS])
    of_each = defaultdict[str, set[str]](set)
    for kind, each in kinds:
        of_each[each].add(kind)
    for measured in known:
        follows |= _shown(state, measured, of_each[measured.deployment.id])
        if (ROLLOUT, measured.deployment.id) in kinds:
            await _show_rollout(state, measured.deployment)
    if PREDICTION in changed:
        predicted = [each.deployment for each in known if (PREDICTION, each.deployment.id) in kinds]
        await _show_predictions(state, predicted)
    for action_id in (each for kind, each in kinds if kind == ACTION):
        book(state, await state.store.actions.find(action_id))
    await _enqueue(state, follows)


def book(state: AppContext, action: Action) -> None:
    """An action stands where it stands by now: show it, and count what it was worth or cost."""
    state.instruments.gate.booked(action, state.ledger.book(action))


async def _known(state: AppContext, changes: Sequence[StoredChange]) -> list[MeasuredDeployment]:
    """The deployments that have changed, as they are now."""
    recorded = {change.id: change.recorded for change in changes}  # None of one that has changed since then
    unknown = tuple(each for each, deployment in recorded.items() if deployment is None)
    found = await state.store.history.of(unknown) if unknown else []
    return [*found, *(MeasuredDeployment(deployment=each, impact=None) for each in recorded.values() if each)]


async def _enqueue(state: AppContext, follows: set[str]) -> None:
    own, shared = follows & OWN, follows - OWN
    if own:
        await state.own_jobs.enqueue(*single(*own))
        state.own_runner.wake()
    if shared:
        await state.store.jobs.enqueue(*single(*shared))
    state.runner.wake()


def _shown(state: AppContext, measured: MeasuredDeployment, changed: set[str]) -> set[str]:
    """Show a deployment as it is now; which jobs follow from what changed of it."""
    deployment, impact = measured.deployment, measured.impact
    state.gatekeeper.changed(deployment.service)
    follows = set[str]()
    if DEPLOYMENT in changed:
        state.instruments.show(deployment, impact)
        if not is_ahead(deployment):
            state.instruments.outlook.over(deployment.id)
        if state.following.take(deployment):
            follows.add(FOLLOW)
    elif impact is not None:
        state.instruments.measured(impact)
    if IMPACT in changed:
        state.planner.measured(deployment.id)
        follows |= {LEARN, STABILITY}
    return follows


@asynccontextmanager
async def _working(state: AppContext, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
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


async def _measure_loop_lag(state: AppContext) -> None:
    loop = asyncio.get_running_loop()
    ticks = 0
    while True:
        planned = loop.time() + _TICK
        await asyncio.sleep(_TICK)
        state.instruments.process.lagged(max(loop.time() - planned, 0))
        ticks += 1
        if ticks % _TICKS_PER_GLANCE == 0:
            await _sample_store(state)


async def _sample_store(state: AppContext) -> None:
    shown = state.instruments
    try:
        backlog = await state.store.looks.backlog(state.clock())
        shown.looks.waiting(backlog.count, backlog.oldest_due_at)
        shown.process.stored(await state.store.size_bytes(), writable=state.store.writable)
        shown.notifications.waiting(await state.store.notices.pending())
    except StoreError as error:
        log.error("store does not answer", error=str(error))
