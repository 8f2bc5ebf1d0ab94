"""Any JSON: JSON paths of the configuration say where each word of a deployment is. Harness and CircleCI, for two."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from jsonpath_ng import JSONPath
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse as parse_path
from pydantic import BeforeValidator, Field, WithJsonSchema

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import State, read_status, read_time
from afdp_exporter.model import Announcement, Ignored, Origin, Recurrence, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import digest, read_json, unless_unset
from afdp_exporter.webhooks._verification import Credential, HMACSignature, SignedDigest, Token, Verifier

_ORIGIN = ("service", "environment", "repository", "application", "namespace", "cluster", "image", "pipeline", "ref")
_WORDS = ("version", "previous_version", "commit", "actor", "team", "url", "description")
_TIMES = ("at", "started_at", "finished_at")
_FIELDS = ("id", "event", "status", *_TIMES, *_ORIGIN, *_WORDS)
_MOST = 64
_RECURRENCES: Mapping[bool | str, Recurrence] = {
    False: Recurrence.ONCE,
    True: Recurrence.RESTARTS,
    "implicit": Recurrence.REPEATS,
}


def _path(text: object) -> JSONPath:
    if not isinstance(text, str):
        raise ValueError("a JSON path such as $.pipeline.id is expected")  # noqa: TRY004 - pydantic reads ValueError
    try:
        return parse_path(text)
    except (JSONPathError, RecursionError) as error:
        raise ValueError(f"is no JSON path: {error}") from None


Path: TypeAlias = Annotated[JSONPath, BeforeValidator(_path)]
Paths: TypeAlias = Annotated[
    tuple[Path, ...],
    BeforeValidator(lambda said: said if isinstance(said, list) else [said]),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generic:
    """`fields`, `traits` and `labels` are JSON paths by name, or lists of them of which the first that finds something
    counts; `states` translates the sender's words for its states.

    A delivery proves itself by a bearer token or a password; by the secret in `token_header`; or by a signature in
    `signature_header`: the HMAC of what `signed` says, or with the encoding `jws` a JSON Web Signature. `name` tells
    several such senders apart. With `restarts` an id that starts again after its end is another rollout: a pipeline
    that is run once more under its own number; `implicit` also one that only ends again: its start is not sent.
    """

    __pydantic_config__: ClassVar = STRICT

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")] = "generic"
    fields: Mapping[str, Paths]
    states: Mapping[str, State] = field(default_factory=dict)
    traits: Annotated[Mapping[str, Paths], Field(max_length=_MOST)] = field(default_factory=dict)
    labels: Annotated[Mapping[str, Paths], Field(max_length=_MOST)] = field(default_factory=dict)
    token_header: str | None = None
    signature_header: str | None = None
    signature_algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    signature_encoding: Literal["hex", "base64", "jws"] = "hex"
    signed: str = "{body}"
    timestamp_header: str | None = None
    restarts: bool | Literal["implicit"] = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.fields if name not in _FIELDS]
        if unknown:
            raise ValueError(f"fields.{unknown[0]} is unknown; known: {', '.join(_FIELDS)}")
        if "id" not in self.fields or "status" not in self.fields:
            raise ValueError("fields.id and fields.status are needed: which deployment, and how it stands")
        if self.token_header is not None and self.signature_header is not None:
            raise ValueError("only one of token_header and signature_header can hold")
        if self.signed.count("{body}") != 1:
            raise ValueError("signed has to hold {body} once; {timestamp} may stand there, too")
        if self.timestamp_header is not None and "{timestamp}" not in self.signed:
            raise ValueError("a timestamp_header that is not signed proves nothing: signed has to hold {timestamp}")

    @property
    def proof(self) -> Verifier:
        """As the settings say."""
        if self.signature_header is not None and self.signature_encoding == "jws":
            return SignedDigest(self.signature_header.lower())
        if self.signature_header is not None and self.signature_encoding != "jws":
            return HMACSignature(
                header=self.signature_header.lower(),
                algorithm=self.signature_algorithm,
                encoding=self.signature_encoding,
                signed=self.signed,
                timestamp_header=self.timestamp_header and self.timestamp_header.lower(),
            )
        return Credential() if self.token_header is None else Token(self.token_header.lower())

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """What the paths find in one delivery."""
        content = read_json(body)
        found = {name: text for name, paths in self.fields.items() if (text := _found(paths, content)) is not None}
        if "id" not in found:
            return [Ignored(reason=f"nothing is at fields.id, {_listed(self.fields['id'])}: it reports no deployment")]
        word = str(found.get("status", ""))
        status = self.states.get(word) or _status(word)
        if status is None:
            return [Ignored(reason=f"the state {word[:100]!a} is none that states or the usual words know")]
        given = {name: unless_unset(found[name]) for name in _TIMES if name in found}
        times = {name: _time(name, value) for name, value in given.items() if value is not None}
        key = str(found["id"])
        return [
            Announcement(
                sender=self.name,
                key=key,
                thread=f"{key}:runs" if self.restarts else None,
                recurrence=_RECURRENCES[self.restarts],
                event=str(found["event"]) if "event" in found else digest(status, times.get("at")),
                status=status,
                origin=Origin(**_texts(found, _ORIGIN), labels=_texts(_all(self.labels, content), self.labels)),
                traits=_all(self.traits, content),
                labels=_texts(_all(self.labels, content), self.labels),
                **times,
                **_texts(found, _WORDS),
            )
        ]


def _found(paths: Iterable[JSONPath], content: object) -> Any:  # noqa: ANN401 - whatever is there
    values = (_first(path, content) for path in paths)
    return next((value for value in values if value is not None), None)


def _listed(paths: Iterable[JSONPath]) -> str:
    return " or ".join(map(str, paths))


def _first(path: JSONPath, content: object) -> Any:  # noqa: ANN401 - whatever is there
    try:
        values = [match.value for match in path.find(content)]
    except (TypeError, ValueError, AttributeError, KeyError, IndexError, RecursionError, ArithmeticError):
        return None  # the library fails on content of other types than the path expects
    return next((value for value in values if isinstance(value, str | int | float) and value != ""), None)


def _all(paths: Mapping[str, Iterable[JSONPath]], content: object) -> dict[str, Any]:
    values = {name: _found(each, content) for name, each in paths.items()}
    return {name: value for name, value in values.items() if value is not None}


def _texts(found: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: str(found[name]) for name in names if name in found}


def _time(name: str, value: object) -> Any:  # noqa: ANN401 - a time
    try:
        return read_time(value)
    except ValueError as error:
        raise BadInput(Fault(name, str(error))) from None


def _status(word: str) -> Status | None:
    try:
        return read_status(word)
    except ValueError:
        return None


PLUGIN = Generic
