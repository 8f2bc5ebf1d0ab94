"""What is reported of a deployment -> a `Deployment`; every fault of a body is found at once, by field."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import (
    CONTROL,
    Changes,
    Identifier,
    Labels,
    Link,
    Name,
    Ratio,
    State,
    Text,
    Time,
    Traits,
    Way,
    Word,
    read_status,
    read_time,
)
from afdp_exporter.model import Deployment, Outcome, Status
from afdp_exporter.settings import faults

_AHEAD = timedelta(hours=1)
_FAULTS = 100  # reported at once


class DeploymentFields(BaseModel):
    """What may be reported of a deployment at any time; null is the same as nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    started_at: Time | None = None
    finished_at: Time | None = None
    status: State | None = None
    version: Word | None = None
    previous_version: Word | None = None
    actor: Name | None = None
    team: Name | None = None
    change_types: Changes | None = None
    strategy: Way | None = None
    traffic_ratio: Ratio | None = None
    url: Link | None = None
    commit: Word | None = None
    description: Text | None = None
    traits: Annotated[Traits | None, Field(description="Facts to learn from.")] = None
    labels: Labels | None = None


class NewDeployment(DeploymentFields):
    """A deployment as it is reported; null is the same as nothing."""

    service: Name
    environment: Annotated[Name | None, Field(description="production where nothing is said.")] = None
    id: Identifier | None = None


class DeploymentPatch(DeploymentFields):
    """What is new of a deployment: only the fields that it names; null takes a word back."""

    outcome: Annotated[Outcome | None, Field(description="A human's word.")] = None
    note: Text | None = None


_Model = TypeVar("_Model", bound=BaseModel)


def read_deployment(
    body: Mapping[str, object], *, now: datetime, new_id: str, received_from: str = "api"
) -> Deployment:
    """The deployment that a body reports. `new_id` is taken where it brings no id. Raises BadInput."""
    fields, found = _read(NewDeployment, body)
    found += _faults_of_time(_times(body), planned=_is_planned(body), now=now)
    if fields is None or found:
        raise BadInput(*found)
    words = fields.model_dump(exclude_none=True)
    defaults: dict[str, Any] = {"id": new_id, "environment": "production", "started_at": fields.finished_at or now}
    return Deployment(**(defaults | words), received_at=now, received_from=received_from)


def read_change(body: Mapping[str, object]) -> DeploymentPatch:
    """The change that the body of a PATCH asks for. Raises BadInput."""
    change, found = _read(DeploymentPatch, body)
    if change is None:
        raise BadInput(*found)
    return change


def read_fields(kind: type[_Model], body: Mapping[str, object]) -> _Model:
    """A body as a model has it. Raises BadInput with every fault at once."""
    fields, found = _read(kind, body)
    if fields is None or found:
        raise BadInput(*found)
    return fields


def apply(change: DeploymentPatch, deployment: Deployment, *, now: datetime) -> Deployment:
    """The deployment after a change; traits and labels are added to the known ones. Raises BadInput.

    Where the status reports a start or an end and no time comes with it, it is `now`.
    """
    words = change.model_dump(include=change.model_fields_set)
    fixed = {name: words.pop(name) for name in ("started_at", "status") if name in words}
    words |= {name: value for name, value in fixed.items() if value is not None}
    if "outcome" in words:
        words["labelled_outcome"] = words.pop("outcome")
    for name in ("traits", "labels"):
        if name in words:
            words[name] = {**getattr(deployment, name), **words[name]} if words[name] is not None else {}
    if "change_types" in words:
        words["change_types"] = words["change_types"] or ()
    changed = replace(deployment, **(_defaults(words, deployment, now) | words))
    times = {"started_at": changed.started_at, "finished_at": changed.finished_at}
    found = _faults_of_time({k: t for k, t in times.items() if t is not None}, planned=changed.planned, now=now)
    if found:
        raise BadInput(*found)
    return changed


def _defaults(words: Mapping[str, Any], deployment: Deployment, now: datetime) -> dict[str, datetime]:
    status = words.get("status")
    if status is None or status is deployment.status or status is Status.PLANNED:
        return {}
    if deployment.planned and status is Status.STARTED:
        return {"started_at": now}
    if deployment.running:
        return {"finished_at": now}
    return {}


def _read(kind: type[_Model], body: object) -> tuple[_Model | None, list[Fault]]:
    if not isinstance(body, Mapping):
        return None, [Fault("body", "a JSON object is expected")]
    unreadable = [key for key in body if not _encodable(key)]
    try:
        fields = kind.model_validate(
            {key: value for key, value in body.items() if key not in unreadable} if unreadable else body
        )
    except ValidationError as error:
        fields, found = None, [_field_names(fault, kind) for fault in faults(error)]
    else:
        found = []
    found += [_field_names(Fault(str(key), "unknown key"), kind) for key in unreadable]
    more = len(found) - _FAULTS
    return fields, found[:_FAULTS] + ([Fault("body", f"and {more} more faults")] if more > 0 else [])


def _field_names(fault: Fault, kind: type[BaseModel]) -> Fault:
    place = fault.field.removesuffix(".[key]").encode("utf-8", "backslashreplace").decode()
    known = ", ".join(kind.model_fields)
    return Fault(place[:200], f"unknown field; known: {known}" if fault.message == "unknown key" else fault.message)


def _encodable(key: object) -> bool:
    return isinstance(key, str) and not CONTROL.search(key)


def _times(body: object) -> dict[str, datetime]:
    given = {name: body.get(name) for name in ("started_at", "finished_at")} if isinstance(body, Mapping) else {}
    found = {}
    for name, text in given.items():
        if text is not None:
            with suppress(ValueError):
                found[name] = read_time(text)
    return found


def _is_planned(body: object) -> bool:
    status = body.get("status") if isinstance(body, Mapping) else None
    try:
        return status is not None and read_status(status) is Status.PLANNED
    except ValueError:
        return False


def _faults_of_time(times: Mapping[str, datetime], *, planned: bool, now: datetime) -> list[Fault]:
    found = [
        Fault(name, "lies more than an hour ahead; only a deployment with the status planned may")
        for name, time in times.items()
        if not planned and time - now > _AHEAD
    ]
    if len(times) == 2 and times["finished_at"] < times["started_at"]:
        found.append(Fault("finished_at", "lies before started_at"))
    return found
