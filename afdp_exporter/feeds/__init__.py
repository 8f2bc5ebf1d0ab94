"""What we go and ask -> announcements. One file a system; its name is the kind in the configuration."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from afdp_exporter.model import Annotation, Announcement, CommitChange, Ignored

_LATELY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRequest:
    """Where to go on: behind the place that `cursor` names, else with what happened from `at` on; it is `now`."""

    at: datetime
    now: datetime
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Everything up to here was reported: the place to go on from. `present`: nothing older is left."""

    cursor: str
    present: bool = True


@dataclass(frozen=True, slots=True)
class Marked:
    """An annotation as Grafana has it, chosen by one of these tags; `by` is who wrote it. Its words are read later."""

    annotation: Annotation
    tags: tuple[str, ...]
    by: str | None = None


Step: TypeAlias = Announcement | CommitChange | Ignored | Marked | Checkpoint


class Feed(Protocol):
    """A system that is asked: a frozen dataclass of settings with this one method."""

    @property
    def interval(self) -> timedelta:
        """How long to wait after one walk before the next."""
        ...

    def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """What happened since, and each place on the way from which a later walk may go on.

        A walk reaches the present at least once and then ends, or follows what happens. What was reported may be
        reported again, as the same event. Raises FeedError.
        """

    async def check(self, now: datetime) -> None:
        """Ask whether it can be read. Raises FeedError."""


async def walk(feed: Feed, now: datetime) -> None:
    """Read what happened lately up to the present, and report nothing of it. Raises FeedError."""
    steps = feed.deployments(PollRequest(at=now - _LATELY, now=now))
    async with aclosing(steps):  # type: ignore[type-var]
        async for step in steps:
            if isinstance(step, Checkpoint) and step.present:
                return
