"""Announcements: what other programs report about a deployment, one event at a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from afdp_exporter.model.deployments import ChangeType, Status, Strategy
from afdp_exporter.model.figures import Trait


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a change comes from, in the words of its sender; rules turn it into a service and an environment."""

    service: str | None = None
    environment: str | None = None
    repository: str | None = None
    application: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    image: str | None = None
    pipeline: str | None = None  # the workflow, job or pipeline that deploys
    ref: str | None = None  # branch or tag
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def assumed_service(self) -> str | None:
        """What a sender that names no service most likely means: its application, image, repository or pipeline."""
        image = self.image and re.sub(r"(@.*|:[^/]*)$", "", self.image)
        named = (self.application, _last(image), _last(self.repository), self.pipeline)
        return next((name for name in named if name), None)


def _last(path: str | None) -> str | None:
    return path and path.rstrip("/").rpartition("/")[2].removesuffix(".git")


class Recurrence(StrEnum):
    """What it means that a key comes back in its thread."""

    ONCE = "once"  # a run, an attempt, a revision number: the same rollout
    RETURNS = "returns"  # a version: another rollout where a different key came in between
    RESTARTS = "restarts"  # a version or a name: another rollout where it starts again after its end, too
    REPEATS = "repeats"  # a run that may be run again without a word: another rollout where it ends again, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What one event of a sender says of a deployment; what it does not say is None or empty.

    All events with the same `sender` and `key` belong to one deployment, and the same `event` twice says nothing new.
    Where the sender's keys do not name single rollouts, `thread` names the object whose rollouts follow one another
    and `recurrence` says what a key that comes back means; a `key` equal to `thread` belongs to the rollout that is
    the newest at that time, and never makes one. Where that one is taken back, `returned_to` is the version that was
    gone back to: a rollout that succeeded with it is not the one that was taken back.
    `at` is when the deployment came to be in `status`, by the clock of the sender; `started_at` and `finished_at` are
    for senders that tell them apart from the event's own time. `observed` marks a state of an object, such as its
    health, in contrast to an event of one rollout: once the rollout is over, later states say nothing of it.
    What was `needless` ends a plan and is no rollout by itself. `goes_back` is the start of a rollout that is a
    rollback; reported of one that has begun already, it says that this one is taken back.
    """

    sender: str  # its kind: github, argocd, ...
    key: str
    event: str
    origin: Origin
    at: datetime | None = None
    status: Status | None = None
    thread: str | None = None
    recurrence: Recurrence = Recurrence.ONCE
    observed: bool = False
    needless: bool = False
    goes_back: bool = False
    returned_to: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    version: str | None = None
    previous_version: str | None = None
    commit: str | None = None
    actor: str | None = None
    team: str | None = None
    url: str | None = None
    description: str | None = None
    change_types: tuple[ChangeType, ...] = ()
    strategy: Strategy | None = None
    traffic_ratio: float | None = None
    traits: Mapping[str, Trait] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitChange:
    """What a commit, or the commits pushed with it, changed: it belongs to whatever deploys this commit."""

    commit: str
    traits: Mapping[str, Trait] = field(default_factory=dict)
    change_types: tuple[ChangeType, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """An event, or a part of one, that is left out on purpose, and why: a sentence for whoever set up the sender."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A text with tags at a time, or for a region of time. `deployment_id` is the deployment that it marks, if any.

    `id` is 0 as long as it is not stored.
    """

    id: int = 0
    at: datetime
    until: datetime | None = None
    text: str
    tags: tuple[str, ...] = ()
    dashboard_uid: str | None = None
    panel_id: int | None = None
    deployment_id: str | None = None
    created_at: datetime
    updated_at: datetime
