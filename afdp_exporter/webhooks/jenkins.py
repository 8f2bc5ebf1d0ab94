"""Jenkins: the build events of the plugin Outbound WebHook."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from afdp_exporter.model import Announcement, Ignored, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Told
from afdp_exporter.webhooks._payload import Payload, read
from afdp_exporter.webhooks._proofs import Credential, Proof

_EVENTS = {
    "start": Status.STARTED,
    "success": Status.SUCCEEDED,
    "unstable": Status.SUCCEEDED,
    "failure": Status.FAILED,
    "aborted": Status.CANCELLED,
}


class _Build(Payload):
    projectName: str  # noqa: N815 - as it is sent
    buildName: str  # noqa: N815
    buildUrl: str | None = None  # noqa: N815
    event: str
    buildVars: Any = None  # noqa: N815


@dataclass(frozen=True, slots=True, kw_only=True)
class Jenkins:
    """`jobs` are the ones that deploy, as patterns; the variables hold service, environment and version of a build."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Proof] = Credential()

    jobs: tuple[str, ...] = ("*",)
    service_variable: str = "SERVICE"
    environment_variable: str = "ENVIRONMENT"
    version_variable: str = "VERSION"

    def parse(self, headers: Headers, body: bytes) -> list[Told]:  # noqa: ARG002 - all of it is in the body
        """What one build event says; of its variables, which may hold secrets, only the named ones are read."""
        told = read(_Build, body)
        if not any(fnmatchcase(told.projectName.lower(), pattern.lower()) for pattern in self.jobs):
            return [Ignored(reason=f"the job {told.projectName!a} is none of those that deploy: see the setting jobs")]
        status = _EVENTS.get(told.event.lower())
        if status is None:
            return [Ignored(reason=f"the event {told.event!a} is none of a build's life")]
        given = told.buildVars if isinstance(told.buildVars, Mapping) else {}
        return [
            Announcement(
                sender="jenkins",
                key=f"{told.projectName}:{told.buildName}",
                event=told.event.lower(),
                status=status,
                origin=Origin(
                    service=_text(given.get(self.service_variable)),
                    environment=_text(given.get(self.environment_variable)),
                    pipeline=told.projectName,
                ),
                version=_text(given.get(self.version_variable)) or told.buildName,
                url=told.buildUrl,
            )
        ]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


PLUGIN = Jenkins
