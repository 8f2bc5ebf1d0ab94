"""The one loop that does what is due: it takes a job when a slot is free, holds it while it works, and finishes it."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from afdp_exporter.errors import AFDPError, LeaseLost, StoreError
from afdp_exporter.jobs import Kind, Next, Settled, backoff
from afdp_exporter.store import Job, Store

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=1)
"""How long a job is held without a heartbeat; after that another runner takes it."""

REST = timedelta(seconds=15)
"""How long a runner rests at most before it asks anew: others may enqueue jobs, and clocks are set."""

_BEATS = 3  # in a lease
_SHORTEST_REST = timedelta(milliseconds=50)
_TOGETHER = 0.1  # seconds in which what becomes due is taken together, by few questions and commits


class Runner:
    """Does the jobs of some kinds. A slow job holds up no other kind, and no other lane of its own kind."""

    def __init__(
        self,
        store: Store,
        *kinds: Kind,
        clock: Callable[[], datetime],
        lease: timedelta = LEASE,
        rest: timedelta = REST,
    ) -> None:
        self._store = store
        self._kinds = {kind.name: kind for kind in kinds}
        self._clock = clock
        self._lease = lease
        self._longest_rest = rest
        self._owner = uuid.uuid4().hex
        self._running: dict[asyncio.Task[None], Job] = {}
        self._under_way = Counter[str]()  # of each kind
        self._held_until: dict[asyncio.Task[None], datetime] = {}
        self._claiming: asyncio.Future[list[list[Job] | BaseException]] | None = None
        self._begun = 0
        self._called = asyncio.Event()
        self._busy = asyncio.Event()

    def add(self, *kinds: Kind) -> None:
        """Do the jobs of these kinds, too."""
        self._kinds |= {kind.name: kind for kind in kinds}

    def wake(self) -> None:
        """There may be something to do now."""
        self._called.set()

    async def run(self) -> None:
        """Work until cancelled; whatever is under way then is given back."""
        beating = asyncio.create_task(self._beat())
        try:
            while True:
                self._called.clear()
                rest, is_full = self._longest_rest, False
                try:
                    rest, is_full = await self._take()
                except StoreError as error:
                    log.error("store does not answer", error=str(error))
                except Exception:  # the outermost loop: one unforeseen error must not end the work
                    log.exception("work goes on after an unforeseen error")
                await self._rest(rest)
                if not is_full:
                    await asyncio.sleep(_TOGETHER)
        finally:
            beating.cancel()
            await self._end(tuple(self._running))
            if self._claiming is not None:  # what it takes would be held by nobody until its lease ends
                await asyncio.gather(self._claiming, return_exceptions=True)
            with suppress(StoreError):
                await self._store.jobs.release(self._owner)

    async def drain(self) -> bool:
        """Do everything that is due, until nothing is; False where there was nothing."""
        begun = self._begun
        while True:
            self._called.clear()
            await self._take()
            if self._running:
                await asyncio.wait(tuple(self._running), return_when=asyncio.FIRST_COMPLETED)
            elif not self._called.is_set():  # else the last one ended meanwhile, and with it what kept others waiting
                return self._begun > begun

    async def restart(self, kind: str) -> None:
        """Break off the jobs of a kind; they are due at once."""
        await self._end(tuple(task for task, job in self._running.items() if job.kind == kind))
        await self._store.jobs.release(self._owner, kind)
        self.wake()

    async def _take(self) -> tuple[timedelta, bool]:
        """Begin what is due, as far as slots are free.

        How long nothing else will be due, and whether more is due than there were slots for.
        """
        exhausted, is_full = set[str](), False
        while True:
            now = self._clock()
            if min(self._held_until.values(), default=now + self._lease) <= now:
                await self._hold()  # it stood still, or the clock was set: its own work is not to be begun anew
            next_at = await self._store.jobs.next_at(tuple(self._kinds), self._lanes())
            waiting = [name for name, at in next_at.items() if at <= now and name not in exhausted]
            free = {name: self._free(name) for name in next_at}
            due = [name for name in waiting if free[name]]
            is_full |= len(due) < len(waiting)
            if not due:
                later = [at for name, at in next_at.items() if at > now and free[name]]
                rest = min(later, default=now + self._longest_rest) - now
                return min(max(rest, _SHORTEST_REST), self._longest_rest), is_full
            claims = (self._claim(name, now, free[name]) for name in due)
            self._claiming = asyncio.gather(*claims, return_exceptions=True)
            failed: BaseException | None = None
            for name, jobs in zip(due, await asyncio.shield(self._claiming), strict=True):
                if isinstance(jobs, BaseException):
                    failed = jobs
                    continue
                for job in jobs:
                    self._begin(self._kinds[name], job, now)
                if len(jobs) < free[name]:
                    exhausted.add(name)
            if failed is not None:
                raise failed

    async def _claim(self, name: str, now: datetime, limit: int) -> list[Job]:
        kind = self._kinds[name]
        return await self._store.jobs.claim(
            name,
            now,
            owner=self._owner,
            limit=limit,
            lease=self._lease,
            per_lane=kind.per_lane,
            in_turns=True,
            lanes=kind.lanes(),
        )

    def _begin(self, kind: Kind, job: Job, now: datetime) -> None:
        task = asyncio.create_task(self._work(kind, job))
        self._begun += 1
        self._running[task] = job
        self._under_way[job.kind] += 1
        self._busy.set()
        self._held_until[task] = now + self._lease
        task.add_done_callback(self._ended)

    def _lanes(self) -> dict[str, Collection[str]]:
        return {name: lanes for name, kind in self._kinds.items() if (lanes := kind.lanes()) is not None}

    def _free(self, kind: str) -> int:
        return max(self._kinds[kind].slots() - self._under_way[kind], 0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way[self._running.pop(task).kind] -= 1
        del self._held_until[task]
        if not self._running:
            self._busy.clear()
        self.wake()

    async def _work(self, kind: Kind, job: Job) -> None:
        """Do a job and keep what becomes of it; where that cannot be kept its lease ends, and it is done again."""
        try:
            with self._store.jobs.holding(job):
                then = await kind.run(job)
            await self._settle(job, then)
        except LeaseLost as error:
            log.warning("job given up", kind=job.kind, key=job.key, error=str(error))
        except StoreError as error:
            log.error("job not finished", kind=job.kind, key=job.key, error=str(error))
        except Exception as error:  # noqa: BLE001 - one job that fails must not stop the others
            with suppress(StoreError):
                await self._put_off(job, error)

    async def _settle(self, job: Job, then: Next) -> None:
        if not isinstance(then, Settled):
            await self._store.jobs.finish(job, then)

    async def _put_off(self, job: Job, error: Exception) -> None:
        is_expected = isinstance(error, AFDPError)
        reason = str(error) if is_expected else f"internal error: {type(error).__name__}"
        if reason != job.reason:  # as long as it fails for the same reason it is reported once
            log.warning(
                "job failed, it is tried again", kind=job.kind, key=job.key, error=reason,
                exc_info=None if is_expected else error,
            )  # fmt: skip
        await self._store.jobs.postpone(job, self._clock() + backoff(job.attempts), reason)

    async def _beat(self) -> None:
        while True:
            await self._busy.wait()
            await asyncio.sleep((self._lease / _BEATS).total_seconds())
            with suppress(StoreError):
                await self._hold()

    async def _hold(self) -> None:
        """Hold what is under way for longer; what another holds by now is not. Raises StoreError."""
        held = dict(self._running)
        if held:
            until = self._clock() + self._lease
            await self._store.jobs.heartbeat(tuple(held.values()), until)
            self._held_until |= dict.fromkeys(held.keys() & self._running.keys(), until)

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _rest(self, at_most: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds()):  # wait_for may lose a cancellation (Python 3.11)
                await self._called.wait()
