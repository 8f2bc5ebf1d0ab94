"""What changed and what is to be done, in memory."""

import itertools
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter

from afdp_exporter.model import Impact, Look, LookState, Trajectory
from afdp_exporter.store import Backlog, Job, NewJob, StoredChange
from afdp_exporter.store.exactness import refuse_unstorable
from afdp_exporter.store.follow_ups import CHECK, NOTICE, check_key, deployment_of_notice, look_of_key, notice
from afdp_exporter.store.memory.data import Data, Held, check_look

_seq = attrgetter("seq")


class MemoryChanges:
    """A `ChangeStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    async def last(self) -> int:
        return self._data.last

    async def since(self, seq: int, limit: int = 1000) -> list[StoredChange]:
        changes = self._data.changes
        first = bisect_right(changes, seq, key=_seq)
        return changes[first : first + limit]

    async def follow(self, seq: int) -> AsyncIterator[list[StoredChange]]:
        while True:
            news = self._data.news
            found = await self.since(seq)
            if found:
                seq = found[-1].seq
                yield found
            else:
                await news.wait()

    async def prune(self, keep: int) -> None:
        self._data.check_held()
        del self._data.changes[: bisect_right(self._data.changes, self._data.last - keep, key=_seq)]


class MemoryJobs:
    """A `JobStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._tokens = itertools.count(1)

    async def enqueue(self, *jobs: NewJob) -> None:
        self._data.check_held()
        self._data.enqueue(jobs)

    def holding(self, job: Job) -> AbstractContextManager[None]:
        return self._data.fence.holding(job)

    async def check_held(self) -> None:
        self._data.check_held()

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
        own = [
            held
            for held in self._data.jobs.values()
            if held.job.kind == kind and (lanes is None or held.job.lane in lanes)
        ]
        turns = Counter(held.job.lane for held in own if held.owner is not None and held.ready_at > now)
        ready = []
        for held in sorted((held for held in own if held.ready_at <= now), key=_order):
            turns[held.job.lane] += 1
            turn = turns[held.job.lane]
            if per_lane is None or turn <= per_lane:
                ready.append((turn if in_turns else 0, held))
        taken = [held for _, held in sorted(ready, key=lambda each: (each[0], _order(each[1])))[:limit]]
        for held in taken:
            held.owner, held.ready_at = owner, now + lease
            held.job = replace(held.job, token=next(self._tokens))
        return sorted((held.job for held in taken), key=lambda job: job.due_at)

    async def heartbeat(self, jobs: Sequence[Job], until: datetime) -> int:
        mine = [held for held in map(self._data.claimed, jobs) if held is not None]
        for held in mine:
            held.ready_at = max(held.ready_at, until)
        return len(mine)

    async def finish(self, job: Job, again: datetime | None = None) -> bool:
        held = self._data.claimed(job)
        if held is None:
            return False
        if held.job.version == job.version and again is None:
            del self._data.jobs[job.kind, job.key]
            return True
        due_at = again if again is not None and held.job.version == job.version else held.job.due_at
        held.job = replace(held.job, due_at=due_at, attempts=0, reason=None, token=0)
        held.owner, held.ready_at = None, due_at
        return True

    async def postpone(self, job: Job, until: datetime, reason: str, *, whole_lane: bool = False) -> bool:
        held = self._data.claimed(job)
        if held is None:
            return False
        _put_off(held, until, reason)
        for other in self._data.jobs.values() if whole_lane else ():
            if (other.job.kind, other.job.lane, other.owner) == (job.kind, job.lane, None):
                other.ready_at = max(other.ready_at, until)
        return True

    async def release(self, owner: str, kind: str | None = None) -> None:
        for held in self._data.jobs.values():
            if held.owner == owner and kind in {None, held.job.kind}:
                held.owner, held.ready_at = None, held.job.due_at
                held.job = replace(held.job, token=0)

    async def next_at(
        self, kinds: Collection[str], lanes: Mapping[str, Collection[str]] | None = None
    ) -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        for held in self._data.jobs.values():
            wanted = (lanes or {}).get(held.job.kind)
            if held.job.kind in kinds and (wanted is None or held.job.lane in wanted):
                found[held.job.kind] = min(held.ready_at, found.get(held.job.kind, held.ready_at))
        return found


class MemoryLooks:
    """A `LookStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    async def of_deployment(self, deployment_id: str) -> tuple[Look, ...]:
        found = self._data.looks.get(deployment_id, {})
        return tuple(self._shown(found[after]) for after in sorted(found))

    async def of_job(self, job: Job) -> Look | None:
        look = self._known(*look_of_key(job.key))
        return self._shown(look) if look is not None and look.due_at == job.due_at else None

    async def finish(
        self,
        look: Look,
        impact: Impact | None,
        drawn: Sequence[Trajectory] = (),
        again: Sequence[Look] = (),
        *,
        job: Job | None = None,
    ) -> bool:
        _check(look, impact, drawn)
        if self._open(look, job) is None:
            return False
        del self._data.jobs[CHECK, check_key(look)]
        self._data.looks[look.deployment_id][look.after] = look
        self._data.plan(each for each in again if self._known(each.deployment_id, each.after) is None)
        self._data.keep(impact, drawn)
        return True

    async def postpone(
        self,
        look: Look,
        until: datetime,
        reason: str,
        impact: Impact | None = None,
        drawn: Sequence[Trajectory] = (),
        *,
        job: Job | None = None,
    ) -> bool:
        _check(look, impact, drawn)
        held = self._open(look, job)
        if held is None:
            return False
        looks = self._data.looks[look.deployment_id]
        known = looks[look.after]
        looks[look.after] = replace(known, state=LookState.WAITING, attempts=known.attempts + 1, reason=reason)
        _put_off(held, until, reason)
        self._data.keep(impact, drawn)
        return True

    async def backlog(self, now: datetime, services: Collection[str] | None = None) -> Backlog:
        jobs = (held.job for held in self._data.jobs.values())
        known = (job for job in jobs if job.kind == CHECK and (services is None or job.lane in services))
        due = [job.due_at for job in known if job.due_at <= now]
        return Backlog(count=len(due), oldest_due_at=min(due, default=None))

    def _known(self, deployment_id: str, after: timedelta) -> Look | None:
        return self._data.looks.get(deployment_id, {}).get(after)

    def _open(self, look: Look, job: Job | None) -> Held | None:
        known = self._known(look.deployment_id, look.after)
        held = self._data.jobs.get((CHECK, check_key(look)))
        same = known is not None and known.due_at == look.due_at
        return held if same and held is not None and (job is None or held.job.token == job.token) else None

    def _shown(self, look: Look) -> Look:
        held = self._data.jobs.get((CHECK, check_key(look)))
        return replace(look, state=LookState.RUNNING) if held is not None and held.owner is not None else look


class MemoryNotices:
    """A `NoticeStore`."""

    def __init__(self, data: Data, jobs: MemoryJobs) -> None:
        self._data = data
        self._jobs = jobs

    async def set_receivers(self, names: Collection[str]) -> None:
        self._data.receivers = set(names)
        for key, held in list(self._data.jobs.items()):
            if held.job.kind == NOTICE and held.job.lane not in self._data.receivers:
                del self._data.jobs[key]
        self._data.sent = {key: sent for key, sent in self._data.sent.items() if key[0] in self._data.receivers}

    async def last_sent(self, receiver: str, deployment_id: str) -> str | None:
        return self._data.sent.get((receiver, deployment_id))

    async def begin(self, job: Job) -> None:
        self._data.check_claim(job)
        self._data.sent.pop((job.lane, deployment_of_notice(job)), None)

    async def restore(self, job: Job, sent: str) -> None:
        self._data.check_claim(job)
        self._data.sent[job.lane, deployment_of_notice(job)] = sent

    async def finish(self, job: Job, *, sent: str | None, reason: str | None = None) -> None:  # noqa: ARG002
        place = job.lane, deployment_of_notice(job)
        if job.lane not in self._data.receivers:
            await self._jobs.finish(job)
        elif await self._jobs.finish(job):
            self._data.sent[place] = sent
        else:
            self._data.sent.pop(place, None)
            self._data.enqueue([notice(*place)])

    async def pending(self) -> dict[str, int]:
        waiting = Counter(held.job.lane for held in self._data.jobs.values() if held.job.kind == NOTICE)
        return {name: waiting[name] for name in self._data.receivers}


def _order(held: Held) -> tuple[datetime, datetime, str]:
    return held.ready_at, held.job.due_at, held.job.key


def _put_off(held: Held, until: datetime, reason: str) -> None:
    held.owner, held.ready_at = None, until
    held.job = replace(held.job, attempts=held.job.attempts + 1, reason=reason, token=0)


def _check(look: Look, impact: Impact | None, drawn: Sequence[Trajectory]) -> None:
    check_look(look)
    if impact is not None:
        refuse_unstorable(impact, f"the impact of deployment {impact.deployment_id!r}")
    for course in drawn:
        refuse_unstorable(course, f"the course of {course.metric} at deployment {look.deployment_id!r}")
