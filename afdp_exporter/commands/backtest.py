"""`afdp backtest`: walk a recorded history, and say how good each prediction would have been."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import orjson

from afdp_exporter import logs, server
from afdp_exporter.commands._options import FILE, config_option
from afdp_exporter.commands._progress import Advance
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.config import Config, put_into_effect
from afdp_exporter.errors import BadInput, ConfigError, Fault
from afdp_exporter.model import Deployment
from afdp_exporter.planning.backtest import BacktestData, Line, walk
from afdp_exporter.sources.recording import Recording
from afdp_exporter.tracking.import_file import only_past, read_history

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(
    "backtest",
    epilog="Example: afdp backtest --config.file=afdp.yml --recording recording/ --deployments deployments.jsonl "
    "--output walked.jsonl",
)
@config_option("What is watched.")
@click.option(
    "--recording", "folder", type=_FOLDER, required=True, help="Folder of CSV files, read in place of every source."
)
@click.option("--deployments", "file", type=FILE, required=True, help="JSON lines, or CSV.")
@click.option("--output", type=FILE, required=True, help="One line for each deployment, the score as the last.")
def backtest(config_file: Path, folder: Path, file: Path, output: Path) -> None:
    """Replay past deployments: predict each, then score it."""
    logs.set_up("warn", "logfmt")
    loaded = put_into_effect(config_file)
    deployments = only_past(read_history(file, now=server.now()))
    if not deployments:
        raise BadInput(Fault(str(file), "holds no deployment"))
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as written, Advance("Walking through history", len(deployments) + 1) as progress:

            def report(line: Line) -> None:
                written.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
                progress.advance()

            asyncio.run(walk_recording(loaded, Recording(path=folder), deployments, report))
        part.replace(output)
    except OSError as error:
        raise ConfigError("output", f"{output} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


async def walk_recording(
    loaded: Config, recording: Recording, deployments: tuple[Deployment, ...], report: Callable[[Line], None]
) -> None:
    end = (await recording.tape()).end
    if end is None:
        raise ConfigError("recording", f"{recording.path} holds no sample")
    watched = replace(loaded.watched, sources=dict.fromkeys(loaded.sources, recording))
    # when a deployment was received says something about this file only
    past = tuple(replace(each, received_at=each.started_at) for each in deployments)
    history = BacktestData(
        deployments=past, end=end, watched=watched, plans=loaded.plans, schedule=loaded.policy.schedule
    )
    compute = open_compute(workers=watched.settings.workers, engine=watched.settings.executor)
    try:
        await walk(history, compute=compute, report=report)
    finally:
        await compute.close()


COMMAND = backtest
