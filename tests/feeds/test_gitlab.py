"""GitLab over its API."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.feeds import Feed
from afdp_exporter.model import Status
from feeds.conftest import START, Listening, feed
from loopback import Serve

PAGE = 2
DIFF = [
    {"old_path": "a.py", "new_path": "a.py", "diff": "@@ -1,2 +1,3 @@\n a\n-b\n+c\n+d\n"},
    {"old_path": "infra/main.tf", "new_path": "infra/main.tf", "diff": "@@ -0,0 +1 @@\n+x\n"},
]


class GitLab:
    """One project on the loopback, in pages of two."""

    def __init__(self) -> None:
        self.now = START + timedelta(hours=1)
        self.deployments: dict[int, dict[str, Any]] = {}
        self.paths: set[str] = set()
        self.merge_requests: list[dict[str, Any]] = []

    def deploy(self, ref: str, status: str, environment: str = "production") -> int:
        self.now += timedelta(hours=1)
        number = len(self.deployments) + 1
        self.deployments[number] = {
            "id": number,
            "ref": ref,
            "sha": f"{number:040x}",
            "created_at": stamp(self.now),
            "user": {"username": "ada", "name": "Ada"},
            "environment": {"name": environment, "tier": "production"},
            "deployable": {
                "id": 7 * number,
                "name": "deploy",
                "started_at": stamp(self.now),
                "web_url": "https://gl/j/1",
            },
        }
        self.change(number, status)
        return number

    def change(self, number: int, status: str) -> None:
        self.now += timedelta(minutes=4)
        changed = self.deployments[number]
        changed |= {"status": status, "updated_at": stamp(self.now)}
        if status in {"success", "failed"}:
            changed["deployable"]["finished_at"] = stamp(self.now)

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["PRIVATE-TOKEN"] == "secret"
        self.paths.add(request.raw_path.partition("?")[0])
        if request.path.endswith("/diff"):
            return web.json_response(DIFF)
        if request.path.endswith("/merge_requests"):
            return web.json_response(self.merge_requests)
        if "/merge_requests/" in request.path:
            return web.json_response({"iid": 3, "changes_count": "1000+"})
        first = datetime.fromisoformat(request.query["updated_after"])
        chosen = [each for each in self.deployments.values() if datetime.fromisoformat(each["updated_at"]) > first]
        chosen.sort(key=lambda each: str(each["updated_at"]))
        page = int(request.query.get("page", 1))
        response = web.json_response(chosen[(page - 1) * PAGE : page * PAGE])
        if page * PAGE < len(chosen):
            following = request.url.update_query(page=str(page + 1))
            response.headers["Link"] = f'<{following}>; rel="next"'
        return response


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z")


@pytest.fixture
def server() -> GitLab:
    return GitLab()


@pytest.fixture
async def gitlab(server: GitLab, serve: Serve) -> Feed:
    return feed("gitlab", url=await serve(server.answer), projects=["shop/api"], token="secret", interval="1s")


async def test_every_page_is_reported_once_with_its_start_and_end(
    server: GitLab, gitlab: Feed, listening: Listening
) -> None:
    for number in range(5):
        server.deploy(f"v1.{number}", "failed" if number == 2 else "success")
    assert await listening.catch_up(gitlab) == 5
    assert await listening.catch_up(gitlab) == 0
    first, *_ = found = await listening.deployments()
    assert [(each.service, each.version, str(each.status)) for each in found][1:3] == [
        ("api", "v1.1", "succeeded"),
        ("api", "v1.2", "failed"),
    ]
    assert first.finished_at is not None
    assert first.finished_at - first.started_at == timedelta(minutes=4)
    assert (first.actor, first.commit) == ("ada", f"{1:040x}")
    assert server.paths == {"/api/v4/projects/shop%2Fapi/deployments"}


async def test_one_that_ends_while_the_exporter_is_away_is_reported_at_the_next_start(
    server: GitLab, gitlab: Feed, listening: Listening
) -> None:
    listening.now = server.now + timedelta(hours=2)
    first = server.deploy("v1.0", "running")
    async with listening.following(gitlab) as ear:
        await ear.until(lambda: True in ear.states)
    server.change(first, "success")
    server.deploy("v1.1", "running")
    reached = len(ear.states)
    async with listening.following(gitlab):
        await ear.until(lambda: len(ear.states) > reached)
    assert await listening.lives() == [("api", "v1.0", "succeeded"), ("api", "v1.1", "started")]


async def test_what_is_skipped_is_called_off_and_is_no_deployment_by_itself(
    server: GitLab, gitlab: Feed, listening: Listening
) -> None:
    planned = server.deploy("v1", "created")
    await listening.catch_up(gitlab)
    server.change(planned, "skipped")
    server.deploy("v2", "skipped")
    await listening.catch_up(gitlab)
    assert [each.status for each in await listening.deployments()] == [Status.CANCELLED]


async def test_what_the_deployed_commits_changed_is_asked_for_where_it_is_wanted(
    server: GitLab, serve: Serve, listening: Listening
) -> None:
    url = await serve(server.answer)
    asking = feed("gitlab", url=url, projects=["shop/api"], token="secret", changes=True)
    server.deploy("v1.0", "success")
    await listening.catch_up(asking)
    (found,) = (await listening.store.deployments.page()).deployments
    assert found.traits == {"files_changed": 2.0, "terraform_changed": 1.0, "lines_added": 3.0, "lines_removed": 1.0}
    assert found.change_types == ("code", "infrastructure")


async def test_the_size_of_the_merge_request_that_brought_a_commit_is_a_trait(
    server: GitLab, serve: Serve, listening: Listening
) -> None:
    server.merge_requests = [{"iid": 3, "title": "Orders"}]
    asking = feed("gitlab", url=await serve(server.answer), projects=["shop/api"], token="secret", changes=True)
    server.deploy("v1.0", "success")
    await listening.catch_up(asking)
    (found,) = (await listening.store.deployments.page()).deployments
    assert found.traits["pull_request_files"] == 1000.0
