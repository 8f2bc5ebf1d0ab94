"""Spinnaker Echo: the pipelines of Orca, whole, wrapped or flattened."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, Ignored, Origin, Recurrence, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Moment, Payload, check, read_json
from afdp_exporter.webhooks._verification import Credential, Verifier

_TYPES = {
    "orca:pipeline:starting": Status.STARTED,
    "orca:pipeline:complete": Status.SUCCEEDED,
    "orca:pipeline:failed": Status.FAILED,
}
_BY_HAND = {
    "orca:orchestration:starting": Status.STARTED,
    "orca:orchestration:complete": Status.SUCCEEDED,
    "orca:orchestration:failed": Status.FAILED,
}  # what somebody does on Spinnaker's own pages, outside of pipelines
_ROLLBACKS = {"undoRolloutManifest", "rollbackServerGroup", "rollbackCluster"}  # types of stages
_ROLLOUTS = {"deploy", "deployManifest", "createServerGroup", "cloneServerGroup"}
_NEVER_RAN = {None, "NOT_STARTED", "SKIPPED"}
_STATES = {"CANCELED": Status.CANCELLED, "TERMINAL": Status.FAILED}


class _Details(Payload):
    type: str
    created: Time
    application: str | None = None


class _Trigger(Payload):
    user: str | None = None


class _Restart(Payload):
    restartTime: Moment = None  # noqa: N815


class _RollbackContext(Payload):
    restoreServerGroupName: str | None = None  # noqa: N815
    rollbackServerGroupName: str | None = None  # noqa: N815


class _Context(Payload):
    restartDetails: _Restart | None = None  # noqa: N815
    account: str | None = None
    credentials: str | None = None
    location: str | None = None
    manifestName: str | None = None  # noqa: N815
    reason: str | None = None
    rollbackContext: _RollbackContext | None = None  # noqa: N815


class _Stage(Payload):
    type: str | None = None
    status: str | None = None
    context: _Context | None = None


def _whole(stages: object) -> object:
    """Without those of which nothing but the id comes along."""
    return [each for each in stages if isinstance(each, Mapping)] if isinstance(stages, list) else stages


class _Authentication(Payload):
    user: str | None = None


class _Execution(Payload):
    id: str | None = None
    name: str | None = None
    description: str | None = None
    application: str | None = None
    status: str | None = None
    startTime: Moment = None  # noqa: N815 - as it is sent
    endTime: Moment = None  # noqa: N815
    trigger: _Trigger | None = None
    authentication: _Authentication | None = None
    stages: Annotated[tuple[_Stage, ...] | None, BeforeValidator(_whole)] = None


class _Content(Payload):
    executionId: str | None = None  # noqa: N815
    execution: _Execution = _Execution()


class _Event(Payload):
    details: _Details
    content: _Content


class _Named(Payload):
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spinnaker:
    """`pipelines` are the ones that deploy, as patterns of their name."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Credential()

    pipelines: tuple[str, ...] = ("*",)

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """What one event says; stages and tasks, of which there are many, are left to their pipeline.

        Of what is done by hand only a rollback counts. A pipeline that only rolls back is one, too; one that rolls
        back what it has rolled out itself was taken back.
        """
        content = _unwrapped(read_json(body))
        kind = check(_Named, content.get("details"), "details").type
        if kind not in _TYPES and kind not in _BY_HAND:
            return [Ignored(reason=f"the event {kind!a} is left to the pipeline that it belongs to")]
        payload = check(_Event, content)
        run = payload.content.execution
        if kind in _BY_HAND:
            return [_by_hand(payload, _BY_HAND[kind])]
        name, execution = run.name or "", payload.content.executionId or run.id
        if execution is None:
            return [Ignored(reason="a pipeline without the id of its execution cannot be announced apart from others")]
        if not any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.pipelines):
            return [Ignored(reason=f"the pipeline {name!a} is none of those that deploy: see the setting pipelines")]
        announced = _announced(payload, execution, _TYPES[kind])
        went_back = any(stage.type in _ROLLBACKS and stage.status == "SUCCEEDED" for stage in run.stages or ())
        if went_back and any(stage.type in _ROLLOUTS and stage.status not in _NEVER_RAN for stage in run.stages or ()):
            announced = replace(announced, status=Status.ROLLED_BACK)
        elif went_back:
            announced = replace(announced, traits={"rollback": True})
        return [*(_restarted(announced, at) for at in _restarts(run)), announced]


def _announced(payload: _Event, execution: str, status: Status) -> Announcement:
    run = payload.content.execution
    over = status is not Status.STARTED
    return Announcement(
        sender="spinnaker",
        key=execution,
        thread=f"{execution}:runs",
        recurrence=Recurrence.REPEATS,
        event=f"{payload.details.type}:{payload.details.created.isoformat()}",
        at=payload.details.created,
        status=_STATES.get(run.status or "", status) if over else status,
        started_at=run.startTime,
        finished_at=run.endTime if over else None,
        origin=Origin(application=payload.details.application or run.application, pipeline=run.name),
        actor=run.trigger.user if run.trigger else None,
    )


def _by_hand(payload: _Event, status: Status) -> Parsed:
    run = payload.content.execution
    execution = payload.content.executionId or run.id
    stage = next((stage for stage in run.stages or () if stage.type in _ROLLBACKS), None)
    if stage is None or execution is None:
        return Ignored(reason=f"what was done by hand, {run.description or 'without a description'!a}, is no rollback")
    context = stage.context or _Context()
    groups = context.rollbackContext or _RollbackContext()
    announced = _announced(payload, execution, status)
    facts = {
        "account": context.account or context.credentials,
        "manifest": context.manifestName,
        "stage": stage.type,
    }
    return replace(
        announced,
        origin=replace(
            announced.origin,
            namespace=context.location,
            labels={name: text for name, text in facts.items() if text},
        ),
        version=groups.restoreServerGroupName,
        previous_version=groups.rollbackServerGroupName,
        actor=announced.actor or (run.authentication.user if run.authentication else None),
        description=context.reason or run.description,
        traits={"rollback": True},
    )


def _restarts(run: _Execution) -> list[datetime]:
    """When stages of an execution were started again, after which nothing but another end is reported."""
    details = (stage.context.restartDetails for stage in run.stages or () if stage.context is not None)
    return sorted({each.restartTime for each in details if each is not None and each.restartTime is not None})


def _restarted(announced: Announcement, at: datetime) -> Announcement:
    return replace(
        announced, event=f"restarted:{at.isoformat()}", at=at, status=Status.STARTED, started_at=None, finished_at=None
    )


def _unwrapped(content: object) -> dict[str, object]:
    """The event itself: out of `payload` where Echo wraps it, read out of text where Echo flattens it."""
    if isinstance(content, Mapping) and "details" not in content and isinstance(content.get("payload"), Mapping):
        content = content["payload"]
    if not isinstance(content, Mapping):
        return {}
    texts = {name: content[name] for name in ("details", "content") if isinstance(content.get(name), str)}
    return dict(content) | {name: read_json(text.encode("utf-8", "surrogatepass")) for name, text in texts.items()}


PLUGIN = Spinnaker
