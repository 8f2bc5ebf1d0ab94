"""`afdp check`: does the configuration hold, what does each query return, and what would be seen on it?"""

import asyncio
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from afdp_exporter.commands._progress import Advance
from afdp_exporter.compute import ComputePool
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.compute.settings import Dask
from afdp_exporter.config import Config, put_into_effect
from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.detectors.noise import noise_level
from afdp_exporter.errors import (
    AFDPError,
    AnalysisError,
    BillError,
    ConfigError,
    DeliveryError,
    FeedError,
    SourceError,
)
from afdp_exporter.feeds import Feed
from afdp_exporter.impact.context import ImpactSettings
from afdp_exporter.impact.placebo_test import LEAST_INSTANTS
from afdp_exporter.impact.power import worth_of
from afdp_exporter.model import Estimate, Floats, Metric, Window
from afdp_exporter.notify import Receiver
from afdp_exporter.planning.billing import compare
from afdp_exporter.proposals.sampling import duration, fit, step
from afdp_exporter.tracking.dry_run import DryRun, read_delivery, rehearse
from afdp_exporter.watching.evidence import ask_metric
from afdp_exporter.watching.placebo_runs import Trust, measure
from afdp_exporter.watching.report import DeploymentResponse, EventResponse
from afdp_exporter.wording.metrics import format_change, format_value
from afdp_exporter.wording.numbers import format_duration, format_share_range, short_history
from afdp_exporter.wording.times import format_time

_PATIENCE = 60.0  # seconds for one feed
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachability:
    """A receiver of notices, and what keeps us from it, with the setting to look at."""

    receiver: str
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        return f"notify {self.receiver}: {self.problem or 'it answers, and knows us'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """A feed, and why it cannot be read."""

    feed: str
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        return f"feed {self.feed}: {self.problem or 'it can be read'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A bill, its share of list prices with the 90 % range over so many days, or why it cannot be compared."""

    bill: str
    ratio: Estimate | None = None
    days: int = 0
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        share = "" if self.ratio is None else format_share_range(self.ratio)
        return f"bill {self.bill}: {self.problem or f'{share} of list prices over {self.days} days'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """Another executor of analyses than the processes of this machine, and why it does none."""

    executor: str
    address: str
    problem: str | None = None

    def line(self) -> str:
        """As people read it."""
        well = f"a worker of {self.address} does what it is given, and has our versions"
        return f"executor {self.executor}: {self.problem or well}"


_Tried: TypeAlias = Reachability | Readable | Comparison | Working


@click.command(
    "check", epilog="Example: afdp check --service=checkout, or: afdp check --event delivery.txt --kind github"
)
@click.option(
    "--config.file",
    "config_file",
    default="afdp.yml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="What is checked.",
)
@click.option("--service", "services", multiple=True, help="What $service stands for; default: every configured one.")
@click.option("--environment", default="production", show_default=True, help="What $environment stands for.")
@click.option("--quick", is_flag=True, help="Only ask the queries; skip false alarms and detectable changes.")
@click.option("--event", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Try a sender's delivery.")
@click.option("--kind", help="The kind of its sender; not needed where only one is configured.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of it; repeatable.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
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
        _try(loaded, event, kind, headers, output)
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
    tried: Sequence[QueryResult | _Tried],
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
) -> tuple[list[QueryResult], list[_Tried]]:
    """What each query returns, and how receivers, feeds, bills and the executor of analyses answer."""
    answers = await _ask(loaded, questions, now, quick=quick)
    receivers = (_try_receiver(name, receiver) for name, receiver in loaded.notify.items())
    feeds = (_try_feed(name, feed) for name, feed in loaded.feeds.items())
    bills = (_try_bill(loaded, name, now) for name in loaded.bills)
    engine = loaded.policy.analysis.executor
    executors = [_try_executor(engine)] if isinstance(engine, Dask) else []
    return answers, list(await asyncio.gather(*receivers, *feeds, *bills, *executors))


async def _try_executor(engine: Dask) -> Working:
    compute = open_compute(workers=1, engine=engine)
    try:
        await compute.run(noise_level, np.zeros(2), deadline=timedelta(seconds=_PATIENCE))
    except AnalysisError as error:
        return Working(executor=engine.kind, address=engine.address, problem=str(error))
    finally:
        await compute.close()
    return Working(executor=engine.kind, address=engine.address)


async def _try_bill(loaded: Config, name: str, now: datetime) -> Comparison:
    try:
        found = await compare(name, loaded.bills[name], loaded.sources, now)
    except BillError as error:
        return Comparison(bill=name, problem=str(error))
    return Comparison(bill=name, ratio=found.ratio, days=found.days)


async def _try_feed(name: str, feed: Feed) -> Readable:
    try:
        async with asyncio.timeout(_PATIENCE):
            await feed.check(datetime.now(UTC))
    except FeedError as error:
        return Readable(feed=name, problem=str(error))
    except TimeoutError:
        return Readable(feed=name, problem=f"no answer within {_PATIENCE:.0f} seconds")
    return Readable(feed=name)


async def _try_receiver(name: str, receiver: Receiver) -> Reachability:
    try:
        await receiver.reach()
    except DeliveryError as error:
        return Reachability(receiver=name, problem=str(error))
    return Reachability(receiver=name)


def _try(loaded: Config, event: Path, kind: str | None, headers: Iterable[str], output: str) -> None:
    kinds = sorted({sender.kind for sender in loaded.senders})
    chosen = kind or (kinds[0] if len(kinds) == 1 else None)
    if chosen not in kinds:
        raise click.UsageError(f"--kind is needed; configured under webhooks: {', '.join(kinds) or 'none'}")
    given, body = read_delivery(event.read_bytes())
    named = (header.partition(":") for header in headers)
    given |= {name.strip().lower(): value.strip() for name, _, value in named}
    now = datetime.now(UTC)
    tried = [
        part
        for sender in loaded.senders
        if sender.kind == chosen
        for part in rehearse(sender, loaded.mapping, given, body, now=now)
    ]
    if output == "json":
        click.echo(json.dumps([_part_json(part) for part in tried]))
        return
    for part in tried:
        click.echo(_part_text(part))
        click.echo("".join(f"    {name}: {text}\n" for name, text in part.facts.items()), nl=False)


def _part_text(part: DryRun) -> str:
    if (deployment := part.deployment) is not None:
        where = f"{deployment.name} in {deployment.environment}"
        return f"deployment {deployment.id}: {where}, {deployment.status}, {format_time(deployment.started_at)}"
    if part.event is not None:
        return f"{part.event.kind} {part.event.id}: {part.event.name}, {format_time(part.event.start)}"
    return f"ignored: {part.ignored}"


def _part_json(part: DryRun) -> dict[str, object]:
    deployment = DeploymentResponse.model_validate(part.deployment).as_json() if part.deployment is not None else None
    event = EventResponse.model_validate(part.event).as_json() if part.event is not None else None
    return {"facts": dict(part.facts), "deployment": deployment, "event": event, "ignored": part.ignored}


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
