"""What is deployed, by whom, and what is special about the time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from afdp_exporter.model.figures import Trait


class ChangeType(StrEnum):
    """What a deployment changes."""

    CODE = "code"
    CONFIG = "config"
    INFRASTRUCTURE = "infrastructure"
    DATABASE = "database"
    FLAG = "flag"


class Strategy(StrEnum):
    """How a deployment reaches its users."""

    ROLLING = "rolling"
    CANARY = "canary"
    BLUE_GREEN = "blue-green"
    RECREATE = "recreate"


class Status(StrEnum):
    """Where a deployment stands in its life, as its sender tells it."""

    PLANNED = "planned"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What became of a deployment."""

    SUCCESS = "success"
    DEGRADATION = "degradation"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A change of production: what, when, by whom, where. `started_at` of a planned one lies ahead."""

    id: str
    service: str
    environment: str
    started_at: datetime
    finished_at: datetime | None = None
    status: Status = Status.SUCCEEDED
    version: str | None = None
    previous_version: str | None = None
    actor: str | None = None
    team: str | None = None
    change_types: tuple[ChangeType, ...] = ()
    strategy: Strategy | None = None
    traffic_ratio: float | None = None
    url: str | None = None
    commit: str | None = None
    description: str | None = None
    traits: Mapping[str, Trait] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    labelled_outcome: Outcome | None = None  # a human's word, kept apart from what was measured
    note: str | None = None
    received_at: datetime
    received_from: str = "api"  # the kind of its sender: api, github, argocd, import, ...

    @property
    def ended_at(self) -> datetime:
        """When the rollout was over; its start, as long as no end is known."""
        return self.finished_at or self.started_at

    @property
    def planned(self) -> bool:
        """Whether it is still ahead."""
        return self.status is Status.PLANNED

    @property
    def told_failure(self) -> str | None:
        """The word of its sender that it failed or was taken back; None where there is none."""
        if self.status is Status.ROLLED_BACK and self.traits.get("rollback") is True:
            return None  # it is the rollback, and no failure of its own
        words = {Status.FAILED: "its sender says that it failed", Status.ROLLED_BACK: "it was rolled back"}
        return words.get(self.status)

    @property
    def name(self) -> str:
        """Service and version as people say them: `checkout v2.1.0`."""
        return f"{self.service} {self.version}" if self.version else self.service


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is known of a service beforehand: its metrics (None: all) and the services that it calls."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    metrics: tuple[str, ...] | None = None
    depends_on: tuple[str, ...] = ()
    team: str | None = None


class OccasionKind(StrEnum):
    """What is special about a time."""

    SALE = "sale"
    FREEZE = "freeze"
    HOLIDAY = "holiday"
    INCIDENT = "incident"
    TRAFFIC = "traffic"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Something special about a time: a sale, a freeze, a holiday. Without `services` it concerns all of them."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    kind: OccasionKind = OccasionKind.OTHER
    start: datetime
    end: datetime
    services: tuple[str, ...] = ()

    def concerns(self, service: str) -> bool:
        """Whether it is about this service."""
        return not self.services or service in self.services


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something told that is no deployment: a sale, an incident, a freeze. `end` is None as long as it is not known."""

    id: str
    name: str
    kind: OccasionKind
    start: datetime
    end: datetime | None = None
    services: tuple[str, ...] = ()
    description: str | None = None
    url: str | None = None
    told_at: datetime  # last
    received_from: str = "api"

    @property
    def occasion(self) -> Occasion:
        """As the calendar has it: what has no known end counts until a day after it was told last."""
        end = self.end or max(self.start, self.told_at) + timedelta(days=1)
        return Occasion(name=self.name, kind=self.kind, start=self.start, end=end, services=self.services)
