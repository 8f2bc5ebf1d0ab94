"""GitHub: deployments and their statuses, releases, and the runs of workflows that deploy."""

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import parse_qs

from afdp_exporter.errors import BadInput, Fault, Malformed
from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, ApprovalRequest, Ignored, Origin, Status, names_rollback
from afdp_exporter.settings import STRICT
from afdp_exporter.versions import version_of
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, Push, change_of, check, read_json
from afdp_exporter.webhooks._verification import Signature, Verifier

_STATES = {
    "waiting": Status.PLANNED,
    "queued": Status.PLANNED,
    "pending": Status.PLANNED,
    "in_progress": Status.STARTED,
    "success": Status.SUCCEEDED,
    "failure": Status.FAILED,
    "error": Status.FAILED,
}
_CONCLUSIONS = {
    "success": Status.SUCCEEDED,
    "neutral": Status.SUCCEEDED,
    "failure": Status.FAILED,
    "timed_out": Status.FAILED,
    "startup_failure": Status.FAILED,
    "cancelled": Status.CANCELLED,
    "skipped": Status.CANCELLED,
    "stale": Status.CANCELLED,
}
_BEHIND = timedelta(microseconds=1)
"""Times are whole seconds: a deployment that waits does so since after it was created, though in the same second."""


class _User(Payload):
    login: str | None = None


class _Repository(Payload):
    id: str | None = None
    full_name: str


class _Deployment(Payload):
    id: int
    sha: str
    ref: str
    task: str | None = None
    environment: str
    description: str | None = None
    payload: Any = None
    transient_environment: bool | None = None
    production_environment: bool | None = None
    creator: _User | None = None
    created_at: Time


class _State(Payload):
    id: int
    state: str
    environment: str | None = None
    description: str | None = None
    target_url: str | None = None
    log_url: str | None = None
    created_at: Time


class _Release(Payload):
    id: int
    tag_name: str
    name: str | None = None
    draft: bool = False
    prerelease: bool = False
    author: _User | None = None
    html_url: str | None = None
    published_at: Time | None = None
    updated_at: Time | None = None


class _Run(Payload):
    id: int
    name: str | None = None
    path: str | None = None
    head_sha: str
    head_branch: str | None = None
    status: str | None = None
    conclusion: str | None = None
    run_attempt: int = 1
    html_url: str | None = None
    actor: _User | None = None
    display_title: str | None = None
    created_at: Time
    run_started_at: Time | None = None
    updated_at: Time


class _Pusher(Payload):
    name: str | None = None


class _Pushed(Push):
    pusher: _Pusher | None = None


class _Workflow(Payload):
    name: str | None = None
    path: str | None = None


class _Deployed(Payload):
    deployment: _Deployment
    repository: _Repository


class _StateChanged(_Deployed):
    deployment_status: _State


class _Installation(Payload):
    id: str


class _RuleAsked(_Deployed):
    action: str
    environment: str
    deployment_callback_url: str
    installation: _Installation


class _Released(Payload):
    action: str
    release: _Release
    repository: _Repository


class _Ran(Payload):
    action: str
    workflow_run: _Run
    workflow: _Workflow | None = None
    repository: _Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub:
    """`workflows` are the ones that deploy, as patterns of their name or file; without `releases` these are ignored."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Signature("x-hub-signature-256")

    workflows: tuple[str, ...] = ("*deploy*", "*release*", "*rollback*")
    releases: bool = True

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:
        """What one delivery says."""
        event = headers.get("x-github-event")
        if event is None:
            raise BadInput(Fault("X-GitHub-Event", "this header is missing: it names the event"))
        content = _content(headers, body)
        match event:
            case "deployment":
                found: list[Parsed] = [_begun(check(_Deployed, content))]
            case "deployment_status":
                found = _changed(check(_StateChanged, content))
            case "deployment_protection_rule":
                found = [_asked(check(_RuleAsked, content))]
            case "release":
                found = [self._released(check(_Released, content))]
            case "workflow_run":
                found = [self._ran(check(_Ran, content))]
            case "push":
                pushed = check(_Pushed, content)
                found = [change_of(pushed, pushed.pusher.name if pushed.pusher else None)]
            case "ping":
                found = [Ignored(reason="a ping: the webhook works")]
            case _:
                found = [Ignored(reason=f"the event {event!a} reports no deployment")]
        return found

    def _released(self, payload: _Released) -> Parsed:
        release = payload.release
        if not self.releases:
            return Ignored(reason="releases are left out by the configuration")
        if payload.action not in {"published", "released"} or release.draft or release.prerelease:
            return Ignored(reason=f"a release counts once it is published for all, not when it is {payload.action!a}")
        # a pre-release that becomes the release keeps the time of its own publication
        return Announcement(
            sender="github",
            key=f"{payload.repository.full_name}:release:{release.id}",
            event=payload.action,
            at=release.published_at if payload.action == "published" else release.updated_at,
            status=Status.SUCCEEDED,
            origin=Origin(repository=payload.repository.full_name, ref=release.tag_name, labels={"event": "release"}),
            version=release.tag_name,
            actor=_login(release.author),
            url=release.html_url,
            description=release.name,
        )

    def _ran(self, payload: _Ran) -> Parsed:
        run, workflow = payload.workflow_run, payload.workflow or _Workflow()
        name = run.name or workflow.name
        files = [path.partition("@")[0].rpartition("/")[2] for path in (run.path, workflow.path) if path]
        known = [each.lower() for each in (name, *files) if each]
        if not any(fnmatch.fnmatchcase(each, pattern.lower()) for pattern in self.workflows for each in known):
            return Ignored(reason=f"the workflow {name!a} is none of those that deploy: see the setting workflows")
        over = payload.action == "completed"
        status = _CONCLUSIONS.get(run.conclusion or "") if over else _ACTIONS.get(payload.action)
        if status is None:
            return Ignored(reason=f"a run that is {payload.action!a} ({run.conclusion!a}) deploys nothing")
        begun = run.run_started_at  # of this attempt; `created_at` stays that of the first one
        times = {Status.PLANNED: begun or run.created_at, Status.STARTED: begun or run.updated_at}
        return Announcement(
            sender="github",
            key=f"{payload.repository.full_name}:run:{run.id}:{run.run_attempt}",
            event=status,
            at=times.get(status, run.updated_at),
            status=status,
            needless=run.conclusion == "skipped",
            started_at=run.run_started_at if status not in {Status.PLANNED, Status.CANCELLED} else None,
            origin=Origin(
                repository=payload.repository.full_name,
                pipeline=name,
                ref=run.head_branch,
                labels={"event": "workflow_run"},
            ),
            version=version_of(run.head_branch, run.head_sha),
            commit=run.head_sha,
            actor=_login(run.actor),
            url=run.html_url,
            description=run.display_title,
        )


_ACTIONS = {"requested": Status.PLANNED, "in_progress": Status.STARTED}


def _asked(payload: _RuleAsked) -> Parsed:
    """A custom deployment protection rule wants to know whether a deployment may go on."""
    if payload.action != "requested":
        return Ignored(reason=f"a protection rule that is {payload.action!a} asks for nothing")
    deployment = payload.deployment
    return ApprovalRequest(
        sender="github",
        key=f"{payload.repository.full_name}:{deployment.id}:{payload.environment}",
        origin=_origin(payload, payload.environment),
        version=version_of(deployment.ref, deployment.sha),
        reply={
            "deployment_callback_url": payload.deployment_callback_url,
            "environment": payload.environment,
            "installation.id": payload.installation.id,
            **({"repository.id": payload.repository.id} if payload.repository.id else {}),
        },
    )


def _begun(payload: _Deployed) -> Announcement:
    deployment = payload.deployment
    return Announcement(
        sender="github",
        key=f"{payload.repository.full_name}:{deployment.id}",
        event="created",
        at=deployment.created_at,
        status=Status.STARTED,
        origin=_origin(payload, deployment.environment),
        version=version_of(deployment.ref, deployment.sha),
        commit=deployment.sha,
        actor=_login(deployment.creator),
        description=deployment.description,
        traits=({"rollback": True} if names_rollback(deployment.task or "") else {}) | _traits(deployment.payload),
    )


def _changed(payload: _StateChanged) -> list[Parsed]:
    """The status, and the creation that came before it: whoever hears of the one only still has its start."""
    state = payload.deployment_status
    status = _STATES.get(state.state)
    if status is None:
        return [Ignored(reason=f"the state {state.state!a} is none of a deployment's life")]
    begun = _begun(payload)
    changed = Announcement(
        sender="github",
        key=begun.key,
        event=f"status:{state.id}",
        at=state.created_at + _BEHIND if status is Status.PLANNED else state.created_at,
        status=status,
        origin=_origin(payload, state.environment or payload.deployment.environment),
        url=state.target_url or state.log_url,
        description=state.description,
    )
    return [begun, changed]


def _origin(payload: _Deployed, environment: str) -> Origin:
    deployment = payload.deployment
    flags = {"transient": deployment.transient_environment, "production": deployment.production_environment}
    labels = {name: str(flag).lower() for name, flag in flags.items() if flag is not None}
    return Origin(
        repository=payload.repository.full_name,
        environment=environment,
        ref=deployment.ref,
        labels=labels | {"event": "deployment", "task": deployment.task or ""},
    )


def _traits(payload: object) -> dict[str, Any]:
    """What the deployment's own payload says under `afdp`."""
    content = payload
    if isinstance(payload, str):
        try:
            content = read_json(payload.encode("utf-8", "surrogatepass"))
        except BadInput:
            return {}
    found = content.get("afdp") if isinstance(content, Mapping) else None
    return {str(name): value for name, value in found.items()} if isinstance(found, Mapping) else {}


def _login(user: _User | None) -> str | None:
    return user.login if user is not None else None


def _content(headers: Headers, body: bytes) -> object:
    """The event, which GitHub sends as JSON or, as it may be set there, in a form."""
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        try:
            (text,) = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=4).get("payload", [""])
        except ValueError:
            raise Malformed(Fault("body", "is a form without one field payload")) from None
        return read_json(text.encode("utf-8", "surrogatepass"))
    return read_json(body)


PLUGIN = GitHub
