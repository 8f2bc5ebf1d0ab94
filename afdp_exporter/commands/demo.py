"""`afdp demo`: a shop with a known truth, analysed, told and served."""

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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from afdp_exporter import logs, server
from afdp_exporter.commands.serve import Address, option
from afdp_exporter.config import Config
from afdp_exporter.demo import shop
from afdp_exporter.demo.comparison import compare, score
from afdp_exporter.demo.recording import write_recording
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.errors import AnalysisError, ConfigError
from afdp_exporter.fields import read_time
from afdp_exporter.handlers.connections import listening
from afdp_exporter.handlers.state import STATE
from afdp_exporter.model import Deployment, Impact, Measured
from afdp_exporter.planning.forecast import in_hindsight
from afdp_exporter.planning.plans import Calendar
from afdp_exporter.sources.recording import Tape
from afdp_exporter.store import Store
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.watch import plan
from afdp_exporter.wording.money import format_money
from afdp_exporter.wording.numbers import format_forecast, format_share_range

_NOWHERE = ("127.0.0.1", 0)  # a port that nobody knows
_WIDTH = 120  # of tables in a pipe
_GLANCE = 0.1  # seconds between two looks at what is left to analyse
_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Instant(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return value if isinstance(value, datetime) else read_time(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("demo", epilog="Example: afdp demo --exit")
@click.option("--exit", "exits", is_flag=True, help="End after the stories are told.")
@click.option("--write", "folder", type=_FOLDER, help="Only write the shop as files into this folder: a recording.")
@option("--web.listen-address", "address", type=Address(), default="127.0.0.1:10333", help="Port 0 takes a free one.")
@option("--storage.path", "storage", type=_FOLDER, help="Where everything is kept; default: until the end only.")
@click.option("--end", type=_Instant(), help="When the shop's history ends; default: now.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another one: another shop.")
def demo(
    *, exits: bool, folder: Path | None, address: tuple[str, int], storage: Path | None, end: datetime | None, seed: int
) -> None:
    """Tell what the deployments of a shop did in eight weeks, where the truth is known; then serve it until Ctrl-C."""
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
            asyncio.run(_live(world, clock, path / server.DATABASE, None if exits else address, console))
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
    world: World, clock: Callable[[], datetime], file: Path, address: tuple[str, int] | None, console: Console
) -> None:
    """Import the history, have it analysed, tell it, and serve it at the address, if there is one.

    A signal to end cancels it, whatever it does, and whatever the caller has made of SIGINT.
    """
    loop, here = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: here and here.cancel())
    store = await SQLiteStore.open(file, folder=True)
    try:
        config = Config(
            sources={"demo": Tape(world.series)},
            metrics=shop.METRICS,
            services={service.name: service for service in shop.SERVICES},
            calendar=(world.sale,),
        )
        await _import(world, store, config, clock())
        app = server.make_app(config, store=store, clock=clock)
        async with listening(app, *(address or _NOWHERE)) as url:
            await _replayed(store, clock, console)
            await _tell(world, store, console)
            if address is not None:
                signals = server.heed_signals()
                _say(console, f"\nServing {url}/, {url}/api/v1/deployments and {url}/metrics until Ctrl-C.")
                _say(console, f"The newest API update in a browser: {url}/deployments/{world.update.id}")
                await server.until_ended(app[STATE], signals)
    finally:
        await store.close()


async def _import(world: World, store: Store, config: Config, now: datetime) -> None:
    """Record every deployment. Raises ConfigError where the store holds those of another shop."""
    schedule = config.policy.schedule
    recorded = await asyncio.gather(
        *(store.record(deployment, plan(deployment, schedule, now)) for deployment in world.deployments)
    )
    if [each.deployment for each in recorded] != list(world.deployments):
        raise ConfigError("storage.path", "holds deployments of another time: the demo wants a folder of its own")


async def _replayed(store: Store, clock: Callable[[], datetime], console: Console) -> None:
    """Wait until everything that is due was analysed; a bar shows it on a terminal."""
    columns = (TextColumn("Analysing deployments"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        total = (await store.backlog(clock())).count
        task = progress.add_task("", total=total)
        while left := (await store.backlog(clock())).count:
            progress.update(task, completed=total - left)
            await asyncio.sleep(_GLANCE)


async def _tell(world: World, store: Store, console: Console) -> None:
    """The two stories, planted beside measured, and how all deployments fared."""
    impacts = {}
    for deployment in world.deployments:
        impact = await store.impact(deployment.id)
        if impact is None:
            raise AnalysisError(f"{deployment.name} has no answer: {(await store.looks(deployment.id))[0].reason}")
        impacts[deployment.id] = impact
    for title, deployment in (("The newest API update", world.update), ("The newest migration", world.migration)):
        _story(title, world, deployment, impacts[deployment.id], console)
    _foretold(world, await store.history(before=world.update.started_at), console)
    total = score(world, impacts)
    _say(
        console,
        f"Of {total.effective} deployments that do something {total.found} were found; "
        f"of {total.harmless} that do nothing {total.blamed} were blamed.",
    )


def _story(title: str, world: World, deployment: Deployment, impact: Impact, console: Console) -> None:
    _say(console, f"\n{title}: {deployment.name}, {deployment.started_at:%A %Y-%m-%d %H:%M} UTC", style="bold")
    for sentence in impact.story:
        _say(console, sentence)
    table = Table("metric", "planted", "measured [5 %, 95 %]", "planted inside")
    for row in compare(deployment, world.effects(deployment.id), impact):
        table.add_row(row.metric, row.planted, Text(row.measured), {True: "yes", False: "no", None: ""}[row.inside])
    console.print(table)


def _foretold(world: World, history: list[Measured], console: Console) -> None:
    """What would have been told of the newest update before it started."""
    update = world.update
    prediction = in_hindsight(history, update, Calendar(occasions=(world.sale,)))
    _say(console, f"\nForetold of {update.name} before it started, from {prediction.n} deployments", style="bold")
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
