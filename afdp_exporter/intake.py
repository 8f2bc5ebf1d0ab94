"""What somebody tells us of a deployment -> a `Deployment`; every fault of a body is found at once, by field."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, ValidationError

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.model import ChangeType, Deployment, Outcome, Status, Strategy, Trait
from afdp_exporter.settings import faults

_AHEAD = timedelta(hours=1)
_FAULTS = 100  # told at once
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = ((1e11, 1), (1e14, 10**3), (1e17, 10**6), (1e20, 10**9))  # Unix s, ms, us, ns by their magnitude
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?\s?(?:([Zz]|UTC)|([+ -])(\d\d):?(\d\d))", re.ASCII
)
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,9})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_CONTROL_IN_TEXT = re.compile(_CONTROL.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_STATUS = {
    Status.PLANNED: "planned pending queued waiting created scheduled blocked",
    Status.STARTED: "started running in_progress progressing",
    Status.SUCCEEDED: "succeeded success successful ok passed completed complete finished done deployed",
    Status.FAILED: "failed failure error degraded",
    Status.ROLLED_BACK: "rolled_back rolledback rollback reverted",
    Status.CANCELLED: "cancelled canceled aborted terminated skipped",
}
_SPELLINGS = {word: status for status, words in _STATUS.items() for word in words.split()}


def read_time(value: object) -> datetime:
    """An instant from RFC 3339 text or from Unix s, ms, us or ns, told apart by their magnitude. Raises ValueError."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _PER_SECOND[-1][0]:
        per_second = next(unit for limit, unit in _PER_SECOND if value < limit)
        exact = isinstance(value, int)
        return _EPOCH + timedelta(microseconds=value * 10**6 // per_second if exact else value / per_second * 1e6)
    raise ValueError("a time is expected: RFC 3339 such as 2026-03-01T14:00:00Z, or Unix s, ms or ns")


def _from_text(text: str) -> datetime:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("a time with its offset is expected, such as 2026-03-01T14:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = int((match[7] or "0").ljust(6, "0")[:6])
    offset = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0)) * (-1 if match[9] == "-" else 1)
    leap = second == 60
    try:
        zone = timezone(offset)
        whole = datetime(year, month, day, hour, minute, 59 if leap else second, fraction, tzinfo=zone)
        instant = whole.astimezone(UTC) + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None
    if instant < _EPOCH:
        raise ValueError("this time lies before 1970")
    return instant


def _line(text: str) -> str:
    if not text.strip() or text != text.strip():
        raise ValueError("must not be blank, and neither begin nor end with a space")
    return _plain(text)


def _plain(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must be one line without control characters or lone surrogates")
    return text


def _text(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if _CONTROL_IN_TEXT.search(text):
        raise ValueError("must hold no control characters or lone surrogates")
    return text


def _id(text: str) -> str:
    if not ID.fullmatch(text):
        raise ValueError("1 to 128 letters, digits or . _ : - are expected, the first one a letter or a digit")
    return text


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("a label is named like a variable: letters, digits and _, no digit first, 128 at most")
    return text


def _link(text: str) -> str:
    parts = urlsplit(_line(text))
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in text:
        raise ValueError("a link with http:// or https:// is expected")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a link must not hold a user or a password")
    return text


def _status(word: object) -> Status:
    plain = re.sub(r"[ -]", "_", word.lower()) if isinstance(word, str) else ""
    if plain not in _SPELLINGS:
        raise ValueError(f"one of {', '.join(Status)} is expected")
    return _SPELLINGS[plain]


def _strategy(word: object) -> object:
    return word.lower().replace("_", "-") if isinstance(word, str) else word


def _trait(value: object) -> Trait:
    if isinstance(value, str) and len(value) <= 512:
        return _plain(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) <= 1e300:  # NaN and Infinity fail this too
        return float(value)
    raise ValueError("a finite number, true, false or one line of at most 512 characters is expected")


def _unique(words: tuple[ChangeType, ...]) -> tuple[ChangeType, ...]:
    return tuple(dict.fromkeys(words))


Time: TypeAlias = Annotated[datetime, PlainValidator(read_time)]
Name: TypeAlias = Annotated[str, Field(max_length=128), AfterValidator(_line)]
_Word: TypeAlias = Annotated[str, Field(max_length=256), AfterValidator(_line)]
_Text: TypeAlias = Annotated[str, Field(max_length=8192), AfterValidator(_text)]
_Traits: TypeAlias = Annotated[dict[Name, Annotated[Any, PlainValidator(_trait)]], Field(max_length=64)]
_Labels: TypeAlias = Annotated[
    dict[Annotated[str, AfterValidator(_label)], Annotated[str, Field(max_length=512), AfterValidator(_plain)]],
    Field(max_length=64),
]


class _Told(BaseModel):
    """What may be told of a deployment at any time; null is the same as nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    started_at: Time | None = None
    finished_at: Time | None = None
    status: Annotated[Status, PlainValidator(_status)] | None = None
    version: _Word | None = None
    previous_version: _Word | None = None
    actor: Name | None = None
    team: Name | None = None
    change_types: Annotated[tuple[ChangeType, ...], AfterValidator(_unique)] | None = None
    strategy: Annotated[Strategy, BeforeValidator(_strategy)] | None = None
    traffic_ratio: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = None
    url: Annotated[str, Field(max_length=2048), AfterValidator(_link)] | None = None
    commit: _Word | None = None
    description: _Text | None = None
    traits: _Traits | None = None
    labels: _Labels | None = None


class _New(_Told):
    service: Name
    environment: Name | None = None
    id: Annotated[str, AfterValidator(_id)] | None = None


class Change(_Told):
    """What a PATCH says: only the fields that it names; null takes a word back."""

    outcome: Outcome | None = None
    note: _Text | None = None


_Model = TypeVar("_Model", bound=BaseModel)


def read_deployment(
    body: Mapping[str, object], *, now: datetime, new_id: str, received_from: str = "api"
) -> Deployment:
    """The deployment that a body tells of. `new_id` is taken where it brings no id. Raises BadInput."""
    told, found = _read(_New, body)
    found += _faults_of_time(_times(body), planned=_is_planned(body), now=now)
    if told is None or found:
        raise BadInput(*found)
    words = told.model_dump(exclude_none=True)
    defaults: dict[str, Any] = {"id": new_id, "environment": "production", "started_at": told.finished_at or now}
    return Deployment(**(defaults | words), received_at=now, received_from=received_from)


def read_change(body: Mapping[str, object]) -> Change:
    """The change that the body of a PATCH asks for. Raises BadInput."""
    change, found = _read(Change, body)
    if change is None:
        raise BadInput(*found)
    return change


def apply(change: Change, deployment: Deployment, *, now: datetime) -> Deployment:
    """The deployment after a change; traits and labels are added to the known ones. Raises BadInput.

    Where the status tells of a start or an end and no time comes with it, it is `now`.
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
    changed = replace(deployment, **(_implied(words, deployment, now) | words))
    times = {"started_at": changed.started_at, "finished_at": changed.finished_at}
    found = _faults_of_time({k: t for k, t in times.items() if t is not None}, planned=changed.planned, now=now)
    if found:
        raise BadInput(*found)
    return changed


def _implied(words: Mapping[str, Any], deployment: Deployment, now: datetime) -> dict[str, datetime]:
    status = words.get("status")
    if status is None or status is deployment.status or status is Status.PLANNED:
        return {}
    if deployment.planned and status is Status.STARTED:
        return {"started_at": now}
    if deployment.status is Status.STARTED and deployment.finished_at is None:
        return {"finished_at": now}
    return {}


def _read(kind: type[_Model], body: object) -> tuple[_Model | None, list[Fault]]:
    if not isinstance(body, Mapping):
        return None, [Fault("body", "a JSON object is expected")]
    unreadable = [key for key in body if not _encodable(key)]
    try:
        told = kind.model_validate({key: value for key, value in body.items() if key not in unreadable})
    except ValidationError as error:
        told, found = None, [_named(fault, kind) for fault in faults(error)]
    else:
        found = []
    found += [_named(Fault(str(key), "unknown key"), kind) for key in unreadable]
    more = len(found) - _FAULTS
    return told, found[:_FAULTS] + ([Fault("body", f"and {more} more faults")] if more > 0 else [])


def _named(fault: Fault, kind: type[BaseModel]) -> Fault:
    place = fault.field.removesuffix(".[key]").encode("utf-8", "backslashreplace").decode()
    known = ", ".join(kind.model_fields)
    return Fault(place[:200], f"unknown field; known: {known}" if fault.message == "unknown key" else fault.message)


def _encodable(key: object) -> bool:
    return isinstance(key, str) and not _CONTROL.search(key)


def _times(body: object) -> dict[str, datetime]:
    found = {}
    for name in ("started_at", "finished_at"):
        try:
            found[name] = read_time(body.get(name) if isinstance(body, Mapping) else None)
        except ValueError:
            continue
    return found


def _is_planned(body: object) -> bool:
    try:
        return isinstance(body, Mapping) and _status(body.get("status")) is Status.PLANNED
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
