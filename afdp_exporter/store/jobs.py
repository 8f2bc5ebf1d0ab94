"""The port of what is to be done."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """Work to be done from a time on, of each kind and key once; a `lane` is what shares slots with others."""

    kind: str
    key: str
    due_at: datetime
    lane: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work that is held by its owner until its lease ends; `token` tells this claim apart from any other.

    `attempts` counts how often it was put off, for the `reason` of the last time.
    """

    kind: str
    key: str
    lane: str
    due_at: datetime
    attempts: int
    reason: str | None
    version: int
    token: int


class JobStore(Protocol):
    """What is to be done, by whom, and until when. One owner at a time holds a job."""

    async def enqueue(self, *jobs: NewJob) -> None:
        """Have these done. One that is there already is due no later than this, and done again if it is held now."""

    async def claim(
        self,
        kind: str,
        now: datetime,
        *,
        owner: str,
        limit: int,
        lease: timedelta,
        per_lane: int | None = None,
        in_turns: bool = False,
        lanes: Collection[str] | None = None,
    ) -> list[Job]:
        """Take jobs whose time has come, or whose holder has let its lease end; what has been due the longest first.

        No more than `per_lane` of a lane are held at once. With `in_turns` a lane of which fewer are held comes first:
        nobody waits behind all that another lane has to do. With `lanes` only jobs of these are taken.
        """

    def holding(self, job: Job) -> AbstractContextManager[None]:
        """Whatever is written to the store within, and by tasks that begin within, is written for this job.

        It is kept only as long as the job's claim holds, which is looked at in the transaction of each write: LeaseLost
        is raised otherwise. Operations that are handed a job look at that one alone.
        """

    async def check_held(self) -> None:
        """Raises LeaseLost where the job that is worked on is held by another claim by now.

        Whatever has an effect outside of the store asks this right before.
        """

    async def heartbeat(self, jobs: Sequence[Job], until: datetime) -> int:
        """Hold these longer, never shorter; of how many that was still possible."""

    async def finish(self, job: Job, again: datetime | None = None) -> bool:
        """The job is done, until it is due `again`; at once where it was enqueued meanwhile.

        False, and nothing changes, where somebody else holds it by now.
        """

    async def postpone(self, job: Job, until: datetime, reason: str, *, whole_lane: bool = False) -> bool:
        """Try again later, and count the attempt; with `whole_lane` all of its lane waits. False as in `finish`."""

    async def release(self, owner: str, kind: str | None = None) -> None:
        """Give back everything that is held, or what is held of a kind: it is due at once."""

    async def next_at(
        self, kinds: Collection[str], lanes: Mapping[str, Collection[str]] | None = None
    ) -> dict[str, datetime]:
        """When the next job of each kind can be taken; kinds of which there is none are left out.

        Of a kind that is in `lanes` the jobs of these lanes count alone.
        """
