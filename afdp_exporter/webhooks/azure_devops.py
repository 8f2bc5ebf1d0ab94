"""Azure DevOps service hooks: the stages of pipelines that deploy, and deployments of classic releases."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import Name, Time
from afdp_exporter.model import Announcement, ApprovalRequest, Ignored, Origin, Phase, Recurrence, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, check, read_json
from afdp_exporter.webhooks._verification import Credential, Verifier

_STAGE = "ms.vss-pipelines.stage-state-changed-event"
_RELEASES = {"deployment-started-event": Status.STARTED, "deployment-completed-event": None}
_CHECK = ("PlanUrl", "ProjectId", "HubName", "PlanId", "JobId", "TaskInstanceId")
_STATES = {"notstarted": Status.PLANNED, "waiting": Status.PLANNED, "running": Status.STARTED}
_RESULTS = {
    "succeeded": Status.SUCCEEDED,
    "partiallysucceeded": Status.SUCCEEDED,
    "succeededwithissues": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "rejected": Status.FAILED,
    "canceled": Status.CANCELLED,
    "skipped": Status.CANCELLED,
    "abandoned": Status.CANCELLED,
}


class _Named(Payload):
    id: str | None = None
    name: str | None = None


class _Stage(Payload):
    id: str
    name: str
    displayName: str | None = None  # noqa: N815 - as it is sent
    attempt: int | None = None
    state: str
    result: str | None = None


class _Run(Payload):
    id: str
    name: str | None = None


class _StageResource(Payload):
    stage: _Stage
    run: _Run
    pipeline: _Named


class _Attempt(Payload):
    attempt: int | None = None


class _Release(_Named):
    releaseDefinition: _Named | None = None  # noqa: N815


class _Environment(Payload):
    id: str
    name: str
    status: str | None = None
    releaseId: str | None = None  # noqa: N815
    release: _Release | None = None
    releaseDefinition: _Named | None = None  # noqa: N815
    deploySteps: tuple[_Attempt, ...] | None = None  # noqa: N815


class _Deployment(_Attempt):
    release: _Release | None = None
    releaseDefinition: _Named | None = None  # noqa: N815
    releaseEnvironment: _Environment | None = None  # noqa: N815
    deploymentStatus: str | None = None  # noqa: N815


class _ReleaseResource(Payload):
    environment: _Environment | None = None
    release: _Release | None = None
    project: _Named | None = None
    attemptId: int | None = None  # noqa: N815
    deployment: _Deployment = _Deployment()


class _Event(Payload):
    id: str
    eventType: str  # noqa: N815
    createdDate: Time  # noqa: N815


class _Check(Payload):
    """The body of a check, as it is written in the environment: names, and variables of the pipeline."""

    service: Name
    environment: Name | None = None
    version: Name | None = None
    phase: Phase = Phase.PLAN


class _StageChanged(_Event):
    resource: _StageResource


class _Released(_Event):
    resource: _ReleaseResource


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureDevOps:
    """`stages` are the ones that deploy, as patterns of their name."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Credential()

    stages: tuple[str, ...] = ("*deploy*", "*release*", "*prod*", "*rollback*")

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:
        """What one event says, or what a check asks."""
        content = read_json(body)
        if "planurl" in headers:
            return [_asked(check(_Check, content), headers)]
        event = check(_Event, content).eventType
        if event == _STAGE:
            return [self._stage(check(_StageChanged, content))]
        name = event.rpartition(".")[2]
        if name in _RELEASES and "release" in event:
            return [_released(check(_Released, content), _RELEASES[name])]
        return [Ignored(reason=f"the event {event!a} reports no deployment")]

    def _stage(self, payload: _StageChanged) -> Parsed:
        stage, run, pipeline = payload.resource.stage, payload.resource.run, payload.resource.pipeline
        names = [name.lower() for name in (stage.name, stage.displayName) if name]
        if not any(fnmatchcase(name, pattern.lower()) for pattern in self.stages for name in names):
            return Ignored(reason=f"the stage {stage.name!a} is none of those that deploy: see the setting stages")
        ended = stage.state.lower() == "completed"
        status = _RESULTS.get((stage.result or "").lower()) if ended else _STATES.get(stage.state.lower())
        if status is None:
            return Ignored(reason=f"a stage that is {stage.state!a} ({stage.result!a}) deploys nothing")
        return Announcement(
            sender="azure_devops",
            **_attempted(f"{pipeline.id or pipeline.name}:{run.id}:{stage.id}", stage.attempt),
            event=payload.id,
            at=payload.createdDate,
            status=status,
            needless=ended and (stage.result or "").lower() == "skipped",
            origin=Origin(pipeline=pipeline.name, labels={"stage": stage.name, "event": "stage"}),
            version=run.name,
        )


def _asked(payload: _Check, headers: Headers) -> ApprovalRequest:
    """A check *Invoke REST API*: one that hands over the job's token is completed by a callback."""
    names = {name: headers.get(name.lower(), "") for name in _CHECK}
    if timeline := headers.get("timelineid", ""):  # which only a check sends whose headers were added to
        names["TimelineId"] = timeline
    credential = headers.get("authtoken", "")
    return ApprovalRequest(
        sender="azure_devops",
        key=":".join(names[name] for name in ("PlanId", "JobId", "TaskInstanceId")),
        origin=Origin(service=payload.service, environment=payload.environment),
        version=payload.version,
        phase=payload.phase,
        reply=names if credential else {},
        credential=credential,
    )


def _released(payload: _Released, status: Status | None) -> Parsed:
    """Versions of the resource differ in where they hold what is deployed: at its top, in its environment, or in its
    deployment."""
    deployment = payload.resource.deployment
    environment = payload.resource.environment or deployment.releaseEnvironment
    if environment is None:
        raise BadInput(Fault("resource.environment", "is missing"))
    release = payload.resource.release or environment.release or deployment.release or _Release()
    word = environment.status or deployment.deploymentStatus
    status = status or _RESULTS.get((word or "").lower())
    if status is None:
        return Ignored(reason=f"a deployment with the status {word!a} is none that has ended")
    known = environment.releaseDefinition or release.releaseDefinition or deployment.releaseDefinition
    definition = known.name if known else None
    project = payload.resource.project.name if payload.resource.project else None
    return Announcement(
        sender="azure_devops",
        **_attempted(f"release:{environment.releaseId or release.id}:{environment.id}", _attempt(payload.resource)),
        event=payload.id,
        at=payload.createdDate,
        status=status,
        origin=Origin(
            application=definition,
            environment=environment.name,
            pipeline=release.name if definition is None else None,
            labels={"event": "release"} | ({"project": project} if project else {}),
        ),
        version=release.name,
    )


def _attempt(resource: _ReleaseResource) -> int | None:
    """Which time this release is deployed to this stage: going back to an older release deploys it once more."""
    steps = (step.attempt for step in (resource.environment.deploySteps if resource.environment else None) or ())
    known = (resource.attemptId, resource.deployment.attempt, *steps)
    return max((attempt for attempt in known if attempt is not None), default=None)


def _attempted(name: str, attempt: int | None) -> dict[str, Any]:
    """The key of an attempt; older versions of the resource do not number them, others only once they have begun."""
    return {
        "key": name if attempt in {None, 1} else f"{name}:{attempt}",
        "thread": f"{name}:attempts",
        "recurrence": Recurrence.REPEATS if attempt is None else Recurrence.ONCE,
    }


PLUGIN = AzureDevOps
