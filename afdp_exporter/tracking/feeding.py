"""The use case of asking: what a feed tells is received as if it had been sent to us, and its place is kept."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from afdp_exporter.errors import BadInput, FeedError, StoreError
from afdp_exporter.feeds import Feed, Marked, Reached, Since
from afdp_exporter.model import Announcement, Change, Deployment, Ignored
from afdp_exporter.store import Announced, Store
from afdp_exporter.tracking import reception
from afdp_exporter.tracking.annotations import AnnotationSettings, announced
from afdp_exporter.tracking.mapping import Rule
from afdp_exporter.watching.watch import Schedule

log = structlog.get_logger(__name__)

FIRST = timedelta(days=1)
"""How far a feed that was never read looks back; `afdp import --feed` looks back as far as one likes."""

_LONGEST_WAIT = 300.0  # seconds, unless the system asks for more


class Audience(Protocol):
    """Who wants to know what the feeds tell."""

    def taken(self, announcement: Announcement, announced: Announced) -> None:
        """An announcement is on disk."""

    def described(self, deployment: Deployment) -> None:
        """What the commit of a deployment changed is known now."""

    def left_out(self, feed: str, reason: str) -> None:
        """Something was left out on purpose, or is wrong."""

    def fed(self, feed: str, *, well: bool) -> None:
        """A feed was read up to the present, or could not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """Follows feeds, by the rules that hold at that moment."""

    store: Store
    rules: Callable[[], tuple[Rule, ...]]
    schedule: Callable[[], Schedule]
    audience: Audience
    clock: Callable[[], datetime]

    async def follow(self, feeds: Mapping[str, Feed]) -> None:
        """Follow all of them until cancelled; one that is away keeps nobody else waiting."""
        async with asyncio.TaskGroup() as group:
            for name, feed in feeds.items():
                group.create_task(self._follow(name, feed))

    async def catch_up(self, name: str, feed: Feed, since: datetime) -> int:
        """Read a feed once, from an instant to the present; how many deployments were new. Raises FeedError."""
        created = 0
        async with aclosing(feed.deployments(Since(at=since, now=self.clock()))) as steps:  # type: ignore[type-var]
            async for step in steps:
                if isinstance(step, Reached):
                    await self.store.keep_cursor(name, step.cursor)
                    if step.present:
                        break
                else:
                    created += await self._take(name, step)
        return created

    async def _follow(self, name: str, feed: Feed) -> None:
        failures = 0
        while True:
            wait = feed.interval.total_seconds()
            try:
                await self._walk(name, feed)
                failures = 0
            except FeedError as error:
                failures += 1
                wait = max(min(wait * 2 ** min(failures, 10), _LONGEST_WAIT), error.wait or 0.0)
                self.audience.fed(name, well=False)
                log.warning("feed not read", feed=name, error=str(error), again_in_seconds=wait)
            except StoreError as error:
                log.error("store does not answer", error=str(error))
            except Exception:  # the outermost loop: one answer that nobody foresaw must not stop the exporter
                failures += 1
                wait = _LONGEST_WAIT
                self.audience.fed(name, well=False)
                log.exception("feed not read", feed=name)
            await asyncio.sleep(wait)

    async def _walk(self, name: str, feed: Feed) -> None:
        """One walk of a feed; what is told is on disk before its place is kept, so that an end loses nothing."""
        now, cursor = self.clock(), await self.store.cursor(name)
        async with aclosing(feed.deployments(Since(at=now - FIRST, now=now, cursor=cursor))) as steps:  # type: ignore[type-var]
            async for step in steps:
                if isinstance(step, Reached):
                    if step.cursor != cursor:
                        await self.store.keep_cursor(name, step.cursor)
                        cursor = step.cursor
                    if step.present:
                        self.audience.fed(name, well=True)
                else:
                    await self._take(name, step)

    async def _take(self, name: str, told: Announcement | Change | Ignored | Marked) -> bool:
        """Receive it; whether it began a deployment that was not known."""
        if isinstance(told, Marked):
            told = _announced(told)
        if isinstance(told, Change):
            for deployment in await self.store.describe(told):
                self.audience.described(deployment)
            return False
        if isinstance(told, Ignored):
            self.audience.left_out(name, told.reason)
            return False
        try:
            taken = await reception.receive(
                told, rules=self.rules(), schedule=self.schedule(), store=self.store, now=self.clock()
            )
        except BadInput as error:  # nobody can mend it, and what comes after it has to come in
            self.audience.left_out(name, str(error))
            return False
        if isinstance(taken, Ignored):
            self.audience.left_out(name, taken.reason)
            return False
        if taken.changed:
            self.audience.taken(told, taken)
        return taken.created


def _announced(marked: Marked) -> Announcement | Ignored:
    """What an annotation says, read as one that was sent to us."""
    annotation = marked.annotation
    found = announced(annotation, AnnotationSettings(deployment_tags=marked.tags), str(annotation.id))
    if isinstance(found, Ignored):
        return found
    return replace(found, actor=found.actor or marked.by)
