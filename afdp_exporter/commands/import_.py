"""`afdp import`: past deployments into the store, and what they did, as far as the sources remember."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from afdp_exporter import config, logs, server
from afdp_exporter.commands.serve import option
from afdp_exporter.config import Config
from afdp_exporter.errors import ConfigError
from afdp_exporter.feeds import Feed
from afdp_exporter.model import Announcement, Deployment, Outcome
from afdp_exporter.store import Announced, Store
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.tracking.feeding import Feeding
from afdp_exporter.tracking.history import read_history
from afdp_exporter.watching.analysis import Analyst
from afdp_exporter.watching.backfill import Backfill, at_a_pace
from afdp_exporter.watching.evidence import Unobserved
from afdp_exporter.watching.watch import Schedule, plan
from afdp_exporter.workers import Workers

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_LONG_AGO = timedelta(days=365)
_REASONS = 5  # told of why something was left out
_AT_ONCE = 500  # recorded


@click.command("import", epilog="Example: afdp import deployments.jsonl --config.file=afdp.yml --storage.path=data/")
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--feed", "feeds", multiple=True, metavar="NAME", help="A block under feeds, read from --since on.")
@click.option("--since", type=click.DateTime(), help="In UTC; what feeds tell from then on.  [default: a year ago]")
@option("--config.file", "config_file", type=_FILE, default="afdp.yml", help="What is watched, and when.")
@option("--storage.path", "storage", type=_FOLDER, default="data/", help="Where the exporter keeps everything.")
@click.option("--measure/--no-measure", default=True, show_default=True, help="Else afdp serve measures what they did.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def import_(
    files: tuple[Path, ...],
    feeds: tuple[str, ...],
    since: datetime | None,
    config_file: Path,
    storage: Path,
    *,
    measure: bool,
    output: str,
) -> None:
    """Import past deployments from JSON lines, CSV, or the systems under feeds, and measure what they did.

    Importing again changes nothing, and goes on measuring where it was ended. The exporter must not run meanwhile.
    """
    logs.set_up("warn", "logfmt")
    if not files and not feeds:
        raise click.UsageError("name a file, or a feed by --feed")
    loaded, now = config.load(config_file), server.now()
    unknown = sorted(set(feeds) - set(loaded.feeds))
    if unknown:
        raise ConfigError("feeds", f"none is named {unknown[0]}; known: {', '.join(loaded.feeds) or 'none'}")
    past = _Past(
        deployments=[each for file in files for each in read_history(file, now=now)],
        feeds={name: loaded.feeds[name] for name in feeds},
        since=now - _LONG_AGO if since is None else since.replace(tzinfo=UTC),
    )
    account = _Account(quiet=output == "json")
    try:
        asyncio.run(_import(past, loaded, storage / server.DATABASE, now, account, measure=measure))
    finally:
        if output == "json":
            click.echo(json.dumps(account.as_json()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What is imported: the deployments of files, and what feeds tell since an instant."""

    deployments: Sequence[Deployment]
    feeds: Mapping[str, Feed]
    since: datetime


@dataclass(kw_only=True)
class _Account:
    """What became of the import so far; a script gets it whole at the end, a person line by line."""

    quiet: bool
    imported: int = 0
    known: int = 0
    feeds: dict[str, dict[str, object]] = field(default_factory=dict)
    measured: dict[str, int] = field(default_factory=dict)
    left: int = 0

    def tell(self, line: str) -> None:
        if not self.quiet:
            click.echo(line)

    def as_json(self) -> dict[str, object]:
        """`measured` by outcome; `left` is what was due and has no answer yet."""
        return {name: value for name, value in vars(self).items() if name != "quiet"}


async def _import(past: _Past, loaded: Config, file: Path, now: datetime, account: _Account, *, measure: bool) -> None:
    store = await SQLiteStore.open(file, folder=True)
    try:
        if past.deployments:
            account.imported = await _keep(past.deployments, store, loaded.policy.schedule, now)
            account.known = len(past.deployments) - account.imported
            account.tell(f"{account.imported} imported, {account.known} were there")
        for name in past.feeds:
            await _read(name, past, store, loaded, account)
        account.left = (await store.backlog(now)).count
        if measure and account.left:
            await _measure(store, loaded, now, account)
        elif not measure:
            account.tell("afdp serve measures what they did")
    finally:
        await store.close()


async def _read(name: str, past: _Past, store: Store, loaded: Config, account: _Account) -> None:
    """Everything that a feed tells of the past. Raises FeedError; reading it again goes on with what is new."""
    told = _Told()
    feeding = Feeding(
        store=store,
        rules=lambda: loaded.mapping,
        schedule=lambda: loaded.policy.schedule,
        audience=told,
        clock=server.now,
    )
    with _progress(f"Reading {name}", None) as told.progress:
        created = await feeding.catch_up(name, past.feeds[name], past.since)
    account.feeds[name] = {"imported": created, "events": told.events, "left_out": dict(told.ignored)}
    account.tell(f"{name}: {created} imported, {told.events} new events, {told.ignored.total()} left out")
    for reason, count in told.ignored.most_common(_REASONS):
        account.tell(f"  {count} x {reason}")


@dataclass
class _Told:
    """Counts what a feed tells, and moves its bar."""

    events: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    progress: Progress | None = None

    def taken(self, announcement: Announcement, announced: Announced) -> None:  # noqa: ARG002 - it is only counted
        self.events += 1
        if self.progress is not None:
            self.progress.advance(self.progress.task_ids[0])

    def described(self, deployment: Deployment) -> None:
        """It is in the store."""

    def left_out(self, feed: str, reason: str) -> None:  # noqa: ARG002 - there is only one
        self.ignored[reason] += 1

    def fed(self, feed: str, *, well: bool) -> None:
        """The end of the command says it."""


async def _keep(deployments: Sequence[Deployment], store: Store, schedule: Schedule, now: datetime) -> int:
    """Record all of them; how many were new."""
    created = 0
    with _progress("Importing", len(deployments)) as progress:
        for start in range(0, len(deployments), _AT_ONCE):
            some = deployments[start : start + _AT_ONCE]
            kept = await asyncio.gather(*(store.record(each, plan(each, schedule, now)) for each in some))
            created += sum(one.created for one in kept)
            progress.advance(progress.task_ids[0], len(some))
    return created


async def _measure(store: Store, loaded: Config, now: datetime, account: _Account) -> None:
    """Answer what is due, and tell what became of it. Raises SourceUnavailable where a source stays away."""
    total, found = account.left, Counter[str]()
    async with _analyst(store, loaded, now) as analyst:
        at_once = loaded.policy.analysis.workers + 1  # each under way holds the series of all its metrics
        backfill = Backfill(
            store=store,
            analyst=analyst,
            schedule=loaded.policy.schedule,
            clock=server.now,
            until=now,
            at_once=at_once,
        )
        with _progress("Measuring", total) as progress:

            def told(outcome: Outcome | None) -> None:
                found[outcome or "failed"] += 1
                progress.advance(progress.task_ids[0])

            try:
                await backfill.run(told)
            finally:
                progress.stop()
                account.measured = {word: found[word] for word in (*Outcome, "failed") if found[word]}
                account.left = total - found.total()
                _tell(account, total)


def _tell(account: _Account, total: int) -> None:
    outcomes = ", ".join(f"{count} {word}" for word, count in account.measured.items())
    account.tell(f"{total - account.left} of {total} measured{': ' if outcomes else ''}{outcomes}")
    if account.measured.get(Outcome.UNKNOWN):
        account.tell("unknown: the report of each says what is missing, such as series that are no longer remembered")


@asynccontextmanager
async def _analyst(store: Store, loaded: Config, now: datetime) -> AsyncIterator[Analyst]:
    watched = at_a_pace(loaded.watched, now, loaded.policy.backfill)
    workers = Workers(watched.settings.workers)
    try:
        yield Analyst(watched=lambda: watched, store=store, workers=workers, observer=Unobserved())
    finally:
        await asyncio.to_thread(workers.close)


def _progress(what: str, total: int | None) -> Progress:
    """A bar with one task, on a terminal only."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
    progress.add_task(what, total=total)
    return progress


COMMAND = import_
