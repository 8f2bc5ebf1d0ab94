"""The API tried by a machine as it is described: whatever fits the description, and whatever does not."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest

from real_parts.exporter import Exporter
from real_parts.fixtures import Start

DESCRIPTION = Path(__file__).parents[2] / "docs/openapi.yaml"
CASES = 5000
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
PATIENCE = 1800.0  # seconds for all of it


async def tried(url: str, folder: Path, *more: str) -> tuple[int, str]:
    """The exit status and what was reported."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).parent / "schemathesis",
        *("run", str(DESCRIPTION), "--url", url, "--checks", CHECKS, "--request-timeout", "20", "--no-color"),
        *("--continue-on-failure", "--warnings", "off", "--no-shrink", "--generation-database", "none", *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"},
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, out.decode()


@pytest.mark.slow
async def test_five_thousand_cases_bring_no_server_error_no_time_out_and_nothing_undescribed(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "recording").mkdir()
    config = {
        "sources": [{"kind": "recording", "path": str(tmp_path / "recording")}],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": 'latency{service="$service"}'}],
        "webhooks": [{"kind": "github", "secret": "canary"}],
    }
    exporter = start(Exporter(tmp_path / "exporter", config))
    code, output = await tried(exporter.url, tmp_path, "--max-examples", "135", "--seed", "1")
    (generated,) = re.findall(r"(\d+) generated", output)
    summary = output[output.rindex("SUMMARY") :]
    assert code == 0, output[-20_000:]
    assert int(generated) >= CASES, summary
    assert json.loads(exporter.http.request("GET", f"{exporter.url}/api/v1/deployments").data)["deployments"]
