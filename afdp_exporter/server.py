"""Builds everything, starts it, ends it; the one place that asks the clock."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from aiohttp import web

from afdp_exporter import __version__
from afdp_exporter import config as configuration
from afdp_exporter.analysis import analyse
from afdp_exporter.config import Config
from afdp_exporter.errors import AFDPError, ConfigError, StoreError
from afdp_exporter.handlers import tls
from afdp_exporter.handlers.connections import listening
from afdp_exporter.handlers.middleware import authentication, limits, problems, secure
from afdp_exporter.handlers.reading import LARGEST_BODY
from afdp_exporter.handlers.routes import add_routes
from afdp_exporter.handlers.state import STATE, Rules, State
from afdp_exporter.handlers.tls import TLS
from afdp_exporter.metrics import Instruments
from afdp_exporter.model import Impact, Look
from afdp_exporter.planning import Planner
from afdp_exporter.store import Store
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.trust import false_alarm_ratios
from afdp_exporter.watch import Watcher
from afdp_exporter.workers import Workers

log = structlog.get_logger(__name__)

_TICK = 1.0  # seconds
_TICKS_PER_GLANCE = 5  # at the store, for its size and its backlog
_REPLAY_SECONDS = 6 * 3600.0
_FIRST_REPLAY_SECONDS = 60.0  # as long as nothing is known to have been deployed
_REPLAYED_PLACES = 20  # services whose series are replayed, so that it stays a matter of minutes
DATABASE = "afdp.db"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def make_app(
    config: Config, *, store: Store, clock: Callable[[], datetime] = now, load: Callable[[], Config] | None = None
) -> web.Application:
    """The whole exporter as an app; `load` reads the configuration anew for a reload. The caller closes the store."""
    instruments = Instruments(config.policy.exposure)
    instruments.reloaded(clock())
    app = web.Application(middlewares=[problems, limits, authentication], client_max_size=LARGEST_BODY)

    async def reload() -> None:
        await _reload(app[STATE], load or (lambda: config))

    workers = Workers(config.policy.analysis.workers)
    app[STATE] = State(
        store=store,
        instruments=instruments,
        clock=clock,
        rules=_rules(config),
        workers=workers,
        planner=Planner(store=store, workers=workers),
        reload=reload,
        due=lambda: None,
    )
    add_routes(app)
    app.on_response_prepare.append(secure)
    app.cleanup_ctx.append(_showing)
    app.cleanup_ctx.append(_watching)
    return app


def _rules(config: Config) -> Rules:
    policy = config.policy
    return Rules(
        tokens=config.tokens,
        schedule=policy.watch,
        exposure=policy.exposure,
        watched=config.watched,
        plans=config.plans,
    )


async def _reload(state: State, load: Callable[[], Config]) -> None:
    """Swap the configuration for a new one. Raises ConfigError, and nothing has changed then."""
    try:
        fresh = await asyncio.to_thread(load)
    except ConfigError as error:
        state.instruments.reloaded(None)
        log.error("configuration not reloaded", error=str(error))
        raise
    state.rules = _rules(fresh)
    await _show_all(state)
    state.instruments.reloaded(state.clock())
    log.info("configuration reloaded")


async def _reload_if_right(state: State) -> None:
    with suppress(ConfigError):  # which is in the log and on /metrics
        await state.reload()


async def _show_all(state: State) -> None:
    exposure = state.rules.exposure
    state.instruments.expose(exposure)
    for measured in await state.store.recent(exposure.deployments_per_service):
        state.instruments.show(measured.deployment, measured.impact)


async def _showing(app: web.Application) -> AsyncIterator[None]:
    """Fill `/metrics` from the store, and keep what it tells of the process itself up to date."""
    state = app[STATE]
    await _show_all(state)
    await _glance(state)
    state.ready = True
    async with _working(state, _tick(state)):
        yield
    state.ready = False


async def _watching(app: web.Application) -> AsyncIterator[None]:
    """Answer due looks and learn from them as long as the app runs; what is under way then is due at the next start."""
    state = app[STATE]

    async def look_at(look: Look, at: datetime) -> tuple[Impact, Mapping[str, object]]:
        watched, told = state.rules.watched, state.instruments
        return await analyse(look, watched=watched, store=state.store, workers=state.workers, observer=told, now=at)

    watcher = Watcher(
        store=state.store,
        analyse=look_at,
        observer=_Followers(state.instruments, state.planner),
        clock=state.clock,
        at_once=2 * state.rules.watched.settings.workers,
    )
    state.due = watcher.wake
    learning = state.planner.run(lambda: state.rules.plans, state.clock)
    works = (watcher.run(), learning, _replaying(state))
    async with AsyncExitStack() as working:
        for work in works:
            await working.enter_async_context(_working(state, work))
        yield
    await asyncio.to_thread(state.workers.close)


async def _replaying(state: State) -> None:
    """Measure now and then, on the series that are watched here, how often an innocent deployment is blamed."""
    while True:
        recent = await state.store.recent(1)
        places = [(each.deployment.service, each.deployment.environment) for each in recent][:_REPLAYED_PLACES]
        try:
            found = await false_alarm_ratios(
                state.rules.watched, places, store=state.store, workers=state.workers, now=state.clock()
            )
        except AFDPError as error:
            log.warning("false alarms not measured", error=str(error))
        else:
            for metric, alarms in found.items():
                state.instruments.replayed(metric, blamed=alarms.count, placebos=alarms.n)
        await asyncio.sleep(_REPLAY_SECONDS if places else _FIRST_REPLAY_SECONDS)


@dataclass(frozen=True, slots=True)
class _Followers:
    """Who follows the looks: `/metrics` shows them, planning learns from them."""

    instruments: Instruments
    planner: Planner

    def looked(self, verdict: str, seconds: float) -> None:
        self.instruments.looked(verdict, seconds)

    def measured(self, impact: Impact) -> None:
        self.instruments.measured(impact)
        self.planner.measured()


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
        state.instruments.lagged(max(loop.time() - planned, 0))
        ticks += 1
        if ticks % _TICKS_PER_GLANCE == 0:
            await _glance(state)


async def _glance(state: State) -> None:
    try:
        backlog = await state.store.backlog(state.clock())
        size = await state.store.size_bytes()
    except StoreError as error:
        log.error("store does not answer", error=str(error))
        return
    state.instruments.stored(size_bytes=size, pending=backlog.count, oldest_pending_at=backlog.oldest_due_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How an exporter is served: the flags of `afdp serve`."""

    config_file: Path
    host: str
    port: int
    storage: Path
    tls: TLS | None = None


async def serve(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; whatever was accepted by then is on disk. Raises AFDPError where it cannot."""
    config = configuration.load(serving.config_file)
    if serving.host not in _LOOPBACK and not config.tokens:
        log.warning("everybody who reaches this address may record deployments: configure tokens", host=serving.host)
    await asyncio.to_thread(serving.storage.mkdir, parents=True, exist_ok=True)
    store = await SQLiteStore.open(serving.storage / DATABASE)
    try:
        app = make_app(config, store=store, load=lambda: configuration.load(serving.config_file))
        context = await asyncio.to_thread(tls.serving, serving.tls) if serving.tls else None
        async with listening(app, serving.host, serving.port, tls=context) as address:
            log.info("listening", address=address, version=__version__)
            await until_ended(app[STATE])
            log.info("ending")
    finally:
        await store.close()
    log.info("ended")


async def until_ended(state: State) -> None:
    """Wait for SIGTERM or SIGINT, reloading on SIGHUP. Raises what a part raised that must not end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    reloading: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.ensure_future(_reload_if_right(state))
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, reload)
    while not ended.is_set():
        if not state.store.healthy:
            raise StoreError("the store's writer has ended; a new start may help")
        for task in state.background:
            if task.done():
                task.result()
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _TICK)
