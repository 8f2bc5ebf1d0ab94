"""Git: the tags of a repository on disk, each the deployment of a version."""

import asyncio
import fnmatch
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, ClassVar, NamedTuple

import orjson
from pydantic import DirectoryPath, Field

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Checkpoint, PollRequest, Step, walk
from afdp_exporter.model import Announcement, Origin, Status
from afdp_exporter.settings import STRICT, Duration

_FORMAT = "%(creatordate:unix)%00%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(creator)"
_AUTHOR = re.compile(r"^(.*?) <")
_COUNTS = re.compile(r"(?<!\d)(\d+) (file|insertion|deletion)")


class _Tag(NamedTuple):
    at: datetime
    name: str
    commit: str
    by: str | None


@dataclass(frozen=True, kw_only=True)
class Git:
    """The tags that match `pattern` in the clone at `path`; tags are read as they are, nothing is fetched."""

    __pydantic_config__: ClassVar = STRICT

    path: DirectoryPath
    pattern: str = "*"
    service: str | None = None
    environment: str | None = None
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(minutes=5)

    async def check(self, now: datetime) -> None:
        """As `Feed.check`."""
        await walk(self, now)

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """As `Feed.deployments`; a tag that comes late, with whatever date, is reported as well."""
        known = set(orjson.loads(since.cursor)) if since.cursor else None
        repository = self.service or self.path.resolve().name.removesuffix(".git")
        tags = await self._tags()
        for before, tag in pairwise([None, *tags]):
            assert tag is not None  # noqa: S101 - only the first is
            if tag.at < since.at if known is None else tag.name in known:
                continue
            yield Announcement(
                sender="git",
                key=f"{repository}:{tag.name}",
                event="tag",
                at=tag.at,
                status=Status.SUCCEEDED,
                origin=Origin(
                    service=self.service,
                    environment=self.environment,
                    repository=repository,
                    ref=f"refs/tags/{tag.name}",
                ),
                version=tag.name,
                previous_version=before.name if before is not None else None,
                commit=tag.commit,
                actor=tag.by,
                traits=await self._size(before, tag) if before is not None else {},
            )
        yield Checkpoint(orjson.dumps([tag.name for tag in tags]).decode())

    async def _tags(self) -> list[_Tag]:
        """The tags by their dates, oldest first."""
        found = []
        lines = await self._git("for-each-ref", "--sort=creatordate", f"--format={_FORMAT}", "refs/tags")
        for line in lines.splitlines():
            at, name, itself, commit, by = line.split("\0")
            author = _AUTHOR.match(by)
            if at and fnmatch.fnmatchcase(name, self.pattern):
                when = datetime.fromtimestamp(int(at), UTC)
                found.append(_Tag(when, name, commit or itself, author[1] if author else None))
        return found

    async def _size(self, before: _Tag, tag: _Tag) -> dict[str, float]:
        """How much changed since the tag before."""
        text = await self._git("diff", "--shortstat", before.commit, tag.commit, "--")
        counts = {what: float(number) for number, what in _COUNTS.findall(text)}
        lines = counts.get("insertion", 0.0) + counts.get("deletion", 0.0)
        return {"files_changed": counts.get("file", 0.0), "lines_changed": lines}

    async def _git(self, *arguments: str) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                "git", "-C", str(self.path), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as error:
            raise FeedError(f"git cannot be run: {error.strerror}") from None
        printed, fault = await process.communicate()
        if process.returncode:
            raise FeedError(f"git in {self.path}: {ascii(fault.decode(errors='replace').strip())[1:-1][:200]}")
        return printed.decode(errors="replace")


PLUGIN = Git
