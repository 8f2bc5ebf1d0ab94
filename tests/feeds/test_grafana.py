"""Grafana's annotations over its API."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.feeds import Feed
from feeds.conftest import START, Listening, feed
from loopback import Serve


class Grafana:
    """Gives the newest annotations of a time span, as many as are asked for."""

    def __init__(self) -> None:
        self.annotations: list[dict[str, Any]] = []
        self.questions = 0

    def mark(self, at: datetime, *tags: str, minutes: float = 0, text: str = "") -> None:
        start = int(at.timestamp() * 1000)
        end = start + int(minutes * 60_000)
        number = len(self.annotations) + 1
        self.annotations.append({"id": number, "time": start, "timeEnd": end, "tags": list(tags), "text": text})

    async def answer(self, request: web.Request) -> web.Response:
        self.questions += 1
        assert request.headers["Authorization"] == "Bearer secret"
        first, last = int(request.query["from"]), int(request.query["to"])
        chosen = [
            each
            for each in self.annotations
            if first <= each["time"] <= last and set(request.query.getall("tags")) <= set(each["tags"])
        ]
        chosen.sort(key=lambda each: -int(each["time"]))
        return web.json_response(chosen[: int(request.query["limit"])])


@pytest.fixture
def server() -> Grafana:
    return Grafana()


@pytest.fixture
async def grafana(server: Grafana, serve: Serve) -> Feed:
    return feed("grafana", url=await serve(server.answer), token="secret", interval="1s")


async def test_tags_say_what_was_deployed(server: Grafana, grafana: Feed, listening: Listening) -> None:
    server.mark(START, "deploy", "service:checkout", "version=v2", "env: staging", minutes=4, text="<b>a fix</b>")
    server.mark(START + timedelta(hours=1), "release", "service:api", "sha:abc")
    server.mark(START, "incident", "service:api")
    assert await listening.catch_up(grafana) == 2
    assert await listening.catch_up(grafana) == 0
    checkout, api = await listening.deployments()
    assert (checkout.service, checkout.environment, checkout.version) == ("checkout", "staging", "v2")
    assert checkout.finished_at == START + timedelta(minutes=4)
    assert checkout.description == "a fix"
    assert (api.service, api.commit, str(api.status)) == ("api", "abc", "succeeded")


async def test_its_words_are_those_of_annotations_that_are_sent(
    server: Grafana, grafana: Feed, listening: Listening
) -> None:
    """One parser: an annotation is the same deployment, whether it is pushed or polled."""
    server.mark(START, "deploy", "stage:staging", "repo:acme/mail", "revision:v7", "status: failed", "team=till")
    server.mark(START, "deploy", "afdp", "service:mail")
    assert await listening.catch_up(grafana) == 1
    (found,) = await listening.deployments()
    assert (found.service, found.environment, found.version, found.commit) == ("mail", "staging", "v7", None)
    assert (str(found.status), found.team) == ("failed", "till")
    assert any("written by afdp-exporter" in reason for reason in listening.ear.ignored)


async def test_more_than_one_answer_holds_are_all_reported(
    server: Grafana, grafana: Feed, listening: Listening
) -> None:
    for number in range(1203):
        server.mark(START + timedelta(seconds=30 * number), "deploy", f"service:s{number % 7}")
    assert await listening.catch_up(grafana) == 1203
    assert server.questions < 10


async def test_without_a_service_it_is_left_out_with_its_reason(
    server: Grafana, grafana: Feed, listening: Listening
) -> None:
    server.mark(START, "deploy", "who knows")
    assert await listening.catch_up(grafana) == 0
    assert "nothing says which service" in listening.ear.ignored[0]
