"""What a store in memory holds, and the steps that several of its operations share."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from afdp_exporter.errors import LeaseLost
from afdp_exporter.model import (
    CommitChange,
    Deployment,
    Impact,
    Look,
    LookState,
    MeasuredDeployment,
    Outcome,
    Prediction,
    Trajectory,
    stated_decision,
)
from afdp_exporter.store import Arrival, Job, NewJob, StoredChange
from afdp_exporter.store.exactness import refuse_unstorable
from afdp_exporter.store.fencing import Fence
from afdp_exporter.store.follow_ups import CHECK, DEPLOYMENT, IMPACT, check, check_key, jobs_after
from afdp_exporter.store.paging import read_cursor, write_cursor

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Held:
    """A job, when it can be taken, and who holds it by which claim."""

    job: Job
    ready_at: datetime
    owner: str | None = None


@dataclass(slots=True)
class Data:
    """What is kept. An operation works out everything before it changes anything."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    arrivals: dict[str, dict[str, Arrival]] = field(default_factory=dict)
    commits: dict[str, CommitChange] = field(default_factory=dict)
    looks: dict[str, dict[timedelta, Look]] = field(default_factory=dict)
    impacts: dict[str, Impact] = field(default_factory=dict)
    courses: dict[str, tuple[Trajectory, ...]] = field(default_factory=dict)
    predictions: dict[str, Prediction] = field(default_factory=dict)
    receivers: set[str] = field(default_factory=set)
    sent: dict[tuple[str, str], str | None] = field(default_factory=dict)
    changes: list[StoredChange] = field(default_factory=list)
    last: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: dict[tuple[str, str], Held] = field(default_factory=dict)
    fence: Fence = field(default_factory=Fence)

    def check_held(self) -> None:
        """Raises LeaseLost where the job that is worked on is held by another claim by now, or by none."""
        job = self.fence.job
        if job is not None:
            self.check_claim(job)

    def check_claim(self, job: Job) -> None:
        """Raises LeaseLost where a job is held by another claim by now, or by none."""
        if self.claimed(job) is None:
            raise LeaseLost(f"{job.kind} {job.key}: another process has taken this over")

    def claimed(self, job: Job) -> Held | None:
        """The job as it stands, where this claim holds it."""
        held = self.jobs.get((job.kind, job.key))
        return held if held is not None and held.owner is not None and held.job.token == job.token else None

    def append(self, kind: str, thing_id: str) -> None:
        """Something has changed."""
        self.last += 1
        self.changes.append(StoredChange(seq=self.last, kind=kind, id=thing_id))
        news, self.news = self.news, asyncio.Event()
        news.set()

    def append_of(self, kind: str, deployment: Deployment) -> None:
        """Something of a deployment has changed; what follows from it becomes due."""
        self.append(kind, deployment.id)
        self.enqueue(jobs_after(kind, deployment, self.receivers))

    def put(self, deployment: Deployment) -> None:
        """Keep a deployment as it is now."""
        self.deployments[deployment.id] = deployment
        self.append_of(DEPLOYMENT, deployment)

    def enqueue(self, new: Iterable[NewJob]) -> None:
        """Have these done; one that is there already is due no later than this."""
        for each in new:
            known = self.jobs.get((each.kind, each.key))
            if known is None:
                job = Job(
                    kind=each.kind, key=each.key, lane=each.lane, due_at=each.due_at, attempts=0, reason=None,
                    version=1, token=0,
                )  # fmt: skip
                self.jobs[each.kind, each.key] = Held(job, each.due_at)
                continue
            due_at = min(known.job.due_at, each.due_at)
            known.job = replace(known.job, version=known.job.version + 1, attempts=0, due_at=due_at)
            if known.owner is None:
                known.ready_at = min(known.ready_at, each.due_at)

    def plan(self, looks: Iterable[Look]) -> None:
        """Keep looks; those that are open become jobs."""
        for look in looks:
            state = LookState.DUE if look.state is LookState.RUNNING else look.state
            self.looks.setdefault(look.deployment_id, {})[look.after] = replace(look, state=state)
            if look.is_open:
                self.enqueue((check(look, self.deployments[look.deployment_id].service),))

    def plan_anew(self, deployment_id: str, looks: Sequence[Look]) -> None:
        """Plan anew what has no answer; an answer stays unless its look is now due at another time."""
        known = self.looks.get(deployment_id, {})
        for look in [each for each in known.values() if each.is_open]:
            del known[look.after]
            self.jobs.pop((CHECK, check_key(look)), None)
        answered = {after: look.due_at for after, look in known.items()}
        self.plan(look for look in looks if answered.get(look.after) != look.due_at)

    def keep(self, impact: Impact | None, drawn: Sequence[Trajectory]) -> None:
        """Keep an impact and its courses, unless a later one is known."""
        if impact is None:
            return
        known = self.impacts.get(impact.deployment_id)
        if known is None or impact.measured_at >= known.measured_at:
            self.impacts[impact.deployment_id] = impact
            self.courses[impact.deployment_id] = tuple(sorted(drawn, key=lambda course: course.metric))
            self.append_of(IMPACT, self.deployments[impact.deployment_id])

    def measured(self, deployment: Deployment) -> MeasuredDeployment:
        return MeasuredDeployment(deployment=deployment, impact=self.impacts.get(deployment.id))

    def outcome(self, deployment: Deployment) -> Outcome:
        said, impact = stated_decision(deployment), self.impacts.get(deployment.id)
        return said.outcome if said is not None else impact.outcome if impact is not None else Outcome.UNKNOWN

    def page(self, found: Iterable[Deployment], cursor: str | None, limit: int) -> tuple[list[Deployment], str | None]:
        ordered = sorted(found, key=place, reverse=True)
        if cursor is not None:
            before = read_cursor(cursor)
            ordered = [each for each in ordered if place(each) < before]
        return ordered[:limit], write_cursor(ordered[limit - 1]) if len(ordered) > limit else None


def place(deployment: Deployment) -> tuple[int, str]:
    """Where a deployment stands in the order of pages."""
    return (deployment.started_at - EPOCH) // timedelta(microseconds=1), deployment.id


def check_look(look: Look) -> None:
    """Raises StoreError for what cannot be kept exactly."""
    refuse_unstorable(look, f"a look at deployment {look.deployment_id!r}")
