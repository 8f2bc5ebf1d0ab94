"""Does everything hold over months of operation among faults that a seed draws? How many days a minute is that?

Each seed is a run of its own: processes that crash, stand still and are started anew, a store that fails, sources,
feeds and receivers that are away, late or lie, clocks that are set (tests/simulation). A seed at which something does
not hold is printed with what did not; `--story` adds the last operations before it. With `--file` the
store is one of SQLite, on a disk that is full, refuses or tears what is written, and loses at a power cut what was not
synced. `--defects` plants faults into the product's parts instead and counts the seeds until each is found.
"""

import argparse
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import structlog

from simulation.defects import DEFECTS
from simulation.disk import MemoryDisk
from simulation.sqlite_disk import SQLiteDisk
from simulation.world import Result, run

_EVERY = 10.0  # seconds between two lines of progress


def main() -> int:
    """The number of seeds at which something did not hold, or of defects that were not found."""
    arguments = _arguments()
    _silent()
    if arguments.defects:
        return _defects(arguments)
    seeds = arguments.only or range(arguments.seed, arguments.seed + arguments.seeds)
    began, done, broken, last = time.monotonic(), [], [], 0.0
    disk = SQLiteDisk if arguments.file else MemoryDisk
    for result in _results(seeds, partial(run, days=arguments.days, disk=disk), arguments.jobs):
        done.append(result)
        if result.broken is not None:
            broken.append(result)
            print(f"seed {result.seed}: {result.broken}", flush=True)
            if arguments.story:
                print("\n".join(result.story))
        passed = time.monotonic() - began
        if passed - last > _EVERY:
            last = passed
            print(_line(done, broken, passed), flush=True)
        if arguments.minutes is not None and passed > 60.0 * arguments.minutes:
            break
    print(_line(done, broken, time.monotonic() - began))
    return min(len(broken), 100)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the first of them")
    parser.add_argument("--days", type=float, default=30.0, help="of each, and half a day without faults at its end")
    parser.add_argument("--only", type=int, nargs="*", help="these seeds")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--minutes", type=float, help="begin no further seed after so many")
    parser.add_argument("--file", action="store_true", help="in a file of SQLite on a disk that fails, not in memory")
    parser.add_argument("--story", action="store_true", help="print the last operations of a seed that breaks")
    parser.add_argument("--defects", action="store_true", help="plant faults and find them")
    return parser.parse_args()


def _results(seeds: Iterable[int], run: Callable[[int], Result], jobs: int) -> Iterator[Result]:
    if jobs == 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs, initializer=_silent) as pool:
        waiting, left = [], iter(seeds)
        for seed in left:
            waiting.append(pool.submit(run, seed))
            if len(waiting) > 2 * jobs:
                try:
                    yield waiting.pop(0).result()
                except GeneratorExit:
                    pool.shutdown(cancel_futures=True)
                    raise
        yield from (each.result() for each in waiting)


def _defects(arguments: argparse.Namespace) -> int:
    missed = 0
    for name, (change, faults) in DEFECTS.items():
        seeds = range(arguments.seed, arguments.seed + arguments.seeds)
        runs = (run(seed, arguments.days, change=change, faults=faults) for seed in seeds)
        found = next((each for each in runs if each.broken is not None), None)
        missed += found is None
        where = "not found" if found is None else f"seed {found.seed}, {found.broken}"
        print(f"{name}: {where}", flush=True)
    return missed


def _line(done: list[Result], broken: list[Result], passed: float) -> str:
    days, cpu = sum(each.days for each in done), sum(each.cpu for each in done)
    checks, notices = sum(each.checks for each in done), sum(each.notices for each in done)
    starts, deployments = sum(each.starts for each in done), sum(each.deployments for each in done)
    seeds = ", ".join(str(each.seed) for each in broken) or "none"
    return (
        f"{len(done)} seeds, {days:.0f} days, {60.0 * days / passed:.0f} a minute, {60.0 * days / cpu:.0f} a minute of "
        f"CPU: {deployments} deployments, {checks} checks, {notices} notices, {starts} starts; broken: {seeds}"
    )


def _silent() -> None:
    """What the exporter logs is not asked for; a collection looks at what a run made alone."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed draws
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
