"""GitLab: deployments by polling its API; under the same keys as its webhook's, so both may be used."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from afdp_exporter.changes import ChangedFile, change_features, change_types
from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import PollRequest, Step, walk
from afdp_exporter.feeds._api import Api, Polled, each_apart, read
from afdp_exporter.fields import Time
from afdp_exporter.http_config import Address
from afdp_exporter.model import Announcement, CommitChange, Ignored, Origin, Status, Trait
from afdp_exporter.versions import version_of

_OVERLAP = timedelta(minutes=10)
_STATES = {
    "created": Status.PLANNED,
    "blocked": Status.PLANNED,
    "running": Status.STARTED,
    "success": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELLED,
    "skipped": Status.CANCELLED,
}
_NEEDLESS = "skipped"
_MOST = 500  # files of a commit
_ENDED = {Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}


class _MergeRequest(BaseModel):
    """`changes_count` is a text such as `12`, and `1000+` where there are more."""

    iid: int
    changes_count: str | None = None


class _Named(BaseModel):
    name: str | None = None
    username: str | None = None
    tier: str | None = None


class _Job(BaseModel):
    id: int | None = None
    name: str | None = None
    started_at: Time | None = None
    finished_at: Time | None = None
    web_url: str | None = None


class _Deployment(BaseModel):
    id: int
    ref: str
    sha: str
    status: str
    created_at: Time
    updated_at: Time
    user: _Named | None = None
    environment: _Named = _Named()
    deployable: _Job | None = None


class _Diff(BaseModel):
    new_path: str
    diff: str = ""


@dataclass(frozen=True, kw_only=True)
class GitLab(Polled):
    """The `projects` (`group/name` or their numbers); the token needs the scope `read_api`.

    With `changes` the files and lines of each deployed commit and the size of its merge request are asked for, too.
    """

    projects: Annotated[tuple[str, ...], Field(min_length=1)]
    environments: tuple[str, ...] = ()
    url: Address = "https://gitlab.com"
    changes: bool = False

    async def check(self, now: datetime) -> None:
        """As `Feed.check`."""
        await walk(self, now)

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """As `Feed.deployments`, by when each was last changed."""
        cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor()
        token = self.secret()
        headers = {"PRIVATE-TOKEN": token} if token else {}
        steps_of = partial(self._walk, self.api(self.url, headers), cursor, since)
        async for step in each_apart(self.projects, steps_of, cursor):
            yield step

    async def _walk(self, api: Api, cursor: "_Cursor", since: PollRequest, project: str) -> AsyncIterator[Step]:
        newest = cursor.since.get(project, since.at)
        filters = {"updated_after": (newest - _OVERLAP).isoformat(), "order_by": "updated_at", "sort": "asc"}
        path = f"/api/v4/projects/{quote(project, safe='')}/deployments"
        async for page in api.pages(path, filters | {"per_page": "100"}):
            for raw in page:
                deployment = read(_Deployment, raw, f"a deployment of {project}")
                newest = max(newest, deployment.updated_at)
                steps = self._steps(project, deployment)
                for step in steps:
                    yield step
                if self.changes and steps:
                    yield await _changed(api, project, deployment.sha)
        cursor.since[project] = newest

    def _steps(self, project: str, deployment: _Deployment) -> list[Step]:
        """Its state, and the start that came before it."""
        name = deployment.environment.name
        if self.environments and name not in self.environments:
            return []
        status, job = _STATES.get(deployment.status), deployment.deployable or _Job()
        if status is None:
            return [Ignored(reason=f"the state {deployment.status!a} is none of a deployment's life")]
        words: Mapping[str, Any] = {
            "sender": "gitlab",
            "key": f"{project}:job:{job.id}" if job.id is not None else f"{project}:{deployment.id}",
            "origin": Origin(
                repository=project,
                environment=name,
                ref=deployment.ref,
                pipeline=job.name,
                labels={"tier": deployment.environment.tier} if deployment.environment.tier else {},
            ),
            "version": version_of(deployment.ref, deployment.sha),
            "commit": deployment.sha,
            "actor": deployment.user and deployment.user.username,
            "url": job.web_url,
        }
        steps: list[Step] = []
        if status in _ENDED and status is not Status.CANCELLED:
            begun = job.started_at or deployment.created_at
            steps.append(Announcement(event="running", status=Status.STARTED, at=begun, **words))
        at = (job.finished_at if status in _ENDED else job.started_at) or deployment.updated_at
        if status is Status.PLANNED:
            at = deployment.created_at
        needless = deployment.status == _NEEDLESS
        return [*steps, Announcement(event=deployment.status, status=status, at=at, needless=needless, **words)]


async def _changed(api: Api, project: str, sha: str) -> CommitChange | Ignored:
    """What the commit changed; a token that may not see it keeps no deployment from being reported."""
    whole = f"/api/v4/projects/{quote(project, safe='')}"
    commit = f"{whole}/repository/commits/{quote(sha, safe='')}"
    files: list[ChangedFile] = []
    try:
        async for page in api.pages(f"{commit}/diff", {"per_page": "100"}):
            files += [_file(read(_Diff, raw, f"the commit {sha}")) for raw in page]
            if len(files) >= _MOST:
                break
        size = await _size_of_merge_request(api, whole, f"{commit}/merge_requests")
    except FeedError as error:
        if error.wait is not None:
            raise
        return Ignored(reason=f"what {sha} changed is not known: {error}")
    return CommitChange(commit=sha, traits=change_features(files) | size, change_types=change_types(files))


async def _size_of_merge_request(api: Api, project: str, listed: str) -> dict[str, Trait]:
    """How many files the merge request changes that brought the commit; empty where none did or it is not reported."""
    async for page in api.pages(listed, {"per_page": "1"}):
        for raw in page:
            number = read(_MergeRequest, raw, "a merge request").iid
            found = read(_MergeRequest, await api.one(f"{project}/merge_requests/{number}"), f"merge request {number}")
            count = (found.changes_count or "").rstrip("+")
            return {"pull_request_files": float(count)} if count.isascii() and count.isdigit() else {}
    return {}


def _file(diff: _Diff) -> ChangedFile:
    signs = [line[:1] for line in diff.diff.splitlines()]
    return ChangedFile(diff.new_path, signs.count("+"), signs.count("-"))


class _Cursor(BaseModel):
    """By project, when the newest change was that was reported."""

    since: dict[str, datetime] = {}


PLUGIN = GitLab
