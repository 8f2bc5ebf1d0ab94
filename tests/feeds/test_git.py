"""The tags of a real repository."""

import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.errors import FeedError
from feeds.conftest import START, Listening, feed


class Repository:
    """A repository in which a test commits and tags."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "--quiet")

    def git(self, *arguments: str, at: datetime = START) -> None:
        who = {"NAME": "Ada", "EMAIL": "ada@example.com", "DATE": at.isoformat()}
        names = {f"GIT_{role}_{name}": text for role in ("AUTHOR", "COMMITTER") for name, text in who.items()}
        home = {"HOME": str(self.path), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", "-C", str(self.path), *arguments], env=home | names, check=True)

    def release(self, tag: str, lines: int, at: datetime, *annotated: str) -> None:
        (self.path / "code").write_text("\n".join(f"{tag} {number}" for number in range(lines)) + "\n")
        self.git("add", ".", at=at)
        self.git("commit", "--quiet", "-m", tag, at=at)
        self.git("tag", tag, *annotated, at=at)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "checkout")


async def test_each_tag_is_a_deployment_with_its_size(repository: Repository, listening: Listening) -> None:
    repository.release("v1.0", 3, START)
    repository.release("nightly", 3, START + timedelta(hours=1))
    repository.release("v1.1", 5, START + timedelta(hours=2), "-a", "-m", "a release")
    tags = feed("git", path=str(repository.path), pattern="v*", environment="staging")
    assert await listening.catch_up(tags, since=START + timedelta(hours=1)) == 1
    assert await listening.catch_up(tags) == 1
    first, second = await listening.deployments()
    assert (first.service, first.environment, first.version) == ("checkout", "staging", "v1.0")
    assert (second.version, second.previous_version, second.actor) == ("v1.1", "v1.0", "Ada")
    assert second.started_at == START + timedelta(hours=2)
    assert second.traits == {"version_jump": "minor", "files_changed": 1.0, "lines_changed": 8.0}


async def test_a_tag_that_comes_late_with_an_old_date_is_reported_as_well(
    repository: Repository, listening: Listening
) -> None:
    repository.release("v2", 1, START + timedelta(hours=1))
    tags = feed("git", path=str(repository.path), service="shop", interval="1s")
    await listening.catch_up(tags)
    repository.release("v1", 2, START - timedelta(days=30))
    async with listening.following(tags) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
    assert {life[:2] for life in await listening.lives()} == {("shop", "v1"), ("shop", "v2")}


async def test_what_is_no_repository_is_reported(tmp_path: Path, listening: Listening) -> None:
    with pytest.raises(FeedError, match="not a git repository"):
        await listening.catch_up(feed("git", path=str(tmp_path)))
