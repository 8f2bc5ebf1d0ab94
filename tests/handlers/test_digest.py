"""`GET /api/v1/digest`, and the command that prints it."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from aiohttp import ClientSession

from afdp_exporter.model import Deployment, Impact, Outcome
from afdp_exporter.store.sqlite import SQLiteStore
from remembering import remember

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def harmed(store: SQLiteStore, name: str, days: float, environment: str = "production") -> None:
    at = NOW - timedelta(days=days)
    deployment = Deployment(
        id=name, service="api", environment=environment, started_at=at, received_at=at, version=name
    )
    impact = Impact(
        deployment_id=name, measured_at=at + timedelta(hours=1), shifts=(), outcome=Outcome.FAILURE, outcome_reason="x"
    )
    await remember(store, deployment, impact)


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "afdp_exporter", "digest", *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)


async def test_the_days_and_the_environment_that_are_asked_for_are_shown(
    client: ClientSession, store: SQLiteStore
) -> None:
    await harmed(store, "old", 9)
    await harmed(store, "new", 2)
    await harmed(store, "staged", 2, environment="staging")
    week = await (await client.get("/api/v1/digest", params={"environment": "production"})).json()
    assert (week["deployments"], week["harmful"], week["outcomes"]["failure"]) == (1, ["new"], 1)
    longer = await (await client.get("/api/v1/digest", params={"days": "10"})).json()
    assert longer["harmful"] == ["old", "new", "staged"]
    assert (await client.get("/api/v1/digest", params={"days": "0"})).status == 422
    printed = await run("--url", str(client._base_url), "--environment=production")
    assert printed.stdout == f"{week['text']}\n"
    assert "1 in all: failure 1." in printed.stdout
