"""Builds everything, starts it, ends it; the one place that asks the clock."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
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
from afdp_exporter.allocator import reuse_memory_below
from afdp_exporter.automation.actions import Actions
from afdp_exporter.automation.approvals import Approvals
from afdp_exporter.automation.canaries import Canaries
from afdp_exporter.automation.following import Following
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.greens import Greens
from afdp_exporter.automation.levels import Levels
from afdp_exporter.background import analysing, book, follow, run_jobs, serve_metrics, show_all
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.config import Config
from afdp_exporter.errors import AFDPError, ConfigError, StoreError, last_words
from afdp_exporter.external import NOT_KNOWN, External
from afdp_exporter.gate.settings import GateSettings, settings_of
from afdp_exporter.handlers import tls
from afdp_exporter.handlers.connections import Place, host_of, listening
from afdp_exporter.handlers.context import STATE, AppContext, RuntimeConfig
from afdp_exporter.handlers.load import Load
from afdp_exporter.handlers.middleware import authentication, limits, own_writes, problems, secure
from afdp_exporter.handlers.passwords import Passwords
from afdp_exporter.handlers.reading import LARGEST_BODY
from afdp_exporter.handlers.routes import add_routes
from afdp_exporter.handlers.web_config import ReloadingWebConfig
from afdp_exporter.job_kinds import APPROVE, BILL, FEED, LEARN, bills, feeds, kinds, own_kinds, single
from afdp_exporter.jobs.follower import Follower
from afdp_exporter.jobs.leadership import Leadership
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.metrics import SelfMetrics
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.refresher import PredictionRefresher
from afdp_exporter.reloading import Applier, Reloading
from afdp_exporter.store import JobStore, Store
from afdp_exporter.store.follow_ups import CHECK
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.opening import Opening
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.tracking.annotation_ingestion import AnnotationIngest
from afdp_exporter.watching.evidence import MonitoringConfig
from afdp_exporter.wording.times import use_time_zone

log = structlog.get_logger(__name__)

_TICK = 1.0  # seconds
_LARGE = 64 * 1024  # bytes: the arrays of what was learned are larger, and are replaced again and again
_YOUNG = 20_000  # objects between two looks of the collector for cycles; requests and checks make hardly any of these
_TURN = 0.0005  # seconds until a thread makes way: the store's writer may wait as long after each of its statements
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
    web_config: ReloadingWebConfig | None = None,
    external: External = NOT_KNOWN,
    names: Iterable[str] = (),
    analyses_only: bool = False,
) -> web.Application:
    """The whole exporter as an app; `load` reads the configuration anew for a reload. The caller closes the store.

    `names` are those of this machine under which it may be asked where neither tokens nor users are configured. With
    `analyses_only` it answers due looks, and shows how it goes.
    """
    instruments = SelfMetrics(config.policy.exposure)
    instruments.process.reloaded(clock())
    app = web.Application(middlewares=[problems, limits, authentication, own_writes], client_max_size=LARGEST_BODY)

    def reloaded(well: bool) -> None:
        instruments.process.reloaded(clock() if well else None)

    reader = _reader(app, config, store)
    planner = Planner(reader)
    app[STATE] = AppContext(
        store=store,
        instruments=instruments,
        clock=clock,
        rules=_rules(config),
        web=web_config or ReloadingWebConfig(),
        passwords=Passwords(monotonic),
        compute=reader.compute,
        reader=reader,
        planner=planner,
        refresher=_refresher(app, instruments, planner=planner, store=store, clock=clock),
        **_automation(app, reader=reader, planner=planner, clock=clock, external=external),
        reloading=Reloading(load or (lambda: config), _appliers(app), reloaded),
        **_runners(store, clock),
        leadership=_leadership(store, instruments),
        follower=Follower(store, lambda changes: follow(app[STATE], changes)),
        load=Load(instruments.refusals.refused),
        external=external,
        names=frozenset(name.lower() for name in (external.host, *names) if name),
    )
    _give_work(app[STATE], analyses_only=analyses_only)
    add_routes(app, external.prefixes, all_of_them=not analyses_only)
    app.on_response_prepare.append(secure)
    app.cleanup_ctx.extend((serve_metrics, analysing if analyses_only else run_jobs))
    return app


def _reader(app: web.Application, config: Config, store: Store) -> StoreReader:
    """Has workers read the store: those that also analyse."""
    compute = open_compute(workers=config.policy.analysis.workers, engine=config.policy.analysis.executor)
    return StoreReader(store, compute, lambda: app[STATE].rules.plans.settings.deadline)


class _Runners(TypedDict):
    runner: Runner
    own_jobs: JobStore
    own_runner: Runner


def _runners(store: Store, clock: Callable[[], datetime]) -> _Runners:
    """What works on the jobs of the store, and on those that are kept in memory, since what they fill is there, too."""
    own = MemoryStore()
    return {"runner": Runner(store, clock=clock), "own_jobs": own.jobs, "own_runner": Runner(own, clock=clock)}


def _leadership(store: Store, instruments: SelfMetrics) -> Leadership:
    """Of showing the deployments on `/metrics`."""
    leadership = Leadership(store, "metrics")
    instruments.process.leads("metrics", lambda: leadership.leads)
    return leadership


def _give_work(state: AppContext, *, analyses_only: bool) -> None:
    """The kinds of jobs that this process does."""
    state.runner.add(*(kind for kind in kinds(state) if not analyses_only or kind.name == CHECK))
    state.own_runner.add(*(kind for kind in own_kinds(state) if not analyses_only or kind.name == BILL))


def _refresher(
    app: web.Application, instruments: SelfMetrics, *, planner: Planner, store: Store, clock: Callable[[], datetime]
) -> PredictionRefresher:
    """Predicts, by the calendar and the teams that hold at that moment."""
    return PredictionRefresher(
        planner=planner, store=store, audience=instruments.outlook, plans=lambda: app[STATE].rules.plans, clock=clock
    )


class _Automation(TypedDict):
    gatekeeper: Gatekeeper
    following: Following
    actions: Actions
    approvals: Approvals


def _automation(
    app: web.Application,
    *,
    reader: StoreReader,
    planner: Planner,
    clock: Callable[[], datetime],
    external: External,
) -> _Automation:
    """What decides and acts; its settings are those of the configuration at the moment of a question."""
    store = reader.store

    def settings(service: str) -> GateSettings:
        return settings_of(service, app[STATE].rules.gates)

    gatekeeper = Gatekeeper(
        store=store,
        planner=planner,
        levels=Levels(reader=reader, teams=lambda: app[STATE].rules.plans.teams),
        plans=lambda: app[STATE].rules.plans,
        settings=settings,
        clock=clock,
    )
    actions = Actions(
        store=store,
        gatekeeper=gatekeeper,
        ways=lambda: app[STATE].rules.ways,
        settings=settings,
        schedule=lambda: app[STATE].rules.schedule,
        clock=clock,
        moved=lambda action: app[STATE].instruments.gate.acted(action),  # noqa: PLW0108
        booked=lambda action: book(app[STATE], action),
    )
    return {
        "gatekeeper": gatekeeper,
        "following": _following(app, store, settings, planner, clock),
        "actions": actions,
        "approvals": _approvals(app, gatekeeper, settings, clock, external),
    }


def _following(
    app: web.Application,
    store: Store,
    settings: Callable[[str], GateSettings],
    planner: Planner,
    clock: Callable[[], datetime],
) -> Following:
    """Compares what runs beside the stable version."""

    def watched() -> MonitoringConfig:
        return app[STATE].rules.watched

    canaries = Canaries(store=store, watched=watched, settings=settings)
    greens = Greens(store=store, planner=planner, watched=watched, plans=lambda: app[STATE].rules.plans)

    return Following(
        store=store,
        comparers=(canaries, greens),
        clock=clock,
        gone=lambda deployment_id: app[STATE].instruments.rollouts.forget(deployment_id),  # noqa: PLW0108
    )


def _approvals(
    app: web.Application,
    gatekeeper: Gatekeeper,
    settings: Callable[[str], GateSettings],
    clock: Callable[[], datetime],
    external: External,
) -> Approvals:
    """Calls back who waits for a verdict."""
    return Approvals(
        store=gatekeeper.store,
        gatekeeper=gatekeeper,
        lines=lambda: app[STATE].rules.lines,
        rules=lambda: app[STATE].rules.mapping,
        settings=settings,
        clock=clock,
        external=external,
        reported=lambda kind, result: app[STATE].instruments.gate.called_back(kind, result),  # noqa: PLW0108
    )


def _rules(config: Config) -> RuntimeConfig:
    use_time_zone(config.policy.planning.zone)
    policy = config.policy
    return RuntimeConfig(
        tokens=config.tokens,
        users=config.users,
        schedule=policy.schedule,
        exposure=policy.exposure,
        watched=config.watched,
        plans=config.plans,
        receivers=config.notify,
        annotating=AnnotationIngest(settings=policy.annotations, rules=config.mapping, schedule=policy.schedule),
        mapping=config.mapping,
        senders=config.senders,
        calendar=config.calendar,
        feeds=config.feeds,
        gates=policy.gates,
        ways=config.rollback,
        retention=policy.retention,
        grafana_url=policy.alerts.grafana_url,
        lines=config.approvals,
        bills=config.bills,
    )


def _appliers(app: web.Application) -> tuple[Applier, ...]:
    """What a new configuration changes, in this order: what can fail comes first."""

    async def fixed(config: Config) -> None:
        if config.policy.analysis.executor != app[STATE].rules.watched.settings.executor:
            raise ConfigError("policy.analysis.executor", "another one needs a new start")

    async def receivers(config: Config) -> None:
        await app[STATE].store.notices.set_receivers(config.notify)

    async def rules(config: Config) -> None:
        state, before = app[STATE], app[STATE].rules
        state.rules = _rules(config).during(state.happened.values()).at(before.plans.billed)
        if state.rules.feeds != before.feeds:
            state.instruments.annotations.feeds_changed()
            await state.runner.restart(FEED)
            await state.store.jobs.enqueue(*feeds(state))
        if state.rules.bills != before.bills:
            state.instruments.bills.show(state.rules.plans.billed)
            await state.own_runner.restart(BILL)
            await state.own_jobs.enqueue(*bills(state))

    async def work(config: Config) -> None:
        app[STATE].compute.resize(config.policy.analysis.workers)
        app[STATE].planner.forget()
        await app[STATE].store.jobs.enqueue(*single(APPROVE))
        await app[STATE].own_jobs.enqueue(*single(LEARN))
        app[STATE].runner.wake()
        app[STATE].own_runner.wake()

    async def shown(_: Config) -> None:
        app[STATE].instruments.queries.changed()
        await show_all(app[STATE])

    return fixed, receivers, rules, work, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How an exporter is served: the flags of `afdp serve`; `storage` is its store."""

    config_file: Path
    addresses: Sequence[Place]
    storage: Opening
    web_config: ReloadingWebConfig | None = None
    external: External = External()
    connections_of_address: int = 50
    analyses_only: bool = False


def run(serving: ServeOptions) -> NoReturn:
    """Serve as `serve`, and end the process at once after it: no thread that hangs in a system call is waited for."""
    status = 0
    reuse_memory_below(_LARGE)
    gc.set_threshold(_YOUNG)
    sys.setswitchinterval(_TURN)
    try:
        asyncio.Runner().run(serve(serving))
    except AFDPError as error:
        sys.stderr.write(f"{last_words(error)}\n")
        status = 1
    logging.shutdown()
    os._exit(status)


async def serve(serving: ServeOptions) -> None:
    """Serve until SIGTERM or SIGINT; whatever was accepted by then is on disk. Raises AFDPError where it cannot."""
    signals = install_signal_handlers()
    try:
        config = configuration.load(serving.config_file)
        web_config = serving.web_config or ReloadingWebConfig()
        block = web_config.now().tls_server_config
    except BaseException:
        serving.storage.give_up()
        raise
    public = [host for host in map(host_of, serving.addresses) if host not in _LOOPBACK]
    if public and not config.tokens and not web_config.now().basic_auth_users:
        log.warning("only this machine may record deployments: configure tokens", host=", ".join(public))
    store = await serving.storage.store()
    try:
        app = make_app(
            config,
            store=store,
            load=lambda: configuration.load(serving.config_file),
            web_config=web_config,
            external=serving.external,
            analyses_only=serving.analyses_only,
            names=(*map(host_of, serving.addresses), socket.gethostname(), await asyncio.to_thread(socket.getfqdn)),
        )
        context = await asyncio.to_thread(tls.serving, block) if block else None
        of_address = serving.connections_of_address
        async with listening(app, serving.addresses, tls=context, of_address=of_address) as urls:
            for url in urls:
                log.info("listening", address=url, version=__version__)
            await serve_until_stopped(app[STATE], signals)
            log.info("ending")
    finally:
        await store.close()
    log.info("ended")


@dataclass(frozen=True, slots=True)
class Signals:
    """What the system asks for: an end (SIGTERM, SIGINT), a reload (SIGHUP)."""

    ended: asyncio.Event
    reload: asyncio.Event


def install_signal_handlers() -> Signals:
    """From now on signals set the events that are given back."""
    found = Signals(ended=asyncio.Event(), reload=asyncio.Event())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, found.ended.set)
    loop.add_signal_handler(signal.SIGHUP, found.reload.set)
    return found


async def serve_until_stopped(state: AppContext, signals: Signals) -> None:
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
