"""`afdp check`: does the configuration hold, what does each query return, and what would be seen on it?"""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from afdp_exporter import config
from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.detectors.scatter import usual_scatter
from afdp_exporter.errors import AFDPError, ConfigError, DeliveryError, FeedError, SourceError
from afdp_exporter.feeds import Feed
from afdp_exporter.impact.case import ImpactSettings
from afdp_exporter.impact.trust import LEAST_SIZED
from afdp_exporter.impact.worth import worth_of
from afdp_exporter.model import Estimate, Floats, Metric, Window
from afdp_exporter.notify import Receiver
from afdp_exporter.proposals.fitting import fit
from afdp_exporter.proposals.sampling import duration, step
from afdp_exporter.sources import ask
from afdp_exporter.tracking.rehearsal import Rehearsed, read_delivery, rehearse
from afdp_exporter.watching.report import deployment_json, event_json
from afdp_exporter.watching.trust import Trust, measure
from afdp_exporter.wording.durations import format_duration
from afdp_exporter.wording.history import short_history
from afdp_exporter.wording.metrics import format_change, format_value
from afdp_exporter.workers import Workers

_PATIENCE = 60.0  # seconds for one feed
_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
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
class Reached:
    """A receiver of notices, and what keeps us from it, with the setting to look at."""

    receiver: str
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readable:
    """A feed, and why it cannot be read."""

    feed: str
    problem: str | None = None


@click.command(
    "check", epilog="Example: afdp check --service=checkout, or: afdp check --event delivery.txt --kind github"
)
@click.option("--config.file", "config_file", default="afdp.yml", show_default=True, type=click.Path(path_type=Path))
@click.option("--service", "services", multiple=True, help="What $service stands for; default: every configured one.")
@click.option("--environment", default="production", show_default=True)
@click.option("--quick", is_flag=True, help="Only ask the queries; leave out what would be seen on them.")
@click.option("--event", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Try a sender's delivery.")
@click.option("--kind", help="The kind of its sender; not needed where only one is configured.")
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of it; repeatable.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
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
    """Check the configuration and ask each query: its last day, its false alarms, the smallest change it would show.

    Receivers under notify are asked whether they know us; they are told nothing. Feeds are asked whether they can be
    read; nothing of them is kept.

    With --event nothing is asked: it tells what a sender's delivery would become, by which facts rules may name its
    service, or why it would be ignored. The file holds the body, or headers, an empty line and the body.
    """
    loaded = config.load(config_file)
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
    answers = asyncio.run(_ask(loaded, questions, datetime.now(UTC), quick=quick))
    receivers = asyncio.run(_reach(loaded.notify))
    feeds = asyncio.run(_read(loaded.feeds))
    tried: list[Answer | Reached | Readable] = [*answers, *receivers, *feeds]
    if output == "json":
        click.echo(json.dumps([asdict(each) for each in tried]))
    else:
        _show(answers)
        if advice := _advice(answers, loaded.watched.settings.step):
            click.echo(advice)
        for each in receivers:
            click.echo(f"notify {each.receiver}: {each.problem or 'it answers, and knows us'}")
        for feed in feeds:
            click.echo(f"feed {feed.feed}: {feed.problem or 'it can be read'}")
    if any(each.problem for each in tried) or any(answer.not_yet for answer in answers):
        sys.exit(1)


async def _reach(receivers: Mapping[str, Receiver]) -> list[Reached]:
    return list(await asyncio.gather(*(_try_receiver(name, receiver) for name, receiver in receivers.items())))


async def _read(feeds: Mapping[str, Feed]) -> list[Readable]:
    return list(await asyncio.gather(*(_try_feed(name, feed) for name, feed in feeds.items())))


async def _try_feed(name: str, feed: Feed) -> Readable:
    try:
        async with asyncio.timeout(_PATIENCE):
            await feed.check(datetime.now(UTC))
    except FeedError as error:
        return Readable(feed=name, problem=str(error))
    except TimeoutError:
        return Readable(feed=name, problem=f"no answer within {_PATIENCE:.0f} seconds")
    return Readable(feed=name)


async def _try_receiver(name: str, receiver: Receiver) -> Reached:
    try:
        await receiver.reach()
    except DeliveryError as error:
        return Reached(receiver=name, problem=str(error))
    return Reached(receiver=name)


def _try(loaded: config.Config, event: Path, kind: str | None, headers: Iterable[str], output: str) -> None:
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


def _part_text(part: Rehearsed) -> str:
    if (told := part.deployment) is not None:
        return f"deployment {told.id}: {told.name} in {told.environment}, {told.status}, {told.started_at}"
    if part.event is not None:
        return f"{part.event.kind} {part.event.id}: {part.event.name}, {part.event.start}"
    return f"ignored: {part.ignored}"


def _part_json(part: Rehearsed) -> dict[str, object]:
    told = deployment_json(part.deployment) if part.deployment is not None else None
    event = event_json(part.event) if part.event is not None else None
    return {"facts": dict(part.facts), "deployment": told, "event": event, "ignored": part.ignored}


async def _ask(
    loaded: config.Config, questions: list[tuple[Metric, dict[str, str]]], now: datetime, *, quick: bool
) -> list[Answer]:
    workers = Workers(1)
    try:
        shown = track(questions, "asking", console=Console(stderr=True), disable=not sys.stderr.isatty())
        return [await _one(loaded, metric, values, now, None if quick else workers) for metric, values in shown]
    finally:
        workers.close()


async def _one(
    loaded: config.Config, metric: Metric, values: dict[str, str], now: datetime, workers: Workers | None
) -> Answer:
    watched = loaded.watched
    given = {name: value for name, value in values.items() if value}
    _, source = watched.source_of(metric)
    day = Window(start=now - timedelta(days=1), end=now)
    try:
        found = await ask(source, metric.query, given, day, watched.settings.step)
    except SourceError as error:
        return _wrong(metric, values, str(error))
    fitting = await fit(source, watched.prepared(metric).bind(given), loaded.policy.schedule.looks, now)
    if len(found) != 1:
        many = f"{len(found)} series: aggregate them to one, for example with sum()"
        return _wrong(metric, values, "; ".join((many if found else "no data in the last day", *fitting.warnings)))
    try:
        trust = await measure(metric, given, watched, (), workers=workers, now=now, sized=True) if workers else None
    except AFDPError as error:
        return _wrong(metric, values, str(error))
    series = found[0]
    present = series.values[np.isfinite(series.values)]
    answer = Answer(
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
    return worth_of(metric, level=level, scatter=usual_scatter(values), settings=settings)


def _wrong(metric: Metric, values: dict[str, str], problem: str) -> Answer:
    return Answer(service=values["service"], metric=metric.name, problem=problem)


def _trusted(answer: Answer, trust: Trust, now: datetime) -> Answer:
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
        return f"no placebo can be judged yet; false alarms are known from {trust.measured_from:%H:%M} on"
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


def _show(answers: Iterable[Answer]) -> None:
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


def _detectable(answer: Answer) -> str:
    if not answer.placebos:
        return ""
    if answer.smallest_change is None:
        return "none found" if answer.placebos >= LEAST_SIZED else "not known yet"
    after = format_duration(timedelta(seconds=answer.seen_after_seconds or 0.0))
    return f"{_size(answer.metric, answer.smallest_change)} after {after}"


def _size(metric: str, size: float) -> str:
    return format_change(metric, Estimate(low=size, median=size, high=size))


def _advice(answers: Iterable[Answer], asked: timedelta) -> str:
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
