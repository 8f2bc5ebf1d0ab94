"""The storage interface: one port for each aggregate. SQL appears only in the adapters below this package.

Everything that an operation has answered is committed. All operations may raise StoreError. A function that is handed
to an operation (`amend`, `apply_announcement`, `change`, `move`) runs within its transaction: it has to be quick and
without effects of its own, and may be called again.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from afdp_exporter.model import (
    Annotation,
    Announcement,
    CommitChange,
    Deployment,
    Event,
    Impact,
    Look,
    MeasuredDeployment,
    MeasuredSummary,
    Outcome,
    Prediction,
    ScoredPrediction,
    Trajectory,
)
from afdp_exporter.store.automation import ActionStore, ApprovalStore, DecisionStore, LevelStore, RolloutStore
from afdp_exporter.store.jobs import Job as Job
from afdp_exporter.store.jobs import JobStore as JobStore
from afdp_exporter.store.jobs import NewJob as NewJob
from afdp_exporter.store.leading import LeaderStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A deployment as it is stored; `created` is False where it was there before."""

    deployment: Deployment
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """A deployment after a change, and its looks where they have to be planned anew (None: they stay)."""

    deployment: Deployment
    looks: tuple[Look, ...] | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An announcement, with a time, and when it came.

    `earlier` is how many deployments of its key came before, whose announcements are forgotten; 0 where another one of
    its key says it.
    """

    announcement: Announcement
    received_at: datetime
    earlier: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What announcements become: the id of the new one's deployment, and each deployment that it changes.

    `keep` is False where the announcement says nothing that was not known. `forgotten` are the events of the thread
    that no other has to be read with any more, `earlier` is what is known of others from now on (`Arrival.earlier`).
    """

    deployment_id: str | None
    amendments: tuple[Amendment, ...] = ()
    keep: bool = True
    forgotten: tuple[str, ...] = ()
    earlier: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What is stored of a deployment after an announcement: None as long as no status is known of it.

    `created` says that it was not there before, `changed` is False where the announcement was known already.
    """

    deployment: Deployment | None
    created: bool = False
    changed: bool = True


Stored: TypeAlias = Callable[[str], Deployment | None]
"""A deployment by its id."""

Assemble: TypeAlias = Callable[[Stored, Announcement, Sequence[Arrival], Sequence[Arrival]], Assembled]
"""What is stored, an announcement, all of its thread without it and with it -> the deployments that it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of deployments, newest first; `cursor` leads to the next one, None on the last."""

    deployments: tuple[Deployment, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A page of deployments with what they did, newest first; `cursor` leads to the next one, None on the last."""

    measured: tuple[MeasuredDeployment, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The looks whose time has come and that have no answer yet."""

    count: int
    oldest_due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange:
    """Something of this kind and id changed; a later change has a higher `seq`.

    `recorded` is the deployment that came in by it, of which nothing is measured yet; None where it has to be read.
    """

    seq: int
    kind: str
    id: str
    recorded: Deployment | None = field(default=None, compare=False)


class DeploymentStore(Protocol):
    """What was deployed, and what was announced of it."""

    async def record(self, deployment: Deployment, looks: tuple[Look, ...], *, key: str | None = None) -> Recorded:
        """Keep a deployment, its looks and its idempotency key in one transaction; an id or key is taken once."""

    async def amend(self, deployment_id: str, change: Callable[[Deployment], Amendment]) -> Deployment:
        """Read, change and keep a deployment in one transaction; nothing is kept where `change` raises.

        New looks replace those without an answer; an answer stays, unless its look is now due at another time.
        """

    async def apply_announcement(
        self, thread: str, announcement: Announcement, received_at: datetime, assemble: Assemble
    ) -> Announced:
        """Keep an announcement and what its thread becomes by it, in one transaction; an event is taken once.

        Whatever `assemble` raises reaches the caller, and nothing is kept then.
        """

    async def save_commit_change(self, change: CommitChange) -> list[Deployment]:
        """Keep what a commit changed; the deployments that bring it, now or later, have its traits beside their own."""

    async def find(self, deployment_id: str) -> Deployment:
        """One deployment. Raises NotFound."""

    async def page(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """A page of deployments by their start, newest first. Raises BadInput for a cursor that is none of ours."""

    async def overlapping(self, start: datetime, end: datetime) -> list[Deployment]:
        """Every deployment, planned ones left out, whose rollout touches the window; oldest first."""

    async def nearest(
        self,
        start: datetime,
        end: datetime,
        *,
        at: datetime,
        limit: int,
        target: tuple[str, str] | None = None,
    ) -> list[Deployment]:
        """As `overlapping`, of them the `limit` that started nearest to `at`; `target` is a service and environment."""

    async def service_environments(self) -> list[tuple[str, str]]:
        """Each service and environment of which a deployment is known."""


class HistoryStore(Protocol):
    """Deployments beside what was measured of them."""

    async def overview(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        outcome: Outcome | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Overview:
        """A page of deployments with what they did, newest first; `outcome` is the measured one.

        Raises BadInput for a cursor that is none of ours.
        """

    async def measured(
        self, *, before: datetime, service: str | None = None, limit: int = 1000
    ) -> list[MeasuredDeployment]:
        """The newest measured deployments that ended before an instant, oldest first."""

    async def index(self, *, before: datetime, limit: int) -> list[MeasuredSummary]:
        """The same deployments as those of the history, in short."""

    async def of(self, deployment_ids: Sequence[str]) -> list[MeasuredDeployment]:
        """These deployments, as far as they are known, in any order."""

    async def recent(self, per_service: int, outcomes: Collection[Outcome] | None = None) -> list[MeasuredDeployment]:
        """The newest deployments of each service and environment; of them those with one of these outcomes."""

    async def under_way(self, at: datetime, since: datetime, *, limit: int) -> int:
        """Of the `limit` deployments that started last before an instant, how many had not ended then.

        One without an end counts if it started after `since`; what is only planned does not.
        """

    async def scored_predictions(self, service: str, limit: int = 200) -> list[ScoredPrediction]:
        """The newest predictions of a service beside what was measured."""


class ResultStore(Protocol):
    """What was found and expected of each deployment."""

    async def impact(self, deployment_id: str) -> Impact | None:
        """What is known of a deployment's impact by now."""

    async def impacts(self, deployment_ids: Sequence[str]) -> dict[str, Impact]:
        """What is known of the impacts of several, by deployment."""

    async def trajectories(self, deployment_id: str) -> tuple[Trajectory, ...]:
        """What each metric did around a deployment, beside what was expected."""

    async def trajectories_of(self, metrics: Mapping[str, str]) -> dict[str, Trajectory]:
        """One course for each deployment: that of the metric which is chosen for it, where it is known."""

    async def forget_courses(self, before: datetime) -> int:
        """Forget the courses of deployments that ended before a time, and how many that were; what they did stays."""

    async def predictions(self, deployment_ids: Sequence[str]) -> dict[str, Prediction]:
        """What is expected of several, by deployment, where that is known."""

    async def save_prediction(self, prediction: Prediction) -> None:
        """Keep what is expected of a stored deployment; once anything is measured, the earlier word stays."""


class ChangeStore(Protocol):
    """What changed, in order; a change is appended in the transaction of what it names."""

    async def last(self) -> int:
        """The `seq` of the newest change; 0 where there is none."""

    async def since(self, seq: int, limit: int = 1000) -> list[StoredChange]:
        """The changes behind this one, oldest first."""

    def follow(self, seq: int) -> AsyncIterator[list[StoredChange]]:
        """The changes behind this one, some at a time, as they come; without end."""

    async def prune(self, keep: int) -> None:
        """Forget all but so many of the newest; whoever follows reads the whole state when it begins."""


class LookStore(Protocol):
    """When each deployment is looked at, and what became of that. An open look is a job of the kind `check`."""

    async def of_deployment(self, deployment_id: str) -> tuple[Look, ...]:
        """All looks at a deployment in order of time."""

    async def of_job(self, job: Job) -> Look | None:
        """The look that is to be answered; None where it was planned anew."""

    async def finish(
        self,
        look: Look,
        impact: Impact | None,
        drawn: Sequence[Trajectory] = (),
        again: Sequence[Look] = (),
        *,
        job: Job | None = None,
    ) -> bool:
        """Keep the answer of a look, the impact that it found and the courses that show it, in one transaction.

        The looks `again` are planned by it, unless they are planned already. Of several impacts the one measured last
        stays, with its courses. False, and nothing is kept, of a look that has its answer already, was planned anew
        while it was answered, or whose `job` somebody else holds by now.
        """

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
        """Let a look wait, for a source that is away or for another try; `attempts` counts how often it had to.

        What is known so far is kept as by `finish`; False as there.
        """

    async def backlog(self, now: datetime, services: Collection[str] | None = None) -> Backlog:
        """How many looks are due without an answer, of all services or of these, and since when."""


class NoticeStore(Protocol):
    """Which receiver hears of what. What is to be sent is a job of the kind `notice`, with the receiver as its lane."""

    async def set_receivers(self, names: Collection[str]) -> None:
        """From now on these hear of every change of a deployment; what waits for others is dropped."""

    async def last_sent(self, receiver: str, deployment_id: str) -> str | None:
        """The digest of what a receiver heard last of a deployment."""

    async def begin(self, job: Job) -> None:
        """Forget what the receiver heard last: it is not known again before `finish`.

        Raises LeaseLost where somebody else holds the job by now.
        """

    async def restore(self, job: Job, sent: str) -> None:
        """Nothing has arrived since `begin`: the receiver stays with what it heard last.

        Raises LeaseLost where somebody else holds the job by now.
        """

    async def finish(self, job: Job, *, sent: str | None, reason: str | None = None) -> None:
        """Keep the digest of what was sent and finish the job; `reason` says why it never arrived.

        Where somebody else holds the job by now, or has finished it, the notice is due once more: what this one has
        sent may have arrived after a newer word.
        """

    async def pending(self) -> dict[str, int]:
        """How many notices wait for each receiver."""


class AnnotationStore(Protocol):
    """What was sent in the form of Grafana's annotations."""

    async def add(self, annotation: Annotation) -> Annotation:
        """Keep an annotation; it comes back with its id, which is never given to another one."""

    async def find(self, annotation_id: int) -> Annotation:
        """One annotation. Raises NotFound."""

    async def search(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Sequence[str] = (),
        dashboard_uid: str | None = None,
        panel_id: int | None = None,
        limit: int = 100,
    ) -> list[Annotation]:
        """Those with all of the tags that touch the time, newest first."""

    async def change(self, annotation_id: int, made: Callable[[Annotation], Annotation]) -> Annotation:
        """Read, change and keep an annotation in one transaction. Raises NotFound."""

    async def remove(self, annotation_id: int) -> None:
        """Forget an annotation; the deployment that it announced stays. Raises NotFound."""


class EventStore(Protocol):
    """What was reported that is no deployment: sales, incidents, freezes."""

    async def save(self, event: Event) -> tuple[Event, bool]:
        """Keep an event that is no deployment, or what is new of it, and whether it was not there before.

        An end that is known stays known.
        """

    async def of(self, event_ids: Sequence[str]) -> list[Event]:
        """These events, as far as they are known, in any order."""

    async def overlapping(self, start: datetime, end: datetime) -> list[Event]:
        """The events that touch a window, oldest first; one without end counts until a day after its last report."""


class CursorStore(Protocol):
    """Up to where each feed was read."""

    async def find(self, feed: str) -> str | None:
        """Up to where a feed was read; None where it never was."""

    async def save(self, feed: str, cursor: str) -> None:
        """Keep up to where a feed was read."""


class Store(Protocol):
    """All ports of one store."""

    @property
    def deployments(self) -> DeploymentStore: ...

    @property
    def history(self) -> HistoryStore: ...

    @property
    def results(self) -> ResultStore: ...

    @property
    def changes(self) -> ChangeStore: ...

    @property
    def jobs(self) -> JobStore: ...

    @property
    def looks(self) -> LookStore: ...

    @property
    def notices(self) -> NoticeStore: ...

    @property
    def annotations(self) -> AnnotationStore: ...

    @property
    def events(self) -> EventStore: ...

    @property
    def cursors(self) -> CursorStore: ...

    @property
    def decisions(self) -> DecisionStore: ...

    @property
    def levels(self) -> LevelStore: ...

    @property
    def rollouts(self) -> RolloutStore: ...

    @property
    def approvals(self) -> ApprovalStore: ...

    @property
    def actions(self) -> ActionStore: ...

    @property
    def leaders(self) -> LeaderStore: ...

    @property
    def url(self) -> str | None:
        """By which another process can read what it holds; None where none can."""

    @property
    def writable(self) -> bool:
        """Whether it takes in anything now; if not, it may later, and what it holds is read."""

    @property
    def healthy(self) -> bool:
        """Whether it can still take in anything."""

    async def pseudonym_key(self) -> bytes:
        """32 random bytes that never leave this place: the key of the pseudonyms where data is given away."""

    async def size_bytes(self) -> int:
        """What the store takes where it is kept."""

    async def close(self) -> None:
        """Finish what was accepted and let go of everything."""
