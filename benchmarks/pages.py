"""How long pages, reports and predictions take with a long history in the store.

    python benchmarks/pages.py [--deployments 10000] [--copies 0] [--times 50] [--file FILE]

Each deployment has twelve judged metrics; the newest have the course of each, too. With `--copies` the whole of it lies
in the store so many times more, each copy before the other: a million is there in minutes. Times are of the whole
answer over HTTP, as a browser waits for it, without the network; the first request of a fresh process apart. Beside
them the CPU time of the process, which other work on the machine does not lengthen.
"""

import argparse
import asyncio
import gc
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from aiohttp import ClientSession
from reads import BATCH, copy, deployment, impact

from afdp_exporter.config import read
from afdp_exporter.handlers.connections import listening
from afdp_exporter.model import Deployment, EffectWindow, Impact, Look, LookState, Outcome, Trajectory
from afdp_exporter.server import make_app
from afdp_exporter.store.sqlite import SQLiteStore

METRICS = 12
DRAWN = 500  # deployments whose courses are kept: filling the store is slow, and only pages read them
MINUTE = timedelta(minutes=1)
PLANNED = {"service": "service-3", "environment": "production", "version": "v9", "change_types": ["database"]}
PAGES = {
    "the first page": "/",
    "one service, what failed": "/?service=service-3&outcome=degradation",
    "a page far back": "/?cursor={cursor}",
    "a story": "/deployments/{id}",
    "a report": "/api/v1/deployments/{id}",
    "a prediction": "/api/v1/predictions",
}


def courses(deployment: Deployment, chance: np.random.Generator) -> tuple[Trajectory, ...]:
    """Five hours of each metric, minute by minute."""
    start = deployment.started_at - 120 * MINUTE
    level = EffectWindow(
        start=deployment.started_at, end=deployment.started_at + 180 * MINUTE, measured=1, expected=1, low=0, high=2
    )
    return tuple(
        Trajectory(
            metric=f"latency_{number}_seconds", start=start, step=MINUTE, level=level, below=0.01, above=0.01,
            measured=tuple(np.round(0.24 + 0.004 * chance.standard_normal(300), 5).tolist()),
            expected=tuple(np.round(0.24 + 0.0001 * np.arange(180), 5).tolist()),
        )
        for number in range(METRICS)
    )  # fmt: skip


async def fill(store: SQLiteStore, count: int) -> None:
    """The history, with what was found, in batches that share their commits."""
    chance = np.random.default_rng(1)
    for begin in range(0, count, BATCH):
        recorded = [deployment(number, services=20) for number in range(begin, min(begin + BATCH, count))]
        after = timedelta(hours=1)
        looks = [Look(deployment_id=each.id, after=after, due_at=each.ended_at + after) for each in recorded]
        await asyncio.gather(
            *(store.deployments.record(each, (look,)) for each, look in zip(recorded, looks, strict=True))
        )
        drawn = begin + BATCH > count - DRAWN
        await asyncio.gather(
            *(answer(store, *pair, chance if drawn else None) for pair in zip(recorded, looks, strict=True))
        )


async def answer(store: SQLiteStore, deployment: Deployment, look: Look, chance: np.random.Generator | None) -> None:
    """Keep what a look found."""
    found: Impact = impact(deployment, METRICS)
    done = Look(
        deployment_id=deployment.id, after=look.after, due_at=look.due_at, state=LookState.DONE, done_at=look.due_at,
        outcome=Outcome.DEGRADATION,
    )  # fmt: skip
    await store.looks.finish(done, found, courses(deployment, chance) if chance else ())


async def measure(store: SQLiteStore, times: int, count: int) -> None:
    """Ask for each page many times."""
    metric = {"name": "latency_0_seconds", "layer": "technical", "query": "latency"}
    config = read({"sources": [{"name": "none", "kind": "recording", "path": "."}], "metrics": [metric]})
    now = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=5 * count)
    app = make_app(config, store=store, clock=lambda: now)
    async with listening(app, [("127.0.0.1", 0)]) as (url,), ClientSession(url) as client:
        overview = await store.history.overview(limit=count // 2)
        words = {"cursor": overview.cursor or "", "id": deployment(count - 1, 20).id}
        for name, path in PAGES.items():
            took, used = [], 0.0
            for _ in range(times):
                busy = process_time()
                began = perf_counter()
                if name == "a prediction":
                    answered = await client.post(path, json=PLANNED)
                else:
                    answered = await client.get(path.format(**words))
                size = len(await answered.read())
                assert answered.status == 200
                took.append(1e3 * (perf_counter() - began))
                used += 1e3 * (process_time() - busy) / times
            points = statistics.quantiles(took[1:], n=100, method="inclusive")
            print(
                f"{name:28} first {took[0]:6.1f} ms, median {statistics.median(took):6.1f} ms, 95 % point "
                f"{points[94]:6.1f} ms, 99 % {points[98]:6.1f} ms, CPU {used:5.1f} ms, {size / 1024:.0f} KiB"
            )


async def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=10_000)
    parser.add_argument("--copies", type=int, default=0)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--file", type=Path, help="kept, and filled only once")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.file or Path(folder) / "pages.db"
        fresh = not file.exists()
        store = await SQLiteStore.open(file)
        try:
            if fresh:
                await fill(store, arguments.deployments)
                await asyncio.to_thread(copy, file, arguments.deployments, arguments.copies)
            count, size = arguments.deployments * (1 + arguments.copies), await store.size_bytes() / 2**20
            print(f"{count} deployments, {size:.0f} MiB")
            await measure(store, arguments.times, arguments.deployments)
        finally:
            await store.close()


if __name__ == "__main__":
    gc.freeze()  # as the command does
    asyncio.run(main())
