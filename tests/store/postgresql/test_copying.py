"""`afdp store copy`: everything arrives as it was, or nothing does."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from afdp_exporter import cli
from afdp_exporter.model import Annotation, CommitChange, Deployment, Impact, Look, LookState, Trajectory
from afdp_exporter.store import NewJob, Store
from afdp_exporter.store.opening import open_store, url_of_file

LEASE = timedelta(minutes=5)


async def fill(store: Store, deployments: list[Deployment], look: Look, impact: Impact, noon: datetime) -> None:
    """Some of everything; a look is held, and an annotation is gone."""
    await store.notices.set_receivers(["ear"])
    for deployment in deployments:
        due = replace(look, deployment_id=deployment.id)
        await store.deployments.record(deployment, (due,), key=f"key of {deployment.id}")
    course = Trajectory(metric="m", start=noon, step=timedelta(minutes=1), measured=(1.0, None))
    done = replace(look, deployment_id=deployments[0].id, state=LookState.DONE, done_at=noon)
    assert await store.looks.finish(done, replace(impact, deployment_id=deployments[0].id), (course,))
    assert await store.jobs.claim("check", noon + LEASE, owner="gone", limit=1, lease=LEASE)
    annotation = Annotation(at=noon, text="ä\n\t\\", tags=("deploy",), created_at=noon, updated_at=noon)
    await store.annotations.add(annotation)
    gone = await store.annotations.add(annotation)
    await store.annotations.remove(gone.id)
    await store.deployments.save_commit_change(CommitChange(commit="abc", traits={"files": 3.0}, change_types=()))
    await store.cursors.save("github", "7")
    await store.jobs.enqueue(NewJob(kind="k", key="a", due_at=noon))


async def everything(store: Store, ids: list[str], now: datetime) -> dict[str, object]:
    """All that can be asked of it; what was held is due."""
    return {
        "deployments": await store.deployments.page(limit=100),
        "looks": [await store.looks.of_deployment(each) for each in ids],
        "impacts": await store.results.impacts(ids),
        "courses": [await store.results.trajectories(each) for each in ids],
        "changes": await store.changes.since(0),
        "last": await store.changes.last(),
        "annotations": await store.annotations.search(),
        "cursor": await store.cursors.find("github"),
        "pending": await store.notices.pending(),
        "due": await store.jobs.next_at(["check", "k", "notice", "predict", "decide"]),
        "backlog": await store.looks.backlog(now),
        "key": await store.pseudonym_key(),
    }


def run(folder: Path, database: str) -> tuple[int, str]:
    """The command's status and what it says."""
    options = ["store", "copy", f"--from={folder}", f"--to={database}", "--output=json"]
    done = CliRunner().invoke(cli._afdp, options)
    return done.exit_code, done.output if done.exception is None else str(done.exception)


async def test_everything_is_copied_with_its_ids_and_only_into_an_empty_store(
    tmp_path: Path,
    database: str,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
) -> None:
    noon = deployment().started_at
    deployments = [deployment(f"d{n}", started_at=noon + timedelta(days=20 * n), commit="abc") for n in range(4)]
    ids = [each.id for each in deployments]
    now = noon + LEASE
    store = await open_store(url_of_file(tmp_path / "afdp.db"))
    await fill(store, deployments, look(), impact(), noon)
    await store.close()
    store = await open_store(url_of_file(tmp_path / "afdp.db"))
    before = await everything(store, ids, now)
    status, refused = await asyncio.to_thread(run, tmp_path, database)
    assert (status, "in use by another process" in refused) == (1, True)
    await store.close()

    status, output = await asyncio.to_thread(run, tmp_path, database)
    assert status == 0, output
    assert {name: rows for name, rows in orjson.loads(output).items() if name in {"deployments", "courses"}} == {
        "deployments": 4,
        "courses": 1,
    }
    copy = await open_store(database)
    assert await everything(copy, ids, now) == before
    assert (await copy.deployments.record(deployment("new"), (), key="key of d1")).deployment.id == "d1"
    again = Annotation(at=noon, text="x", created_at=noon, updated_at=noon)
    assert (await copy.annotations.add(again)).id == 3
    await copy.close()
    status, refused = await asyncio.to_thread(run, tmp_path, database)
    assert (status, "deployments is not empty" in refused) == (1, True)


@pytest.mark.parametrize("target", ["sqlite:///x", "memory:", "postgresql://afdp:secret@127.0.0.1:1/afdp"])
async def test_a_target_that_cannot_be_used_is_reported(tmp_path: Path, target: str) -> None:
    store = await open_store(url_of_file(tmp_path / "afdp.db"))
    await store.close()
    status, output = await asyncio.to_thread(run, tmp_path, target)
    assert status == 1
    assert "secret" not in output
