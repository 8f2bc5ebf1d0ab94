"""The life of a deployment, put together from what was announced of it: in whatever order, however often.

The deployment is a function of the *set* of announcements, so that order, delay and repetition cannot matter. They are
laid out by the clock of their sender; of two that tell the same thing differently the later one holds.
"""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

from afdp_exporter.changes import version_jump
from afdp_exporter.fields import fitting, fitting_labels, fitting_link, fitting_traits
from afdp_exporter.model import Announcement, Deployment, Status, Trait

_LONGEST_ID = 128
_DIGEST = 12
_ORDER = (
    Status.PLANNED,
    Status.STARTED,
    Status.CANCELLED,
    Status.SUCCEEDED,
    Status.FAILED,
    Status.ROLLED_BACK,
)  # of what comes at the same instant
_AHEAD = {Status.PLANNED, Status.STARTED}
_NO_ROLLOUT = {Status.PLANNED, Status.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A deployment as its announcements tell it; `happened` is False as long as it is only planned or called off."""

    deployment: Deployment
    happened: bool


@dataclass(frozen=True, slots=True)
class _Step:
    at: datetime
    status: Status
    finished_at: datetime | None


def deployment_id(announcement: Announcement) -> str:
    """Our id of the deployment that an announcement tells of, the same for each of its events."""
    plain = f"{announcement.sender}:{announcement.key}".replace("/", ":")
    allowed = re.sub(r"[^A-Za-z0-9._:-]", "-", plain)
    if allowed == plain and len(plain) <= _LONGEST_ID:
        return plain
    digest = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{allowed[: _LONGEST_ID - _DIGEST - 1]}-{digest}"


def assemble(announcements: Collection[Announcement], *, received_at: datetime) -> Life | None:
    """The deployment that placed announcements, all of the same one, tell of; None as long as none has a status.

    An announcement without a time counts as of `received_at`, when the first of them came. Text is cut to what a
    deployment may hold, and what it may not hold is left out.
    """
    told = sorted(announcements, key=lambda each: _order(each, received_at))
    steps = [_Step(each.at or received_at, each.status, each.finished_at) for each in told if each.status is not None]
    if not steps:
        return None
    finished_at = _finished(steps)
    started_at = min((each.started_at for each in told if each.started_at is not None), default=_started(steps))
    version, previous = _line(told, "version", 256), _line(told, "previous_version", 256)
    deployment = Deployment(
        id=deployment_id(told[-1]),
        service=_line(told, "service", 128, of_origin=True) or "unknown",
        environment=_line(told, "environment", 128, of_origin=True) or "production",
        started_at=min(started_at, finished_at or started_at),
        finished_at=finished_at,
        status=steps[-1].status,
        version=version,
        previous_version=previous,
        actor=_line(told, "actor", 128),
        team=_line(told, "team", 128),
        change_types=tuple(sorted({kind for each in told for kind in each.change_types})),
        strategy=_newest(told, "strategy"),
        traffic_ratio=_newest(told, "traffic_ratio"),
        url=fitting_link(_newest(told, "url")),
        commit=_line(told, "commit", 256),
        description=fitting(_newest(told, "description"), 8192, lines=True),
        traits=_traits(told, version_jump(previous, version)),
        labels=fitting_labels(_united(told, "labels")),
        received_at=received_at,
        received_from=told[-1].sender,
    )
    return Life(deployment=deployment, happened=any(step.status not in _NO_ROLLOUT for step in steps))


def revised(stored: Deployment, before: Deployment | None, after: Deployment) -> Deployment:
    """The stored deployment after another announcement: what somebody changed by hand since then stays as it is.

    `before` and `after` are the lives without and with the announcement; None: nothing was announced before, so that
    every word in `stored` is a hand's.
    """
    words: dict[str, Any] = {}
    for entry in fields(Deployment):
        mine, then, now = getattr(stored, entry.name), _value(before, entry), getattr(after, entry.name)
        if isinstance(mine, Mapping):
            own = {name: value for name, value in mine.items() if name not in then or then[name] != value}
            words[entry.name] = {**now, **own}
        elif mine == then:
            words[entry.name] = now
    return replace(stored, **words)


def _value(deployment: Deployment | None, entry: Any) -> Any:  # noqa: ANN401 - of any field
    if deployment is not None:
        return getattr(deployment, entry.name)
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _order(announcement: Announcement, received_at: datetime) -> tuple[datetime, int, str, str]:
    rank = -1 if announcement.status is None else _ORDER.index(announcement.status)
    return announcement.at or received_at, rank, announcement.event, repr(asdict(announcement))


def _started(steps: Sequence[_Step]) -> datetime:
    """The first start after the last plan; without any start the last plan, else the first thing that is known."""
    planned = max((index for index, step in enumerate(steps) if step.status is Status.PLANNED), default=0)
    starts = (step.at for step in steps[planned:] if step.status is Status.STARTED)
    return next(starts, steps[planned].at)


def _finished(steps: Sequence[_Step]) -> datetime | None:
    """The first end after the last start; None while it runs."""
    running = max((index for index, step in enumerate(steps) if step.status in _AHEAD), default=-1)
    return min((step.finished_at or step.at for step in steps[running + 1 :]), default=None)


def _newest(told: Sequence[Announcement], name: str, *, of_origin: bool = False) -> Any:  # noqa: ANN401 - any field
    values = (getattr(each.origin if of_origin else each, name) for each in reversed(told))
    return next((value for value in values if value not in (None, "")), None)


def _line(told: Sequence[Announcement], name: str, most: int, *, of_origin: bool = False) -> str | None:
    return fitting(_newest(told, name, of_origin=of_origin), most)


def _traits(told: Sequence[Announcement], jump: str | None) -> dict[str, Trait]:
    own = fitting_traits(_united(told, "traits"))
    return own if jump is None else {"version_jump": jump, **own}


def _united(told: Sequence[Announcement], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in told:
        found |= getattr(each, name)
    return found
