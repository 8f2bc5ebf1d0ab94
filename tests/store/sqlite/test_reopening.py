"""What is kept is there when the file is opened again."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from afdp_exporter.model import Deployment, Look, LookState
from afdp_exporter.store.sqlite import SQLiteStore
from looking import claim_looks


async def test_what_was_recorded_is_there_after_the_store_is_opened_again(
    path: Path, deployment: Callable[..., Deployment], look: Callable[..., Look]
) -> None:
    store = await SQLiteStore.open(path)
    await store.deployments.record(deployment(version="v2"), (look(),))
    await store.close()

    again = await SQLiteStore.open(path)
    assert await again.deployments.find("d1") == deployment(version="v2")
    assert await again.looks.of_deployment("d1") == (look(),)
    await again.close()


async def test_a_look_that_an_ended_process_had_taken_is_due_at_once_in_the_next(
    path: Path, deployment: Callable[..., Deployment], look: Callable[..., Look], noon: datetime
) -> None:
    store = await SQLiteStore.open(path)
    await store.deployments.record(deployment(), (look(), look(minutes=5, state=LookState.DONE)))
    await claim_looks(store, noon + timedelta(minutes=2), limit=9, lease=timedelta(minutes=5))
    await store.close()
    again = await SQLiteStore.open(path)
    (taken,) = await claim_looks(again, noon + timedelta(minutes=10), limit=9, lease=timedelta(minutes=5))
    assert taken.after == timedelta(minutes=2)
    await again.close()
