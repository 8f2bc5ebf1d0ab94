"""A store of its own, and a feed that is followed into it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.feeds import Feed
from afdp_exporter.jobs import Kind
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.model import Announcement, Deployment
from afdp_exporter.settings import build
from afdp_exporter.store import NewJob
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.tracking.feeding import Feeding
from afdp_exporter.watching.watch import Schedule

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Ear:
    """Hears what a feed reports."""

    heard: list[Announcement] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    states: list[bool] = field(default_factory=list)
    something: asyncio.Condition = field(default_factory=asyncio.Condition)

    def taken(self, announcement: Announcement) -> None:
        self.heard.append(announcement)
        self._wake()

    def left_out(self, feed: str, reason: str) -> None:
        self.ignored.append(reason)
        self._wake()

    def fed(self, feed: str, *, well: bool) -> None:
        self.states.append(well)
        self._wake()

    def _wake(self) -> None:
        async def notify() -> None:
            async with self.something:
                self.something.notify_all()

        task = asyncio.ensure_future(notify())
        task.add_done_callback(lambda _: None)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something to be heard."""
        async with asyncio.timeout(30), self.something:
            await self.something.wait_for(true)


@dataclass
class Listening:
    """The exporter's side: a store, a clock, and feeds that are followed."""

    store: SQLiteStore
    now: datetime = START + timedelta(days=1)
    ear: Ear = field(default_factory=Ear)
    begun: float = field(default_factory=time.monotonic)

    @property
    def feeding(self) -> Feeding:
        return self._feeding({})

    def _feeding(self, feeds: dict[str, Feed]) -> Feeding:
        return Feeding(
            store=self.store, rules=lambda: (), schedule=Schedule, feeds=lambda: feeds, audience=self.ear,
            clock=self.clock,
        )  # fmt: skip

    def clock(self) -> datetime:
        """The time, which goes on."""
        return self.now + timedelta(seconds=time.monotonic() - self.begun)

    async def catch_up(self, feed: Feed, since: datetime = START) -> int:
        return await self.feeding.catch_up("feed", feed, since)

    @asynccontextmanager
    async def following(self, feed: Feed) -> AsyncIterator[Ear]:
        """A feed that is followed until the end of the block, from its cursor on."""
        kind = Kind(name="feed", run=self._feeding({"feed": feed}).poll)
        await self.store.jobs.enqueue(NewJob(kind="feed", key="feed", due_at=START))
        task = asyncio.create_task(Runner(self.store, kind, clock=self.clock).run())
        try:
            yield self.ear
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def deployments(self) -> list[Deployment]:
        """What is stored, oldest first."""
        return list(reversed((await self.store.deployments.page(limit=500)).deployments))

    async def lives(self) -> list[tuple[str, str | None, str]]:
        """Service, version and status of what is stored, oldest first."""
        return [(each.service, each.version, str(each.status)) for each in await self.deployments()]


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    yield Listening(store)
    await store.close()


def feed(kind: str, **settings: object) -> Feed:
    """A feed as the configuration builds it."""
    built: Feed = build("feeds", kind, settings, "feeds[0]")
    return built
