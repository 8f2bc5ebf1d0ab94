"""Jenkins: the build events of the plugin Outbound WebHook."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar
from urllib.parse import urlsplit

from afdp_exporter.model import Announcement, Ignored, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, read
from afdp_exporter.webhooks._verification import Credential, Verifier

_EVENTS = {
    "start": Status.STARTED,
    "success": Status.SUCCEEDED,
    "unstable": Status.SUCCEEDED,
    "failure": Status.FAILED,
    "aborted": Status.CANCELLED,
    "not_built": Status.CANCELLED,
}


_BETWEEN = re.compile(r", (?=[A-Za-z_][\w.-]*=)")


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
    proof: ClassVar[Verifier] = Credential()

    jobs: tuple[str, ...] = ("*",)
    service_variable: str = "SERVICE"
    environment_variable: str = "ENVIRONMENT"
    version_variable: str = "VERSION"

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """What one build event says; of its variables, which may hold secrets, only the named ones are read."""
        payload = read(_Build, body)
        if not any(fnmatchcase(payload.projectName.lower(), pattern.lower()) for pattern in self.jobs):
            reason = f"the job {payload.projectName!a} is none of those that deploy: see the setting jobs"
            return [Ignored(reason=reason)]
        status = _EVENTS.get(payload.event.lower())
        if status is None:
            return [Ignored(reason=f"the event {payload.event!a} is none of a build's life")]
        given = _variables(payload.buildVars)
        doubtful = [
            name
            for name in (self.service_variable, self.environment_variable, self.version_variable)
            if len(given.get(name, ())) > 1
        ]
        if doubtful:
            return [Ignored(reason=f"the variable {doubtful[0]} is there twice: which one holds is unknown")]
        return [
            Announcement(
                sender="jenkins",
                key=_place(payload.buildUrl) or f"{payload.projectName}:{payload.buildName}",
                event=payload.event.lower(),
                status=status,
                origin=Origin(
                    service=_only(given.get(self.service_variable)),
                    environment=_only(given.get(self.environment_variable)),
                    pipeline=payload.projectName,
                ),
                version=_only(given.get(self.version_variable)) or payload.buildName,
                url=payload.buildUrl,
            )
        ]


def _place(url: str | None) -> str | None:
    """Where a build is: jobs of several folders may have one name, and a build may be renamed while it runs."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return None
    return f"{parts.netloc}{parts.path}".strip("/") if parts.path.strip("/") else None


def _variables(given: object) -> Mapping[Any, Sequence[object]]:
    """The variables of a build: the plugin sends them as Java prints a map, `{NAME=value, OTHER=value}`.

    The text of one may look like another, which then has two values.
    """
    if not isinstance(given, str):
        return {name: (value,) for name, value in given.items()} if isinstance(given, Mapping) else {}
    found: dict[str, list[str]] = {}
    for part in _BETWEEN.split(given.strip().removeprefix("{").removesuffix("}")):
        name, _, text = part.partition("=")
        found.setdefault(name, []).append(text)
    return found


def _only(values: Sequence[object] | None) -> str | None:
    value = values[0] if values else None
    return value if isinstance(value, str) and value not in {"", "null"} else None  # Java prints null so


PLUGIN = Jenkins
