"""How fast the past is measured, and in how much memory: `python benchmarks/backfill.py --help`."""

import argparse
import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from afdp_exporter.model import Floats

SERVICES = 20
DAYS = 90
STEP = 300.0
LAYERS = ("technical", "system", "user", "business", "custom")
SHIFTED = 5  # every so many deployments does something
START = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


@dataclass(slots=True)
class Usage:
    """What a process and its children took: MB of proportional set sizes, in which shared pages count once, and CPU."""

    whole: list[float] = field(default_factory=list)
    main: list[float] = field(default_factory=list)
    cpu: dict[int, float] = field(default_factory=dict)
    mains: set[int] = field(default_factory=set)

    @property
    def seconds(self) -> float:
        """Of CPU, up to the last look."""
        return sum(self.cpu.values())

    @property
    def seconds_of_main(self) -> float:
        """Those of the processes that were looked at themselves."""
        return sum(self.cpu.get(each, 0.0) for each in self.mains)

    def look(self, *pids: int) -> None:
        self.mains.add(pids[0])
        family = [each for pid in pids for each in _family(pid)]
        self.cpu |= {each: _cpu(each) or self.cpu.get(each, 0.0) for each in family}
        sizes = [size for each in family if (size := _pss(each)) is not None]
        self.whole.append(sum(sizes))
        self.main.append(sizes[0] if sizes else 0.0)


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _pss(pid: int) -> float | None:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1]) / 1024
    return None


def _cpu(pid: int) -> float:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def write(folder: Path, deployments: int, metrics: int) -> None:
    """A recording with a daily season, autocorrelated noise and a step at every fifth deployment; its deployments."""
    chance = np.random.default_rng(1)
    recording = folder / "recording"
    recording.mkdir()
    times = np.arange(START, START + DAYS * 86400, STEP)
    first = START + 8 * 86400
    times_of_start = np.sort(chance.uniform(first, times[-1] - 86400, deployments)).round()
    with (folder / "deployments.jsonl").open("wb") as file:
        for number, at in enumerate(times_of_start):
            body = {
                "id": f"d{number}",
                "service": f"s{number % SERVICES}",
                "version": f"v{number}",
                "started_at": float(at),
            }
            file.write(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))
    stamps = orjson.dumps(times.astype(np.int64), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
    for metric in range(metrics):
        with (recording / f"m{metric}.csv").open("wb") as file:
            file.write(b"timestamp,metric,service,value\n")
            for service in range(SERVICES):
                steps = times_of_start[service::SERVICES][::SHIFTED]
                values = orjson.dumps(_course(chance, times, steps), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(
                    b","
                )
                name = f",m{metric},s{service},".encode()
                file.write(b"\n".join(map(name.join, zip(stamps, values, strict=True))) + b"\n")
    (folder / "afdp.yml").write_bytes(orjson.dumps(_configuration(recording, metrics)))


def _course(chance: np.random.Generator, times: Floats, steps: Floats) -> Floats:
    noise = np.convolve(chance.normal(size=times.size + 9), 0.7 ** np.arange(10), mode="valid")
    raised = np.zeros(times.size)
    for at in steps:
        raised[(times >= at) & (times < at + 6 * 3600)] = 8.0
    return np.round(100 + 10 * np.sin(2 * np.pi * times / 86400) + noise + raised, 3)


def _configuration(recording: Path, metrics: int) -> dict[str, object]:
    return {
        "sources": [{"kind": "recording", "path": str(recording)}],
        "metrics": [
            {"name": f"m{number}", "layer": LAYERS[number % 5], "query": f'm{number}{{service="$service"}}'}
            for number in range(metrics)
        ],
        "services": [{"name": f"s{number}"} for number in range(SERVICES)],
        "policy": {"analysis": {"step": "5m"}},
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One `afdp import`: seconds, its last words, and which looks it left answered, with the instant of the answer."""

    seconds: float
    output: str
    answered: dict[str, int]


@contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[list[int]]:
    """The pids of a scheduler and so many workers of one thread; the configuration has its analyses done there."""
    place = folder / "scheduler.json"
    common = [sys.executable, "-m", "dask"]
    options = ["--no-dashboard", "--scheduler-file", str(place)]
    own = {"cwd": folder, "stderr": subprocess.DEVNULL, "start_new_session": True}
    processes = [subprocess.Popen([*common, "scheduler", "--host", "tcp://127.0.0.1", "--port", "0", *options], **own)]
    try:
        processes += [
            subprocess.Popen([*common, "worker", "--nthreads", "1", "--no-nanny", *options], **own)
            for _ in range(workers)
        ]
        while not place.exists() or not place.read_bytes().endswith(b"}"):
            time.sleep(0.1)
        config = orjson.loads((folder / "afdp.yml").read_bytes())
        executor = {"kind": "dask", "address": orjson.loads(place.read_bytes())["address"]}
        config["policy"]["analysis"] |= {"executor": executor, "workers": workers}
        (folder / "afdp.yml").write_bytes(orjson.dumps(config))
        yield [each.pid for each in processes]
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def run(folder: Path, usage: Usage, *, most: float = inf, limit: float = inf, beside: Sequence[int] = ()) -> Run:
    """Import, and end it by SIGKILL once `most` looks are answered, or after `limit` seconds."""
    command = [sys.executable, "-m", "afdp_exporter", "import", str(folder / "deployments.jsonl")]
    options = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}"]
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, *options, stdout=asyncio.subprocess.PIPE)
    reading = asyncio.create_task(process.communicate())
    while not reading.done():
        usage.look(process.pid, *beside)
        if len(answered(folder)) >= most or time.perf_counter() - started > limit:
            process.kill()
        await asyncio.wait([reading], timeout=1.0)
    output, _ = await reading
    if process.returncode not in {0, -signal.SIGKILL}:
        raise SystemExit(f"afdp import ended with status {process.returncode}")
    seconds = time.perf_counter() - started
    return Run(seconds=seconds, output=output.decode().strip(), answered=answered(folder))


def answered(folder: Path) -> dict[str, int]:
    """The deployments whose look was answered, and when: to answer it again would move that instant."""
    file = folder / "data" / "afdp.db"
    if not file.exists():
        return {}
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT deployment_id, done_us FROM looks WHERE state = 'done'"))
    return {}


async def measure(arguments: argparse.Namespace, console: Console) -> None:
    """Write a recording, import its deployments, killed once on the way, and print what it took."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        started = time.perf_counter()
        write(folder, arguments.deployments, arguments.metrics)
        size = sum(each.stat().st_size for each in (folder / "recording").iterdir()) / 1e6
        samples = SERVICES * arguments.metrics * DAYS * 86400 / STEP
        console.print(f"{samples:,.0f} samples, {size:,.0f} MB of CSV, in {time.perf_counter() - started:.0f} s")
        usage = Usage()
        with dask_cluster(folder, arguments.dask_workers) if arguments.dask_workers else nullcontext([]) as beside:
            killed = await run(folder, usage, most=arguments.kill_after, beside=beside)
            rest = await run(folder, usage, limit=arguments.limit, beside=beside)
        console.print(rest.output)
    seconds, done = killed.seconds + rest.seconds, len(rest.answered)
    twice = sum(rest.answered.get(name) != at for name, at in killed.answered.items())
    span = timedelta(seconds=round(seconds))
    table = Table("figure", "value", title=f"{arguments.deployments} deployments, {arguments.metrics} metrics")
    table.add_row("measured", f"{done} ({done / arguments.deployments:.0%}) in {span}")
    table.add_row("of them before SIGKILL", f"{len(killed.answered)}")
    table.add_row("of these lost, or answered again", f"{twice}")
    table.add_row("deployments a second", f"{done / seconds:.2f}")
    table.add_row("CPU seconds a deployment", f"{usage.seconds / done:.2f}")
    table.add_row("of it of the command itself", f"{usage.seconds_of_main / done:.2f}")
    table.add_row("metrics judged a second", f"{done * arguments.metrics / seconds:.0f}")
    table.add_row("peak memory of all processes, MB", f"{max(usage.whole):.0f}")
    table.add_row("peak memory of the main process, MB", f"{max(usage.main):.0f}")
    table.add_row("load of the machine", f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} cores")
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployments", type=int, default=5000)
    parser.add_argument("--metrics", type=int, default=40)
    parser.add_argument("--dask-workers", type=int, default=0, help="on a Dask cluster of so many, not by processes")
    parser.add_argument("--kill-after", type=int, default=100, help="deployments measured; then it is begun anew")
    parser.add_argument("--limit", type=float, default=inf, help="seconds, after which the rest is left")
    asyncio.run(measure(parser.parse_args(), Console()))
