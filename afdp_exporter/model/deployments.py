"""Deployments, services and calendar entries."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
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
    """The status of a deployment as reported by its sender."""

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
    def running(self) -> bool:
        """Whether its rollout goes on, as far as its sender has reported."""
        return self.status is Status.STARTED and self.finished_at is None

    @property
    def reported_failure(self) -> str | None:
        """The word of its sender that it failed or was taken back; None where there is none."""
        if self.status is Status.ROLLED_BACK and self.traits.get("rollback") is True:
            return None  # it is the rollback, and no failure of its own
        words = {Status.FAILED: "its sender says that it failed", Status.ROLLED_BACK: "it was rolled back"}
        return words.get(self.status)

    def same_target(self, other: "Deployment") -> bool:
        """Whether both deploy the same service to the same environment."""
        return self.service == other.service and self.environment == other.environment

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


class CalendarEntryKind(StrEnum):
    """What is special about a time."""

    SALE = "sale"
    FREEZE = "freeze"
    HOLIDAY = "holiday"
    INCIDENT = "incident"
    TRAFFIC = "traffic"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEntry:
    """Something special about a time: a sale, a freeze, a holiday. Without `services` it concerns all of them."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    kind: CalendarEntryKind = CalendarEntryKind.OTHER
    start: datetime
    end: datetime
    services: tuple[str, ...] = ()

    def concerns(self, service: str) -> bool:
        """Whether it is about this service."""
        return not self.services or service in self.services


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A reported event that is no deployment: a sale, an incident, a freeze. `end` is None as long as it is unknown."""

    id: str
    name: str
    kind: CalendarEntryKind
    start: datetime
    end: datetime | None = None
    services: tuple[str, ...] = ()
    description: str | None = None
    url: str | None = None
    told_at: datetime  # last
    received_from: str = "api"

    @property
    def calendar_entry(self) -> CalendarEntry:
        """As a calendar entry: without a known end it lasts until a day after the last report."""
        end = self.end or max(self.start, self.told_at) + timedelta(days=1)
        return CalendarEntry(name=self.name, kind=self.kind, start=self.start, end=end, services=self.services)


_ROLLBACK = re.compile(r"\b(roll(s|ed|ing)?[ -]?back|revert(s|ed|ing)?)\b", re.IGNORECASE)
_ROLLBACK_FIRST = re.compile(r"(?:(?!deploy|release).)*?(?<![a-z])roll[ _-]?back(?-i:(?![a-z]))", re.IGNORECASE)
_NEVER_RAN = frozenset({Status.PLANNED, Status.CANCELLED})
_FIX = re.compile(r"\bhot-?fix\b", re.IGNORECASE)


def names_rollback(pipeline: str) -> bool:
    """Whether a workflow, job or stage is called so, as in `rollback_production`; `deploy with rollback` is not."""
    return _ROLLBACK_FIRST.match(pipeline) is not None


def is_rollback(deployment: Deployment, earlier: Iterable[Deployment] = ()) -> bool:
    """Whether it brings back what ran before: by its own words, or because one of `earlier` replaced its version."""
    if deployment.traits.get("rollback") is True or _ROLLBACK.search(_words(deployment)):
        return True
    return any(
        other.same_target(deployment) and other.started_at < deployment.started_at and returns_to(deployment, other)
        for other in earlier
    )


def returns_to(later: Deployment, deployment: Deployment) -> bool:
    """Whether a later deployment brings back what ran before."""
    return (
        later.version is not None
        and later.version == deployment.previous_version
        and later.version != deployment.version
    )


def declares_remedy(deployment: Deployment) -> bool:
    """Whether its sender calls it a rollback or a hotfix."""
    named = any(deployment.traits.get(name) is True for name in ("rollback", "hotfix"))
    text = _words(deployment)
    return named or bool(_ROLLBACK.search(text) or _FIX.search(text))


def reverted_by(remedy: Deployment, earlier: Iterable[Deployment], within: timedelta) -> tuple[Deployment, ...]:
    """Which of the `earlier` deployments a rollback or hotfix takes back, oldest first; none where it is neither.

    A rollback to a version takes back every deployment since the one that replaced that version. A hotfix, or a
    rollback to an unknown version, takes back the newest one that brought the version which it replaces. A rollback
    itself is never taken back, and nothing is that ended more than `within` before.
    """
    if remedy.status in _NEVER_RAN:
        return ()
    before = sorted(
        (other for other in earlier if other.same_target(remedy) and _is_before(other, remedy)),
        key=lambda other: other.started_at,
    )
    rollbacks = _rollbacks(before)
    own = [other for other in before if remedy.started_at <= other.ended_at + within and other.id not in rollbacks]
    return _taken_back(remedy, own)


def remedies(deployments: Iterable[Deployment], within: timedelta) -> dict[str, Deployment]:
    """The first rollback or hotfix of each deployment that one of the others has taken back, by its id.

    As `reverted_by` finds them, in one walk over the deployments of each target.
    """
    targets: dict[tuple[str, str], list[Deployment]] = {}
    for each in deployments:
        if each.status not in _NEVER_RAN:
            targets.setdefault((each.service, each.environment), []).append(each)
    found: dict[str, Deployment] = {}
    for target in targets.values():
        ran = sorted(target, key=lambda each: each.started_at)
        starts, rollbacks = [each.started_at.timestamp() for each in ran], _rollbacks(ran)
        reach = (within + max(each.ended_at - each.started_at for each in ran)) / timedelta(seconds=1)
        for place, remedy in enumerate(ran):
            first, last = (bisect_left(starts, starts[place] - back) for back in (reach + 1.0, 0.0))
            own = [
                other
                for other in ran[first:last]
                if remedy.started_at <= other.ended_at + within and other.id not in rollbacks and other.id != remedy.id
            ]
            for taken in _taken_back(remedy, own):
                found.setdefault(taken.id, remedy)
    return found


def _rollbacks(ran: Sequence[Deployment]) -> set[str]:
    """The ids of those of one target, in order of time, that are rollbacks by `is_rollback`."""
    found, left = set[str](), set[str]()
    for _, group in groupby(ran, key=lambda each: each.started_at):
        together = tuple(group)
        found.update(each.id for each in together if is_rollback(each) or each.version in left)
        left.update(
            each.previous_version
            for each in together
            if each.previous_version is not None and each.previous_version != each.version
        )
    return found


def _taken_back(remedy: Deployment, own: Sequence[Deployment]) -> tuple[Deployment, ...]:
    replaced = [place for place, other in enumerate(own) if returns_to(remedy, other)]
    if replaced:
        return tuple(own[replaced[-1] :])
    return _replaced(remedy, own) if declares_remedy(remedy) else ()


def _replaced(remedy: Deployment, own: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """The newest deployment that brought the version which `remedy` replaces; the newest of all where none did."""
    brought = [other for other in own if other.version is not None and other.version == remedy.previous_version]
    return tuple((brought or own)[-1:])


def _is_before(other: Deployment, remedy: Deployment) -> bool:
    started = other.started_at < remedy.started_at and other.id != remedy.id
    return started and other.status not in _NEVER_RAN


def _words(deployment: Deployment) -> str:
    return f"{deployment.description or ''} {deployment.version or ''}"
