"""`afdp check`: does the configuration hold, what does each query return, and what would be seen on it?"""

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from afdp_exporter.commands._connections import Connection, try_connections
from afdp_exporter.commands._delivery import try_delivery
from afdp_exporter.commands._options import config_option, output_option
from afdp_exporter.commands._progress import Advance
from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.config import Config, put_into_effect
from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.detectors.noise import noise_level
from afdp_exporter.errors import AFDPError, ConfigError, SourceError
from afdp_exporter.impact.context import ImpactSettings
from afdp_exporter.impact.placebo_test import LEAST_INSTANTS
from afdp_exporter.impact.power import worth_of
from afdp_exporter.model import Estimate, Floats, Metric, Window
from afdp_exporter.proposals.sampling import duration, fit, step
from afdp_exporter.watching.evidence import ask_metric
from afdp_exporter.watching.placebo_runs import Trust, measure
from afdp_exporter.wording.metrics import format_change, format_value
from afdp_exporter.wording.numbers import format_duration, short_history
from afdp_exporter.wording.times import format_time

_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """What one query returned for one service, how far to trust verdicts on it, or what is wrong.

    `smallest_change` is the smallest lasting change that is seen after `seen_after_seconds`, in the metric's own unit;
    `false_alarms` is how many of the `placebos` deployments that never were and could be judged would have been blamed.
    `worth` is the smallest change that matters, in the metric's own unit. `not_yet` says what is missing where nothing
    can be judged yet.
    """

    service: str
    metric: str
    points: int = 0
    latest: float | None = None
    sparkline: str = ""
    false_alarms: int | None = None
    placebos: int | None = None
    smallest_change: float | None = None
    seen_after_seconds: float | None = None
    worth: float | None = None
    scrape_interval_seconds: float | None = None
    not_yet: str | None = None
    warnings: tuple[str, ...] = ()
    problem: str | None = None


@click.command(
    "check", epilog="Example: afdp check --service=checkout, or: afdp check --event delivery.txt --kind github"
)
@config_option("What is checked.")
@click.option("--service", "services", multiple=True, help="What $service stands for; default: every configured one.")
@click.option("--environment", default="production", show_default=True, help="What $environment stands for.")
@click.option("--quick", is_flag=True, help="Only ask the queries; skip false alarms and detectable changes.")
@click.option("--event", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Try a sender's delivery.")
@click.option("--kind", help="The kind of its sender; not needed where only one is configured.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of it; repeatable.")
@output_option
def check(
    config_file: Path,
    *,
    services: tuple[str, ...],
    environment: str,
    event: Path | None,
    kind: str | None,
    headers: tuple[str, ...],
    quick: bool,
    output: str,
) -> None:
    """Check the configuration, and the data behind it.

    Each query is asked once: its last day, its false alarms, the smallest change it would show. Receivers under
    notify are asked whether they accept our credentials; nothing is sent to them. Feeds are read once; nothing of
    them is kept. Bills are compared with their list prices; AWS charges a cent for that. A Dask cluster does a little.

    With --event nothing is asked: it shows what a sender's delivery would become, which facts rules may use to name
    its service, or why it would be ignored. The file holds the body, or headers, an empty line and the body.
    """
    loaded = put_into_effect(config_file)
    if event is not None:
        try_delivery(loaded, event, kind, headers, output)
        return
    for service in services:
        for warning in loaded.watched.warnings(service):
            raise ConfigError("service", warning)
    questions = [
        (metric, {"service": service, "environment": environment})
        for service in services or tuple(loaded.services) or ("",)
        for metric in loaded.watched.metrics_at(service, environment)
    ]
    answers, others = asyncio.run(_try_all(loaded, questions, datetime.now(UTC), quick=quick))
    tried = [*answers, *others]
    if output == "json":
        click.echo(json.dumps([asdict(each) for each in tried]))
    else:
        _show(answers)
        if advice := _advice(answers, loaded.watched.settings.step):
            click.echo(advice)
        for each in others:
            click.echo(each.line())
        click.echo(_next(config_file, tried, answers))
    if any(each.problem for each in tried) or any(answer.not_yet for answer in answers):
        sys.exit(1)


def _next(
    config_file: Path,
    tried: Sequence[QueryResult | Connection],
    answers: Iterable[QueryResult],
) -> str:
    """What to do now."""
    wrong = sum(each.problem is not None for each in tried)
    serve = f"afdp serve --config.file={config_file} --storage.path=data/"
    if wrong:
        again = f"afdp check --config.file={config_file} --quick"
        return (
            f"next: correct the {wrong} {'problem' if wrong == 1 else 'problems'} above in {config_file}, then {again}"
        )
    if any(answer.not_yet for answer in answers):
        return f"next: {serve}   (it can start now; verdicts follow once there is enough history)"
    return f"next: {serve}"


async def _try_all(
    loaded: Config, questions: list[tuple[Metric, dict[str, str]]], now: datetime, *, quick: bool
) -> tuple[list[QueryResult], list[Connection]]:
    """What each query returns, and how all else answers."""
    return await _ask(loaded, questions, now, quick=quick), await try_connections(loaded, now)


async def _ask(
    loaded: Config, questions: list[tuple[Metric, dict[str, str]]], now: datetime, *, quick: bool
) -> list[QueryResult]:
    compute = open_compute(workers=1)
    try:
        found = []
        with Advance("Asking", len(questions)) as progress:
            for metric, values in questions:
                found.append(await _one(loaded, metric, values, now, None if quick else compute))
                progress.advance()
        return found
    finally:
        await compute.close()


async def _one(
    loaded: Config, metric: Metric, values: dict[str, str], now: datetime, compute: ComputePool | None
) -> QueryResult:
    watched = loaded.watched
    given = {name: value for name, value in values.items() if value}
    _, source = watched.source_of(metric)
    day = Window(start=now - timedelta(days=1), end=now - source.settles_after)
    try:
        found = await ask_metric(metric, source, given, day, watched.settings.step)
    except SourceError as error:
        return _has_failures(metric, values, str(error))
    fitting = await fit(source, watched.prepared(metric).bind(given), loaded.policy.schedule.looks, now)
    if len(found) != 1:
        many = f"{len(found)} series: aggregate them to one, for example with sum()"
        return _has_failures(
            metric, values, "; ".join((many if found else "no data in the last day", *fitting.warnings))
        )
    try:
        trust = await measure(metric, given, watched, (), compute=compute, now=now, sized=True) if compute else None
    except AFDPError as error:
        return _has_failures(metric, values, str(error))
    series = found[0]
    present = series.values[np.isfinite(series.values)]
    answer = QueryResult(
        service=values["service"],
        metric=metric.name,
        points=int(present.size),
        latest=float(present[-1]) if present.size else None,
        sparkline=sparkline(series.values),
        worth=_worth(metric, present, watched.settings.impact),
        scrape_interval_seconds=fitting.scraped.total_seconds() if fitting.scraped else None,
        warnings=series.warnings + series.notes + fitting.warnings,
    )
    return answer if trust is None else _trusted(answer, trust, now)


def _worth(metric: Metric, values: Floats, settings: ImpactSettings) -> float | None:
    level = float(np.median(values)) if values.size else None
    return worth_of(metric, level=level, scatter=noise_level(values), settings=settings)


def _has_failures(metric: Metric, values: dict[str, str], problem: str) -> QueryResult:
    return QueryResult(service=values["service"], metric=metric.name, problem=problem)


def _trusted(answer: QueryResult, trust: Trust, now: datetime) -> QueryResult:
    alarms = trust.alarms
    return replace(
        answer,
        false_alarms=alarms.count if alarms.n else None,
        placebos=alarms.n,
        smallest_change=trust.smallest_change,
        seen_after_seconds=trust.seen_after.total_seconds(),
        not_yet=_not_yet(trust, now),
    )


def _not_yet(trust: Trust, now: datetime) -> str | None:
    """What is missing where no placebo could be judged."""
    if trust.alarms.n:
        return None
    if now < trust.judged_from:
        missing = short_history(now - trust.since, trust.judged_from - trust.since, trust.judged_from)
        return f"nothing can be judged yet: {missing}"
    if now < trust.measured_from:
        return f"no placebo can be judged yet; false alarms are known from {format_time(trust.measured_from)} on"
    return "no placebo could be judged: its data have gaps"


def sparkline(values: Floats, width: int = 24) -> str:
    """`values` (n,) as a line of `width` blocks; a gap is a blank."""
    cells = [cell[np.isfinite(cell)] for cell in np.array_split(values, width)]
    means = np.array([cell.mean() if cell.size else np.nan for cell in cells])
    if not np.isfinite(means).any():
        return " " * width
    low, span = np.nanmin(means), np.nanmax(means) - np.nanmin(means)
    heights = (means - low) / span * (len(_BLOCKS) - 1) if span else np.where(np.isfinite(means), 0.0, np.nan)
    return "".join(_BLOCKS[round(height)] if np.isfinite(height) else " " for height in heights)


def _show(answers: Iterable[QueryResult]) -> None:
    caption = (
        "false alarms: placebo deployments that were blamed; min. detectable change: the smallest lasting one that is "
        "found four times of five; matters from: no success as long as a harmful change so large cannot be ruled out"
    )
    table = Table(box=None, caption=caption)
    for name in (
        "service",
        "metric",
        "latest",
        "the last day",
        "false alarms",
        "min. detectable change",
        "matters from",
    ):
        table.add_column(name, no_wrap=True)
    table.add_column("note", overflow="fold")
    for answer in answers:
        table.add_row(
            answer.service,
            answer.metric,
            "" if answer.latest is None else format_value(answer.metric, answer.latest),
            answer.sparkline,
            f"{answer.false_alarms} of {answer.placebos}" if answer.placebos else "",
            _detectable(answer),
            "" if answer.worth is None else _size(answer.metric, answer.worth),
            answer.problem or "; ".join((*filter(None, (answer.not_yet,)), *answer.warnings)),
        )
    Console(width=max(Console().width, 180)).print(table)


def _detectable(answer: QueryResult) -> str:
    if not answer.placebos:
        return ""
    if answer.smallest_change is None:
        return "none found" if answer.placebos >= LEAST_INSTANTS else "not known yet"
    after = format_duration(timedelta(seconds=answer.seen_after_seconds or 0.0))
    return f"{_size(answer.metric, answer.smallest_change)} after {after}"


def _size(metric: str, size: float) -> str:
    return format_change(metric, Estimate(low=size, median=size, high=size))


def _advice(answers: Iterable[QueryResult], asked: timedelta) -> str:
    """What a step that follows the scrape interval would change; empty where it does."""
    intervals = [timedelta(seconds=each.scrape_interval_seconds) for each in answers if each.scrape_interval_seconds]
    wanted = step(min(intervals, default=asked))
    if wanted >= asked:
        return ""
    needed, now_needed = (format_duration(LEAST_HISTORY * each) for each in (wanted, asked))
    return (
        f"policy.analysis.step is {duration(asked)}; with {duration(wanted)}, as metrics are scraped, a deployment can "
        f"be judged after {needed} of history instead of {now_needed}"
    )


COMMAND = check
