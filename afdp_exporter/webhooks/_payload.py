"""Bodies of senders, read: what they hold besides is left alone, and what is wrong with them is reported by field."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from afdp_exporter.changes import ChangedFile, change_features, change_types
from afdp_exporter.errors import BadInput, Fault, Malformed
from afdp_exporter.fields import Time
from afdp_exporter.model import CommitChange, Ignored
from afdp_exporter.settings import faults

_MOST = 20  # faults reported at once


class Payload(BaseModel):
    """What we take from a body, or from an object in it; null is as good as nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, content: object) -> object:
        if not isinstance(content, Mapping):
            return content
        return {name: value for name, value in content.items() if value is not None}


def unless_unset(value: object) -> object:
    """A time as it was sent; None for what templates and languages write where there is none."""
    is_zero = isinstance(value, str) and value.startswith("0001-01-01")  # Go's
    return None if is_zero or value in _UNSET else value


def _texts(value: object) -> object:
    return {name: text for name, text in value.items() if text is not None} if isinstance(value, Mapping) else value


_UNSET = ("", "0", 0, "<no value>", "<nil>", "null", "None")

Moment: TypeAlias = Annotated[Time | None, BeforeValidator(unless_unset)]
"""A time that may not be known yet."""

Texts: TypeAlias = Annotated[Mapping[str, str], BeforeValidator(_texts)]
"""Labels and the like; null is as good as nothing here, too."""

_Model = TypeVar("_Model", bound=Payload)


def read_json(body: bytes) -> Any:  # noqa: ANN401 - whatever it holds
    """The content of a JSON body. Raises Malformed."""
    try:
        return orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise Malformed(Fault("body", f"is not JSON: {error}"[:200])) from None


def read(kind: type[_Model], body: bytes) -> _Model:
    """The object in a JSON body. Raises BadInput."""
    return check(kind, read_json(body))


def check(kind: type[_Model], content: object, where: str = "body") -> _Model:
    """The object that some content holds. Raises BadInput with every fault by field."""
    if not isinstance(content, Mapping):
        raise BadInput(Fault(where, "a JSON object is expected"))
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise BadInput(*faults(error)[:_MOST]) from None


def digest(*parts: object) -> str:
    """An id for an event whose sender gives it none: the same for the same parts."""
    return hashlib.sha256(orjson.dumps([str(part) for part in parts])).hexdigest()[:32]


_NONE = "0" * 40


class Commit(Payload):
    """One commit of a push."""

    added: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Push(Payload):
    """The push of a branch or a tag."""

    after: str = Field(max_length=64)
    commits: tuple[Commit, ...] = ()


def change_of(push: Push, author: str | None) -> CommitChange | Ignored:
    """What a push changed, for the deployment of its last commit."""
    if push.after == _NONE or not push.commits:
        return Ignored(reason="a push that brings no commit changes nothing")
    files = _files(push.commits)
    size = {"commits": float(len(push.commits))} | ({"author": author} if author else {})
    return CommitChange(commit=push.after, traits=change_features(files) | size, change_types=change_types(files))


def _files(commits: Sequence[Commit]) -> list[ChangedFile]:
    paths = (path for each in commits for path in (*each.added, *each.modified, *each.removed))
    return [ChangedFile(path) for path in dict.fromkeys(paths)]
