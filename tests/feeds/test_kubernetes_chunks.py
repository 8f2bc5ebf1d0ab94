"""Recorded streams over HTTP: the watches arrive in chunks of any size, and however fast, everything is known."""

import asyncio
import json
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.feeds._rollouts import KINDS
from feeds.conftest import Listening
from feeds.recorded_kubernetes import EXPECTED, RESOURCES, Stream
from feeds.test_kubernetes import configured
from loopback import Serve

REVISIONS = {kind.revisions.plural for kind in KINDS.values()}


class Replayed:
    """An API server at the beginning of a stream, which says the rest of it once it is asked to."""

    def __init__(self, stream: Stream, size: Callable[[], int]) -> None:
        self.stream, self.size = stream, size
        self.released = asyncio.Event()
        self.lists = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        plural = request.path.rpartition("/")[2]
        if plural == "rollouts":
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        if "watch" in request.query:
            return await self._watch(request, plural)
        late = "labelSelector" in request.query
        self.lists += 1
        place = self.stream.last() if late else self.stream.first()
        found = list(self.stream.state(plural, place).values())
        first = next(each for each in self.stream.entries if each.resource == plural and each.items is not None)
        return web.json_response({"metadata": {"resourceVersion": str(first.version)}, "items": found})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await self.released.wait()
        events = [each for each in self.stream.entries if each.resource == plural and each.type]
        lines = [json.dumps({"type": each.type, "object": each.content}).encode() + b"\n" for each in events]
        rest = b"".join(lines)
        while rest:
            size = self.size()
            await response.write(rest[:size])
            rest = rest[size:]
        await asyncio.Event().wait()
        return response


def drawn(name: str, largest: int) -> Callable[[], int]:
    source = random.Random(name)
    return lambda: source.randint(1, largest)


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("undo-to-failing", 700),
        ("restart-during-rollout", 3000),
        ("statefulset-image-undo-twice", 60),
        ("twenty-images-at-once", 200_000),
    ],
)
async def test_the_chunks_of_a_watch_do_not_matter(
    name: str, largest: int, serve: Serve, listening: Listening, tmp_path: Path
) -> None:
    stream = Stream(name)
    server = Replayed(stream, drawn(name, largest))
    expected: list[dict[str, Any]] = EXPECTED[name]["rollouts"]
    ends = sum(len(each["ends"]) for each in expected)
    listening.now = stream.since + timedelta(minutes=5)
    await listening.store.cursors.save("feed", json.dumps({"since": stream.since.isoformat(), "seen": {}}))
    async with listening.following(configured(tmp_path, await serve(server.answer))) as ear:
        await ear.until(lambda: len(ear.states) > 0)
        server.released.set()
        await ear.until(lambda: len(ear.heard) >= len(expected) + ends)
    found = await listening.deployments()
    assert sorted((each.service, str(each.version), str(each.status)) for each in found) == sorted(
        (each["service"], each["version"], each["ends"][-1]["status"]) for each in expected
    )
    assert server.lists <= len(RESOURCES) + len(expected)  # one of each resource, and none for most events
