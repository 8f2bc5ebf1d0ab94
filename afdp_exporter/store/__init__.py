"""What is kept, behind a few named operations; nobody else speaks SQL.

Everything that an operation answers is committed and on disk. SQLite stands behind it today; another database needs
this protocol and nothing else.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from afdp_exporter.model import (
    Action,
    ActionState,
    Annotation,
    Announcement,
    Change,
    Course,
    Deployment,
    DueNotice,
    Event,
    Foretold,
    GateDecision,
    Impact,
    LevelChange,
    Look,
    Measured,
    Outcome,
    Outline,
    Prediction,
    Rollout,
    StoredDecision,
)


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
    """An announcement, with a time, and when it came."""

    announcement: Announcement
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What announcements become: the id of the new one's deployment, and each deployment that it changes.

    `keep` is False where the announcement says nothing that was not known.
    """

    deployment_id: str | None
    amendments: tuple[Amendment, ...] = ()
    keep: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What is stored of a deployment after an announcement: None as long as no status is known of it.

    `created` tells that it was not there before, `changed` is False where the announcement was known already.
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

    measured: tuple[Measured, ...]
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The looks whose time has come and that have no answer yet."""

    count: int
    oldest_due_at: datetime | None = None


class AutomationStore(Protocol):
    """What the gate answered, what is allowed to it, and what was done. All operations may raise StoreError."""

    async def keep_decision(self, decision: GateDecision, caller: str) -> StoredDecision:
        """Keep a decision, unless the last one on the same deployment and phase said the same."""

    async def decisions(
        self, *, since: datetime, service: str | None = None, environment: str | None = None, limit: int = 1000
    ) -> list[StoredDecision]:
        """The decisions since a time, newest first."""

    async def decision_on(self, deployment: Deployment) -> StoredDecision | None:
        """The newest decision on a deployment, else on its version while it was planned."""

    async def record_level(self, change: LevelChange) -> None:
        """Append to the trail of automation levels."""

    async def level_changes(self, service: str | None = None) -> list[LevelChange]:
        """That trail, oldest first."""

    async def keep_rollout(self, service: str, rollout: Rollout) -> None:
        """Keep what a canary of a service shows by now."""

    async def rollout(self, deployment_id: str) -> Rollout | None:
        """What the canary of a deployment showed last; None where there was none."""

    async def rollouts(self, service: str, *, before: datetime, limit: int = 20) -> list[Rollout]:
        """What the newest canaries of a service showed last, oldest first."""

    async def propose(self, action: Action) -> bool:
        """Keep the intent of an action; False where there is one of its kind for the deployment already."""

    async def move(
        self, action_id: str, expected: frozenset[ActionState], change: Callable[[Action], Action]
    ) -> Action:
        """Read, change and keep an action in one transaction.

        Raises NotFound, and Conflict where it is in none of the expected states: somebody was faster.
        """

    async def action(self, action_id: str) -> Action:
        """One action. Raises NotFound."""

    async def actions(
        self,
        *,
        deployment_id: str | None = None,
        since: datetime | None = None,
        only_open: bool = False,
        limit: int = 1000,
    ) -> list[Action]:
        """Actions, newest first."""


class Store(Protocol):
    """The named operations. All may raise StoreError."""

    @property
    def automation(self) -> AutomationStore:
        """The gate's part of the store."""

    @property
    def writable(self) -> bool:
        """Whether it takes in anything now; if not, it may later, and what it holds is read."""

    @property
    def healthy(self) -> bool:
        """Whether it can still take in anything."""

    async def record(self, deployment: Deployment, looks: tuple[Look, ...], *, key: str | None = None) -> Recorded:
        """Keep a deployment, its looks and its idempotency key in one transaction; an id or key is taken once."""

    async def amend(self, deployment_id: str, change: Callable[[Deployment], Amendment]) -> Deployment:
        """Read, change and keep a deployment in one transaction; whatever `change` raises reaches the caller.

        New looks replace those without an answer; an answer stays, unless its look is now due at another time.
        """

    async def announce(
        self, thread: str, announcement: Announcement, received_at: datetime, assemble: Assemble
    ) -> Announced:
        """Keep an announcement and what its thread becomes by it, in one transaction; an event is taken once.

        `assemble` runs in the writer's thread; whatever it raises reaches the caller, and nothing is kept then.
        """

    async def describe(self, change: Change) -> list[Deployment]:
        """Keep what a commit changed; the deployments that bring it, now or later, have its traits beside their own."""

    async def tell(self, event: Event) -> tuple[Event, bool]:
        """Keep an event that is no deployment, or what is new of it, and whether it was not there before.

        An end that is known stays known.
        """

    async def events(self, start: datetime, end: datetime) -> list[Event]:
        """The events that touch a window, oldest first; one without end counts until a day after it was told last."""

    async def deployment(self, deployment_id: str) -> Deployment:
        """One deployment. Raises NotFound."""

    async def deployments(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """A page of deployments by their start, newest first. Raises BadInput for a cursor that is none of ours."""

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

    async def between(self, start: datetime, end: datetime) -> list[Deployment]:
        """Every deployment, planned ones left out, whose rollout touches the window; oldest first."""

    async def history(self, *, before: datetime, service: str | None = None, limit: int = 1000) -> list[Measured]:
        """The newest measured deployments that ended before an instant, oldest first."""

    async def outlines(self, *, before: datetime, limit: int) -> list[Outline]:
        """The same deployments as those of the history, in short."""

    async def recent(self, per_service: int) -> list[Measured]:
        """The newest deployments of each service and environment."""

    async def places(self) -> list[tuple[str, str]]:
        """Each service and environment of which a deployment is known."""

    async def impact(self, deployment_id: str) -> Impact | None:
        """What is known of a deployment's impact by now."""

    async def impacts(self, deployment_ids: Sequence[str]) -> dict[str, Impact]:
        """What is known of the impacts of several, by deployment."""

    async def courses(self, deployment_id: str) -> tuple[Course, ...]:
        """What each metric did around a deployment, beside what was expected."""

    async def chosen_courses(self, metrics: Mapping[str, str]) -> dict[str, Course]:
        """One course for each deployment: that of the metric which is chosen for it, where it is known."""

    async def looks(self, deployment_id: str) -> tuple[Look, ...]:
        """All looks at a deployment in order of time."""

    async def claim_looks(self, now: datetime, *, limit: int, lease: timedelta) -> list[Look]:
        """Take looks whose time has come; one that is not finished within its lease is given out again."""

    async def finish_look(
        self, look: Look, impact: Impact | None, drawn: Sequence[Course] = (), again: Sequence[Look] = ()
    ) -> None:
        """Keep the answer of a look, the impact that it found and the courses that show it, in one transaction.

        The looks `again` are planned by it, unless they are planned already. Of several impacts the one measured last
        stays, with its courses. Nothing is kept of a look that has its answer already, or was planned anew while it was
        answered.
        """

    async def postpone_look(
        self, look: Look, until: datetime, reason: str, impact: Impact | None = None, drawn: Sequence[Course] = ()
    ) -> None:
        """Let a look wait, for a source that is away or for another try; `attempts` counts how often it had to.

        What is known so far is kept as by `finish_look`.
        """

    async def next_look_at(self) -> datetime | None:
        """When the next look is due, waits for its retry, or loses its lease; None where nothing is left."""

    async def backlog(self, now: datetime) -> Backlog:
        """How many looks are due without an answer, and since when."""

    async def foretell(self, prediction: Prediction) -> None:
        """Keep what is expected of a stored deployment; once anything is measured, the earlier word stays."""

    async def came_true(self, service: str, limit: int = 200) -> list[Foretold]:
        """The newest predictions of a service beside what was measured."""

    async def set_receivers(self, names: Collection[str]) -> None:
        """From now on these hear of every change of a deployment; what waits for others is dropped."""

    async def due_notices(self, now: datetime, *, limit: int, without: Collection[str] = ()) -> list[DueNotice]:
        """What receivers other than these are to be told now.

        A notice is due in the transaction of the change that it tells of.
        """

    async def finish_notice(self, notice: DueNotice, *, sent: str | None, reason: str | None = None) -> None:
        """Nothing is left to tell, unless something has changed meanwhile; `reason` says why it never arrived."""

    async def postpone_notice(self, notice: DueNotice, until: datetime, reason: str) -> None:
        """Count a failure, and let everything that is due for this receiver wait."""

    async def pending_notices(self) -> dict[str, int]:
        """How many notices wait for each receiver."""

    async def add_annotation(self, annotation: Annotation) -> Annotation:
        """Keep an annotation; it comes back with its id, which is never given to another one."""

    async def annotation(self, annotation_id: int) -> Annotation:
        """One annotation. Raises NotFound."""

    async def annotations(
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

    async def change_annotation(self, annotation_id: int, made: Callable[[Annotation], Annotation]) -> Annotation:
        """Read, change and keep an annotation in one transaction. Raises NotFound."""

    async def remove_annotation(self, annotation_id: int) -> None:
        """Forget an annotation; the deployment that it told of stays. Raises NotFound."""

    async def cursor(self, feed: str) -> str | None:
        """Up to where a feed was read; None where it never was."""

    async def keep_cursor(self, feed: str, cursor: str) -> None:
        """Keep up to where a feed was read."""

    async def salt(self) -> bytes:
        """32 random bytes that never leave this place: they hide people where data is given away."""

    async def size_bytes(self) -> int:
        """What the store takes on disk."""

    async def close(self) -> None:
        """Finish what was accepted and let go of the file."""
