"""What is done in the background: kinds of jobs, the runner that does them, the follower that hears of changes."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TypeAlias

from afdp_exporter.store import Job

_FIRST_RETRY = timedelta(seconds=15)
_LONGEST_RETRY = timedelta(minutes=5)


class Settled(Enum):
    """That the job was finished or put off in the transaction of what it did."""

    SETTLED = auto()


Next: TypeAlias = datetime | Settled | None
"""When a job is due again; None where it is done; SETTLED where the store knows already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How the jobs of a name are done: so many at once, no more than `per_lane` of the same lane.

    With `lanes` only jobs of these are taken: those of a receiver or feed that is not known here are left to who knows
    it, since the processes that share a store may be configured one after the other.
    `run` may be called again for a job whose end was not kept. Where it raises, the job is tried again later.
    """

    name: str
    run: Callable[[Job], Awaitable[Next]]
    slots: Callable[[], int] = lambda: 1
    per_lane: int | None = None
    lanes: Callable[[], Collection[str] | None] = lambda: None


def backoff(attempts: int) -> timedelta:
    """How long work waits that could not be done, after so many attempts before."""
    return min(_FIRST_RETRY * (1 << min(attempts, 10)), _LONGEST_RETRY)
