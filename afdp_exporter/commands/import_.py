"""`afdp import`: past deployments into the store, and what they did, as far as the sources remember."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from afdp_exporter import config, logs, server
from afdp_exporter.analysis import Analyst
from afdp_exporter.backfill import Backfill, at_a_pace
from afdp_exporter.commands.serve import option
from afdp_exporter.config import Config
from afdp_exporter.evidence import Unobserved
from afdp_exporter.history import read_history
from afdp_exporter.model import Deployment, Impact, Outcome
from afdp_exporter.store import Store
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watch import Schedule, plan
from afdp_exporter.workers import Workers

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_AT_ONCE = 500  # recorded


@click.command("import", epilog="Example: afdp import deployments.jsonl --config.file=afdp.yml --storage.path=data/")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@option("--config.file", "config_file", type=_FILE, default="afdp.yml", help="What is watched, and when.")
@option("--storage.path", "storage", type=_FOLDER, default="data/", help="Where the exporter keeps everything.")
@click.option("--measure/--no-measure", default=True, show_default=True, help="Else afdp serve measures what they did.")
def import_(files: tuple[Path, ...], config_file: Path, storage: Path, *, measure: bool) -> None:
    """Import past deployments from JSON lines or CSV, and measure what they did.

    Importing again changes nothing, and goes on measuring where it was ended. The exporter must not run meanwhile.
    """
    logs.set_up("warn", "logfmt")
    loaded, now = config.load(config_file), server.now()
    deployments = [each for file in files for each in read_history(file, now=now)]
    storage.mkdir(parents=True, exist_ok=True)
    asyncio.run(_import(deployments, loaded, storage / server.DATABASE, now, measure=measure))


async def _import(
    deployments: Sequence[Deployment], loaded: Config, file: Path, now: datetime, *, measure: bool
) -> None:
    store = await SQLiteStore.open(file)
    try:
        created = await _keep(deployments, store, loaded.policy.watch, now)
        click.echo(f"{created} imported, {len(deployments) - created} were there")
        if measure:
            await _measure(store, loaded, now)
        else:
            click.echo("afdp serve measures what they did")
    finally:
        await store.close()


async def _keep(deployments: Sequence[Deployment], store: Store, schedule: Schedule, now: datetime) -> int:
    """Record all of them; how many were new."""
    created = 0
    with _progress("Importing", len(deployments)) as progress:
        for start in range(0, len(deployments), _AT_ONCE):
            some = deployments[start : start + _AT_ONCE]
            kept = await asyncio.gather(*(store.record(each, plan(each, schedule, now)) for each in some))
            created += sum(one.created for one in kept)
            progress.advance(progress.task_ids[0], len(some))
    return created


async def _measure(store: Store, loaded: Config, now: datetime) -> None:
    """Answer what is due, and tell what became of it. Raises SourceUnavailable where a source stays away."""
    left = (await store.backlog(now)).count
    if not left:
        return
    found: Counter[str] = Counter()
    async with _analyst(store, loaded, now) as analyst:
        at_once = 2 * loaded.policy.analysis.workers
        backfill = Backfill(store=store, analyst=analyst, clock=server.now, until=now, at_once=at_once)
        with _progress("Measuring", left) as progress:

            def told(impact: Impact | None) -> None:
                found["failed" if impact is None else impact.outcome] += 1
                progress.advance(progress.task_ids[0])

            try:
                await backfill.run(told)
            finally:
                progress.stop()
                _tell(found, left)


def _tell(found: Counter[str], total: int) -> None:
    outcomes = ", ".join(f"{found[word]} {word}" for word in (*Outcome, "failed") if found[word])
    click.echo(f"{found.total()} of {total} measured{': ' if outcomes else ''}{outcomes}")
    if found[Outcome.UNKNOWN]:
        click.echo("unknown: the report of each says what is missing, such as series that are no longer remembered")


@asynccontextmanager
async def _analyst(store: Store, loaded: Config, now: datetime) -> AsyncIterator[Analyst]:
    watched = at_a_pace(loaded.watched, now, loaded.policy.backfill)
    workers = Workers(watched.settings.workers)
    try:
        yield Analyst(watched=lambda: watched, store=store, workers=workers, observer=Unobserved())
    finally:
        await asyncio.to_thread(workers.close)


def _progress(what: str, total: int) -> Progress:
    """A bar with one task, on a terminal only."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    progress.add_task(what, total=total)
    return progress


COMMAND = import_
