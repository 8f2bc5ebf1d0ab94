"""Builds everything, starts it, ends it; the one place that asks the clock."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import structlog
from aiohttp import web

from afdp_exporter import __version__
from afdp_exporter import config as configuration
from afdp_exporter.automation.canaries import Canaries
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.levels import Levels
from afdp_exporter.background import show_all, showing, watching
from afdp_exporter.config import Config
from afdp_exporter.errors import ConfigError, StoreError
from afdp_exporter.external import NOT_KNOWN, External
from afdp_exporter.gate.settings import settings_of
from afdp_exporter.handlers import tls
from afdp_exporter.handlers.connections import listening
from afdp_exporter.handlers.middleware import authentication, limits, problems, secure
from afdp_exporter.handlers.passwords import Passwords
from afdp_exporter.handlers.reading import LARGEST_BODY
from afdp_exporter.handlers.routes import add_routes
from afdp_exporter.handlers.state import STATE, Rules, State
from afdp_exporter.handlers.web_config import Web
from afdp_exporter.metrics import Instruments
from afdp_exporter.planning.foresight import Foresight
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.tracking.annotating import Annotating
from afdp_exporter.workers import Workers

log = structlog.get_logger(__name__)

_TICK = 1.0  # seconds
DATABASE = "afdp.db"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def make_app(
    config: Config,
    *,
    store: Store,
    clock: Callable[[], datetime] = now,
    load: Callable[[], Config] | None = None,
    web_config: Web | None = None,
    external: External = NOT_KNOWN,
) -> web.Application:
    """The whole exporter as an app; `load` reads the configuration anew for a reload. The caller closes the store."""
    instruments = Instruments(config.policy.exposure)
    instruments.process.reloaded(clock())
    app = web.Application(middlewares=[problems, limits, authentication], client_max_size=LARGEST_BODY)

    async def reload() -> None:
        await _reload(app[STATE], load or (lambda: config))

    workers = Workers(config.policy.analysis.workers)
    planner = Planner(store=store, workers=workers)

    def plans() -> Plans:
        return app[STATE].rules.plans

    app[STATE] = State(
        store=store,
        instruments=instruments,
        clock=clock,
        rules=_rules(config),
        web=web_config or Web(),
        passwords=Passwords(monotonic),
        workers=workers,
        planner=planner,
        foresight=Foresight(planner=planner, store=store, audience=instruments.outlook, plans=plans, clock=clock),
        gatekeeper=_gatekeeper(app, store=store, planner=planner, clock=clock),
        canaries=Canaries(
            store=store,
            watched=lambda: app[STATE].rules.watched,
            settings=lambda service: settings_of(service, app[STATE].rules.gates),
            clock=clock,
            shown=lambda deployment, _: app[STATE].gatekeeper.changed(deployment.service),
        ),
        reload=reload,
        due=lambda: None,
        external=external,
    )
    add_routes(app, external.prefix)
    app.on_response_prepare.append(secure)
    app.cleanup_ctx.append(showing)
    app.cleanup_ctx.append(watching)
    return app


def _gatekeeper(app: web.Application, *, store: Store, planner: Planner, clock: Callable[[], datetime]) -> Gatekeeper:
    """Its settings and calendar are those of the configuration at the moment of a question."""
    return Gatekeeper(
        store=store,
        planner=planner,
        levels=Levels(store=store),
        plans=lambda: app[STATE].rules.plans,
        settings=lambda service: settings_of(service, app[STATE].rules.gates),
        clock=clock,
    )


def _rules(config: Config) -> Rules:
    policy = config.policy
    return Rules(
        tokens=config.tokens,
        users=config.users,
        schedule=policy.schedule,
        exposure=policy.exposure,
        watched=config.watched,
        plans=config.plans,
        receivers=config.notify,
        annotating=Annotating(settings=policy.annotations, rules=config.mapping, schedule=policy.schedule),
        mapping=config.mapping,
        senders=config.senders,
        calendar=config.calendar,
        feeds=config.feeds,
        gates=policy.gates,
    )


async def _reload(state: State, load: Callable[[], Config]) -> None:
    """Swap the configuration for a new one. Raises ConfigError, and nothing has changed then."""
    try:
        fresh = await asyncio.to_thread(load)
    except ConfigError as error:
        state.instruments.process.reloaded(None)
        log.error("configuration not reloaded", error=str(error))
        raise
    state.rules = _rules(fresh)
    await state.store.set_receivers(state.rules.receivers)
    state.instruments.queries.changed()
    await show_all(state)
    state.instruments.process.reloaded(state.clock())
    log.info("configuration reloaded")


async def _reload_if_right(state: State) -> None:
    with suppress(ConfigError):  # which is in the log and on /metrics
        await state.reload()


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How an exporter is served: the flags of `afdp serve`."""

    config_file: Path
    host: str
    port: int
    storage: Path
    web_config: Web | None = None
    external: External = External()


async def serve(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; whatever was accepted by then is on disk. Raises AFDPError where it cannot."""
    config = configuration.load(serving.config_file)
    web_config = serving.web_config or Web()
    block = web_config.now().tls_server_config
    if serving.host not in _LOOPBACK and not config.tokens and not web_config.now().basic_auth_users:
        log.warning("only this machine may record deployments: configure tokens", host=serving.host)
    await asyncio.to_thread(serving.storage.mkdir, parents=True, exist_ok=True)
    store = await SQLiteStore.open(serving.storage / DATABASE)
    try:
        app = make_app(
            config,
            store=store,
            load=lambda: configuration.load(serving.config_file),
            web_config=web_config,
            external=serving.external,
        )
        context = await asyncio.to_thread(tls.serving, block) if block else None
        ended = heed_signals(app[STATE])
        async with listening(app, serving.host, serving.port, tls=context) as address:
            log.info("listening", address=address, version=__version__)
            await until_ended(app[STATE], ended)
            log.info("ending")
    finally:
        await store.close()
    log.info("ended")


def heed_signals(state: State) -> asyncio.Event:
    """From now on SIGTERM and SIGINT set the event that is given back, and SIGHUP reloads."""
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
    return ended


async def until_ended(state: State, ended: asyncio.Event) -> None:
    """Wait for the event. Raises what a part raised that must not end."""
    while not ended.is_set():
        if not state.store.healthy:
            raise StoreError("the store's writer has ended; a new start may help")
        for task in state.background:
            if task.done():
                task.result()
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _TICK)
