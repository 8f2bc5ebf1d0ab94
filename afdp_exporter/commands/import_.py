"""`afdp import`: past deployments into the store, and what they did, as far as the sources remember."""

import asyncio
import json
import re
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from afdp_exporter import logs, server
from afdp_exporter.allocator import reuse_memory_below
from afdp_exporter.commands._options import FILE, config_option, option, output_option
from afdp_exporter.commands._progress import Advance
from afdp_exporter.commands._storage import storage_of, storage_options
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.config import Config, put_into_effect
from afdp_exporter.errors import ConfigError
from afdp_exporter.feeds import Feed
from afdp_exporter.model import Announcement, Deployment, Outcome
from afdp_exporter.store import Store
from afdp_exporter.store.opening import open_store
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.tracking.feeding import Feeding
from afdp_exporter.tracking.import_file import read_history
from afdp_exporter.watching.analysis import Analyst
from afdp_exporter.watching.backfill import Backfill, rate_limited
from afdp_exporter.watching.evidence import NullObserver
from afdp_exporter.watching.watch import Schedule, schedule_looks


class Shard(click.ParamType["Shard.Part"]):
    """I/N: of N parts of the services, by their names, the one with the number I."""

    name = "I/N"

    @dataclass(frozen=True, slots=True)
    class Part:
        """Which of how many."""

        index: int
        count: int

        def __str__(self) -> str:
            return f"{self.index}/{self.count}"

        def has(self, service: str) -> bool:
            """Whether a service is of this part."""
            return zlib.crc32(service.encode()) % self.count == self.index

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Part:
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", str(value))
        if match is None or int(match[1]) >= int(match[2]):
            self.fail(f"{value} is no I/N with I from 0 to N - 1", param, ctx)
        return self.Part(int(match[1]), int(match[2]))


_LONG_AGO = timedelta(days=365)
_REASONS = 5  # shown of why something was left out
_AT_ONCE = 500  # recorded
_LARGE = 1024**2  # bytes: what a worker is asked is larger, and would leave holes that are never given back


@click.command("import", epilog="Example: afdp import deployments.jsonl --config.file=afdp.yml --storage.path=data/")
@click.argument("files", nargs=-1, type=FILE)
@click.option("--feed", "feeds", multiple=True, metavar="NAME", help="A block under feeds, read from --since on.")
@click.option("--since", type=click.DateTime(), help="Read feeds from this time (UTC) on.  [default: a year ago]")
@config_option("What is watched, and when.")
@storage_options
@click.option(
    "--measure/--no-measure", default=True, show_default=True, help="Without: afdp serve measures them later."
)
@option(
    "--shard",
    "shard",
    type=Shard(),
    help="Of N commands on one PostgreSQL that share the services, the one with the number I, from 0 on.",
)
@output_option
def import_(
    files: tuple[Path, ...],
    feeds: tuple[str, ...],
    since: datetime | None,
    config_file: Path,
    storage: Path,
    *,
    storage_url: str | None,
    measure: bool,
    shard: Shard.Part | None,
    output: str,
) -> None:
    """Import past deployments from files or feeds, and measure them.

    Files are JSON lines or CSV; feeds are those of the configuration. Importing again changes nothing, and
    measuring goes on where it stopped. With a folder, stop the exporter while this runs.
    """
    logs.set_up("warn", "logfmt")
    if not files and not feeds and shard is None:
        raise click.UsageError("name a file, or a feed by --feed")
    if shard is not None and feeds:
        raise click.UsageError("--shard is for files, and for measuring: a feed is read whole, by one command")
    reuse_memory_below(_LARGE)
    loaded, now = put_into_effect(config_file), server.now()
    unknown = sorted(set(feeds) - set(loaded.feeds))
    if unknown:
        raise ConfigError("feeds", f"none is named {unknown[0]}; known: {', '.join(loaded.feeds) or 'none'}")
    past = _Past(
        deployments=[
            each for file in files for each in read_history(file, now=now) if shard is None or shard.has(each.service)
        ]
        if files
        else None,
        feeds={name: loaded.feeds[name] for name in feeds},
        since=now - _LONG_AGO if since is None else since.replace(tzinfo=UTC),
        shard=shard,
    )
    account = _Account(quiet=output == "json")
    try:
        asyncio.run(_import(past, loaded, storage_of(storage, storage_url), now, account, measure=measure))
    finally:
        if output == "json":
            click.echo(json.dumps(account.as_json()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What is imported: the deployments of files, and what feeds report since an instant; of a part of the services."""

    deployments: Sequence[Deployment] | None
    feeds: Mapping[str, Feed]
    since: datetime
    shard: Shard.Part | None


@dataclass(kw_only=True)
class _Account:
    """What became of the import so far; a script gets it whole at the end, a person line by line."""

    quiet: bool
    imported: int = 0
    known: int = 0
    feeds: dict[str, dict[str, object]] = field(default_factory=dict)
    measured: dict[str, int] = field(default_factory=dict)
    left: int = 0

    def print(self, line: str) -> None:
        if not self.quiet:
            click.echo(line)

    def as_json(self) -> dict[str, object]:
        """`measured` by outcome; `left` is what was due and has no answer yet."""
        return {name: value for name, value in vars(self).items() if name != "quiet"}


async def _import(past: _Past, loaded: Config, url: str, now: datetime, account: _Account, *, measure: bool) -> None:
    store = await open_store(url, make=True)
    try:
        if past.deployments is not None:
            account.imported = await _keep(past.deployments, store, loaded.policy.schedule, now)
            account.known = len(past.deployments) - account.imported
            account.print(f"{account.imported} imported, {account.known} were there")
        for name in past.feeds:
            await _read(name, past, store, loaded, account)
        account.left = (await store.looks.backlog(now, await _services(store, past.shard))).count
        if measure and account.left:
            await _measure(store, loaded, now, account, past.shard)
        elif not measure:
            account.print("afdp serve measures what they did")
    finally:
        await store.close()


async def _read(name: str, past: _Past, store: Store, loaded: Config, account: _Account) -> None:
    """Everything that a feed reports of the past. Raises FeedError; reading it again goes on with what is new."""
    counted = _Counted()
    feeding = Feeding(
        store=store,
        rules=lambda: loaded.mapping,
        schedule=lambda: loaded.policy.schedule,
        feeds=lambda: past.feeds,
        audience=counted,
        clock=server.now,
    )
    with Advance(f"Reading {name}") as counted.progress:
        created = await feeding.catch_up(name, past.feeds[name], past.since)
    account.feeds[name] = {"imported": created, "events": counted.events, "left_out": dict(counted.ignored)}
    account.print(f"{name}: {created} imported, {counted.events} new events, {counted.ignored.total()} left out")
    for reason, count in counted.ignored.most_common(_REASONS):
        account.print(f"  {count} x {reason}")


@dataclass
class _Counted:
    """Counts what a feed reports, and moves its bar."""

    events: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    progress: Advance | None = None

    def taken(self, announcement: Announcement) -> None:  # noqa: ARG002 - it is only counted
        self.events += 1
        if self.progress is not None:
            self.progress.advance()

    def left_out(self, feed: str, reason: str) -> None:  # noqa: ARG002 - there is only one
        self.ignored[reason] += 1

    def fed(self, feed: str, *, well: bool) -> None:
        """The end of the command says it."""


async def _keep(deployments: Sequence[Deployment], store: Store, schedule: Schedule, now: datetime) -> int:
    """Record all of them; how many were new."""
    created = 0
    with Advance("Importing", len(deployments)) as progress:
        for start in range(0, len(deployments), _AT_ONCE):
            some = deployments[start : start + _AT_ONCE]
            kept = await asyncio.gather(
                *(store.deployments.record(each, schedule_looks(each, schedule, now)) for each in some)
            )
            created += sum(one.created for one in kept)
            progress.reach(start + len(some))
    return created


async def _services(store: Store, shard: Shard.Part | None) -> set[str] | None:
    """Those of a shard; None for all."""
    if shard is None:
        return None
    return {service for service, _ in await store.deployments.service_environments() if shard.has(service)}


async def _measure(store: Store, loaded: Config, now: datetime, account: _Account, shard: Shard.Part | None) -> None:
    """Answer what is due, and print what became of it.

    Raises SourceUnavailable where a source stays away, EngineUnavailable where what judges does.
    """
    total, found = account.left, Counter[str]()
    async with _analyst(store, loaded, now) as analyst:
        backfill = Backfill(
            store=store,
            analyst=analyst,
            schedule=loaded.policy.schedule,
            clock=server.now,
            until=now,
            at_once=loaded.policy.analysis.at_once,
            services=await _services(store, shard),
            owner="backfill" if shard is None else f"backfill {shard}",
        )
        with Advance("Measuring", total) as progress:

            def count(outcome: Outcome | None) -> None:
                found[outcome or "failed"] += 1
                progress.advance()

            try:
                await backfill.run(count)
            finally:
                progress.close()
                account.measured = {word: found[word] for word in (*Outcome, "failed") if found[word]}
                account.left = total - found.total()
                _summarise(account, total)


def _summarise(account: _Account, total: int) -> None:
    outcomes = ", ".join(f"{count} {word}" for word, count in account.measured.items())
    account.print(f"{total - account.left} of {total} measured{': ' if outcomes else ''}{outcomes}")
    if account.measured.get(Outcome.UNKNOWN):
        account.print("unknown: the report of each says what is missing, such as series that are no longer remembered")


@asynccontextmanager
async def _analyst(store: Store, loaded: Config, now: datetime) -> AsyncIterator[Analyst]:
    watched = rate_limited(loaded.watched, now, loaded.policy.backfill)
    compute = open_compute(workers=watched.settings.workers, engine=watched.settings.executor)
    try:
        reader = StoreReader(store, compute, lambda: watched.settings.deadline)
        yield Analyst(watched=lambda: watched, reader=reader, observer=NullObserver())
    finally:
        await compute.close()


COMMAND = import_
