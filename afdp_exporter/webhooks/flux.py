"""Flux's notification-controller: what Kustomizations and Helm releases brought."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, Ignored, Origin, Recurrence, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.versions import version_of
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, Texts, read
from afdp_exporter.webhooks._verification import Credential, FirstPresent, Signature, Verifier

_KINDS = {"Kustomization", "HelmRelease"}
_REASONS = {
    "Progressing": Status.STARTED,
    "ProgressingWithRetry": Status.STARTED,
    "InstallSucceeded": Status.SUCCEEDED,
    "UpgradeSucceeded": Status.SUCCEEDED,
    "ReconciliationSucceeded": Status.SUCCEEDED,
    "TestSucceeded": Status.SUCCEEDED,
    "InstallFailed": Status.FAILED,
    "UpgradeFailed": Status.FAILED,
    "ReconciliationFailed": Status.FAILED,
    "TestFailed": Status.FAILED,
    "HealthCheckFailed": Status.FAILED,
    "BuildFailed": Status.FAILED,
    "RollbackSucceeded": Status.ROLLED_BACK,
}
_OF_A_RELEASE = {"TestSucceeded", "TestFailed", "RollbackSucceeded"}
"""What is said of one release, in contrast to the state of the object, which is looked at again and again."""
_VALUES = re.compile(r"sha\d+:([0-9a-f]{8})[0-9a-f]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


class _Object(Payload):
    kind: str
    name: str
    namespace: str | None = None


class _Event(Payload):
    involvedObject: _Object  # noqa: N815 - as it is sent
    metadata: Texts | None = None
    reason: str
    message: str | None = None
    timestamp: Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Flux:
    """It has no settings of its own; the types `generic` and `generic-hmac` of a Provider both work."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = FirstPresent({"x-signature": Signature("x-signature"), "authorization": Credential()})

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """What one event says: Flux sends one for every revision, and again for the same one.

        `RollbackSucceeded` carries the revision that was returned to; it takes back the newest rollout of its object,
        if that is another one.
        """
        payload = read(_Event, body)
        thing, known = payload.involvedObject, payload.metadata or {}
        if thing.kind not in _KINDS:
            return [Ignored(reason=f"a {thing.kind!a} rolls nothing out: it is fetched or built")]
        status = _REASONS.get(payload.reason)
        if status is None:
            return [Ignored(reason=f"the reason {payload.reason!a} reports no rollout")]
        words = {name.rpartition("/")[2]: text for name, text in known.items()}
        revision = words.get("revision")
        if not revision:
            return [Ignored(reason="an event without a revision cannot be told apart from those of other revisions")]
        place = (known.get("cluster"), known.get("environment"), thing.kind, thing.namespace or "default", thing.name)
        thread, (ref, commit) = "/".join(filter(None, place)), _parts(revision)
        rollout = Announcement(
            sender="flux",
            key=":".join(filter(None, (thread, revision, _values(thing, words)))),
            thread=thread,
            recurrence=Recurrence.RETURNS,
            event=f"{payload.reason}:{revision}:{payload.timestamp.isoformat()}",
            at=payload.timestamp,
            status=status,
            observed=payload.reason not in _OF_A_RELEASE,
            origin=Origin(
                application=thing.name,
                namespace=thing.namespace,
                environment=known.get("environment"),
                cluster=known.get("cluster"),
                ref=ref,
                labels={"kind": thing.kind} | {name: text for name, text in known.items() if "/" not in name},
            ),
            version=version_of(ref, commit),
            commit=commit,
            description=payload.message,
        )
        return [_taken_back(rollout, thread) if status is Status.ROLLED_BACK else rollout]


def _taken_back(back: Announcement, thread: str) -> Announcement:
    """What says that the newest rollout of an object was taken back, of what was returned to."""
    return replace(
        back, key=thread, returned_to=back.version, version=None, commit=None, description=None,
        origin=replace(back.origin, ref=None),
    )  # fmt: skip


def _values(thing: _Object, words: Mapping[str, str]) -> str:
    """Which values a Helm release has: they may change, and with them what runs, while its chart stays the same."""
    found = _VALUES.fullmatch(words.get("token", "")) if thing.kind == "HelmRelease" else None
    return found[1] if found else ""


def _parts(revision: str) -> tuple[str | None, str | None]:
    """Ref and commit of `main@sha1:731f...`, of the older `main/731f...`, of a chart's `6.5.4`, of a bare digest."""
    ref, at, digest = revision.rpartition("@") if "@" in revision else revision.rpartition("/")
    commit = digest.rpartition(":")[2]
    if not at and not _COMMIT.fullmatch(commit):
        return revision, None
    return ref or None, commit


PLUGIN = Flux
