"""`afdp export`: what was measured, as training data."""

import asyncio
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from afdp_exporter import config, logs, server
from afdp_exporter.commands.serve import option
from afdp_exporter.config import Config
from afdp_exporter.errors import ConfigError
from afdp_exporter.patterns.dataset import Dataset
from afdp_exporter.planning.training import FORMATS, lay_out, write
from afdp_exporter.store.sqlite import SQLiteStore

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_EVERYTHING = 10_000_000  # deployments


@click.command("export", epilog="Example: afdp export --storage.path=data/ --output=training/ --format=parquet")
@option("--config.file", "config_file", type=_FILE, default="afdp.yml", help="Its calendar and clock tell the context.")
@option("--storage.path", "storage", type=_FOLDER, default="data/", help="Where the exporter keeps everything.")
@click.option("--output", "folder", type=_FOLDER, required=True, help="A new or empty folder.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option("--free-text", is_flag=True, help="Also descriptions, commits, links and wordy traits.")
@click.option(
    "--license",
    "license_url",
    default="https://rightsstatements.org/vocab/InC/1.0/",
    show_default=True,
    help="Under which others may use the data.",
)
def export(config_file: Path, storage: Path, folder: Path, form: str, *, free_text: bool, license_url: str) -> None:
    """Write training data and what describes it. While the exporter runs: GET /api/v1/dataset."""
    logs.set_up("warn", "logfmt")
    bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
    bar.disable = not sys.stderr.isatty()
    try:
        with bar:
            step = bar.add_task("Reading what was measured", total=None)
            data = asyncio.run(_laid_out(config.load(config_file), storage, free_text=free_text))
            bar.update(step, description=f"Writing {data.rows} deployments")
            written = write(data, folder, form, created=server.now(), license_url=license_url)
    except OSError as error:
        raise ConfigError("output", f"{folder} cannot be written: {error.strerror}") from None
    click.echo(f"{data.rows} deployments, {len(data.features)} columns, {data.left_out} left out between the splits:")
    click.echo("\n".join(map(str, written)))


async def _laid_out(loaded: Config, storage: Path, *, free_text: bool) -> Dataset:
    file = storage / server.DATABASE
    if not file.is_file():
        raise ConfigError("storage.path", f"{file} does not exist")
    store = await SQLiteStore.open(file)
    try:
        now = server.now()
        history = await store.history(before=now, limit=_EVERYTHING)
        salt = await store.salt()
    finally:
        await store.close()
    calendar = loaded.plans.calendar(now)
    return lay_out(history, calendar, salt=salt, schedule=loaded.policy.schedule, free_text=free_text)


COMMAND = export
