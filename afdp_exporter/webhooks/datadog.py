"""Datadog's DORA deployments: what is sent there may be sent here, too."""

from dataclasses import dataclass
from typing import ClassVar

from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.versions import shortened
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, digest, read
from afdp_exporter.webhooks._verification import Token, Verifier


class _Git(Payload):
    commit_sha: str | None = None
    repository_url: str | None = None


class _Attributes(Payload):
    service: str
    started_at: Time
    finished_at: Time
    env: str | None = None
    version: str | None = None
    team: str | None = None
    id: str | None = None
    git: _Git | None = None
    custom_tags: tuple[str, ...] | None = None


class _Data(Payload):
    attributes: _Attributes


class _Body(Payload):
    data: _Data


@dataclass(frozen=True, slots=True, kw_only=True)
class Datadog:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Token("dd-api-key")

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """One deployment, announced once it is over; its id may be that of a pipeline, which deploys more than one."""
        payload = read(_Body, body).data.attributes
        git = payload.git or _Git()
        named = digest(payload.service, payload.env, payload.version, payload.started_at)
        tags = [tag.partition(":") for tag in payload.custom_tags or ()]
        return [
            Announcement(
                sender="datadog",
                key=f"{payload.id}:{named[:16]}" if payload.id else named,
                event="deployment",
                at=payload.finished_at,
                status=Status.SUCCEEDED,
                started_at=payload.started_at,
                finished_at=payload.finished_at,
                origin=Origin(service=payload.service, environment=payload.env, repository=git.repository_url),
                version=payload.version or shortened(git.commit_sha),
                commit=git.commit_sha,
                team=payload.team,
                labels={name: value for name, _, value in tags},
            )
        ]


PLUGIN = Datadog
