"""`afdp demo`: a shop with a known truth, analysed, compared and served."""

import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from afdp_exporter import logs, server
from afdp_exporter.automation.gatekeeper import GateQuestion
from afdp_exporter.commands._options import FOLDER, Address, option
from afdp_exporter.commands._progress import Advance
from afdp_exporter.config import Config, Policy
from afdp_exporter.demo import rollouts, shop
from afdp_exporter.demo.comparison import compare, score
from afdp_exporter.demo.recording import write_recording
from afdp_exporter.demo.rollouts import UnderWay, under_way
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.errors import AnalysisError, ConfigError
from afdp_exporter.executors import Scope, Way
from afdp_exporter.executors.webhook import Webhook
from afdp_exporter.fields import read_time
from afdp_exporter.gate.settings import Enforcement, GateSettings
from afdp_exporter.handlers.connections import listening
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.gate import verdict
from afdp_exporter.model import Deployment, Impact, MeasuredDeployment
from afdp_exporter.planning.forecast import predict_as_of_start
from afdp_exporter.planning.plans import Calendar
from afdp_exporter.sources.recording import InMemorySource
from afdp_exporter.store import Store
from afdp_exporter.store.opening import DATABASE, open_store, url_of_file
from afdp_exporter.watching.watch import schedule_looks
from afdp_exporter.wording.numbers import format_forecast, format_money, format_share_range
from afdp_exporter.wording.times import format_day_and_time

_NOWHERE = ("127.0.0.1", 0)  # a port that nobody knows
_WIDTH = 120  # of tables in a pipe
_GLANCE = 0.1  # seconds between two looks at what is left to analyse
_GATES = {
    rollouts.SEARCH: GateSettings(mode=Enforcement.ENFORCED, guard_rails={rollouts.FAILED: rollouts.FAILED_LIMIT}),
    rollouts.CATALOGUE: GateSettings(mode=Enforcement.ENFORCED),
}
_WAYS = (
    Way(
        name="pipeline", kind="webhook", executor=Webhook(url="http://127.0.0.1:9", path="/rollback"),
        scope=Scope(services=(rollouts.SEARCH, rollouts.CATALOGUE), dry_run=True),
    ),
)  # fmt: skip


class _Instant(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else read_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("demo", epilog="Example: afdp demo --exit")
@click.option("--exit", "exits", is_flag=True, help="End after the report is printed.")
@click.option("--write", "folder", type=FOLDER, help="Only write the shop as files into this folder: a recording.")
@option("--web.listen-address", "address", type=Address(), default="127.0.0.1:10333", help="Port 0 takes a free one.")
@option("--storage.path", "storage", type=FOLDER, help="Keep the data here; default: a temporary folder.")
@click.option("--end", type=_Instant(), help="When the shop's history ends; default: now.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed gives another shop."
)
def demo(
    *, exits: bool, folder: Path | None, address: tuple[str, int], storage: Path | None, end: datetime | None, seed: int
) -> None:
    """Run a demo shop: 8 weeks of deployments with known effects.

    It is served at once, until Ctrl-C; the report at the end compares what was planted with what was measured.
    """
    logs.set_up("warn", "logfmt")
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    world = make_world(end or server.now(), seed=seed)
    points = sum(series.times.size for series in world.series)
    _say(
        console,
        f"A shop with {shop.HISTORY.days} days of history: {len(world.deployments)} deployments of "
        f"{len(shop.SERVICES)} services, {len(shop.METRICS)} metrics, {points:,} points.",
    )
    if folder is not None:
        write_recording(world, folder)
        _say(console, f"Written. Try: afdp check --config.file={folder / 'afdp.yml'}")
        return
    clock = server.now if end is None else _clock_from(end)
    with _kept_in(storage) as path:
        try:
            asyncio.run(_live(world, clock, path / DATABASE, None if exits else address, console))
        except asyncio.CancelledError:
            raise click.Abort from None


@contextmanager
def _kept_in(storage: Path | None) -> Iterator[Path]:
    if storage is None:
        with tempfile.TemporaryDirectory(prefix="afdp-demo-") as folder:
            yield Path(folder)
    else:
        yield storage


def _clock_from(end: datetime) -> Callable[[], datetime]:
    """A clock that shows `end` now, and goes on from there."""
    began = time.monotonic()
    return lambda: end + timedelta(seconds=time.monotonic() - began)


async def _live(
    world: World,
    clock: Callable[[], datetime],
    file: Path,
    address: tuple[str, int] | None,
    console: Console,
) -> None:
    """Import the history, have it analysed, show it, and serve it at the address, if there is one.

    A signal to end cancels it, whatever it does, and whatever the caller has made of SIGINT.
    """
    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: here and here.cancel())
    store = await open_store(url_of_file(file), make=True)
    try:
        beside = under_way(world.end, world.seed)
        config = Config(
            sources={"demo": InMemorySource((*world.series, *beside.series))},
            metrics=(*shop.METRICS, *rollouts.METRICS),
            services={service.name: service for service in (*shop.SERVICES, *rollouts.SERVICES)},
            calendar=(world.sale,),
            policy=Policy(gates=_GATES),
            rollback=_WAYS,
        )
        await _import(world, beside, store, config, clock())
        app = server.make_app(config, store=store, clock=clock)
        async with listening(app, [address or _NOWHERE]) as (url,):
            if address is not None:
                _say(console, f"Open {url}/ now: results appear there one by one, all of them in some minutes.")
            await _replayed(store, clock, console)
            await _show(world, store, console)
            if address is not None:
                await _ask_the_gate(app[STATE], beside, console)
                signals = server.install_signal_handlers()
                _say(console, _tour(world, url))
                _say(console, f"\nServing {url}/, {url}/api/v1/deployments and {url}/metrics until Ctrl-C.")
                await server.serve_until_stopped(app[STATE], signals)
    finally:
        await store.close()


def _tour(world: World, url: str) -> str:
    """Five pages to begin with."""
    stops = (
        (f"/deployments/{world.update.id}", "an update that costs money, and still does"),
        (f"/deployments/{world.migration.id}", "a migration that hurt for some minutes, and is over"),
        (f"/services/{world.update.service}", "how stable this service is"),
        (f"/predictions?service={world.update.service}&change_types=code", "what its next deployment may do"),
        ("/trust", "how far to trust all this"),
    )
    return "\n".join(["\nA tour in five pages:", *(f"  {url}{path}   {what}" for path, what in stops)])


async def _import(world: World, beside: UnderWay, store: Store, config: Config, now: datetime) -> None:
    """Record what is over. Raises ConfigError where the store holds deployments of another shop."""
    schedule, over = config.policy.schedule, (*world.deployments, *beside.switched)
    recorded = await asyncio.gather(
        *(store.deployments.record(each, schedule_looks(each, schedule, now)) for each in over)
    )
    if [each.deployment for each in recorded] != list(over):
        raise ConfigError("storage.path", "holds deployments of another time: the demo wants a folder of its own")
    for green in beside.greens:
        await store.rollouts.keep(rollouts.CATALOGUE, green)


async def _replayed(store: Store, clock: Callable[[], datetime], console: Console) -> None:
    """Wait until everything that is due was analysed."""
    total = (await store.looks.backlog(clock())).count
    with Advance("Analysing deployments", total, console=console) as progress:
        while left := (await store.looks.backlog(clock())).count:
            progress.reach(total - left)
            await asyncio.sleep(_GLANCE)


async def _show(world: World, store: Store, console: Console) -> None:
    """The two stories, planted beside measured, and how all deployments fared."""
    impacts = {}
    for deployment in world.deployments:
        impact = await store.results.impact(deployment.id)
        if impact is None:
            raise AnalysisError(
                f"{deployment.name} has no answer: {(await store.looks.of_deployment(deployment.id))[0].reason}"
            )
        impacts[deployment.id] = impact
    for title, deployment in (("The newest API update", world.update), ("The newest migration", world.migration)):
        _story(title, world, deployment, impacts[deployment.id], console)
    measured = await store.history.measured(before=world.update.started_at)
    _predicted(world, [each for each in measured if each.deployment.id in impacts], console)
    total = score(world, impacts)
    _say(console, "\nIn all", style="bold")
    _say(
        console,
        f"Of {total.effective} deployments that do something {total.found} were found; "
        f"of {total.harmless} that do nothing {total.blamed} were blamed.",
    )
    _say(
        console,
        f"Of {total.ranges} measured ranges {total.held} hold what was planted, {total.held / total.ranges:.0%}: "
        "a 90 % range promises nine of ten."
        if total.ranges
        else "No range was measured.",
    )


async def _ask_the_gate(state: AppContext, beside: UnderWay, console: Console) -> None:
    """Record what is under way, and ask as a pipeline does, once it was compared."""
    _say(console, "\nMay they go on? Nothing is sent: the rollback is in dry run.", style="bold")
    for deployment in beside.running:
        await state.store.deployments.record(deployment, ())
        while await state.store.rollouts.find(deployment.id) is None:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(_GLANCE)
        question = GateQuestion(
            service=deployment.service, environment=deployment.environment, deployment_id=deployment.id
        )
        decision = await verdict(state, question, caller="demo")
        _say(console, f"{deployment.name}: {decision.verdict}. {decision.reasons[0] if decision.reasons else ''}")


def _story(title: str, world: World, deployment: Deployment, impact: Impact, console: Console) -> None:
    _say(console, f"\n{title}: {deployment.name}, {format_day_and_time(deployment.started_at)}", style="bold")
    for sentence in impact.story:
        _say(console, sentence)
    rows = compare(deployment, world.effects(deployment.id), impact)
    ranged = [row for row in rows if row.inside is not None]
    held = (
        f"{sum(bool(row.inside) for row in ranged)} of {len(ranged)} ranges hold what was planted; nine of ten should."
    )
    table = Table("metric", "planted", "measured [90 % range]", "range holds it", caption=held, caption_justify="left")
    for row in rows:
        table.add_row(row.metric, row.planted, Text(row.measured), {True: "yes", False: "no", None: ""}[row.inside])
    console.print(table)


def _predicted(world: World, history: list[MeasuredDeployment], console: Console) -> None:
    """What would have been predicted for the newest update before it started."""
    update = world.update
    prediction = predict_as_of_start(history, update, Calendar(occasions=(world.sale,)))
    _say(console, f"\nPredicted for {update.name} before it started, from {prediction.n} deployments", style="bold")
    _say(console, f"A risk of {format_share_range(prediction.risk)} of degradation or failure.")
    if prediction.cost is not None:
        worded = partial(format_money, prediction.cost.currency, per_hour=True)
        cost = format_forecast(prediction.cost.per_hour, worded)
        _say(console, f"A cost of {cost}.")
    for warning in prediction.warnings:
        _say(console, f"{warning}.")


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)


COMMAND = demo
