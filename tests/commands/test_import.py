"""Past deployments into the store, whole or not at all, and only once; and what they did."""

import asyncio
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.errors import SourceUnavailable
from afdp_exporter.store import Backlog
from afdp_exporter.store.sqlite import SQLiteStore

GOOD = '{"service": "api", "version": "v1", "started_at": "2026-03-01T10:00:00Z"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    configure(tmp_path, {"kind": "prometheus", "url": "http://127.0.0.1:1"})
    return tmp_path


def configure(folder: Path, source: dict[str, str]) -> None:
    config = {
        "sources": [source],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": 'latency{service="$service"}'}],
        "policy": {"analysis": {"history": "1d", "step": "5m"}, "backfill": {"patience": "1s"}},
    }
    (folder / "afdp.yml").write_text(json.dumps(config))


def record(folder: Path) -> None:
    """A latency that rises by a third at ten o'clock on the first of March."""
    (folder / "recording").mkdir()
    times = np.arange(datetime(2026, 2, 27, tzinfo=UTC).timestamp(), datetime(2026, 3, 3, tzinfo=UTC).timestamp(), 300)
    deployed = datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()
    values = 3 + np.random.default_rng(1).normal(0, 0.1, times.size) + (times >= deployed)
    rows = [f"{time:.0f},latency,api,{value}" for time, value in zip(times, values, strict=True)]
    (folder / "recording/a.csv").write_text("\n".join(["timestamp,metric,service,value", *rows]))


def imported(folder: Path, text: str, *flags: str) -> Result:
    (folder / "deployments.jsonl").write_text(text)
    options = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}", *flags]
    return CliRunner().invoke(cli._afdp, ["import", str(folder / "deployments.jsonl"), *options])


async def backlog(folder: Path) -> Backlog:
    store = await SQLiteStore.open(folder / "data/afdp.db")
    try:
        return await store.looks.backlog(datetime.now(UTC))
    finally:
        await store.close()


def test_each_is_there_once_with_one_look_that_is_due_however_often_it_is_imported(folder: Path) -> None:
    other = GOOD.replace("v1", "v2").replace("10:00", "11:00")
    assert imported(folder, GOOD, "--no-measure").output.startswith("1 imported, 0 were there")
    assert imported(folder, GOOD + other, "--no-measure").output.startswith("1 imported, 1 were there")
    assert asyncio.run(backlog(folder)).count == 2


def test_a_file_with_a_fault_imports_nothing(folder: Path) -> None:
    assert imported(folder, GOOD + "{").exit_code != 0
    assert not (folder / "data").exists()


async def moved(folder: Path) -> list[str]:
    store = await SQLiteStore.open(folder / "data/afdp.db")
    try:
        found = await store.history.measured(before=datetime.now(UTC))
        return [str(shift.verdict) for each in found if each.impact for shift in each.impact.shifts]
    finally:
        await store.close()


def test_what_they_did_is_measured_and_once_measured_it_stays(folder: Path) -> None:
    record(folder)
    configure(folder, {"kind": "recording", "path": str(folder / "recording")})
    forgotten = GOOD.replace("2026-03-01", "2025-03-01")
    output = imported(folder, forgotten + GOOD).output
    assert "2 of 2 measured: " in output
    assert "1 unknown" in output
    assert asyncio.run(moved(folder)) == ["inconclusive", "attributed"]
    assert "measured" not in imported(folder, forgotten + GOOD).output


def test_a_script_learns_what_became_of_it_however_it_ends(folder: Path) -> None:
    away = imported(folder, GOOD, "--output=json")
    assert isinstance(away.exception, SourceUnavailable)
    nothing = {"feeds": {}, "measured": {}, "left": 1}
    assert json.loads(away.stdout) == {"imported": 1, "known": 0, **nothing}
    assert json.loads(imported(folder, GOOD, "--no-measure", "--output=json").stdout) == {
        "imported": 0,
        "known": 1,
        **nothing,
    }
    record(folder)
    configure(folder, {"kind": "recording", "path": str(folder / "recording")})
    assert json.loads(imported(folder, GOOD, "--output=json").stdout) == {
        "imported": 0,
        "known": 1,
        "feeds": {},
        "measured": {"success": 1},
        "left": 0,
    }


def test_a_source_that_is_away_ends_it_and_the_next_import_goes_on(folder: Path) -> None:
    away = imported(folder, GOOD)
    assert isinstance(away.exception, SourceUnavailable)
    assert "0 of 1 measured" in away.output
    record(folder)
    configure(folder, {"kind": "recording", "path": str(folder / "recording")})
    assert "1 of 1 measured" in imported(folder, GOOD).output


def test_the_past_of_a_feed_is_imported_once(folder: Path) -> None:
    repository = folder / "checkout"
    for command in (
        ["init", "--quiet", str(repository)],
        ["-C", str(repository), "commit", "--quiet", "--allow-empty", "-m", "a"],
        ["-C", str(repository), "tag", "v1"],
        ["-C", str(repository), "tag", "old"],
    ):
        who = {f"GIT_{role}_{name}": "a" for role in ("AUTHOR", "COMMITTER") for name in ("NAME", "EMAIL")}
        subprocess.run(["git", *command], env={**os.environ, **who}, check=True)
    config = json.loads((folder / "afdp.yml").read_text())
    config["feeds"] = [{"name": "tags", "kind": "git", "path": str(repository), "pattern": "v*"}]
    (folder / "afdp.yml").write_text(json.dumps(config))
    options = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}", "--no-measure"]

    def run(*flags: str) -> Result:
        return CliRunner().invoke(cli._afdp, ["import", *flags, *options])

    assert run("--feed=tags", "--since=2026-01-01").output.startswith("tags: 1 imported, 1 new events, 0 left out")
    assert run("--feed=tags", "--since=2026-01-01").output.startswith("tags: 0 imported, 0 new events")
    left_out = json.loads(run("--feed=tags", "--since=2026-01-01", "--output=json").stdout)["feeds"]
    assert left_out == {"tags": {"imported": 0, "events": 0, "left_out": {}}}
    assert "none is named other; known: tags" in str(run("--feed=other").exception)
    assert run().exit_code == 2


def test_commands_that_share_the_services_measure_each_once(folder: Path) -> None:
    record(folder)
    configure(folder, {"kind": "recording", "path": str(folder / "recording")})
    both = GOOD + GOOD.replace("api", "shop")

    def outcome(*flags: str) -> dict[str, object]:
        summary: dict[str, object] = json.loads(imported(folder, both, "--output=json", *flags).stdout)
        return {name: summary[name] for name in ("imported", "measured", "left")}

    assert outcome("--shard=0/2") == {"imported": 1, "measured": {"unknown": 1}, "left": 0}
    assert asyncio.run(backlog(folder)).count == 0
    assert outcome("--no-measure") == {"imported": 1, "measured": {}, "left": 1}
    assert outcome("--shard=0/2") == {"imported": 0, "measured": {}, "left": 0}
    assert outcome("--shard=1/2") == {"imported": 0, "measured": {"success": 1}, "left": 0}


@pytest.mark.parametrize("shard", ["2/2", "1", "-1/2", "a/b"])
def test_a_shard_is_one_of_so_many(folder: Path, shard: str) -> None:
    assert "is no I/N" in imported(folder, GOOD, f"--shard={shard}").output


def test_a_file_without_a_deployment_is_said_to_bring_none(folder: Path) -> None:
    done = imported(folder, "")
    assert (done.exit_code, done.output) == (0, "0 imported, 0 were there\n")
