"""Argo CD notifications, in the template of deploy/senders/argocd."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from afdp_exporter.fields import image_tag
from afdp_exporter.model import Announcement, Ignored, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.versions import shortened
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Moment, Payload, Texts, read
from afdp_exporter.webhooks._verification import Credential, Verifier

_PHASES = {
    "Running": Status.STARTED,
    "Succeeded": Status.SUCCEEDED,
    "Failed": Status.FAILED,
    "Error": Status.FAILED,
    "Terminating": Status.CANCELLED,
}
_TERMINATED = "Operation terminated"
"""How a sync fails that somebody has ended."""
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
    labels: Texts | None = None
    message: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgoCD:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Credential()

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - the template names everything
        """The state of one sync: its phase, and the health of what it brought once it has succeeded."""
        payload = read(_Application, body)
        status = _PHASES.get(payload.phase or "")
        if status is Status.FAILED and (payload.message or "").startswith(_TERMINATED):
            status = Status.CANCELLED
        if status is Status.SUCCEEDED:
            status = _HEALTH.get(payload.health or "", status)
        if status is None:
            return [Ignored(reason=f"an application in the phase {payload.phase!a} is not being synced")]
        revision = payload.revision or ",".join(payload.revisions or ())
        if not revision or payload.started_at is None:
            return [Ignored(reason="a sync without revision and started_at cannot be told apart from others")]
        image = next(iter(payload.images or ()), None)
        at, over = _at(payload, status), status is not Status.STARTED
        namespace = payload.app_namespace or "argocd"
        return [
            Announcement(
                sender="argocd",
                key=f"{namespace}/{payload.app}:{revision[:40]}:{payload.started_at.timestamp():.0f}",
                event=":".join(
                    filter(None, (payload.phase, payload.health if over else "", at.isoformat() if at else ""))
                ),
                at=at,
                status=status,
                observed=True,
                started_at=payload.started_at,
                finished_at=payload.finished_at if over else None,
                origin=Origin(
                    application=payload.app,
                    namespace=payload.namespace,
                    cluster=payload.cluster,
                    repository=payload.repo,
                    image=image,
                    labels=dict(payload.labels or {}) | ({"project": payload.project} if payload.project else {}),
                ),
                version=image_tag(image) or shortened(revision),
                commit=revision,
                actor=payload.initiated_by,
                url=payload.url,
                description=payload.message,
            )
        ]


def _at(payload: _Application, status: Status) -> datetime | None:
    """When the application came to be so: its health may change long after the sync has ended.

    Where that time does not come along it is not known: it may be weeks after `finished_at`.
    """
    if status is Status.STARTED:
        return payload.started_at
    if payload.phase != "Succeeded" or payload.finished_at is None:
        return payload.finished_at
    return payload.health_changed_at and max(payload.finished_at, payload.health_changed_at)


PLUGIN = ArgoCD
