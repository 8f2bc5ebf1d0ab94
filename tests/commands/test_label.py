"""`afdp label`: a human's word, sent to an exporter that runs."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer


@pytest.fixture
async def served() -> Any:  # noqa: ANN401
    """An exporter that knows one deployment; the changes are kept."""
    changes: list[Any] = []

    async def change(request: web.Request) -> web.Response:
        changes.append((request.match_info["id"], await request.json(), request.headers.get("Authorization")))
        if request.match_info["id"] != "a/1":
            detail = {"title": "Not Found", "detail": "no deployment has this id"}
            return web.json_response(detail, status=404)
        return web.json_response({"id": "a/1", "service": "checkout"})

    app = web.Application()
    app.router.add_patch("/api/v1/deployments/{id}", change)
    server = TestServer(app)
    await server.start_server()
    yield changes, str(server.make_url(""))
    await server.close()


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "afdp_exporter", "label", *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)


async def test_a_word_and_its_note_reach_the_exporter(served: Any) -> None:  # noqa: ANN401
    changes, url = served
    done = await run("--url", url, "a/1", "success", "--note", "the provider was down")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "deployment a/1 of checkout is labelled success\n"
    assert changes == [("a/1", {"outcome": "success", "note": "the provider was down"}, None)]


async def test_an_unknown_deployment_and_an_unknown_word_are_named(served: Any) -> None:  # noqa: ANN401
    changes, url = served
    done = await run("--url", url, "nowhere", "failure")
    assert done.returncode == 1
    assert "no deployment has this id" in done.stderr
    done = await run("--url", url, "a/1", "bad")
    assert done.returncode == 2
    assert "success" in done.stderr
    assert len(changes) == 1
