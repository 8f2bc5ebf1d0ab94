"""AWS ECS: the deployment events of its services, sent by EventBridge to an API destination."""

import re
from dataclasses import dataclass
from typing import ClassVar

from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, Ignored, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, check, read_json
from afdp_exporter.webhooks._verification import Credential, Verifier

_KIND = "ECS Deployment State Change"
_NAMES = {
    "SERVICE_DEPLOYMENT_IN_PROGRESS": Status.STARTED,
    "SERVICE_DEPLOYMENT_COMPLETED": Status.SUCCEEDED,
    "SERVICE_DEPLOYMENT_FAILED": Status.FAILED,
}


_ROLLBACK = re.compile(r"\broll(?:ing|ed)?[ -]?back\b(?: to (?:deployment(?:Id)? )?(?P<target>\S+))?", re.IGNORECASE)


class _Detail(Payload):
    eventName: str  # noqa: N815 - as it is sent
    deploymentId: str  # noqa: N815
    updatedAt: Time | None = None  # noqa: N815
    reason: str | None = None


class _Event(Payload):
    time: Time
    account: str | None = None
    region: str | None = None
    resources: tuple[str, ...] = ()
    detail: _Detail


@dataclass(frozen=True, slots=True, kw_only=True)
class ECS:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Credential()

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """What one event says; a start that ECS explains with a rollback to another one is that of the rollback.

        Where it is said of a deployment that began before, this one is taken back.
        """
        content = read_json(body)
        kind = content.get("detail-type") if isinstance(content, dict) else None
        if kind is not None and kind != _KIND:
            return [Ignored(reason=f"the event {kind!a} reports no deployment")]
        payload = check(_Event, content)
        status = _NAMES.get(payload.detail.eventName)
        if status is None:
            return [Ignored(reason=f"{payload.detail.eventName!a} is none of a deployment's life")]
        path = next(iter(payload.resources), "").rpartition(":service/")[2].split("/")
        given = {"account": payload.account, "region": payload.region}
        return [
            Announcement(
                sender="ecs",
                key=f"{'/'.join(path)}:{payload.detail.deploymentId}",
                event=f"{payload.detail.eventName}:{status}:{(payload.detail.updatedAt or payload.time).isoformat()}",
                at=payload.detail.updatedAt or payload.time,
                status=status,
                goes_back=status is Status.STARTED and _goes_back(payload.detail),
                origin=Origin(
                    service=path[-1] or None,
                    cluster=path[0] if len(path) > 1 else None,
                    labels={name: text for name, text in given.items() if text},
                ),
                description=payload.detail.reason,
            )
        ]


def _goes_back(detail: _Detail) -> bool:
    """Whether a rollback begins; one that names this very deployment says that it is the one that is gone back to."""
    found = _ROLLBACK.search(detail.reason or "")
    return found is not None and (found["target"] or "").rstrip(".") != detail.deploymentId


PLUGIN = ECS
