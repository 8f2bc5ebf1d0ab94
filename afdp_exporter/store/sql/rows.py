"""Domain to row and back; what a row cannot hold exactly is refused."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import wraps
from itertools import islice
from sys import intern
from threading import Lock
from typing import Any, TypeAlias, TypeVar

import orjson
from cachetools import LRUCache, cached
from pydantic import TypeAdapter

from afdp_exporter.errors import StoreDamaged
from afdp_exporter.model import (
    Announcement,
    ChangeType,
    Deployment,
    Impact,
    Look,
    LookState,
    MeasuredDeployment,
    Outcome,
    Prediction,
    Status,
    Strategy,
    Trajectory,
    stated_decision,
)
from afdp_exporter.store.exactness import check_storable, refuse_unstorable
from afdp_exporter.store.sql.connection import Row

S = TypeVar("S")
T = TypeVar("T")

Values: TypeAlias = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_REMEMBERED = 1050  # impacts: as many as a history holds, newest first, and those that came since it was read
_NEARBY = 10_000  # deployments: those around the checks of 50 services that deploy all the time
_UNKNOWN: tuple[int, Deployment | None] = 0, None

_nearby = dict[str, tuple[int, Deployment]]()  # by id, with the hash of the row that it was read from
_nearby_lock = Lock()

_impact = TypeAdapter(Impact)
_prediction = TypeAdapter(Prediction)
_announcement = TypeAdapter(Announcement)
_course = TypeAdapter(Trajectory)
_account = TypeAdapter(dict[str, Any])


def to_us(time: datetime) -> int:
    """Whole microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def to_time(us: int) -> datetime:
    """The instant, in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def deployment_values(deployment: Deployment) -> Values:
    """The columns of a deployment. Raises BadInput for what cannot be kept exactly."""
    check_storable(deployment)
    return {
        "id": deployment.id,
        "service": deployment.service,
        "environment": deployment.environment,
        "started_us": to_us(deployment.started_at),
        "finished_us": _optional_us(deployment.finished_at),
        "status": str(deployment.status),
        "version": deployment.version,
        "previous_version": deployment.previous_version,
        "actor": deployment.actor,
        "team": deployment.team,
        "change_types": orjson.dumps(deployment.change_types).decode(),
        "strategy": _optional_word(deployment.strategy),
        "traffic_ratio": deployment.traffic_ratio,
        "url": deployment.url,
        "commit": deployment.commit,
        "description": deployment.description,
        "traits": orjson.dumps(dict(deployment.traits)).decode(),
        "labels": orjson.dumps(dict(deployment.labels)).decode(),
        "labelled_outcome": _optional_word(deployment.labelled_outcome),
        "stated_outcome": str(said.outcome) if (said := stated_decision(deployment)) is not None else None,
        "note": deployment.note,
        "received_us": to_us(deployment.received_at),
        "received_from": deployment.received_from,
    }


def whole(read: Callable[[S], T]) -> Callable[[S], T]:
    """A row that is no longer what was written is reported as damage."""

    @wraps(read)
    def checked(stored: S) -> T:
        try:
            return read(stored)
        except (ValueError, TypeError, OverflowError, zlib.error) as error:
            raise StoreDamaged(f"a row of the store is damaged: {type(error).__name__} in {read.__name__}") from error

    return checked


@whole
def deployment_of(row: Row | Values) -> Deployment:
    """The deployment that a row of `deployments` holds, or will hold."""
    return Deployment(
        id=row["id"],
        service=intern(row["service"]),
        environment=intern(row["environment"]),
        started_at=to_time(row["started_us"]),
        finished_at=_optional_time(row["finished_us"]),
        status=Status(row["status"]),
        version=row["version"],
        previous_version=row["previous_version"],
        actor=row["actor"],
        team=row["team"],
        change_types=tuple(ChangeType(name) for name in orjson.loads(row["change_types"])),
        strategy=Strategy(row["strategy"]) if row["strategy"] is not None else None,
        traffic_ratio=row["traffic_ratio"],
        url=row["url"],
        commit=row["commit"],
        description=row["description"],
        traits=orjson.loads(row["traits"]),
        labels=orjson.loads(row["labels"]),
        labelled_outcome=_outcome(row["labelled_outcome"]),
        note=row["note"],
        received_at=to_time(row["received_us"]),
        received_from=intern(row["received_from"]),
    )


def near_deployments_of(rows: Sequence[Row]) -> list[Deployment]:
    """The same of rows that have nothing else; those around a moment are read again for each that comes in."""
    if not rows:
        return []
    found, name = [], list(rows[0].keys()).index("id")
    with _nearby_lock:
        for row in rows:
            whole = tuple(row)
            seen, deployment = _nearby.get(whole[name], _UNKNOWN)
            if deployment is None or seen != hash(whole):
                deployment = deployment_of(row)
                _nearby[deployment.id] = hash(whole), deployment
            found.append(deployment)
        for oldest in list(islice(_nearby, max(len(_nearby) - _NEARBY, 0))):
            del _nearby[oldest]
    return found


def announcement_values(thread: str, announcement: Announcement, received_at: datetime) -> Values:
    """The columns of an announcement, itself whole as JSON; one without a time is of when it came. Raises BadInput."""
    timed = replace(announcement, at=announcement.at or received_at)
    check_storable(timed)
    return {
        "deployment_id": thread,
        "event": timed.event,
        "at_us": to_us(timed.at or received_at),
        "document": _announcement.dump_json(timed, exclude_none=True).decode(),
        "received_us": to_us(received_at),
    }


@whole
def announcement_of(document: str) -> Announcement:
    """The announcement that a document holds."""
    return _announcement.validate_json(document)


def look_values(look: Look) -> Values:
    """The columns of a look; that it is held stands in its job. Raises StoreError."""
    if look.reason is not None or look.account:  # else it holds nothing of which that is not known
        refuse_unstorable(look, f"a look at deployment {look.deployment_id!r}")
    state = LookState.DUE if look.state is LookState.RUNNING else look.state
    return {
        "deployment_id": look.deployment_id,
        "after_us": look.after // _MICROSECOND,
        "due_us": to_us(look.due_at),
        "state": str(state),
        "attempts": look.attempts,
        "done_us": _optional_us(look.done_at),
        "reason": look.reason,
        "outcome": _optional_word(look.outcome),
        "account": _account.dump_json(dict(look.account), fallback=str).decode() if look.account else "{}",
    }


@whole
def look_of(row: Row) -> Look:
    """The look that a row of `looks` holds, with the owner of its job."""
    return Look(
        deployment_id=row["deployment_id"],
        after=timedelta(microseconds=row["after_us"]),
        due_at=to_time(row["due_us"]),
        state=LookState.RUNNING if row["owner"] is not None else LookState(row["state"]),
        attempts=row["attempts"],
        done_at=_optional_time(row["done_us"]),
        reason=row["reason"],
        outcome=_outcome(row["outcome"]),
        account=orjson.loads(row["account"]),
    )


def impact_values(impact: Impact) -> Values:
    """The columns of an impact, itself whole as JSON. Raises StoreError for a figure that is not finite."""
    refuse_unstorable(impact, f"the impact of deployment {impact.deployment_id!r}")
    return {
        "deployment_id": impact.deployment_id,
        "measured_us": to_us(impact.measured_at),
        "outcome": impact.outcome,
        "document": _impact.dump_json(impact, exclude_none=True).decode(),
    }


@cached(LRUCache(_REMEMBERED), key=hash, lock=Lock())
@whole
def impact_of(document: str) -> Impact:
    """The impact that a document holds; the same history is read again after each look.

    Names and reasons that many shifts have in common are held once.
    """
    impact = _impact.validate_json(document)
    shifts = (replace(each, metric=intern(each.metric), reason=intern(each.reason)) for each in impact.shifts)
    return replace(impact, shifts=tuple(shifts))


@cached(LRUCache(_REMEMBERED), key=lambda row: hash(tuple(row)), lock=Lock())
def measured_of(row: Row) -> MeasuredDeployment:
    """The deployment of a row, and its impact where `document` is not null."""
    document = row["document"]
    return MeasuredDeployment(
        deployment=deployment_of(row), impact=impact_of(document) if document is not None else None
    )


def prediction_values(prediction: Prediction) -> Values:
    """The columns of a prediction, itself whole as JSON. Raises StoreError for a figure that is not finite."""
    refuse_unstorable(prediction, f"the prediction of deployment {prediction.deployment_id!r}")
    return {
        "deployment_id": prediction.deployment_id,
        "document": _prediction.dump_json(prediction, exclude_none=True).decode(),
    }


@whole
def prediction_of(document: str) -> Prediction:
    """The prediction that a document holds."""
    return _prediction.validate_json(document)


def course_values(deployment_id: str, course: Trajectory) -> Values:
    """The columns of a course, itself whole as compressed JSON. Raises StoreError for a figure that is not finite."""
    refuse_unstorable(course, f"the course of {course.metric} at deployment {deployment_id!r}")
    return {
        "deployment_id": deployment_id,
        "metric": course.metric,
        "document": zlib.compress(_course.dump_json(course)),
    }


@whole
def course_of(document: bytes) -> Trajectory:
    """The course that a document holds."""
    return _course.validate_json(zlib.decompress(document))


def _optional_us(time: datetime | None) -> int | None:
    return None if time is None else to_us(time)


def _optional_time(us: int | None) -> datetime | None:
    return None if us is None else to_time(us)


def _optional_word(word: StrEnum | None) -> str | None:
    """As a plain text, which the drivers take without looking for an adapter."""
    return None if word is None else str(word)


def _outcome(text: str | None) -> Outcome | None:
    return None if text is None else Outcome(text)
