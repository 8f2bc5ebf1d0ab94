"""`afdp backtest`: walk a recorded history, and tell how good each prediction would have been."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import Progress

from afdp_exporter import config, logs, server
from afdp_exporter.config import Config
from afdp_exporter.errors import BadInput, ConfigError, Fault
from afdp_exporter.model import Deployment
from afdp_exporter.planning.backtest import History, Line, walk
from afdp_exporter.sources.recording import Recording
from afdp_exporter.tracking.history import only_past, read_history
from afdp_exporter.workers import Workers

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "backtest",
    epilog="Example: afdp backtest --config.file=afdp.yml --recording recording/ --deployments deployments.jsonl "
    "--output walked.jsonl",
)
@click.option("--config.file", "config_file", type=_FILE, default="afdp.yml", show_default=True)
@click.option("--recording", "folder", type=_FOLDER, required=True, help="CSV files that replace every source.")
@click.option("--deployments", "file", type=_FILE, required=True, help="JSON lines, or CSV.")
@click.option("--output", type=_FILE, required=True, help="Takes a line a deployment, and the scoreboard as the last.")
def backtest(config_file: Path, folder: Path, file: Path, output: Path) -> None:
    """Foretell each deployment of a recorded history from what was known before it, then measure it."""
    logs.set_up("warn", "logfmt")
    loaded = config.load(config_file)
    deployments = only_past(read_history(file, now=server.now()))
    if not deployments:
        raise BadInput(Fault(str(file), "holds no deployment"))
    part = output.with_name(f"{output.name}.part")
    try:
        with (
            part.open("wb") as written,
            Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress,
        ):
            task = progress.add_task("Walking through history", total=len(deployments) + 1)

            def tell(line: Line) -> None:
                written.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
                progress.advance(task)

            asyncio.run(_walk(loaded, Recording(path=folder), deployments, tell))
        part.replace(output)
    except OSError as error:
        raise ConfigError("output", f"{output} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


async def _walk(
    loaded: Config, recording: Recording, deployments: tuple[Deployment, ...], tell: Callable[[Line], None]
) -> None:
    end = (await recording.tape()).end
    if end is None:
        raise ConfigError("recording", f"{recording.path} holds no sample")
    watched = replace(loaded.watched, sources=dict.fromkeys(loaded.sources, recording))
    # when a deployment was received tells about this file only
    told = tuple(replace(each, received_at=each.started_at) for each in deployments)
    history = History(deployments=told, end=end, watched=watched, plans=loaded.plans, schedule=loaded.policy.schedule)
    workers = Workers(watched.settings.workers)
    try:
        await walk(history, workers=workers, tell=tell)
    finally:
        await asyncio.to_thread(workers.close)


COMMAND = backtest
