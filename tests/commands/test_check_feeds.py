"""`afdp check` asks each feed, in one line, and fails where one cannot be read."""

import asyncio
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.errors import FeedError
from feeds.conftest import START, feed
from feeds.kubernetes_api import Kubernetes
from loopback import Serve

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
AWAY = "http://127.0.0.1:1"


def check(folder: Path, *feeds: dict[str, Any], output: str = "text") -> Result:
    content = {
        "sources": [{"kind": "recording", "path": str(folder)}],
        "metrics": [{"name": "x", "layer": "technical", "query": "x"}],
        "services": [{"name": "shop", "metrics": []}],
        "feeds": list(feeds),
    }
    (folder / "afdp.yml").write_text(yaml.safe_dump(content))
    return CliRunner().invoke(
        cli._afdp, ["check", f"--config.file={folder / 'afdp.yml'}", "--quick", f"--output={output}"]
    )


def kubeconfig(folder: Path, server: str) -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(json.dumps(content))
    return str(folder / "kubeconfig")


def test_each_feed_has_a_line_with_what_keeps_it_from_being_read(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    found = check(
        tmp_path,
        {"kind": "git", "path": str(clone)},
        {"kind": "github", "repositories": ["a/b"], "url": AWAY},
        {"kind": "gitlab", "projects": ["a/b"], "url": AWAY},
        {"kind": "grafana", "url": AWAY},
        {"kind": "kubernetes", "kubeconfig": kubeconfig(tmp_path, AWAY)},
        {"kind": "swarm", "url": f"unix://{tmp_path}/none.sock"},
    )
    lines = dict(
        line.removeprefix("feed ").split(": ", 1) for line in found.output.splitlines() if line.startswith("feed ")
    )
    assert found.exit_code == 1
    assert lines.pop("git") == "it can be read"
    assert set(lines) == {"github", "gitlab", "grafana", "kubernetes", "swarm"}
    assert all(AWAY in lines[name] for name in ("github", "gitlab", "grafana", "kubernetes")), lines
    assert "none.sock" in lines["swarm"]
    assert not [line for line in lines.values() if re.search(r"Error\b|\b900\b", line)], lines


def test_what_can_be_read_is_well_for_programs_too(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    found = json.loads(check(tmp_path, {"kind": "git", "path": str(clone)}, output="json").output)
    assert {"feed": "git", "problem": None} in found


@pytest.mark.parametrize(
    ("status", "why"), [(401, "401 the token is wrong"), (403, "403 the role has to allow"), (500, "answers 500")]
)
async def test_a_cluster_that_refuses_one_kind_is_reported(serve: Serve, tmp_path: Path, status: int, why: str) -> None:
    cluster = Kubernetes(START)

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/controllerrevisions"):
            return web.json_response({"kind": "Status", "code": status}, status=status)
        return await cluster.answer(request)

    url = await serve(answer)
    with pytest.raises(FeedError, match=f"controllerrevisions: {url}.* {why}"):
        await feed("kubernetes", kubeconfig=kubeconfig(tmp_path, url)).check(NOW)


async def test_a_cluster_that_answers_is_well(serve: Serve, tmp_path: Path) -> None:
    cluster = Kubernetes(START)
    cluster.kinds.remove("rollouts")
    async with asyncio.timeout(30):
        await feed("kubernetes", kubeconfig=kubeconfig(tmp_path, await serve(cluster.answer))).check(NOW)
