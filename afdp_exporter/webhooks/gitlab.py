"""GitLab: deployments, the jobs and pipelines that deploy, releases, feature flags."""

import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import AliasChoices, Field

from afdp_exporter.fields import Time
from afdp_exporter.model import Announcement, ApprovalRequest, ChangeType, Ignored, Origin, Status
from afdp_exporter.settings import STRICT
from afdp_exporter.versions import version_of
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, Push, change_of, check, digest, read_json
from afdp_exporter.webhooks._verification import FirstPresent, StandardWebhooks, Token, Verifier

_STATES = {
    "created": Status.PLANNED,
    "blocked": Status.PLANNED,
    "manual": Status.PLANNED,
    "pending": Status.PLANNED,
    "scheduled": Status.PLANNED,
    "waiting_for_resource": Status.PLANNED,
    "waiting_for_callback": Status.PLANNED,
    "preparing": Status.PLANNED,
    "running": Status.STARTED,
    "success": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELLED,
    "skipped": Status.CANCELLED,
}
_NEEDLESS = "skipped"
_FULL_SHA = re.compile(r"/([0-9a-f]{40,64})$")
_HOME = re.compile(r"https?://[^/]+/(.+?)/?")


class _Project(Payload):
    path_with_namespace: str


class _User(Payload):
    username: str | None = None


class _Environment(Payload):
    name: str
    action: str | None = None
    deployment_tier: str | None = None


class _Deployment(Payload):
    status: str
    status_changed_at: Time
    deployment_id: int
    deployable_id: int | None = None
    deployable_url: str | None = None
    environment: str
    environment_tier: str | None = None
    project: _Project
    short_sha: str | None = None
    ref: str | None = None
    user: _User | None = None
    commit_url: str | None = None
    commit_title: str | None = None


class _Job(Payload):
    """As a pipeline lists it, or as its own event names it."""

    id: int = Field(validation_alias=AliasChoices("id", "build_id"))
    name: str = Field(validation_alias=AliasChoices("name", "build_name"))
    status: str = Field(validation_alias=AliasChoices("status", "build_status"))
    created_at: Time | None = Field(None, validation_alias=AliasChoices("created_at", "build_created_at"))
    started_at: Time | None = Field(None, validation_alias=AliasChoices("started_at", "build_started_at"))
    finished_at: Time | None = Field(None, validation_alias=AliasChoices("finished_at", "build_finished_at"))
    user: _User | None = None
    environment: _Environment | None = None


class _Attributes(Payload):
    ref: str | None = None
    sha: str
    url: str | None = None


class _Pipeline(Payload):
    object_attributes: _Attributes
    project: _Project
    builds: tuple[_Job, ...] = ()


class _Repository(Payload):
    homepage: str = ""


class _Build(_Job):
    """Before GitLab 15 without `project`; its path is that of the `homepage`, while its name may be another."""

    ref: str | None = None
    sha: str
    project: _Project | None = None
    project_name: str = ""
    repository: _Repository = _Repository()


class _Release(Payload):
    id: int
    tag: str
    name: str | None = None
    action: str
    url: str | None = None
    released_at: Time | None = None
    project: _Project


class _Pushed(Push):
    user_username: str | None = None


class _Flag(Payload):
    id: int
    name: str
    active: bool
    description: str | None = None


class _FlagChanged(Payload):
    object_attributes: _Flag
    project: _Project
    user: _User | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLab:
    """Without `releases` or `feature_flags` these are ignored."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = FirstPresent(
        {"webhook-signature": StandardWebhooks(), "x-gitlab-token": Token("x-gitlab-token")}
    )

    releases: bool = True
    feature_flags: bool = True

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:
        """What one delivery says."""
        content = read_json(body)
        kind = content.get("object_kind") if isinstance(content, dict) else None
        if (kind == "release" and not self.releases) or (kind == "feature_flag" and not self.feature_flags):
            return [Ignored(reason=f"each {kind} is left out by the configuration")]
        match kind:
            case "deployment":
                deployment = check(_Deployment, content)
                found = [_deployed(deployment), *_blocked(deployment)]
            case "pipeline":
                found = _pipeline(check(_Pipeline, content))
            case "build":
                found = [_built(check(_Build, content))]
            case "push":
                pushed = check(_Pushed, content)
                found = [change_of(pushed, pushed.user_username)]
            case "release":
                found = [_released(check(_Release, content))]
            case "feature_flag":
                found = [_switched(check(_FlagChanged, content), _delivery(headers, body))]
            case _:
                found = [Ignored(reason=f"an event of the kind {kind!a} reports no deployment")]
        return found


def _deployed(payload: _Deployment) -> Parsed:
    status = _STATES.get(payload.status)
    if status is None:
        return Ignored(reason=f"the status {payload.status!a} is none of a deployment's life")
    full = _FULL_SHA.search(payload.commit_url or "")
    commit = full[1] if full else payload.short_sha
    tier = {"tier": payload.environment_tier} if payload.environment_tier else {}
    return Announcement(
        sender="gitlab",
        key=_key(payload.project, payload.deployable_id, payload.deployment_id),
        event=f"{payload.status}:{payload.status_changed_at.timestamp():.0f}",
        at=payload.status_changed_at,
        status=status,
        needless=payload.status == _NEEDLESS,
        origin=Origin(
            repository=payload.project.path_with_namespace,
            environment=payload.environment,
            ref=payload.ref,
            labels=tier | {"event": "deployment"},
        ),
        version=version_of(payload.ref, commit),
        commit=commit,
        actor=payload.user.username if payload.user else None,
        url=payload.deployable_url,
        description=payload.commit_title,
    )


def _blocked(payload: _Deployment) -> list[Parsed]:
    """A deployment to a protected environment waits for an approval."""
    if payload.status != "blocked":
        return []
    project, commit = payload.project.path_with_namespace, _FULL_SHA.search(payload.commit_url or "")
    return [
        ApprovalRequest(
            sender="gitlab",
            key=f"{project}:{payload.deployment_id}",
            origin=Origin(repository=project, environment=payload.environment, ref=payload.ref),
            version=version_of(payload.ref, commit[1] if commit else payload.short_sha),
            reply={"project": project, "deployment_id": str(payload.deployment_id)},
        )
    ]


def _pipeline(payload: _Pipeline) -> list[Parsed]:
    deploying = [job for job in payload.builds if _deploys(job.environment)]
    if not deploying:
        return [Ignored(reason="no job of this pipeline deploys to an environment")]
    shared, commit = payload.object_attributes, payload.object_attributes.sha
    return [_job(job, payload.project, shared.ref, commit, shared.url) for job in deploying]


def _built(payload: _Build) -> Parsed:
    if not _deploys(payload.environment):
        return Ignored(reason=f"the job {payload.name!a} deploys to no environment")
    return _job(payload, payload.project or _project(payload), payload.ref, payload.sha, None)


def _project(payload: _Build) -> _Project:
    home = _HOME.fullmatch(payload.repository.homepage)
    return _Project(path_with_namespace=home[1] if home else payload.project_name.replace(" ", ""))


def _job(job: _Job, project: _Project, ref: str | None, sha: str, url: str | None) -> Parsed:
    status, environment = _STATES.get(job.status), job.environment
    if status is None or environment is None:
        return Ignored(reason=f"a job that is {job.status!a} deploys nothing")
    ended = status not in {Status.PLANNED, Status.STARTED}
    at = job.finished_at if ended else job.started_at if status is Status.STARTED else job.created_at
    tier = {"tier": environment.deployment_tier} if environment.deployment_tier else {}
    return Announcement(
        sender="gitlab",
        key=_key(project, job.id, None),
        event=f"job:{status}",
        at=at,
        status=status,
        needless=job.status == _NEEDLESS,
        started_at=job.started_at if status is not Status.PLANNED else None,
        origin=Origin(
            repository=project.path_with_namespace,
            environment=environment.name,
            pipeline=job.name,
            ref=ref,
            labels=tier | {"event": "job"},
        ),
        version=version_of(ref, sha),
        commit=sha,
        actor=job.user.username if job.user else None,
        url=url,
    )


def _deploys(environment: _Environment | None) -> bool:
    return environment is not None and environment.action in {None, "start"}


def _key(project: _Project, job: int | None, deployment: int | None) -> str:
    """A deployment made by a job is named by the job, which all of GitLab's events know."""
    return f"{project.path_with_namespace}:{f'job:{job}' if job is not None else deployment}"


def _released(payload: _Release) -> Parsed:
    if payload.action != "create":
        return Ignored(reason=f"a release counts when it is created, not at {payload.action!a}")
    return Announcement(
        sender="gitlab",
        key=f"{payload.project.path_with_namespace}:release:{payload.id}",
        event="create",
        at=payload.released_at,
        status=Status.SUCCEEDED,
        origin=Origin(repository=payload.project.path_with_namespace, ref=payload.tag, labels={"event": "release"}),
        version=payload.tag,
        url=payload.url,
        description=payload.name,
    )


def _switched(payload: _FlagChanged, delivery: str) -> Parsed:
    flag = payload.object_attributes
    return Announcement(
        sender="gitlab",
        key=f"{payload.project.path_with_namespace}:flag:{flag.id}:{delivery}",
        event="switched",
        status=Status.SUCCEEDED,
        origin=Origin(
            repository=payload.project.path_with_namespace, labels={"event": "feature_flag", "flag": flag.name}
        ),
        version=f"{flag.name}={'on' if flag.active else 'off'}",
        actor=payload.user.username if payload.user else None,
        description=flag.description,
        change_types=(ChangeType.FLAG,),
    )


def _delivery(headers: Headers, body: bytes) -> str:
    """The same for every try of one delivery."""
    named = headers.get("idempotency-key") or headers.get("webhook-id") or headers.get("x-gitlab-event-uuid")
    return digest(named or body)[:16]


PLUGIN = GitLab
