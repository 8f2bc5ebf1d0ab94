"""Builds everything, starts it, ends it; the one place that asks the clock."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import NoReturn, TypedDict

import structlog
from aiohttp import web

from afdp_exporter import __version__
from afdp_exporter import config as configuration
from afdp_exporter.automation.actions import Actions
from afdp_exporter.automation.canaries import Canaries
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.levels import Levels
from afdp_exporter.background import show_all, showing, watching
from afdp_exporter.config import Config
from afdp_exporter.errors import AFDPError, StoreError
from afdp_exporter.external import NOT_KNOWN, External
from afdp_exporter.gate.settings import GateSettings, settings_of
from afdp_exporter.handlers import gate_callers, tls
from afdp_exporter.handlers.connections import listening
from afdp_exporter.handlers.middleware import authentication, limits, problems, secure
from afdp_exporter.handlers.passwords import Passwords
from afdp_exporter.handlers.reading import LARGEST_BODY
from afdp_exporter.handlers.routes import add_routes
from afdp_exporter.handlers.state import EVER, NEVER, STATE, Rules, State
from afdp_exporter.handlers.web_config import Web
from afdp_exporter.metrics import Instruments
from afdp_exporter.planning.foresight import Foresight
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.reloading import Applier, Reloading
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

    def reloaded(well: bool) -> None:
        instruments.process.reloaded(clock() if well else None)

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
        **_automation(app, store=store, planner=planner, clock=clock),
        reloading=Reloading(load or (lambda: config), _appliers(app), reloaded),
        due=lambda: None,
        external=external,
    )
    add_routes(app, external.prefix)
    gate_callers.prepare(app)
    app.on_response_prepare.append(secure)
    app.cleanup_ctx.append(showing)
    app.cleanup_ctx.append(watching)
    return app


class _Automation(TypedDict):
    gatekeeper: Gatekeeper
    canaries: Canaries
    actions: Actions


def _automation(app: web.Application, *, store: Store, planner: Planner, clock: Callable[[], datetime]) -> _Automation:
    """What decides and acts; its settings are those of the configuration at the moment of a question."""

    def settings(service: str) -> GateSettings:
        return settings_of(service, app[STATE].rules.gates)

    gatekeeper = Gatekeeper(
        store=store,
        planner=planner,
        levels=Levels(store=store),
        plans=lambda: app[STATE].rules.plans,
        settings=settings,
        clock=clock,
    )
    actions = Actions(
        store=store,
        gatekeeper=gatekeeper,
        ways=lambda: app[STATE].rules.ways,
        settings=settings,
        clock=clock,
        told=lambda deployment: app[STATE].told(deployment),  # noqa: PLW0108 - the state comes after this
        moved=lambda action: app[STATE].instruments.gate.acted(action),  # noqa: PLW0108
        booked=lambda action: app[STATE].instruments.gate.booked(action),  # noqa: PLW0108
    )
    canaries = Canaries(
        store=store,
        watched=lambda: app[STATE].rules.watched,
        settings=settings,
        clock=clock,
        shown=lambda deployment, _: actions.measured(deployment.id),
    )
    return {"gatekeeper": gatekeeper, "canaries": canaries, "actions": actions}


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
        ways=config.rollback,
    )


def _appliers(app: web.Application) -> tuple[Applier, ...]:
    """What a new configuration changes, in this order: what can fail comes first."""

    async def receivers(config: Config) -> None:
        await app[STATE].store.set_receivers(config.notify)

    async def rules(config: Config) -> None:
        events = await app[STATE].store.events(EVER, NEVER)
        app[STATE].rules = _rules(config).during(events)

    async def work(config: Config) -> None:
        app[STATE].workers.resize(config.policy.analysis.workers)
        app[STATE].planner.forget()

    async def shown(_: Config) -> None:
        app[STATE].instruments.queries.changed()
        await show_all(app[STATE])

    return receivers, rules, work, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How an exporter is served: the flags of `afdp serve`."""

    config_file: Path
    host: str
    port: int
    storage: Path
    web_config: Web | None = None
    external: External = External()


def run(serving: Serving) -> NoReturn:
    """Serve as `serve`, and end the process at once after it: no thread that hangs in a system call is waited for."""
    status = 0
    try:
        asyncio.Runner().run(serve(serving))
    except AFDPError as error:
        sys.stderr.write(f"afdp: {error}\n")
        status = 1
    logging.shutdown()
    os._exit(status)


async def serve(serving: Serving) -> None:
    """Serve until SIGTERM or SIGINT; whatever was accepted by then is on disk. Raises AFDPError where it cannot."""
    signals = heed_signals()
    config = configuration.load(serving.config_file)
    web_config = serving.web_config or Web()
    block = web_config.now().tls_server_config
    if serving.host not in _LOOPBACK and not config.tokens and not web_config.now().basic_auth_users:
        log.warning("only this machine may record deployments: configure tokens", host=serving.host)
    store = await SQLiteStore.open(serving.storage / DATABASE, folder=True)
    try:
        app = make_app(
            config,
            store=store,
            load=lambda: configuration.load(serving.config_file),
            web_config=web_config,
            external=serving.external,
        )
        context = await asyncio.to_thread(tls.serving, block) if block else None
        async with listening(app, serving.host, serving.port, tls=context) as address:
            log.info("listening", address=address, version=__version__)
            await until_ended(app[STATE], signals)
            log.info("ending")
    finally:
        await store.close()
    log.info("ended")


@dataclass(frozen=True, slots=True)
class Signals:
    """What the system asks for: an end (SIGTERM, SIGINT), a reload (SIGHUP)."""

    ended: asyncio.Event
    reload: asyncio.Event


def heed_signals() -> Signals:
    """From now on signals set the events that are given back."""
    found = Signals(ended=asyncio.Event(), reload=asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, found.ended.set)
    loop.add_signal_handler(signal.SIGHUP, found.reload.set)
    return found


async def until_ended(state: State, signals: Signals) -> None:
    """Wait for the end, and reload when asked to. Raises what a part raised that must not end."""
    while not signals.ended.is_set():
        if signals.reload.is_set():
            signals.reload.clear()
            state.reloading.call()
        if not state.store.healthy:
            raise StoreError("the store's file was moved away, or its writer has ended; a new start may help")
        for task in state.background:
            if task.done():
                task.result()
        with suppress(TimeoutError):
            async with asyncio.timeout(_TICK):
                await signals.ended.wait()
