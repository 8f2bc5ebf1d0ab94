"""How long the store's reads take with a long history in it.

    python benchmarks/reads.py [--deployments 100000] [--services 50] [--metrics 12] [--copies 0] [--folder FOLDER]

A store that is kept with --folder is filled once. With --copies the whole of it lies there so many times more, each
copy before the other: a million is there in minutes. Times are of the whole operation, with every impact decoded, as a
caller waits for it; of the history of a service the time within SQLite is given as well. At the end `afdp serve` is
started on the store, three times, until it says that it is ready.
"""

import argparse
import asyncio
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

from aiohttp import ClientSession

from afdp_exporter.model import (
    Attribution,
    ChangeType,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    Shift,
)
from afdp_exporter.store.opening import DATABASE
from afdp_exporter.store.sql.deployments import HISTORY_OF_SERVICE
from afdp_exporter.store.sql.rows import to_us
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.connection import open_reader, sqlite3

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 1000
KINDS = tuple(ChangeType)
CONFIG = """
sources: [{name: none, kind: recording, path: .}]
metrics: [{name: latency_0_seconds, layer: technical, query: latency}]
"""
COPIES = {
    "deployments": {
        "id": "id || '-' || :copy",
        "started_us": "started_us - :apart",
        "finished_us": "finished_us - :apart",
    },
    "looks": {"deployment_id": "deployment_id || '-' || :copy", "due_us": "due_us - :apart"},
    "impacts": {
        "deployment_id": "deployment_id || '-' || :copy",
        "measured_us": "measured_us - :apart",
        "document": "replace(document, deployment_id, deployment_id || '-' || :copy)",
    },
}
"""What differs in a copy of each table's rows."""


def deployment(number: int, services: int) -> Deployment:
    """One every five minutes, of one service after the other."""
    started = BEGIN + timedelta(minutes=5 * number)
    return Deployment(
        id=f"d{number:07d}",
        service=f"service-{number % services}",
        environment="production" if number % 3 else "staging",
        started_at=started,
        finished_at=started + timedelta(minutes=4),
        received_at=started,
        version=f"v{number}",
        change_types=(KINDS[number * 7 % len(KINDS)],),
        traits={"lines_changed": float(number * 37 % 900), "reviewers": float(number * 11 % 5)},
    )


def impact(deployment: Deployment, metrics: int) -> Impact:
    """All metrics judged, all figures there; database migrations do more, and every other one of them is bad."""
    migration, chance = ChangeType.DATABASE in deployment.change_types, random.Random(deployment.id)
    bad = chance.random() < (0.5 if migration else 0.1)
    change = chance.gauss(0.03 if bad else 0.015, 0.004)
    shifts = tuple(
        Shift(
            metric=f"latency_{number}_seconds",
            layer=Layer.USER,
            verdict=Attribution.ATTRIBUTED,
            reason="the level rose by more than it ever did without a deployment",
            onset=deployment.started_at,
            before=0.2437,
            after=0.2437 + change,
            change=change,
            low=change - 0.0031,
            high=change + 0.0031,
            change_ratio=change / 0.2437,
            p_value=0.0031,
            attribution_ratio=0.93,
            duration=timedelta(minutes=30),
        )
        for number in range(metrics)
    )
    measured = deployment.ended_at + timedelta(hours=1)
    hourly = 4e4 * change
    return Impact(
        deployment_id=deployment.id,
        measured_at=measured,
        shifts=shifts,
        outcome=Outcome.DEGRADATION if bad else Outcome.SUCCESS,
        outcome_reason="slower" if bad else "as before",
        costs=(Cost(currency="USD", per_hour=Estimate(low=0.8 * hourly, median=hourly, high=1.2 * hourly)),),
    )


async def fill(store: SQLiteStore, options: argparse.Namespace) -> None:
    """Record, look and measure, many at once."""
    for first in range(0, options.deployments, BATCH):
        batch = [deployment(number, options.services) for number in range(first, first + BATCH)]
        looks = [Look(deployment_id=one.id, after=timedelta(hours=1), due_at=one.ended_at) for one in batch]
        await asyncio.gather(*(store.deployments.record(one, (look,)) for one, look in zip(batch, looks, strict=True)))
        done = [
            Look(deployment_id=look.deployment_id, after=look.after, due_at=look.due_at, state=LookState.DONE)
            for look in looks
        ]
        answers = (impact(one, options.metrics) for one in batch)
        await asyncio.gather(*(store.looks.finish(look, answer) for look, answer in zip(done, answers, strict=True)))


def copy(file: Path, count: int, copies: int) -> None:
    """All that was found once more, so many times, each as long before the last as it took."""
    with closing(sqlite3.connect(file)) as connection, connection:
        for number in range(1, copies + 1):
            values = {"copy": number, "apart": number * count * 5 * 60_000_000}
            for table, changed in COPIES.items():
                known = connection.execute(f"PRAGMA table_xinfo({table})").fetchall()
                columns = [name for _, name, *_, hidden in known if not hidden]
                listed = ", ".join(f'"{name}"' for name in columns)
                wanted = ", ".join(changed.get(name, f'"{name}"') for name in columns)
                of = "deployment_id" if table != "deployments" else "id"
                connection.execute(
                    f"INSERT INTO {table} ({listed}) SELECT {wanted} FROM {table} WHERE {of} NOT LIKE '%-%'", values
                )


async def timed(read: Callable[[], Awaitable[object]], times: int = 15) -> list[float]:
    """Milliseconds of each of so many reads."""
    taken = []
    for _ in range(times):
        begun = perf_counter()
        await read()
        taken.append(1000 * (perf_counter() - begun))
    return taken


def within_sqlite(path: Path, service: str, before: datetime, times: int = 15) -> list[float]:
    """Milliseconds of the history of a service without the decoding of its impacts."""
    reader = open_reader(path)
    values = {"before": to_us(before), "service": service, "limit": 1000}
    taken = []
    for _ in range(times):
        begun = perf_counter()
        reader.execute(HISTORY_OF_SERVICE, values).fetchall()
        taken.append(1000 * (perf_counter() - begun))
    reader.close()
    return taken


async def measure(path: Path, options: argparse.Namespace) -> None:
    """Fill the file where it is new, then time each read."""
    store = await SQLiteStore.open(path)
    if not (await store.deployments.page(limit=1)).deployments:
        await fill(store, options)
        await asyncio.to_thread(copy, path, options.deployments, options.copies)
    begun = perf_counter()
    await store.close()
    store = await SQLiteStore.open(path)
    opened = 1000 * (perf_counter() - begun)
    middle = deployment(options.deployments // 2, options.services)
    end = deployment(options.deployments, options.services).started_at
    reads: dict[str, Callable[[], Awaitable[object]]] = {
        "one deployment": lambda: store.deployments.find(middle.id),
        "a page of 50 of a service": lambda: store.deployments.page(service=middle.service),
        "all of a day": lambda: store.deployments.overlapping(middle.started_at, middle.started_at + timedelta(days=1)),
        "the last 1000 of a service with their impacts": lambda: store.history.measured(
            before=end, service=middle.service
        ),
        "the last 1000 of all with their impacts": lambda: store.history.measured(before=end),
        "the newest 5 of each service and environment": lambda: store.history.recent(5),
        "the backlog": lambda: store.looks.backlog(end),
    }
    count = options.deployments * (1 + options.copies)
    print(f"{count} deployments, {await store.size_bytes() / 1e6:.0f} MB\n")
    print("| read | median ms | longest of 15 |\n|---|---|---|")
    print(f"| closing and opening the file | {opened:.0f} | |")
    print(row("the last 1000 of a service, within SQLite", within_sqlite(path, middle.service, end)))
    for name, read in reads.items():
        print(row(name, await timed(read)))
    await store.close()
    (path.parent / "afdp.yml").write_text(CONFIG)
    print(row("`afdp serve` until it is ready, 3 times", [await ready(path.parent) for _ in range(3)]))


async def ready(folder: Path) -> float:
    """Milliseconds from the start of the exporter on a folder until it says that it is ready."""
    flags = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder}", "--web.listen-address=127.0.0.1:0"]
    command = [sys.executable, "-m", "afdp_exporter", "serve", *flags, "--log.format=json"]
    begun = perf_counter()
    server = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        assert server.stderr
        while (found := re.search(rb"http://[\d.:]+", await server.stderr.readline())) is None:
            pass
        async with ClientSession(found[0].decode()) as session:
            while (await session.get("/-/ready")).status != 200:  # noqa: ASYNC110 - another process gets ready
                await asyncio.sleep(0.01)
        return 1000 * (perf_counter() - begun)
    finally:
        server.terminate()
        await server.communicate()


def row(name: str, taken: list[float]) -> str:
    """One line of the table."""
    return f"| {name} | {statistics.median(taken):.1f} | {max(taken):.1f} |"


def run(measure: Callable[[Path, argparse.Namespace], Coroutine[None, None, None]], description: str | None) -> None:
    """Read the flags and measure, in a file that goes away unless one is named."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--deployments", type=int, default=100_000)
    parser.add_argument("--services", type=int, default=50)
    parser.add_argument("--metrics", type=int, default=12)
    parser.add_argument("--copies", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure((options.folder or Path(folder)) / DATABASE, options))


if __name__ == "__main__":
    run(measure, __doc__)
