"""`afdp export`: what was measured, as training data."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import yaml
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from afdp_exporter import logs, server
from afdp_exporter.commands._options import FOLDER, config_option
from afdp_exporter.commands._storage import storage_of, storage_options
from afdp_exporter.config import Config, put_into_effect
from afdp_exporter.errors import ConfigError
from afdp_exporter.model import Window
from afdp_exporter.planning.training import FORMATS, lay_out, write
from afdp_exporter.settings import read_yaml
from afdp_exporter.sources import parquet
from afdp_exporter.store.opening import DATABASE, open_store
from afdp_exporter.training_data.dataset import Dataset
from afdp_exporter.watching.backfill import rate_limited
from afdp_exporter.watching.recording import configuration, record

_MONTH = timedelta(days=30)
_EVERYTHING = 10_000_000  # deployments


@click.command("export", epilog="Example: afdp export --storage.path=data/ --output=training/ --format=parquet")
@config_option("For its calendar and time zone.")
@storage_options
@click.option("--output", "folder", type=FOLDER, required=True, help="A new or empty folder.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True, help="Of its files.")
@click.option(
    "--recording", is_flag=True, help="In place of training data: all that the metrics' queries answer, as Parquet."
)
@click.option("--since", type=click.DateTime(), help="Record from this time (UTC) on.  [default: 30 days ago]")
@click.option("--until", type=click.DateTime(), help="Record up to this time (UTC).  [default: now]")
@click.option("--free-text", is_flag=True, help="Also descriptions, commits, links and wordy traits.")
@click.option(
    "--license",
    "license_url",
    default="https://rightsstatements.org/vocab/InC/1.0/",
    show_default=True,
    help="The licence of the data.",
)
def export(
    config_file: Path,
    storage: Path,
    storage_url: str | None,
    folder: Path,
    form: str,
    *,
    recording: bool,
    since: datetime | None,
    until: datetime | None,
    free_text: bool,
    license_url: str,
) -> None:
    """Write training data, or a recording of the metrics.

    While the exporter runs on a folder, use GET /api/v1/dataset for training data instead.
    """
    logs.set_up("warn", "logfmt")
    file = storage / DATABASE
    if storage_url is None and not file.is_file():
        raise ConfigError("storage.path", f"{file} does not exist")
    store = storage_of(storage, storage_url)
    if recording:
        now = server.now()
        begin = now - _MONTH if since is None else since.replace(tzinfo=UTC)
        end = now if until is None else until.replace(tzinfo=UTC)
        if end <= begin:
            raise click.UsageError("--since has to be before --until")
        asyncio.run(_record(config_file, store, Window(start=begin, end=end), folder))
        return
    bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), console=Console(stderr=True), transient=True)
    bar.disable = not sys.stderr.isatty()
    try:
        with bar:
            step = bar.add_task("Reading what was measured", total=None)
            data = asyncio.run(_laid_out(put_into_effect(config_file), store, free_text=free_text))
            bar.update(step, description=f"Writing {data.rows} deployments")
            written = write(data, folder, form, created=server.now(), license_url=license_url)
    except OSError as error:
        raise ConfigError("output", f"{folder} cannot be written: {error.strerror}") from None
    click.echo(f"{data.rows} deployments, {len(data.features)} columns, {data.left_out} left out between the splits:")
    click.echo("\n".join(map(str, written)))


async def _record(config_file: Path, url: str, window: Window, folder: Path) -> None:
    """Keep what the metrics were in a window, for every service that was deployed, and how to ask for it."""
    loaded = put_into_effect(config_file)
    store = await open_store(url)
    try:
        places = await store.deployments.service_environments()
    finally:
        await store.close()
    watched = rate_limited(loaded.watched, server.now(), loaded.policy.backfill)
    try:
        found = await record(watched, places, window, folder, parquet.write)
        settings = configuration(read_yaml(config_file), watched.metrics, folder)
        (folder / "afdp.yml").write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), "utf-8")
    except OSError as error:
        raise ConfigError("output", f"{folder} cannot be written: {error.strerror}") from None
    for metric, reason in found.missing.items():
        click.echo(f"{metric}: not all is recorded: {reason}")
    click.echo(f"{found.samples} samples of {len(places)} services and environments; {folder / 'afdp.yml'} reads them")


async def _laid_out(loaded: Config, url: str, *, free_text: bool) -> Dataset:
    store = await open_store(url)
    try:
        now = server.now()
        history = await store.history.measured(before=now, limit=_EVERYTHING)
        salt = await store.pseudonym_key()
    finally:
        await store.close()
    calendar = loaded.plans.calendar(now)
    return lay_out(history, calendar, salt=salt, schedule=loaded.policy.schedule, free_text=free_text)


COMMAND = export
