"""Killed at any moment of an action's life: never two calls, never a lost intent, and what is unknown is said."""

import asyncio
import random
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from afdp_exporter.model import ActionState, Outcome
from afdp_exporter.store.sqlite import SQLiteStore
from gated import deployment, impact
from remembering import remember

CHILD = Path(__file__).parent / "acting_child.py"


class Counting:
    """A target that counts calls by the deployment they name, and takes a moment for each."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls[body["deployment_id"]] = self.calls.get(body["deployment_id"], 0) + 1
        await asyncio.sleep(random.uniform(0, 0.03))
        return web.json_response({})


@pytest.mark.parametrize("rounds", [4, pytest.param(200, marks=pytest.mark.slow)])
async def test_a_kill_at_any_moment_begins_no_action_twice_and_loses_none(tmp_path: Path, rounds: int) -> None:
    chance, target, now = random.Random(rounds), Counting(), datetime.now(UTC)
    app = web.Application()
    app.router.add_post("/", target.handle)
    server = TestServer(app)
    await server.start_server()
    url = str(server.make_url("")).rstrip("/")
    for number in range(rounds):
        path = tmp_path / f"{number}.db"
        bad = replace(
            deployment(f"d{number}", previous_version="v1"),
            started_at=now - timedelta(minutes=20),
            finished_at=now - timedelta(minutes=18),
        )
        store = await SQLiteStore.open(path)
        seen = impact(Outcome.FAILURE, deployment_id=bad.id)
        await remember(store, bad, replace(seen, shifts=(replace(seen.shifts[0], attribution_ratio=0.999),)))
        await store.close()
        await _run(path, url, bad.id, kill_after=chance.uniform(0.0, 0.25))
        for _ in range(2):
            await _run(path, url, bad.id, kill_after=None)
        store = await SQLiteStore.open(path)
        (action,) = await store.actions.search()
        await store.close()
        calls = target.calls.get(bad.id, 0)
        assert calls <= 1, action
        assert action.state in {ActionState.ACCEPTED, ActionState.UNKNOWN}, action
        if action.state is ActionState.ACCEPTED:
            assert calls == 1, action
    await server.close()


async def _run(path: Path, url: str, deployment_id: str, *, kill_after: float | None) -> None:
    """The child until it is done; or killed so long after it has opened its store."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(path), url, deployment_id, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"ready\n"
        if kill_after is not None:
            await asyncio.sleep(kill_after)
            if process.returncode is None:
                process.kill()
        await process.communicate()
    assert process.returncode == 0 or kill_after is not None
