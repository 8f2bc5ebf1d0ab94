"""GitHub over its API: pages, marks, limits, and deployments that end later."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Feed
from feeds.conftest import START, Listening, feed
from loopback import Serve

PAGE = 3
COMMIT = {
    "sha": "x",
    "stats": {"additions": 12, "deletions": 3, "total": 15},
    "author": {"login": "octo"},
    "files": [
        {"filename": "db/migrate/1_add.rb", "status": "added", "additions": 10, "deletions": 0, "changes": 10},
        {"filename": "app/orders.rb", "status": "modified", "additions": 2, "deletions": 3, "changes": 5},
    ],
}


@dataclass
class GitHub:
    """Two repositories on the loopback, in pages of three."""

    now: datetime = START + timedelta(hours=1)
    deployments: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"shop/api": [], "shop/web": []})
    states: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    refusals: list[web.Response] = field(default_factory=list)
    elsewhere: bool = False
    hidden: bool = False
    pull_requests: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    def deploy(self, repository: str, ref: str, *states: str, environment: str = "production") -> int:
        self.now += timedelta(hours=1)
        number = sum(map(len, self.deployments.values())) + 1
        made = {"id": number, "sha": f"{number:040x}", "ref": ref, "task": "deploy", "environment": environment}
        self.deployments[repository].append(made | {"created_at": stamp(self.now), "creator": {"login": "octo"}})
        self.states[number] = []
        for state in states:
            self.state(number, state)
        return number

    def state(self, number: int, state: str) -> None:
        self.now += timedelta(minutes=1)
        known = self.states[number]
        known.append({"id": 100 * number + len(known), "state": state, "created_at": stamp(self.now)})

    async def answer(self, request: web.Request) -> web.Response:
        self.tokens.add(request.headers.get("Authorization"))
        if request.path.endswith("/pulls"):
            response = web.json_response(self.pull_requests)
        elif "/pulls/" in request.path:
            response = web.json_response({"number": 7, "additions": 40, "deletions": 2, "changed_files": 5})
        elif "/commits/" in request.path and not self.hidden:
            response = web.json_response(COMMIT)
        elif "/commits/" in request.path:
            response = web.json_response({"message": "Not Found"}, status=404)
        else:
            response = self.refusals.pop(0) if self.refusals else self._page(request)
        self.answers.append(response.status)
        return response

    def _page(self, request: web.Request) -> web.Response:
        parts = request.path.split("/")
        kept = self.states[int(parts[5])] if len(parts) > 5 else self.deployments[f"{parts[2]}/{parts[3]}"]
        page = int(request.query.get("page", 1))
        found = list(reversed(kept))[(page - 1) * PAGE : page * PAGE]
        response = web.json_response(found)
        response.enable_compression()
        mark = f'W/"{hash(str(found))}"'
        if request.headers.get("If-None-Match") == mark:
            return web.Response(status=304, headers={"ETag": mark})
        response.headers["ETag"] = mark
        if page * PAGE < len(kept):
            place = "http://elsewhere.example" if self.elsewhere else str(request.url.origin())
            response.headers["Link"] = f'<{place}{request.path}?per_page=100&page={page + 1}>; rel="next"'
        return response


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def server() -> GitHub:
    return GitHub()


@pytest.fixture
async def github(server: GitHub, serve: Serve) -> Feed:
    url = await serve(server.answer)
    return feed("github", url=url, repositories=["shop/api", "shop/web"], token="secret", interval="1s")


async def test_every_page_of_every_repository_is_reported_once(
    server: GitHub, github: Feed, listening: Listening
) -> None:
    for number in range(7):
        server.deploy("shop/api", f"v1.{number}", "in_progress", "success", "inactive")
    server.deploy("shop/web", "main", "in_progress", "failure")
    assert await listening.catch_up(github) == 8
    assert await listening.catch_up(github) == 0
    found = await listening.lives()
    assert found[0] == ("api", "v1.0", "succeeded")
    assert found[-1] == ("web", f"{8:07x}", "failed") or found[-1][2] == "failed"
    assert server.tokens == {"Bearer secret"}
    assert not listening.ear.ignored


async def test_what_has_not_changed_is_not_sent_again(server: GitHub, github: Feed, listening: Listening) -> None:
    server.deploy("shop/api", "v1.0", "success")
    await listening.catch_up(github)
    server.answers.clear()
    await listening.catch_up(github)
    assert set(server.answers) == {304}


async def test_a_walk_goes_on_behind_its_cursor_and_asks_again_for_what_had_no_end(
    server: GitHub, github: Feed, listening: Listening
) -> None:
    listening.now = server.now + timedelta(hours=4)
    first = server.deploy("shop/api", "v1.0", "in_progress")
    async with listening.following(github) as ear:
        await ear.until(lambda: True in ear.states)
    assert [life[2] for life in await listening.lives()] == ["started"]
    server.deploy("shop/api", "v1.1", "success")  # while the exporter is away
    server.state(first, "success")
    reached = len(ear.states)
    async with listening.following(github):
        await ear.until(lambda: len(ear.states) > reached)
    assert await listening.lives() == [("api", "v1.0", "succeeded"), ("api", "v1.1", "succeeded")]


async def test_a_cursor_that_was_not_kept_reports_nothing_twice(
    server: GitHub, github: Feed, listening: Listening
) -> None:
    server.deploy("shop/api", "v1.0", "in_progress", "success")
    await listening.catch_up(github)
    heard = len(listening.ear.heard)
    await listening.catch_up(github)
    assert len(listening.ear.heard) == heard


LIMITED: dict[str, Callable[[], web.Response]] = {
    "secondary": lambda: web.Response(status=403, headers={"Retry-After": "1"}),
    "primary": lambda: web.Response(
        status=403,
        headers={
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": "1772366401",
            "Date": "Sun, 01 Mar 2026 12:00:00 GMT",
        },
    ),
}


@pytest.mark.parametrize("limit", LIMITED)
async def test_a_limit_of_requests_is_waited_for_and_nothing_is_lost(
    server: GitHub, github: Feed, listening: Listening, limit: str
) -> None:
    server.deploy("shop/api", "v1.0", "success")
    server.refusals = [LIMITED[limit]()]
    assert await listening.catch_up(github) == 1


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (web.Response(status=401), "401: the token is wrong"),
        (web.Response(status=404), "404: not there"),
        (web.Response(status=302, headers={"Location": "http://elsewhere.example/"}), "302"),
        (web.Response(text="<html>"), "no JSON"),
        (web.json_response({"message": "odd"}), "no list"),
        (web.json_response([{"id": "x"}]), "a deployment of shop/api is not as expected: id: "),
        (web.Response(status=500), "500"),
    ],
    ids=str,
)
async def test_an_answer_that_is_none_is_reported_by_its_place(
    server: GitHub, github: Feed, listening: Listening, refusal: web.Response, message: str
) -> None:
    server.refusals = [refusal]
    with pytest.raises(FeedError, match=message) as raised:
        await listening.catch_up(github)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("status", [301, 403, 404, 451])
async def test_one_repository_that_may_not_be_seen_keeps_the_others_from_nothing(
    server: GitHub, github: Feed, listening: Listening, status: int
) -> None:
    server.deploy("shop/web", "v1.0", "success")
    server.refusals = [web.Response(status=status)]
    with pytest.raises(FeedError, match=f"shop/api/deployments answers {status}"):
        await listening.catch_up(github)
    assert [life[1] for life in await listening.lives()] == ["v1.0"]


async def test_a_server_that_is_away_is_not_asked_for_each_repository(
    server: GitHub, github: Feed, listening: Listening
) -> None:
    server.refusals = [web.Response(status=500), web.Response(status=500)]
    with pytest.raises(FeedError, match="answers 500"):
        await listening.catch_up(github)
    assert server.answers == [500]


async def test_a_page_at_another_place_is_not_asked_for(server: GitHub, github: Feed, listening: Listening) -> None:
    for number in range(4):
        server.deploy("shop/api", f"v1.{number}", "success")
    server.elsewhere = True
    with pytest.raises(FeedError, match="goes on at another place: http://elsewhere"):
        await listening.catch_up(github)


async def test_only_the_chosen_environments_are_reported(server: GitHub, serve: Serve, listening: Listening) -> None:
    server.deploy("shop/api", "v1.0", "success")
    server.deploy("shop/api", "v1.1", "success", environment="staging")
    url = await serve(server.answer)
    chosen = feed("github", url=url, repositories=["shop/api"], environments=["staging"])
    await listening.catch_up(chosen)
    assert [life[1] for life in await listening.lives()] == ["v1.1"]
    assert server.tokens == {None}


async def test_a_feed_that_is_away_is_asked_again_and_finds_everything(
    server: GitHub, github: Feed, listening: Listening
) -> None:
    listening.now = server.now + timedelta(hours=4)
    server.deploy("shop/api", "v1.0", "success")
    server.refusals = [web.Response(status=502)]
    async with listening.following(github) as ear:
        await ear.until(lambda: True in ear.states)
    assert ear.states == [False, True]
    assert len(await listening.lives()) == 1


async def test_what_the_deployed_commits_changed_is_asked_for_where_it_is_wanted(
    server: GitHub, serve: Serve, listening: Listening
) -> None:
    url = await serve(server.answer)
    asking = feed("github", url=url, repositories=["shop/api"], token="secret", changes=True)
    server.deploy("shop/api", "v1.0", "in_progress", "success")
    await listening.catch_up(asking)
    (found,) = (await listening.store.deployments.page()).deployments
    assert found.traits == {
        "files_changed": 2.0,
        "migrations_changed": 1.0,
        "lines_added": 12.0,
        "lines_removed": 3.0,
        "author": "octo",
    }
    assert found.change_types == ("code", "database")


async def test_the_size_of_the_pull_request_that_brought_a_commit_is_a_trait(
    server: GitHub, serve: Serve, listening: Listening
) -> None:
    server.pull_requests = [{"number": 7, "title": "Orders"}]
    asking = feed("github", url=await serve(server.answer), repositories=["shop/api"], token="secret", changes=True)
    server.deploy("shop/api", "v1.0", "success")
    await listening.catch_up(asking)
    (found,) = (await listening.store.deployments.page()).deployments
    assert found.traits["pull_request_files"] == 5.0
    assert found.traits["pull_request_lines"] == 42.0


async def test_a_token_that_may_not_see_commits_still_finds_deployments(
    server: GitHub, serve: Serve, listening: Listening
) -> None:
    server.hidden = True
    asking = feed("github", url=await serve(server.answer), repositories=["shop/api"], token="secret", changes=True)
    server.deploy("shop/api", "v1.0", "success")
    assert await listening.catch_up(asking) == 1
    assert len(listening.ear.ignored) == 1
