"""`afdp gate` as a pipeline runs it: its exit status is the verdict."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer


def decision(verdict: str, mode: str = "enforced") -> dict[str, Any]:
    return {
        "verdict": verdict,
        "enforced_verdict": verdict if mode == "enforced" else "allow",
        "mode": mode,
        "reasons": ["Request latency p95 is 15 ms up."],
    }


@pytest.fixture
async def served() -> Any:  # noqa: ANN401
    """An exporter whose gate answers what a test sets, one after the other; the questions are kept."""
    answers: list[dict[str, Any]] = []
    asked: list[dict[str, Any]] = []

    async def gate(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response(answers.pop(0) if len(answers) > 1 else answers[0])

    app = web.Application()
    app.router.add_post("/api/v1/gate", gate)
    server = TestServer(app)
    await server.start_server()
    yield answers, asked, str(server.make_url(""))
    await server.close()


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "afdp_exporter", "gate", *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("verdict", "status"), [("allow", 0), ("warn", 0), ("hold", 3), ("rollback", 4), ("unknown", 5)]
)
async def test_the_exit_status_is_the_verdict(served: Any, verdict: str, status: int) -> None:  # noqa: ANN401
    answers, asked, url = served
    answers.append(decision(verdict))
    done = await run("--url", url, "--service", "checkout", "--version", "v2", "--phase", "canary")
    assert done.returncode == status, done.stderr
    assert done.stdout.splitlines()[0] == verdict
    assert asked == [{"service": "checkout", "version": "v2", "phase": "canary", "wait": 0.0}]


async def test_a_verdict_in_shadow_passes_and_says_what_it_thinks(served: Any) -> None:  # noqa: ANN401
    answers, _, url = served
    answers.append(decision("rollback", "shadow"))
    done = await run("--url", url, "--service", "checkout")
    assert done.returncode == 0
    assert "rollback" in done.stdout


async def test_it_waits_until_the_verdict_is_another_one(served: Any) -> None:  # noqa: ANN401
    answers, asked, url = served
    answers.extend([decision("hold"), decision("unknown"), decision("allow")])
    done = await run("--url", url, "--service", "checkout", "--wait", "10m")
    assert done.returncode == 0, done.stderr
    assert [question["wait"] for question in asked] == [20.0, 20.0, 20.0]


async def test_an_exporter_that_is_away_fails_unless_it_may_not(unused_tcp_port_factory: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    done = await run("--url", url, "--service", "checkout", "--tries", "1")
    assert done.returncode == 1
    assert url in done.stderr
    done = await run("--url", url, "--service", "checkout", "--tries", "1", "--on-error", "allow")
    assert done.returncode == 0


async def test_without_a_service_it_says_what_is_missing() -> None:
    done = await run()
    assert done.returncode == 2
    assert "--service is needed" in done.stderr
