"""`afdp store`: what is done with a store as a whole."""

import asyncio
import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from afdp_exporter import logs
from afdp_exporter.commands._options import FOLDER, output_option
from afdp_exporter.errors import ConfigError
from afdp_exporter.store.copying import copy_store
from afdp_exporter.store.opening import DATABASE


@click.group("store", epilog="Example: afdp store copy --from=data/ --to=postgresql://afdp@db.example.org/afdp")
def store() -> None:
    """Copy a store to another place."""


@store.command("copy", epilog="Example: afdp store copy --from=data/ --to=postgresql://afdp@db.example.org/afdp")
@click.option("--from", "folder", type=FOLDER, required=True, help="The folder of --storage.path.")
@click.option("--to", "url", metavar="URL", required=True, help="An empty database: postgresql://user@host/database.")
@output_option
def copy(folder: Path, url: str, output: str) -> None:
    """Copy everything from a folder into PostgreSQL.

    All ids stay. It is one transaction: all of it arrives and is counted there, or nothing is kept. Stop the exporter
    that has the folder first; the folder stays as it is.
    """
    logs.set_up("warn", "logfmt")
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigError("to", "is no postgresql://user@host/database")
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}: {task.completed} rows"), console=Console(stderr=True)
    )
    bar.disable = not sys.stderr.isatty()
    tasks = {}
    with bar:

        def copied(table: str, rows: int) -> None:
            if table not in tasks:
                tasks[table] = bar.add_task(table, total=None)
            bar.advance(tasks[table], rows)

        counts = asyncio.run(copy_store(folder / DATABASE, url, copied))
    if output == "json":
        click.echo(json.dumps(counts))
        return
    click.echo("\n".join(f"{rows:>9} {table}" for table, rows in counts.items() if rows))
    click.echo(f"{sum(counts.values()):>9} rows copied and counted there")


COMMAND = store
