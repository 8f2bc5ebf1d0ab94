"""The use case of asking: what a feed reports is received as if it had been sent to us, and its place is kept."""

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from afdp_exporter.errors import BadInput, FeedError, StoreError
from afdp_exporter.feeds import Checkpoint, Feed, Marked, PollRequest
from afdp_exporter.jobs import Next, Settled
from afdp_exporter.model import Announcement, CommitChange, Ignored
from afdp_exporter.store import Job, Store
from afdp_exporter.tracking import ingestion
from afdp_exporter.tracking.annotations import AnnotationSettings, parse_annotation
from afdp_exporter.tracking.mapping import Rule
from afdp_exporter.watching.watch import Schedule

log = structlog.get_logger(__name__)

FIRST = timedelta(days=1)
"""How far a feed that was never read looks back; `afdp import --feed` looks back as far as one likes."""

_LONGEST_WAIT = 300.0  # seconds, unless the system asks for more


class FeedListener(Protocol):
    """Who wants to know what the feeds report."""

    def taken(self, announcement: Announcement) -> None:
        """An announcement is on disk."""

    def left_out(self, feed: str, reason: str) -> None:
        """Something was left out on purpose, or is wrong."""

    def fed(self, feed: str, *, well: bool) -> None:
        """A feed was read up to the present, or could not be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """Reads the feeds that are jobs, by the rules that hold at that moment."""

    store: Store
    rules: Callable[[], tuple[Rule, ...]]
    schedule: Callable[[], Schedule]
    feeds: Callable[[], Mapping[str, Feed]]
    audience: FeedListener
    clock: Callable[[], datetime]

    async def poll(self, job: Job) -> Next:
        """Read the feed of a job up to the present; one that is not known here is left to who knows it."""
        feed = self.feeds().get(job.key)
        if feed is None:
            return job.due_at
        try:
            await self._walk(job.key, feed)
        except FeedError as error:
            self.audience.fed(job.key, well=False)
            doubled = feed.interval.total_seconds() * 2 ** min(job.attempts + 1, 10)
            wait = max(min(doubled, _LONGEST_WAIT), error.wait or 0.0)
            log.warning("feed not read", feed=job.key, error=str(error), again_in_seconds=wait)
            await self.store.jobs.postpone(job, self.clock() + timedelta(seconds=wait), str(error))
            return Settled.SETTLED
        except StoreError:
            raise
        except Exception:
            self.audience.fed(job.key, well=False)
            raise
        return self.clock() + feed.interval

    async def catch_up(self, name: str, feed: Feed, since: datetime) -> int:
        """Read a feed once, from an instant to the present; how many deployments were new. Raises FeedError."""
        created = 0
        async with aclosing(feed.deployments(PollRequest(at=since, now=self.clock()))) as steps:  # type: ignore[type-var]
            async for step in steps:
                if isinstance(step, Checkpoint):
                    await self.store.cursors.save(name, step.cursor)
                    if step.present:
                        break
                else:
                    created += await self._take(name, step)
        return created

    async def _walk(self, name: str, feed: Feed) -> None:
        """One walk of a feed; what is reported is on disk before its place is kept, so that an end loses nothing."""
        now, cursor = self.clock(), await self.store.cursors.find(name)
        async with aclosing(feed.deployments(PollRequest(at=now - FIRST, now=now, cursor=cursor))) as steps:  # type: ignore[type-var]
            async for step in steps:
                if isinstance(step, Checkpoint):
                    if step.cursor != cursor:
                        await self.store.cursors.save(name, step.cursor)
                        cursor = step.cursor
                    if step.present:
                        self.audience.fed(name, well=True)
                else:
                    await self._take(name, step)

    async def _take(self, name: str, item: Announcement | CommitChange | Ignored | Marked) -> bool:
        """Receive it; whether it began a deployment that was not known."""
        if isinstance(item, Marked):
            item = _announced(item)
        if isinstance(item, CommitChange):
            await self.store.deployments.save_commit_change(item)
            return False
        if isinstance(item, Ignored):
            self.audience.left_out(name, item.reason)
            return False
        try:
            taken = await ingestion.ingest(
                item, rules=self.rules(), schedule=self.schedule(), store=self.store, now=self.clock()
            )
        except BadInput as error:  # nobody can mend it, and what comes after it has to come in
            self.audience.left_out(name, str(error))
            return False
        if isinstance(taken, Ignored):
            self.audience.left_out(name, taken.reason)
            return False
        if taken.changed:
            self.audience.taken(item)
        return taken.created


def _announced(marked: Marked) -> Announcement | Ignored:
    """What an annotation says, read as one that was sent to us."""
    annotation = marked.annotation
    found = parse_annotation(annotation, AnnotationSettings(deployment_tags=marked.tags), str(annotation.id))
    if isinstance(found, Ignored):
        return found
    return replace(found, actor=found.actor or marked.by)
