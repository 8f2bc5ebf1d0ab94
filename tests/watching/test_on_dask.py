"""The past measured on a Dask cluster: the same as by processes of this machine, whatever happens to a worker."""

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import backfill
import orjson

from compute.clusters import Cluster

DEPLOYMENTS, METRICS = 24, 2
KEPT = {
    "impacts": "deployment_id, measured_us, outcome, document",
    "courses": "deployment_id, metric, document",
    "looks": "deployment_id, after_us, state, attempts, reason, outcome, account",  # not when they were answered
}


def command_of(folder: Path, recorded: Path, executor: dict[str, object]) -> list[str]:
    """Imports what was recorded, by an executor of its own."""
    folder.mkdir()
    config = orjson.loads((recorded / "afdp.yml").read_bytes())
    config["policy"]["analysis"]["executor"] = executor
    (folder / "afdp.yml").write_bytes(orjson.dumps(config))
    options = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}"]
    return [sys.executable, "-m", "afdp_exporter", "import", str(recorded / "deployments.jsonl"), *options]


def kept(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(folder / "data/afdp.db")) as store:
        return {table: sorted(store.execute(f"SELECT {columns} FROM {table}")) for table, columns in KEPT.items()}


async def test_an_import_on_dask_keeps_the_same_bytes_and_a_worker_that_is_killed_loses_and_doubles_nothing(
    own_cluster: Cluster, tmp_path: Path
) -> None:
    recorded = tmp_path / "recorded"
    await asyncio.to_thread(recorded.mkdir)
    backfill.write(recorded, DEPLOYMENTS, METRICS)
    first, _ = own_cluster.worker(nanny=False), own_cluster.worker(nanny=False)
    dask: dict[str, object] = {"kind": "dask", "address": own_cluster.address, "batch": 2}
    on_dask = await asyncio.create_subprocess_exec(*command_of(tmp_path / "dask", recorded, dask))
    ended = asyncio.create_task(on_dask.wait())
    while not backfill.answered(tmp_path / "dask") and not ended.done():
        await asyncio.wait([ended], timeout=0.1)
    os.killpg(first.pid, signal.SIGKILL)
    assert await ended == 0
    here = command_of(tmp_path / "processes", recorded, {"kind": "processes"})
    by_processes = await asyncio.create_subprocess_exec(*here)
    assert await by_processes.wait() == 0
    found, expected = kept(tmp_path / "dask"), kept(tmp_path / "processes")
    assert len(found["impacts"]) == DEPLOYMENTS
    assert len(found["courses"]) == DEPLOYMENTS * METRICS
    assert found == expected
