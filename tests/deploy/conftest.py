"""A running exporter that wants a token, and the programs that read what is in `deploy/`."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.config import read
from afdp_exporter.handlers.connections import listening
from afdp_exporter.server import make_app
from afdp_exporter.store.sqlite import SQLiteStore

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TOKEN = "canary-token"
PATIENCE = 120.0  # seconds for one program


@dataclass(frozen=True)
class Exporter:
    """Where it listens, and what it knows."""

    url: str
    client: ClientSession

    async def deployment(self, deployment_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/deployments/{deployment_id}")
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = (await answer.json())["deployment"]
        return found

    async def deployments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await (await self.client.get("/api/v1/deployments")).json())["deployments"]
        return found


@pytest.fixture
async def exporter(tmp_path: Path) -> AsyncIterator[Exporter]:
    config = read(
        {
            "sources": [{"kind": "recording", "path": str(tmp_path)}],
            "webhooks": [{"kind": kind, "secret": TOKEN} for kind in ("argocd", "argo_rollouts", "flagger", "flux")],
            "tokens": [{"name": "pipeline", "token": TOKEN, "scopes": ["read", "annotate"]}],
        }
    )
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    async with (
        listening(make_app(config, store=store), [("127.0.0.1", 0)]) as (url,),
        ClientSession(url, headers={"Authorization": f"Bearer {TOKEN}"}) as client,
    ):
        yield Exporter(url, client)
    await store.close()


@dataclass(frozen=True)
class Done:
    """How a program has ended."""

    code: int
    out: str
    err: str


async def run(
    *command: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, patience: float = PATIENCE
) -> Done:
    """Run a program to its end, with our own folder of programs before the others."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(ROOT / ".cache/real/usr/bin")])
    process = await asyncio.create_subprocess_exec(
        *command,
        env={"PATH": path, "HOME": str(cwd or "/tmp")} | dict(env or {}),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), patience)
    return Done(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def program() -> Callable[[str], str]:
    """Finds a program; where it is missing, the test is not silent about that."""

    def find(name: str) -> str:
        places = [str(Path(sys.executable).parent), os.environ["PATH"], str(ROOT / ".cache/real/usr/bin")]
        found = shutil.which(name, path=os.pathsep.join(places))
        if found is None and os.environ.get("AFDP_REQUIRE_REAL") == "1":
            pytest.fail(f"{name} is missing")
        if found is None:
            pytest.skip(f"{name} is missing: ./scripts/test fetches it")
        return found

    return find
