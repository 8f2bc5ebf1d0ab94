"""What a command writes for people is on the clock of `planning.time_zone`, whoever loads the configuration."""

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from afdp_exporter import cli, commands
from afdp_exporter.store.opening import open_store, url_of_file

STEP = 300  # seconds
DEPLOYED = datetime(2026, 3, 1, 10, tzinfo=UTC)
DEPLOYMENT = {"service": "api", "version": "v1", "started_at": "2026-03-01T10:00:00Z"}
FIELDS = {"id": "$.version", "status": "$.state", "service": "$.service", "started_at": "$.started_at"}
ALERT = {
    "version": "4",
    "groupKey": "g",
    "status": "firing",
    "receiver": "afdp",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "DatabaseDown", "service": "api"},
            "annotations": {},
            "startsAt": "2026-03-01T10:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": "a1",
        }
    ],
}


def recorded(folder: Path, since: datetime, until: datetime, **blocks: object) -> str:
    """A configuration in India whose latency rises at `DEPLOYED`; the option that names it."""
    (folder / "recording").mkdir()
    times = np.arange(since.timestamp() // STEP * STEP, until.timestamp(), STEP)
    values = 3 + np.random.default_rng(1).normal(0, 0.1, times.size) + (times >= DEPLOYED.timestamp())
    rows = [f"{time:.0f},latency,api,{value}" for time, value in zip(times, values, strict=True)]
    (folder / "recording/a.csv").write_text("\n".join(["timestamp,metric,service,value", *rows]))
    content = {
        "sources": [{"kind": "recording", "path": str(folder / "recording")}],
        "metrics": [
            {"name": "latency_seconds", "layer": "technical", "query": 'latency{service="$service"}', "worse": "up"}
        ],
        "services": [{"name": "api"}],
        "policy": {"analysis": {"history": "1d", "step": "5m"}, "planning": {"time_zone": "Asia/Kolkata"}},
    }
    (folder / "afdp.yml").write_text(json.dumps(content | blocks))
    (folder / "deployments.jsonl").write_text(json.dumps(DEPLOYMENT) + "\n")
    return f"--config.file={folder / 'afdp.yml'}"


def run(*arguments: str | Path) -> str:
    return CliRunner().invoke(cli._afdp, [str(each) for each in arguments]).output


def in_india(text: str) -> bool:
    """Whether it names times, all of them in India."""
    return bool(re.search(r"\d\d:\d\d IST", text)) and not re.search(r"\d\d:\d\d(:\d\d)?( UTC|\+00:00)", text)


def test_check_says_from_when_on_deployments_can_be_judged(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert in_india(run("check", recorded(tmp_path, now - timedelta(minutes=30), now), "--output=json"))


@pytest.mark.parametrize(
    ("sender", "body"),
    [({"kind": "generic", "fields": FIELDS}, DEPLOYMENT | {"state": "started"}), ({"kind": "alertmanager"}, ALERT)],
    ids=["deployment", "event"],
)
def test_check_says_when_what_a_sender_reports_began(
    tmp_path: Path, sender: dict[str, object], body: dict[str, object]
) -> None:
    senders = [sender | {"secret": "c" * 32}]
    config = recorded(tmp_path, DEPLOYED, DEPLOYED + timedelta(hours=1), webhooks=senders)
    (tmp_path / "delivery").write_text(json.dumps(body))
    assert "2026-03-01 15:30 IST" in run("check", config, "--event", tmp_path / "delivery")


async def stories(folder: Path) -> str:
    store = await open_store(url_of_file(folder / "afdp.db"))
    try:
        (measured,) = await store.history.measured(before=datetime.now(UTC))
    finally:
        await store.close()
    return " ".join(measured.impact.story) if measured.impact is not None else ""


def test_import_stores_stories_on_that_clock(tmp_path: Path) -> None:
    config = recorded(tmp_path, DEPLOYED - timedelta(days=2), DEPLOYED + timedelta(days=2))
    assert "1 of 1 measured" in run("import", tmp_path / "deployments.jsonl", config, f"--storage.path={tmp_path}")
    assert in_india(asyncio.run(stories(tmp_path)))


def test_backtest_writes_stories_on_that_clock(tmp_path: Path) -> None:
    config = recorded(tmp_path, DEPLOYED - timedelta(days=2), DEPLOYED + timedelta(days=2))
    walked = tmp_path / "walked.jsonl"
    run("backtest", config, "--recording", tmp_path / "recording", "--deployments", tmp_path / "deployments.jsonl",
        "--output", walked)  # fmt: skip
    assert in_india(" ".join(_stories(json.loads(walked.read_text().splitlines()[0]))))


def _stories(line: object) -> Iterator[str]:
    """Every story in a line, wherever it stands."""
    if isinstance(line, dict):
        yield from (sentence for name, value in line.items() if name == "story" for sentence in value)
        for value in line.values():
            yield from _stories(value)
    elif isinstance(line, list):
        for value in line:
            yield from _stories(value)


def test_no_command_reads_a_configuration_without_its_clock() -> None:
    for file in Path(commands.__path__[0]).glob("*.py"):
        assert "config.load(" not in file.read_text("utf-8"), file.name
