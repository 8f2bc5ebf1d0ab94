"""A process that writes as fast as it can and says so, until it is killed."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from afdp_exporter.model import Deployment, Look
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POSTERS = 8


def write(path: Path, first: int, told: Connection, *, ack_first: bool) -> None:
    """Record `d<first>` and so on, each twice under one key, and send each id once it is acknowledged.

    With `ack_first` it is sent before the store has answered: the deliberate defect that shows that the test can fail.
    """
    asyncio.run(_write(path, itertools.count(first), told, ack_first=ack_first))


async def _write(path: Path, numbers: Iterator[int], told: Connection, *, ack_first: bool) -> None:
    store = await SQLiteStore.open(path)
    await asyncio.gather(*(_post(store, numbers, told, ack_first=ack_first) for _ in range(POSTERS)))


async def _post(store: SQLiteStore, numbers: Iterator[int], told: Connection, *, ack_first: bool) -> None:
    for number in numbers:
        name = f"d{number}"
        deployment = Deployment(id=name, service="s", environment="e", started_at=NOON, received_at=NOON)
        again = Deployment(id=f"{name}-again", service="s", environment="e", started_at=NOON, received_at=NOON)
        look = Look(deployment_id=name, after=timedelta(minutes=2), due_at=NOON)
        if ack_first:
            told.send_bytes(name.encode())
        await asyncio.gather(store.record(deployment, (look,), key=name), store.record(again, (), key=name))
        if not ack_first:
            told.send_bytes(name.encode())
