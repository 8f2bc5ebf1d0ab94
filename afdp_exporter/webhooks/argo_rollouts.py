"""Argo Rollouts notifications, in the template of deploy/senders/argo-rollouts."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from afdp_exporter.fields import image_tag
from afdp_exporter.model import Announcement, Ignored, Origin, Status, Strategy
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Moment, Payload, Texts, read
from afdp_exporter.webhooks._verification import Credential, Verifier

_PHASES = {
    "Progressing": Status.STARTED,
    "Paused": Status.STARTED,
    "Healthy": Status.SUCCEEDED,
    "Degraded": Status.FAILED,
}


class _Rollout(Payload):
    rollout: str
    uid: str | None = None
    namespace: str | None = None
    cluster: str | None = None
    revision: str
    phase: str | None = None
    abort: bool | None = None
    weight: Annotated[float, Field(ge=0, le=100)] | None = None
    strategy: str | None = None
    images: tuple[str, ...] | None = None
    version: str | None = None
    at: Moment = None
    labels: Texts | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgoRollouts:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Credential()

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - the template names everything
        """The state of one revision of a rollout; one that was deleted and made anew counts its revisions from 1.

        Argo says no word of a revision that the next one overtakes.
        """
        payload = read(_Rollout, body)
        status = Status.ROLLED_BACK if payload.abort else _PHASES.get(payload.phase or "")
        if status is None:
            return [Ignored(reason=f"the phase {payload.phase!a} is none of a rollout's life")]
        image = next(iter(payload.images or ()), None)
        place = "/".join(filter(None, (payload.cluster, payload.namespace or "default", payload.rollout)))
        at = payload.at.isoformat() if payload.at else ""
        revision = ":".join(filter(None, ((payload.uid or "")[:8], payload.revision)))
        return [
            Announcement(
                sender="argo_rollouts",
                key=":".join(filter(None, (place, revision))),
                thread=f"{place}:revisions",
                event=":".join(filter(None, (revision, status, _number(payload.weight), at))),
                at=payload.at,
                status=status,
                observed=True,
                origin=Origin(
                    application=payload.rollout,
                    namespace=payload.namespace,
                    cluster=payload.cluster,
                    image=image,
                    labels=dict(payload.labels or {}),
                ),
                version=payload.version or (payload.labels or {}).get("app.kubernetes.io/version") or image_tag(image),
                strategy=Strategy.BLUE_GREEN if payload.strategy == "blueGreen" else Strategy.CANARY,
                traffic_ratio=_share(payload, status),
                description=payload.message,
            )
        ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _share(payload: _Rollout, status: Status) -> float | None:
    """What the new version takes of the traffic: all once it is through, nothing once it was called back."""
    if status is Status.SUCCEEDED:
        return 1.0
    return None if status is Status.ROLLED_BACK or payload.weight is None else payload.weight / 100


PLUGIN = ArgoRollouts
