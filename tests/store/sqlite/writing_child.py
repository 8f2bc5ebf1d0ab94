"""A process that writes as fast as it can and says so, until it is killed."""

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from afdp_exporter.model import Deployment, Look
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POSTERS = 8


class Ear(Protocol):
    """Where acknowledgements go: the end of a pipe, or standard output."""

    def send_bytes(self, data: bytes, /) -> None:
        """Send one."""


class Stdout:
    """A line each."""

    def send_bytes(self, data: bytes) -> None:
        """Send one."""
        os.write(1, data + b"\n")


def write(path: Path, numbers: Iterable[int], acks: Ear, *, ack_first: bool, synchronous: str = "FULL") -> None:
    """Record `d<number>` for each number, twice under one key, and send the id once it is acknowledged.

    With `ack_first` it is sent before the store has answered, and with `synchronous` other than FULL before it is on
    disk: the deliberate defects that show that the tests can fail.
    """
    asyncio.run(_write(path, iter(numbers), acks, ack_first=ack_first, synchronous=synchronous))


async def _write(path: Path, numbers: Iterator[int], acks: Ear, *, ack_first: bool, synchronous: str) -> None:
    store = await SQLiteStore.open(path)
    store._writer._connection.execute(f"PRAGMA synchronous = {synchronous}")
    await asyncio.gather(*(_post(store, numbers, acks, ack_first=ack_first) for _ in range(POSTERS)))


async def _post(store: SQLiteStore, numbers: Iterator[int], acks: Ear, *, ack_first: bool) -> None:
    for number in numbers:
        name = f"d{number}"
        deployment = Deployment(id=name, service="s", environment="e", started_at=NOON, received_at=NOON)
        again = Deployment(id=f"{name}-again", service="s", environment="e", started_at=NOON, received_at=NOON)
        look = Look(deployment_id=name, after=timedelta(minutes=2), due_at=NOON)
        if ack_first:
            acks.send_bytes(name.encode())
        await asyncio.gather(
            store.deployments.record(deployment, (look,), key=name), store.deployments.record(again, (), key=name)
        )
        if not ack_first:
            acks.send_bytes(name.encode())


if __name__ == "__main__":
    file, count, defect = sys.argv[1:]
    write(
        Path(file),
        range(int(count)),
        Stdout(),
        ack_first=defect == "ack-first",
        synchronous="NORMAL" if defect == "unsynced" else "FULL",
    )
