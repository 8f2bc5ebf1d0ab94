"""Datadog's DORA deployments: what is sent there may be sent here, too."""

from dataclasses import dataclass
from typing import ClassVar

from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Told
from afdp_exporter.webhooks._payload import Payload, digest, read
from afdp_exporter.webhooks._proofs import Proof, Token
from afdp_exporter.webhooks._versions import shortened


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
    proof: ClassVar[Proof] = Token("dd-api-key")

    def parse(self, headers: Headers, body: bytes) -> list[Told]:  # noqa: ARG002 - all of it is in the body
        """One deployment, told once it is over."""
        told = read(_Body, body).data.attributes
        git = told.git or _Git()
        named = told.id or digest(told.service, told.env, told.version, told.started_at)
        tags = [tag.partition(":") for tag in told.custom_tags or ()]
        return [
            Announcement(
                sender="datadog",
                key=named,
                event="deployment",
                at=told.finished_at,
                status=Status.SUCCEEDED,
                started_at=told.started_at,
                finished_at=told.finished_at,
                origin=Origin(service=told.service, environment=told.env, repository=git.repository_url),
                version=told.version or shortened(git.commit_sha),
                commit=git.commit_sha,
                team=told.team,
                labels={name: value for name, _, value in tags},
            )
        ]


PLUGIN = Datadog
