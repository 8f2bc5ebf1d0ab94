"""The fields of what is reported: times, names, links, states. Read strictly, or made to fit."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)

from afdp_exporter.model import ChangeType, Status, Strategy, Trait

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND = ((1e11, 1), (1e14, 10**3), (1e17, 10**6), (1e20, 10**9))  # Unix s, ms, us, ns by their magnitude
_RFC3339 = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[Tt ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9})\d{0,9})?)?"
    r"\s?(?:([Zz]|UTC|GMT)|([+ -])(\d\d)(?::?(\d\d))?(?: (?:[A-Z]{3,5}|[+-]\d{4}))?)"
    r"(?:\[[\w/:+-]{1,40}\])?(?: m=[+-][\d.]{1,30})?",
    re.ASCII,
)  # and what Java, PostgreSQL and Go print: no seconds, hours alone as offset, the zone's name behind its offset, in
# brackets, a monotonic clock; the basic form of ISO 8601 does without signs
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{1,19}(?:[eE]\+?\d\d?)?)?", re.ASCII)  # Go prints floats as 1.7908416e+09
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_CONTROL_IN_TEXT = re.compile(CONTROL.pattern.replace(r"\x00-\x1f", r"\x00-\x08\x0b-\x1f"))
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_STATUS = {
    Status.PLANNED: "planned pending queued waiting created scheduled blocked",
    Status.STARTED: "started running in_progress progressing",
    Status.SUCCEEDED: "succeeded success successful ok passed completed complete finished done deployed",
    Status.FAILED: "failed failure error errored degraded timed_out timedout timeout",
    Status.ROLLED_BACK: "rolled_back rolledback rollback reverted",
    Status.CANCELLED: "cancelled canceled aborted terminated skipped stopped superseded",
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
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
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
    if CONTROL.search(text):
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


def read_link(text: str) -> str:
    """A link that may be shown: http or https, without user or password. Raises ValueError."""
    parts = urlsplit(_line(text))
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in text:
        raise ValueError("a link with http:// or https:// is expected")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a link must not hold a user or a password")
    return text


def read_status(word: object) -> Status:
    """A state in any of its usual spellings. Raises ValueError."""
    plain = re.sub(r"[ -]", "_", word.strip().lower()) if isinstance(word, str) else ""
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


_TIME = "RFC 3339, or Unix seconds, milliseconds, microseconds or nanoseconds, told apart by their magnitude."
_STATE = (
    f"{', '.join(Status)}; the usual spellings of CI tools (success, failure, running, in_progress, pending, canceled, "
    "...) are read as these."
)

Time: TypeAlias = Annotated[
    datetime,
    PlainValidator(read_time),
    WithJsonSchema({"type": ["string", "number"], "minimum": 0, "description": _TIME}),
]
Name: TypeAlias = Annotated[str, Field(max_length=128, json_schema_extra={"minLength": 1}), AfterValidator(_line)]
Word: TypeAlias = Annotated[str, Field(max_length=256, json_schema_extra={"minLength": 1}), AfterValidator(_line)]
Text: TypeAlias = Annotated[str, Field(max_length=8192), AfterValidator(_text)]
Identifier: TypeAlias = Annotated[str, AfterValidator(_id), Field(json_schema_extra={"pattern": f"^{ID.pattern}$"})]
Link: TypeAlias = Annotated[
    str,
    Field(
        max_length=2048,
        json_schema_extra={
            "pattern": "^https?://[A-Za-z0-9]",
            "description": "An http or https link without a user or a password.",
        },
    ),
    AfterValidator(read_link),
]
State: TypeAlias = Annotated[
    Status, PlainValidator(read_status), WithJsonSchema({"type": "string", "description": _STATE})
]
Way: TypeAlias = Annotated[Strategy, BeforeValidator(_strategy)]
Changes: TypeAlias = Annotated[tuple[ChangeType, ...], AfterValidator(_unique)]
Ratio: TypeAlias = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
_Trait: TypeAlias = Annotated[
    Any, PlainValidator(_trait), WithJsonSchema({"type": ["number", "string", "boolean"], "maxLength": 512})
]
Traits: TypeAlias = Annotated[dict[Name, _Trait], Field(max_length=64)]
Labels: TypeAlias = Annotated[
    dict[
        Annotated[str, AfterValidator(_label), Field(json_schema_extra={"pattern": f"^{_LABEL.pattern}$"})],
        Annotated[str, Field(max_length=512), AfterValidator(_plain)],
    ],
    Field(max_length=64),
]

_traits: TypeAdapter[dict[str, Trait]] = TypeAdapter(Traits)


def coerce_text(text: str | None, most: int, *, lines: bool = False) -> str | None:
    """The text without control characters, on one line unless `lines`, cut to `most` characters; None where empty."""
    if text is None:
        return None
    plain = (_CONTROL_IN_TEXT if lines else CONTROL).sub(" ", text.replace("\r\n", "\n")).strip()
    return plain[:most].rstrip() or None


def coerce_link(text: str | None) -> str | None:
    """The link, where it is one that may be shown."""
    try:
        return read_link(text) if text and len(text) <= 2048 else None
    except ValueError:
        return None


def coerce_traits(found: Mapping[str, object]) -> dict[str, Trait]:
    """The traits that can be kept, at most 64."""
    kept: dict[str, Trait] = {}
    for name, value in list(found.items())[:64]:
        with suppress(ValidationError):
            kept |= _traits.validate_python({name: value})
    return kept


def coerce_labels(found: Mapping[str, str]) -> dict[str, str]:
    """The labels under names that a label may have, at most 64."""
    first = list(found.items())[:64]
    named = {re.sub(r"[^a-zA-Z0-9_]", "_", name)[:128]: coerce_text(text, 512) for name, text in first}
    return {name: text for name, text in named.items() if text and _LABEL.fullmatch(name)}


def image_tag(image: str | None) -> str | None:
    """The tag of an image: `registry:5000/shop/api:v2@sha256:...` has `v2`."""
    return (image or "").partition("@")[0].rpartition("/")[2].partition(":")[2] or None


def image_version(image: str | None) -> str | None:
    """The tag of an image, else its digest."""
    return image_tag(image) or (image or "").partition("@")[2] or None
