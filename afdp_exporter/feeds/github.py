"""GitHub: deployments and their statuses, by polling its API; the same words as its webhook's, so both may be used."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import orjson
from pydantic import BaseModel, Field

from afdp_exporter.changes import ChangedFile, change_features, change_types
from afdp_exporter.errors import BadInput, FeedError
from afdp_exporter.feeds import PollRequest, Step, walk
from afdp_exporter.feeds._api import Api, Polled, each_apart, read
from afdp_exporter.fields import Time
from afdp_exporter.http_config import Address
from afdp_exporter.model import Announcement, CommitChange, Ignored, Trait
from afdp_exporter.webhooks.github import GitHub as Webhook

_OVERLAP = timedelta(minutes=10)  # pages shift while they are read
_OPEN = timedelta(days=3)  # how long a deployment without an end is asked for
_ENDS = {"success", "failure", "error", "inactive"}

Repository = Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]


class _Listed(BaseModel):
    id: int
    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]
    created_at: Time


class _File(BaseModel):
    filename: str
    additions: int = 0
    deletions: int = 0


class _Author(BaseModel):
    login: str | None = None


class _Commit(BaseModel):
    """With at most 300 files on its first page, which is enough to know what kinds they are."""

    files: tuple[_File, ...] = ()
    author: _Author | None = None


class _PullRequest(BaseModel):
    number: int
    changed_files: float | None = None
    additions: float | None = None
    deletions: float | None = None


class _State(BaseModel):
    id: int
    state: str


class _Cursor(BaseModel):
    """By repository: from where on deployments are new, and which older ones have no end yet."""

    since: dict[str, datetime] = {}
    open: dict[str, dict[int, datetime]] = {}


@dataclass(frozen=True, kw_only=True)
class GitHub(Polled):
    """The `repositories` (`owner/name`); the token needs to read their deployments. `url` ends in /api/v3 elsewhere.

    With `changes` the files and lines of each deployed commit and of its pull request are asked for, too: the token
    then reads contents and pull requests.
    """

    repositories: Annotated[tuple[Repository, ...], Field(min_length=1)]
    environments: tuple[str, ...] = ()
    url: Address = "https://api.github.com"
    changes: bool = False

    async def check(self, now: datetime) -> None:
        """As `Feed.check`."""
        await walk(self, now)

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """As `Feed.deployments`; a deployment without an end is asked for during three days."""
        cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor()
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        token = self.secret()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        steps_of = partial(self._walk, self.api(self.url, headers), cursor, since)
        async for step in each_apart(self.repositories, steps_of, cursor):
            yield step

    async def _walk(self, api: Api, cursor: _Cursor, since: PollRequest, repository: str) -> AsyncIterator[Step]:
        """One repository. GitHub lists the newest first, and knows no filter by time."""
        first = cursor.since.get(repository, since.at)
        waiting = {int(each): at for each, at in cursor.open.get(repository, {}).items()}
        newest, still = first, dict[int, datetime]()
        async for raw in self._listed(api, repository, min([first - _OVERLAP, *waiting.values()])):
            listed = read(_Listed, raw, f"a deployment of {repository}")
            newest = max(newest, listed.created_at)
            if listed.created_at < first - _OVERLAP and listed.id not in waiting:
                continue
            ended = False
            async for page in api.pages(f"/repos/{repository}/deployments/{listed.id}/statuses", {"per_page": "100"}):
                states = [read(_State, state, f"a status of deployment {listed.id}") for state in page]
                ended = ended or any(state.state in _ENDS for state in states)
                for state in (state for state in page if state["state"] != "inactive"):
                    for part in _steps_of("deployment_status", repository, raw, state):
                        yield part
            for part in _steps_of("deployment", repository, raw):
                yield part
            if self.changes:
                yield await _changed(api, repository, listed.sha)
            if not ended and since.now - listed.created_at < _OPEN:
                still[listed.id] = listed.created_at
        cursor.since[repository], cursor.open[repository] = newest, still

    async def _listed(self, api: Api, repository: str, first: datetime) -> AsyncIterator[object]:
        async for page in api.pages(f"/repos/{repository}/deployments", {"per_page": "100"}):
            for raw in page:
                if read(_Listed, raw, f"a deployment of {repository}").created_at < first:
                    return
                if not self.environments or raw.get("environment") in self.environments:
                    yield raw


async def _changed(api: Api, repository: str, sha: str) -> CommitChange | Ignored:
    """What the commit changed; a token that may not see it keeps no deployment from being reported."""
    commit = f"/repos/{repository}/commits/{sha}"
    try:
        found = read(_Commit, await api.one(commit), f"the commit {sha}")
        size = await _size_of_pull_request(api, repository, f"{commit}/pulls")
    except FeedError as error:
        if error.wait is not None:
            raise
        return Ignored(reason=f"what {sha} changed is not known: {error}")
    files = [ChangedFile(each.filename, each.additions, each.deletions) for each in found.files]
    author = {"author": found.author.login} if found.author and found.author.login else {}
    return CommitChange(commit=sha, traits=change_features(files) | author | size, change_types=change_types(files))


async def _size_of_pull_request(api: Api, repository: str, listed: str) -> dict[str, Trait]:
    """How large the pull request is that brought the commit; empty where none did."""
    async for page in api.pages(listed, {"per_page": "1"}):
        for raw in page:
            number = read(_PullRequest, raw, f"a pull request of {repository}").number
            whole = read(_PullRequest, await api.one(f"/repos/{repository}/pulls/{number}"), f"pull request {number}")
            lines = None if whole.additions is None or whole.deletions is None else whole.additions + whole.deletions
            sizes = {"pull_request_files": whole.changed_files, "pull_request_lines": lines}
            return {name: size for name, size in sizes.items() if size is not None}
    return {}


def _steps_of(event: str, repository: str, deployment: object, state: object = None) -> list[Step]:
    """What the webhook would have reported of it."""
    body = {"action": "created", "deployment": deployment, "repository": {"full_name": repository}}
    if state is not None:
        body["deployment_status"] = state
    try:
        parsed = Webhook().parse({"x-github-event": event}, orjson.dumps(body))
    except BadInput as error:
        return [Ignored(reason=f"a deployment of {repository} is not as expected: {error}")]
    return [each for each in parsed if isinstance(each, Announcement | Ignored)]


PLUGIN = GitHub
