"""Fencing: whatever is written in the course of a job is kept only as long as its claim holds.

The token of a claim is the fencing token of Kleppmann, "How to do distributed locking" (2016); it is compared in the
transaction of each write, so that a process which stood still past its lease changes nothing any more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from afdp_exporter.store.jobs import Job


@dataclass(frozen=True, slots=True)
class _Claim:
    fence: "Fence"
    job: Job


_claim: ContextVar[_Claim | None] = ContextVar("claim", default=None)


class Fence:
    """Of one store: the claims on jobs of another store do not bind it."""

    @contextmanager
    def holding(self, job: Job) -> Iterator[None]:
        """What runs within, and the tasks that it begins, write for this job."""
        reset = _claim.set(_Claim(self, job))
        try:
            yield
        finally:
            _claim.reset(reset)

    @property
    def job(self) -> Job | None:
        """The job that is worked on; None outside of any."""
        claim = _claim.get()
        return claim.job if claim is not None and claim.fence is self else None
