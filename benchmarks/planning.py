"""How long learning and predicting take with a long history in the store.

    python benchmarks/planning.py [--deployments 100000] [--services 50] [--metrics 12] [--file FILE]

The store is that of `reads.py`. Learning anew is timed as `afdp serve` does it after a final look: from the word that
something was measured until the new model is in use, the reading of the store and the worker process included.
"""

import argparse
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import perf_counter

from backfill import Usage
from reads import deployment, fill, row, run, timed

from afdp_exporter.compute.opening import open_compute
from afdp_exporter.model import Status
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore

TIMES = 7


async def renewals(planner: Planner, measured: str, now: datetime) -> tuple[list[float], float]:
    """Milliseconds of each of so many times that everything in use is learned anew, and those of CPU in the mean."""
    taken, usage = [], Usage()
    usage.look(os.getpid())
    before = usage.seconds
    for _ in range(TIMES):
        begun = perf_counter()
        planner.measured(measured)
        await planner.renew(Plans(), now)
        taken.append(1000 * (perf_counter() - begun))
    usage.look(os.getpid())
    return taken, 1000 * (usage.seconds - before) / TIMES


async def measure(path: Path, options: argparse.Namespace) -> None:
    """Fill the file where it is new, then learn and predict."""
    store = await SQLiteStore.open(path)
    if not (await store.deployments.page(limit=1)).deployments:
        await fill(store, options)
    planned = replace(deployment(options.deployments, options.services), status=Status.PLANNED, finished_at=None)
    now, compute = planned.started_at, open_compute(workers=1)
    planner = Planner(StoreReader(store, compute, lambda: Plans().settings.deadline))
    print("| what | median ms | longest |\n|---|---|---|")
    await planner.windows(planned.service, 168, Plans(), now)
    newest = deployment(options.deployments - options.services, options.services)
    taken, spent = await renewals(planner, newest.id, now)
    print(row("learn one service anew", taken))
    print(f"| of it CPU of all processes, mean | {spent:.0f} | |")
    begun = perf_counter()
    found = await planner.predict(planned, Plans(), now)
    print(row("the first prediction, which mines the patterns", [1000 * (perf_counter() - begun)]))
    print(row("a prediction", await timed(lambda: planner.predict(planned, Plans(), now), TIMES)))
    print(f"\n{options.deployments} deployments; learned from {found.n} ({found.basis}), {len(found.metrics)} metrics")
    await compute.close()
    await store.close()


if __name__ == "__main__":
    run(measure, __doc__)
