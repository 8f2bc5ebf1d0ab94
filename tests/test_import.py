"""Past deployments into the store: whole or not at all, and only once."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.store import Backlog
from afdp_exporter.store.sqlite import SQLiteStore

GOOD = '{"service": "api", "version": "v1", "started_at": "2026-03-01T10:00:00Z"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = {"sources": [{"name": "production", "kind": "prometheus", "url": "http://127.0.0.1:1"}]}
    (tmp_path / "afdp.yml").write_text(json.dumps(config))
    return tmp_path


def imported(folder: Path, text: str) -> Result:
    (folder / "deployments.jsonl").write_text(text)
    options = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}"]
    return CliRunner().invoke(cli._afdp, ["import", str(folder / "deployments.jsonl"), *options])


async def backlog(folder: Path) -> Backlog:
    store = await SQLiteStore.open(folder / "data/afdp.db")
    try:
        return await store.backlog(datetime.now(UTC))
    finally:
        await store.close()


def test_each_is_there_once_with_one_look_that_is_due_however_often_it_is_imported(folder: Path) -> None:
    other = GOOD.replace("v1", "v2").replace("10:00", "11:00")
    assert imported(folder, GOOD).output.startswith("1 imported, 0 were there")
    assert imported(folder, GOOD + other).output.startswith("1 imported, 1 were there")
    assert asyncio.run(backlog(folder)).count == 2


def test_a_file_with_a_fault_imports_nothing(folder: Path) -> None:
    assert imported(folder, GOOD + "{").exit_code != 0
    assert not (folder / "data").exists()
