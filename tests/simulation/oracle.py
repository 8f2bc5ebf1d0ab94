"""What must hold at every step, held against what a run does: it sees each operation as it reaches the disk."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from afdp_exporter.model import Attribution, Deployment, Impact, Look, LookState, Notification, Outcome, Status
from afdp_exporter.store import Job
from afdp_exporter.store.follow_ups import CHECK, NOTICE, check_key, deployment_of_notice
from simulation.conditions import HOUR, MINUTE, Conditions, Fault
from simulation.outside import START, Truth

if TYPE_CHECKING:
    from simulation.disk import Disk
    from simulation.process import Process

_BUDGET = 9  # attempts at one job in ten minutes: its pauses grow from 15 s to 5 min
_LATE = timedelta(minutes=4)  # after a look is due, while nothing is wrong
_ONE_CHECK = 60.0  # seconds in which all that a check asks is asked
_BEGUN = {Status.PLANNED, Status.STARTED}

Key = tuple[str, str]


def job_key(job: Job) -> tuple[str, str, datetime]:
    """What tells a job from any other: a look that is planned anew is another one."""
    return job.kind, job.key, job.due_at


class Violation(AssertionError):
    """Something that must never happen has happened."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a job by which claim, and until when."""

    owner: str
    token: int
    until: datetime
    due_at: datetime


@dataclass(slots=True)
class Oracle:
    """Raises Violation where an invariant does not hold; `found` is the first."""

    disk: "Disk"
    truth: Truth
    conditions: Conditions
    several: bool  # processes at once
    found: str | None = None
    holds: dict[Key, Hold] = field(default_factory=dict)
    answered: Counter[tuple[str, timedelta, datetime]] = field(default_factory=Counter)
    acked: dict[str, Status] = field(default_factory=dict)
    shown: dict[tuple[str, str], object] = field(default_factory=dict)
    settled: dict[tuple[str, str], object] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)
    overtaken: set[tuple[str, str]] = field(default_factory=set)  # heard last of one that stood still meanwhile
    sending: set[tuple[str, str]] = field(default_factory=set)
    unsure: set[tuple[str, str]] = field(default_factory=set)  # where an attempt was not finished
    attempts: dict[tuple[Any, ...], deque[float]] = field(default_factory=dict)
    changed: dict[str, float] = field(default_factory=dict)
    recent: deque[tuple[Any, ...]] = field(default_factory=lambda: deque(maxlen=300))
    checks: int = 0
    notices: int = 0

    def breaks(self, what: str) -> None:
        """An invariant does not hold."""
        if self.found is None:
            self.found = f"day {self.conditions.clock() / 86400.0:.3f}: {what}"
        raise Violation(self.found)

    def before(self, deployment_id: str) -> Deployment | None:
        """What is remembered until a deployment is amended."""
        return self.disk.deployments().get(deployment_id)

    def committed(
        self,
        process: "Process",
        port: str,
        operation: str,
        arguments: tuple[Any, dict[str, Any]],
        before: Any,
        answer: Any,
    ) -> None:
        """An operation is on disk."""
        if self.found is None:
            self.recent.append((self.conditions.clock(), process.number, port, operation, arguments, answer))
        watch = _watcher(port, operation)
        if watch is not None:
            args, words = arguments
            watch(self, process, before, answer, *args, **words)

    def acknowledged(self, deployment_id: str, status: Status) -> None:
        """A sender was answered."""
        self.acked[deployment_id] = status
        if deployment_id not in self.disk.deployments():
            self.breaks(f"{deployment_id} was acknowledged and is not stored")

    def opened(self) -> None:
        """A process has opened the store for itself alone."""
        self.holds.clear()
        for deployment_id in self.acked:
            if deployment_id not in self.disk.deployments():
                self.breaks(f"{deployment_id} was acknowledged and is lost after a crash")

    # jobs

    def begins(self, process: "Process", job: Job) -> None:
        """A process begins to work on a job that it has claimed."""
        now = self.conditions.clock()
        if process.under_way.get(job_key(job)) and not self.several:
            self.breaks(f"{job.kind} {job.key} is under way twice in one process")
        if job.kind not in {CHECK, NOTICE, "feed"}:
            return
        times = self.attempts.setdefault((*job_key(job), job.version), deque())
        times.append(now)
        while times[0] < now - 10 * MINUTE:
            times.popleft()
        if len(times) > _BUDGET and not self._disturbed(now - 10 * MINUTE):
            self.breaks(f"{job.kind} {job.key} was tried {len(times)} times in ten minutes")

    def _disturbed(self, begin: float) -> bool:
        """Whether pauses may have been cut short: a start has everything done at once, and so does a clock."""
        return any(self.conditions.lately(each, begin) for each in (Fault.CRASH, Fault.STOP, Fault.CLOCK))

    def _jobs_claim(
        self, process: "Process", before: Any, answer: list[Job], kind: str, now: datetime, **words: Any
    ) -> None:
        for job in answer:
            held = self.holds.get((job.kind, job.key))
            if held is not None and held.until > now:
                self.breaks(f"{job.kind} {job.key} was claimed while {held.owner} holds it")
            self.holds[job.kind, job.key] = Hold(words["owner"], job.token, now + words["lease"], job.due_at)

    def _jobs_heartbeat(
        self, process: "Process", before: Any, answer: int, jobs: Sequence[Job], until: datetime
    ) -> None:
        mine = [job for job in jobs if self._is_held(job)]
        if answer > len(mine):
            self.breaks(f"a heartbeat held {answer} jobs, of which {len(mine)} were its own")
        for job in mine:
            key = (job.kind, job.key)
            self.holds[key] = replace(self.holds[key], until=max(self.holds[key].until, until))

    def _jobs_finish(self, process: "Process", before: Any, answer: bool, job: Job, again: Any = None) -> None:
        self._settled(job, answer)
        self._over(job)

    def _jobs_postpone(self, process: "Process", before: Any, answer: bool, job: Job, *_: Any, **__: Any) -> None:
        self._settled(job, answer)

    def _jobs_release(self, process: "Process", before: Any, answer: None, owner: str, kind: str | None = None) -> None:
        self.holds = {
            key: held for key, held in self.holds.items() if held.owner != owner or kind not in {None, key[0]}
        }

    def _over(self, job: Job) -> None:
        """It was done; one of the same key that comes later is another."""
        self.attempts.pop((*job_key(job), job.version), None)

    def _is_held(self, job: Job) -> bool:
        held = self.holds.get((job.kind, job.key))
        return held is not None and held.token == job.token

    def _settled(self, job: Job, answer: bool) -> None:
        if answer and not self._is_held(job):
            self.breaks(f"{job.kind} {job.key} was settled by a claim that does not hold it any more")
        if answer:
            self.holds.pop((job.kind, job.key), None)

    # deployments

    def _deployments_amend(self, process: "Process", before: Deployment | None, answer: Deployment, *_: Any) -> None:
        self._changed(before, answer)

    def _deployments_apply_announcement(self, process: "Process", before: Any, answer: Any, *_: Any) -> None:
        if answer.deployment is not None and answer.changed:
            self._changed(None, answer.deployment)

    def _changed(self, before: Deployment | None, after: Deployment) -> None:
        known = self.acked.get(after.id)
        if known not in {None, *_BEGUN} and after.status in _BEGUN:
            self.breaks(f"{after.id} was {known} and is {after.status} again")
        self.changed[after.id] = self.conditions.clock()
        held = [key for key in self.holds if key[0] == CHECK and key[1].startswith(f"{after.id}/")]
        if not held:
            return
        due = {check_key(look): look.due_at for look in self.disk.looks() if look.deployment_id == after.id}
        for key in held:
            if due.get(key[1]) != self.holds[key].due_at:
                del self.holds[key]  # it was planned anew, and is another look

    # looks

    def _looks_finish(
        self, process: "Process", before: Any, answer: bool, look: Look, impact: Impact | None, *_: Any,
        job: Job | None = None, **__: Any,
    ) -> None:  # fmt: skip
        if not answer:
            return
        self.checks += 1
        if job is not None:
            self._settled(job, answer)
        key = (look.deployment_id, look.after, look.due_at)
        self.answered[key] += 1
        if self.answered[key] > 1:
            self.breaks(f"the look of {look.deployment_id} after {look.after} was answered twice")
        if look.done_at is None or look.done_at < look.due_at:
            self.breaks(f"the look of {look.deployment_id} after {look.after} was answered before it was due")
        if impact is not None:
            self._measured(impact)
        self._in_time(process, look)

    def _looks_postpone(
        self, process: "Process", before: Any, answer: bool, look: Look, until: datetime, reason: str,
        impact: Impact | None = None, *_: Any, job: Job | None = None, **__: Any,
    ) -> None:  # fmt: skip
        if job is not None:
            self._settled(job, answer)
        if answer and impact is not None:
            self._measured(impact)

    def _measured(self, impact: Impact) -> None:
        deployment = self.disk.deployments()[impact.deployment_id]
        said = any(shift.verdict is not Attribution.INCONCLUSIVE for shift in impact.shifts)
        since = [self.conditions.clock() - each.begin for each in self.conditions.of(Fault.SOURCE_LATE)]
        if any(0.0 <= each < _ONE_CHECK for each in since):
            return  # it grew late between two questions of one check, and no answer says so
        newest = self.truth.shown.get(deployment.service, 0.0)
        if (said or impact.outcome is Outcome.SUCCESS) and newest < deployment.started_at.timestamp():
            self.breaks(f"{impact.outcome} of {deployment.id}, and nothing was measured after it")

    def _in_time(self, process: "Process", look: Look) -> None:
        due = (look.due_at - START).total_seconds()
        planned = max(process.began + HOUR, self.changed.get(look.deployment_id, 0.0))
        if due < planned or not self.conditions.quiet_since(due - HOUR):
            return
        late = timedelta(seconds=self.conditions.clock() - due)
        if late > _LATE and look.attempts == 0:
            self.breaks(f"the look of {look.deployment_id} was answered {late} late, and nothing was wrong")

    def _looks_backlog(self, process: "Process", before: Any, answer: Any, now: datetime) -> None:
        overdue = self.disk.overdue(now)
        if answer.count != overdue:
            self.breaks(f"{answer.count} looks are said to be overdue, and {overdue} are")

    # notices

    def heard(self, process: "Process", receiver: str, notice: Notification, shown: object) -> None:
        """A notice of a process has arrived."""
        self.notices += 1
        key, stored = (receiver, notice.deployment.id), self.disk.deployments().get(notice.deployment.id)
        if stored is None:
            self.breaks(f"{receiver} heard of {notice.deployment.id}, which is not stored")
        held = self.holds.get((NOTICE, f"{receiver}/{notice.deployment.id}"))
        is_sender = held is not None and held.owner == process.state.runner._owner  # else it stood still on its way
        if self.settled.get(key) == shown and is_sender and key not in self.unsure:
            self.breaks(f"{receiver} heard twice of {notice.deployment.id}, and the first time was kept")
        self.shown[key] = shown
        self.refused.discard(key)
        if self.several and not is_sender:
            self.overtaken.add(key)
        else:
            self.overtaken.discard(key)

    def _notices_begin(self, process: "Process", before: Any, answer: Any, job: Job) -> None:
        """What is begun and not finished may have arrived or not: what was settled before may be said again."""
        key = (job.lane, deployment_of_notice(job))
        if key in self.sending:
            self.unsure.add(key)
        self.sending.add(key)

    def _notices_restore(self, process: "Process", before: Any, answer: Any, job: Job, sent: str) -> None:
        """Nothing of what was begun has arrived."""
        self.sending.discard((job.lane, deployment_of_notice(job)))

    def _notices_finish(
        self, process: "Process", before: Any, answer: Any, job: Job, *, sent: str | None, reason: str | None = None
    ) -> None:
        key = (job.lane, deployment_of_notice(job))
        if not self._is_held(job):
            self.unsure.add(key)
            self.overtaken.discard(key)
            return
        self.holds.pop((job.kind, job.key), None)
        self._over(job)
        self.sending.discard(key)
        if sent is not None:  # else what it heard last is not known, as where it refuses what may have arrived before
            self.unsure.discard(key)
        if reason is None:
            self.settled[key] = self.shown.get(key)

    # the end

    def drained(self, now: datetime, content: Any) -> None:
        """Long after the last fault, nothing is left to do and everybody knows the latest."""
        for look in self.disk.looks():
            if look.is_open and look.due_at <= now:
                self.breaks(f"the look of {look.deployment_id} after {look.after} was never answered: {look.reason}")
            if look.state is LookState.FAILED and not look.reason:
                self.breaks(f"the look of {look.deployment_id} failed without a reason")
        left = [key for key in self.disk.open_jobs() if key[0] == NOTICE]
        if left:
            self.breaks(f"{len(left)} notices were never sent, {left[0][1]} among them")
        for deployment_id, status in self.acked.items():
            stored = self.disk.deployments().get(deployment_id)
            if stored is None:
                self.breaks(f"{deployment_id} was acknowledged and is lost")
            elif status not in _BEGUN and stored.status in _BEGUN:
                self.breaks(f"{deployment_id} is over and is stored as {stored.status}")
        for (receiver, deployment_id), shown in content.items():
            key = (receiver, deployment_id)
            if self.shown.get(key) != shown and key not in self.refused | self.overtaken:
                self.breaks(f"{receiver} does not know the latest of {deployment_id}: {self.shown.get(key)}, {shown}")


@cache
def _watcher(port: str, operation: str) -> Callable[..., None] | None:
    """What the oracle has to say of an operation."""
    return getattr(Oracle, f"_{port}_{operation}", None)
