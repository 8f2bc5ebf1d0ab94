"""CDEvents over CloudEvents, in all three ways of sending them; of the versions 0.4 and 0.5 of CDEvents."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, Ignored, Origin, Recurrence, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, check, digest, read_json
from afdp_exporter.webhooks._verification import Credential, Verifier

_BATCH = "application/cloudevents-batch"
_STRUCTURED = "application/cloudevents"
_MOST = 1000  # events in a batch
_PREDICATES = {"deployed": Status.SUCCEEDED, "upgraded": Status.SUCCEEDED, "rolledback": Status.ROLLED_BACK}


class _Context(Payload):
    id: str
    source: str
    type: str
    timestamp: Time
    chainId: str | None = None  # noqa: N815 - as it is sent


class _Reference(Payload):
    id: str
    source: str | None = None


class _Content(Payload):
    environment: _Reference | None = None
    artifactId: str | None = None  # noqa: N815 - as it is sent


class _Subject(Payload):
    id: str
    source: str | None = None
    content: _Content


class _Event(Payload):
    context: _Context
    subject: _Subject
    customData: Any = None  # noqa: N815 - as it is sent


class _Typed(Payload):
    type: str


class _Envelope(Payload):
    context: _Typed


@dataclass(frozen=True, slots=True, kw_only=True)
class CDEvents:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Credential()

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:
        """What the events of one delivery say, in their order."""
        content = read_json(body)
        kind = headers.get("content-type", "")
        if kind.startswith(_BATCH):
            if not isinstance(content, list) or len(content) > _MOST:
                raise BadInput(Fault("body", f"a batch is a list of at most {_MOST} events"))
            return [part for each in content for part in _parsed(_data(each))]
        return _parsed(_data(content) if kind.startswith(_STRUCTURED) else content)


def _data(event: object) -> object:
    if not isinstance(event, Mapping) or "data" not in event:
        raise BadInput(Fault("data", "is missing: the CDEvent is expected there"))
    return event["data"]


def _parsed(content: object) -> list[Parsed]:
    kind = check(_Envelope, content).context.type
    named, _, predicate = re.sub(r"(\.\d+){3}.*", "", kind).rpartition(".")  # whatever its version
    status = _PREDICATES.get(predicate)
    if named != "dev.cdevents.service" or status is None:
        return [Ignored(reason=f"the event {kind!a} reports no deployment")]
    event = check(_Event, content)
    return [_deployed(event)] if status is Status.SUCCEEDED else _returned(event)


def _returned(event: _Event) -> list[Parsed]:
    """`rolledback` carries the artifact that was gone back to: what ran until then is taken back, and that deployed."""
    back = _deployed(event)
    taken = replace(
        back, key=back.thread or back.key, returned_to=back.version, status=Status.ROLLED_BACK, version=None,
        commit=None, traits={},
    )  # fmt: skip
    key = f"rolledback:{digest(event.context.source, event.context.id)}"
    return [taken, replace(back, key=key, thread=None, traits={**back.traits, "rollback": True})]


def _deployed(event: _Event) -> Announcement:
    context, subject = event.context, event.subject
    environment = subject.content.environment.id if subject.content.environment else None
    name, version, commit = _artifact(subject.content.artifactId)
    chain = context.chainId or f"{context.source}#{context.id}"
    custom = event.customData if isinstance(event.customData, Mapping) else {}
    traits = custom.get("afdp")
    return Announcement(
        sender="cdevents",
        key=f"{subject.id}:{environment or ''}:{digest(chain)[:16]}",
        thread=f"{subject.id}:{environment or ''}",
        recurrence=Recurrence.RETURNS,
        event=digest(context.source, context.id),
        at=context.timestamp,
        status=Status.SUCCEEDED,
        origin=Origin(
            service=subject.id.rstrip("/").rpartition("/")[2],
            environment=environment and environment.rstrip("/").rpartition("/")[2],
            image=name,
            labels={"source": context.source},
        ),
        version=version,
        commit=commit,
        traits={str(key): value for key, value in traits.items()} if isinstance(traits, Mapping) else {},
    )


def _artifact(purl: str | None) -> tuple[str | None, str | None, str | None]:
    """Name, version and commit of `pkg:oci/shop@sha256%3A0b31...?tag=v1.4`."""
    if not purl:
        return None, None, None
    path, _, query = purl.partition("?")
    name, _, version = path.partition("@")
    given = parse_qs(query)
    tag = next(iter(given.get("tag", ())), None)
    commit = next(iter(given.get("vcs_ref", given.get("commit", ()))), None)
    return name.rpartition("/")[2] or None, tag or unquote(version) or None, commit


PLUGIN = CDEvents
