"""Docker Swarm over an engine's API: lists, a stream of events, and updates that come as several of them."""

import asyncio
import copy
import json
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Feed
from feeds.conftest import START, Listening, feed
from loopback import Serve


class Engine:
    """A manager whose services do what a test asks of them."""

    def __init__(self) -> None:
        self.now = START + timedelta(hours=1)
        self.services: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.changed = asyncio.Condition()
        self.listening = asyncio.Event()
        self.broken = False
        self.since: list[str] = []

    async def create(self, name: str, image: str) -> None:
        self._tick()
        self.services[name] = {
            "ID": f"id-of-{name}",
            "CreatedAt": self._stamp(),
            "UpdatedAt": self._stamp(),
            "Spec": {
                "Name": name,
                "Labels": {"com.docker.stack.namespace": "shop"},
                "Mode": {"Replicated": {"Replicas": 2}},
                "TaskTemplate": {"ContainerSpec": {"Image": image}, "ForceUpdate": 0},
            },
        }
        await self._event("create", name)

    async def update(self, name: str, image: str) -> None:
        await self._changed(name, lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=image))
        await self.state(name, "updating", StartedAt=self._stamp())

    async def force(self, name: str) -> None:
        await self._changed(name, lambda spec: spec["TaskTemplate"].update(ForceUpdate=1))
        await self.state(name, "updating", StartedAt=self._stamp())
        await self.state(name, "completed", CompletedAt=self._stamp())

    async def scale(self, name: str, replicas: int) -> None:
        await self._changed(name, lambda spec: spec["Mode"]["Replicated"].update(Replicas=replicas))

    async def state(self, name: str, state: str, **times: str) -> None:
        self._tick()
        service = self.services[name]
        service["UpdateStatus"] = service.get("UpdateStatus", {}) | {"State": state, **times}
        await self._event("update", name)

    async def complete(self, name: str) -> None:
        self._tick()
        await self.state(name, "completed", CompletedAt=self._stamp())

    async def roll_back(self, name: str) -> None:
        """The manager gives an update up by itself, and keeps when that began."""
        self._tick()
        service = self.services[name]
        service["Spec"] = service.pop("PreviousSpec")
        await self.state(name, "rollback_started")
        await self.state(name, "rollback_completed", CompletedAt=self._stamp())

    async def break_off(self) -> None:
        async with self.changed:
            self.broken = True
            self.changed.notify_all()

    async def _changed(self, name: str, change: Any) -> None:  # noqa: ANN401 - of a spec
        self._tick()
        service = self.services[name]
        service["PreviousSpec"] = copy.deepcopy(service["Spec"])
        change(service["Spec"])
        service.pop("UpdateStatus", None)
        service["UpdatedAt"] = self._stamp()
        await self._event("update", name)

    async def _event(self, action: str, name: str) -> None:
        event = {"Type": "service", "Action": action, "Actor": {"ID": f"id-of-{name}", "Attributes": {"name": name}}}
        seconds = int(self.now.timestamp())
        async with self.changed:
            self.events.append(event | {"scope": "swarm", "time": seconds, "timeNano": seconds * 10**9})
            self.changed.notify_all()

    def _tick(self) -> None:
        self.now += timedelta(seconds=20)

    def _stamp(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v1.45")
        if path == "/version":
            return web.json_response({"ApiVersion": "1.45", "MinAPIVersion": "1.24"})
        if path == "/services":
            return web.json_response(list(self.services.values()))
        if path.startswith("/services/"):
            found = [each for each in self.services.values() if each["ID"] == path.rpartition("/")[2]]
            return web.json_response(found[0]) if found else web.json_response({"message": "no such"}, status=404)
        return await self._stream(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        assert json.loads(request.query["filters"]) == {"type": ["service"]}
        self.since.append(request.query["since"])
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        self.listening.set()
        sent = len(self.events)
        while not self.broken:
            for event in self.events[sent:]:
                await response.write(json.dumps(event).encode() + b"\n")
            sent = len(self.events)
            async with self.changed:
                if sent == len(self.events) and not self.broken:
                    await self.changed.wait()
        self.broken = False
        return response


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def swarm(engine: Engine, serve: Serve) -> Feed:
    return feed("swarm", url=await serve(engine.answer), interval="1s")


async def test_an_update_is_reported_and_scaling_or_a_forced_restart_is_none(
    engine: Engine, swarm: Feed, listening: Listening
) -> None:
    await engine.create("shop_api", "registry:5000/api:v1@sha256:abc")
    async with listening.following(swarm) as ear:
        await ear.until(lambda: len(ear.heard) == 1)
        await engine.listening.wait()
        await engine.scale("shop_api", 5)
        await engine.force("shop_api")
        await engine.update("shop_api", "registry:5000/api:v2")
        await engine.complete("shop_api")
        await ear.until(lambda: len(ear.heard) == 3)
    assert await listening.lives() == [("shop_api", "v1", "succeeded"), ("shop_api", "v2", "succeeded")]
    _, second = await listening.deployments()
    assert second.previous_version == "v1"
    assert second.finished_at is not None
    assert timedelta(0) < second.finished_at - second.started_at < timedelta(minutes=2)


@pytest.mark.parametrize(("ending", "status"), [("paused", "failed"), ("rollback", "rolled_back")])
async def test_an_update_that_fails_is_reported_as_that(
    engine: Engine, swarm: Feed, listening: Listening, ending: str, status: str
) -> None:
    await engine.create("api", "api:v1")
    async with listening.following(swarm) as ear:
        await ear.until(lambda: len(ear.heard) == 1)
        await engine.listening.wait()
        await engine.update("api", "api:v2")
        await ear.until(lambda: len(ear.heard) == 2)
        if ending == "paused":
            await engine.state("api", "paused")
        else:
            await engine.roll_back("api")
        await ear.until(lambda: len(ear.heard) == 3)
    assert (await listening.lives())[-1] == ("api", "v2", status)
    assert len(await listening.lives()) == 2


async def test_an_update_that_was_taken_back_unseen_is_reported_without_its_version(
    engine: Engine, swarm: Feed, listening: Listening
) -> None:
    await engine.create("api", "api:v1")
    await listening.catch_up(swarm)
    await engine.update("api", "api:v2")
    await engine.roll_back("api")
    async with listening.following(swarm) as ear:
        await ear.until(lambda: len(ear.heard) == 3)
    assert (await listening.lives())[-1] == ("api", None, "rolled_back")


async def test_what_happened_while_the_exporter_was_away_is_reported_once(
    engine: Engine, swarm: Feed, listening: Listening
) -> None:
    await engine.create("api", "api:v1")
    async with listening.following(swarm) as ear:
        await ear.until(lambda: len(ear.heard) == 1)
        await engine.listening.wait()
        await engine.update("api", "api:v2")
        await ear.until(lambda: len(ear.heard) == 2)
    await engine.complete("api")
    await engine.create("web", "web:v1")
    async with listening.following(swarm):
        await ear.until(lambda: len(ear.heard) == 4)
    known = await listening.lives()
    assert known == [("api", "v1", "succeeded"), ("api", "v2", "succeeded"), ("web", "v1", "succeeded")]
    reached = len(ear.states)
    async with listening.following(swarm):
        await ear.until(lambda: len(ear.states) > reached)
    assert len(ear.heard) == 4
    assert all(since.isdigit() for since in engine.since)


async def test_a_stream_that_ends_is_taken_up_again(engine: Engine, swarm: Feed, listening: Listening) -> None:
    await engine.create("api", "api:v1")
    async with listening.following(swarm) as ear:
        await ear.until(lambda: len(ear.heard) == 1)
        await engine.listening.wait()
        engine.listening.clear()
        await engine.break_off()
        await engine.update("api", "api:v2")
        await engine.listening.wait()
        await ear.until(lambda: len(ear.heard) == 2)
        await engine.complete("api")
        await ear.until(lambda: len(ear.heard) == 3)


async def test_an_engine_that_is_away_or_no_manager_is_reported(serve: Serve, listening: Listening) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"message": "This node is not a swarm manager."}, status=503)

    with pytest.raises(FeedError, match=r"503: .*not a swarm manager"):
        await listening.catch_up(feed("swarm", url=await serve(refuse)))
    with pytest.raises(FeedError, match="Cannot connect to Docker Engine"):
        await listening.catch_up(feed("swarm", url="http://127.0.0.1:1"))
