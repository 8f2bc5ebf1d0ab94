"""`afdp import`: past deployments into the store; the exporter then measures them, as far as its sources remember."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from afdp_exporter import config, logs, server
from afdp_exporter.commands.serve import option
from afdp_exporter.history import read_history
from afdp_exporter.model import Deployment
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watch import Schedule, plan

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_AT_ONCE = 500


@click.command("import", epilog="Example: afdp import deployments.jsonl --config.file=afdp.yml --storage.path=data/")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@option("--config.file", "config_file", type=_FILE, default="afdp.yml", help="Its schedule plans the looks.")
@option("--storage.path", "storage", type=_FOLDER, default="data/", help="Where the exporter keeps everything.")
def import_(files: tuple[Path, ...], config_file: Path, storage: Path) -> None:
    """Import past deployments from JSON lines or CSV; importing again changes nothing. The exporter must not run."""
    logs.set_up("warn", "logfmt")
    schedule, now = config.load(config_file).policy.watch, server.now()
    deployments = [each for file in files for each in read_history(file, now=now)]
    storage.mkdir(parents=True, exist_ok=True)
    created = asyncio.run(_keep(deployments, storage / server.DATABASE, schedule, now))
    click.echo(f"{created} imported, {len(deployments) - created} were there; afdp serve measures what they did")


async def _keep(deployments: Sequence[Deployment], file: Path, schedule: Schedule, now: datetime) -> int:
    """Record all of them; how many were new."""
    store, created = await SQLiteStore.open(file), 0
    try:
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("Importing", total=len(deployments))
            for start in range(0, len(deployments), _AT_ONCE):
                some = deployments[start : start + _AT_ONCE]
                kept = await asyncio.gather(*(store.record(each, plan(each, schedule, now)) for each in some))
                created += sum(one.created for one in kept)
                progress.advance(task, len(some))
    finally:
        await store.close()
    return created


COMMAND = import_
