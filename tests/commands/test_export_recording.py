"""A recording that is made by the metrics' own queries stands for their sources."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from click.testing import CliRunner, Result

from afdp_exporter import cli

START, END = datetime(2026, 2, 27, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
DEPLOYED = datetime(2026, 3, 1, 10, tzinfo=UTC)
LINE = json.dumps({"service": "api", "id": "d1", "started_at": DEPLOYED.isoformat()})
ASKED = ["--since=2026-02-27", "--until=2026-03-02"]


def _source(folder: Path) -> dict[str, Any]:
    """Counts of failures among requests, of which there are more from the deployment on, and two hosts."""
    (folder / "tape").mkdir()
    times = np.arange(START.timestamp(), END.timestamp(), 300)
    chance = np.random.default_rng(3)
    rows = ["timestamp,metric,service,host,value"]
    columns = {
        "failures,api,": chance.poisson(2 + 12 * (times >= DEPLOYED.timestamp())),
        "requests,api,": np.full(times.size, 200),
        "latency,api,a": 3 + chance.normal(0, 0.1, times.size),
        "latency,api,b": 3 + chance.normal(0, 0.1, times.size),
    }
    for name, values in columns.items():
        rows += [f"{time:.0f},{name},{value}" for time, value in zip(times, values, strict=True)]
    (folder / "tape/all.csv").write_text("\n".join(rows))
    return {"kind": "recording", "path": str(folder / "tape")}


def _run(*words: str) -> Result:
    return CliRunner().invoke(cli._afdp, list(words), catch_exceptions=False)


def _measured(config: Path, storage: Path, history: Path) -> dict[str, object]:
    result = _run("import", str(history), f"--config.file={config}", f"--storage.path={storage}", "--output=json")
    found: dict[str, object] = json.loads(result.stdout)["measured"]
    return found


def test_what_is_measured_on_a_recording_is_what_was_measured_on_its_sources(tmp_path: Path) -> None:
    query = {name: name + '{service="$service"}' for name in ("failures", "requests", "latency")}
    content = {
        "sources": [_source(tmp_path)],
        "metrics": [
            {"name": "error_ratio", "layer": "technical", "query": query["failures"], "of": query["requests"],
             "worse": "up"},
            {"name": "latency_seconds", "layer": "technical", "query": query["latency"]},
        ],
        "policy": {"analysis": {"history": "1d", "step": "5m"}},
        "tokens": [{"name": "ci", "token": "a secret of the tests", "scopes": ["annotate"]}],
    }  # fmt: skip
    config, history = tmp_path / "afdp.yml", tmp_path / "deployments.jsonl"
    config.write_text(json.dumps(content))
    history.write_text(LINE)
    before = _measured(config, tmp_path / "data", history)
    assert before == {"degradation": 1}

    words = ["export", "--recording", f"--config.file={config}", f"--storage.path={tmp_path / 'data'}", *ASKED]
    made = tmp_path / "made"
    output = _run(*words, f"--output={made}").output
    assert "latency_seconds: not all is recorded: 2 series answer one query" in output
    files = sorted((made / "recording").rglob("*.parquet"))
    assert {each.parent.name for each in files} == {"error_ratio", "error_ratio_of"}
    points = int((datetime(2026, 3, 2, tzinfo=UTC) - START).total_seconds()) // 300 + 1
    assert sum(pq.read_metadata(each).num_rows for each in files) == 2 * points
    assert "a secret" not in (made / "afdp.yml").read_text()
    assert _measured(made / "afdp.yml", tmp_path / "again", history) == before

    changed = {each: each.stat().st_mtime_ns for each in files}
    assert "0 samples" in _run(*words, f"--output={made}").output
    assert {each: each.stat().st_mtime_ns for each in files} == changed
