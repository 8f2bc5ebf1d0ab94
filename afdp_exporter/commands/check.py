"""`afdp check`: does the configuration hold, does each source answer, and what does each query return?"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from afdp_exporter import config, promql
from afdp_exporter.config import Config
from afdp_exporter.errors import SourceError
from afdp_exporter.model import Floats, Metric, Window

_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one query returned for one service: the last day of it, or what is wrong."""

    service: str
    metric: str
    series: int = 0
    points: int = 0
    latest: float | None = None
    sparkline: str = ""
    warnings: tuple[str, ...] = ()
    problem: str | None = None


@click.command("check", epilog="Example: afdp check --config.file=afdp.yml --service=checkout")
@click.option("--config.file", "config_file", default="afdp.yml", show_default=True, type=click.Path(path_type=Path))
@click.option("--service", "services", multiple=True, help="What $service stands for; default: every configured one.")
@click.option("--environment", default="production", show_default=True)
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check(config_file: Path, services: tuple[str, ...], environment: str, output: str) -> None:
    """Check the configuration, and ask each query once: what does its last day look like?"""
    loaded = config.load(config_file)
    now = datetime.now(UTC)
    answers = asyncio.run(_ask(loaded, services or tuple(loaded.services), environment, now))
    if output == "json":
        click.echo(json.dumps([asdict(answer) for answer in answers]))
    else:
        _show(answers)
    if any(answer.problem for answer in answers):
        sys.exit(1)


async def _ask(loaded: Config, services: tuple[str, ...], environment: str, now: datetime) -> list[Answer]:
    questions = [(service, metric) for service in services or ("",) for metric in loaded.metrics]
    return list(
        await asyncio.gather(*(_one(loaded, metric, service, environment, now) for service, metric in questions))
    )


async def _one(loaded: Config, metric: Metric, service: str, environment: str, now: datetime) -> Answer:
    source = loaded.sources[metric.source] if metric.source else next(iter(loaded.sources.values()))
    values = {"environment": environment} | ({"service": service} if service else {})
    step = loaded.policy.analysis.step
    try:
        query = promql.substitute(metric.query, values)
        found = await source.fetch(query, Window(start=now - timedelta(days=1), end=now), step)
    except SourceError as error:
        return Answer(service=service, metric=metric.name, problem=str(error))
    if not found:
        return Answer(service=service, metric=metric.name, problem="no data in the last day")
    present = found[0].values[np.isfinite(found[0].values)]
    return Answer(
        service=service,
        metric=metric.name,
        series=len(found),
        points=int(present.size),
        latest=float(present[-1]) if present.size else None,
        sparkline=sparkline(found[0].values),
        warnings=found[0].warnings,
        problem=None if len(found) == 1 else f"{len(found)} series: aggregate them to one, for example with sum()",
    )


def sparkline(values: Floats, width: int = 24) -> str:
    """`values` (n,) as a line of `width` blocks; a gap is a blank."""
    cells = [cell[np.isfinite(cell)] for cell in np.array_split(values, width)]
    means = np.array([cell.mean() if cell.size else np.nan for cell in cells])
    if not np.isfinite(means).any():
        return " " * width
    low, span = np.nanmin(means), np.nanmax(means) - np.nanmin(means)
    heights = (means - low) / span * (len(_BLOCKS) - 1) if span else np.where(np.isfinite(means), 0.0, np.nan)
    return "".join(_BLOCKS[round(height)] if np.isfinite(height) else " " for height in heights)


def _show(answers: list[Answer]) -> None:
    table = Table("service", "metric", "points", "latest", "the last day", "what is wrong")
    for answer in answers:
        latest = "" if answer.latest is None else f"{answer.latest:.4g}"
        wrong = answer.problem or "; ".join(answer.warnings)
        table.add_row(answer.service, answer.metric, str(answer.points), latest, answer.sparkline, wrong)
    Console().print(table)


COMMAND = check
