"""Argo CD notifications, in the template of deploy/senders/argocd."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from afdp_exporter.fields import image_tag
from afdp_exporter.model import Announcement, Ignored, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Told
from afdp_exporter.webhooks._payload import Moment, Payload, read
from afdp_exporter.webhooks._proofs import Credential, Proof
from afdp_exporter.webhooks._versions import shortened

_PHASES = {
    "Running": Status.STARTED,
    "Succeeded": Status.SUCCEEDED,
    "Failed": Status.FAILED,
    "Error": Status.FAILED,
    "Terminating": Status.CANCELLED,
}
_HEALTH = {"Degraded": Status.FAILED, "Progressing": Status.STARTED, "Missing": Status.STARTED}  # of what was synced


class _Application(Payload):
    app: str
    app_namespace: str | None = None
    project: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    phase: str | None = None
    health: str | None = None
    revision: str | None = None
    revisions: tuple[str, ...] | None = None
    started_at: Moment = None
    finished_at: Moment = None
    health_changed_at: Moment = None
    images: tuple[str, ...] | None = None
    repo: str | None = None
    initiated_by: str | None = None
    labels: Mapping[str, str] | None = None
    message: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgoCD:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Proof] = Credential()

    def parse(self, headers: Headers, body: bytes) -> list[Told]:  # noqa: ARG002 - the template names everything
        """The state of one sync: its phase, and the health of what it brought once it has succeeded."""
        told = read(_Application, body)
        status = _PHASES.get(told.phase or "")
        if status is Status.SUCCEEDED:
            status = _HEALTH.get(told.health or "", status)
        if status is None:
            return [Ignored(reason=f"an application in the phase {told.phase!a} is not being synced")]
        revision = told.revision or ",".join(told.revisions or ())
        if not revision or told.started_at is None:
            return [Ignored(reason="a sync without revision and started_at cannot be told from others")]
        image = next(iter(told.images or ()), None)
        at, over = _at(told, status), status is not Status.STARTED
        return [
            Announcement(
                sender="argocd",
                key=f"{told.app_namespace or 'argocd'}/{told.app}:{revision[:40]}:{told.started_at.timestamp():.0f}",
                event=":".join(filter(None, (told.phase, told.health if over else "", at.isoformat() if at else ""))),
                at=at,
                status=status,
                observed=True,
                started_at=told.started_at,
                finished_at=told.finished_at if over else None,
                origin=Origin(
                    application=told.app,
                    namespace=told.namespace,
                    cluster=told.cluster,
                    repository=told.repo,
                    image=image,
                    labels=dict(told.labels or {}) | ({"project": told.project} if told.project else {}),
                ),
                version=image_tag(image) or shortened(revision),
                commit=revision,
                actor=told.initiated_by,
                url=told.url,
                description=told.message,
            )
        ]


def _at(told: _Application, status: Status) -> datetime | None:
    """When the application came to be so: its health may change long after the sync has ended.

    Where that time does not come along it is not known: it may be weeks after `finished_at`.
    """
    if status is Status.STARTED:
        return told.started_at
    if told.phase != "Succeeded" or told.finished_at is None:
        return told.finished_at
    return told.health_changed_at and max(told.finished_at, told.health_changed_at)


PLUGIN = ArgoCD
