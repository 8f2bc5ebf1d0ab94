"""How long the gate takes to answer at 200 requests a second on one core, also where its source is away.

    .venv/bin/python benchmarks/gate.py [--seconds 30] [--rate 200] [--deployments 2000] [--next-check 60]

The exporter is a process of its own, held to one core where the machine has two; this one asks from the other, at fixed
times, whether or not the answers before have come. Three questions take turns: a deployment that was measured, one that
is planned, and one of which nothing could be measured since its source is away. Beside them `/-/healthy` is asked 20
times a second: what it takes is what the machine and the connection take.

150 questions at 100 a second come back every 1.5 s: with `--next-check 1` that is a crowd of pipelines, each of which
polls as seldom as it was asked to.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter

import aiohttp
import numpy as np
import yaml
from reads import deployment, impact

from afdp_exporter.model import Deployment, Look, LookState
from afdp_exporter.store.opening import DATABASE
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.store.sqlite.connection import open_reader

SERVICES, METRICS, VERSIONS = 20, 12, 50
HEALTHY = 20.0  # requests a second
_CONNECTIONS = 40  # fewer than one address may have: what is not answered yet waits here, and is counted so
_CONFIG = {
    "sources": [{"name": "prometheus", "kind": "prometheus", "url": "http://127.0.0.1:9"}],
    "metrics": [{"name": f"latency_{number}_seconds", "layer": "user", "query": "up"} for number in range(METRICS)],
}


async def fill(path: Path, count: int, now: datetime) -> None:
    """A history of measured deployments that ends now, and one that waits for its checks since its source is away."""
    store = await SQLiteStore.open(path)
    hour = timedelta(hours=1)
    for number in range(count):
        recorded = _moved(deployment(number, SERVICES), now - (count - number) * timedelta(minutes=30))
        look = Look(deployment_id=recorded.id, after=hour, due_at=recorded.ended_at + hour)
        await store.deployments.record(recorded, (look,))
        await store.looks.finish(replace(look, state=LookState.DONE), impact(recorded, METRICS))
    waiting = replace(_moved(deployment(count, SERVICES), now - timedelta(minutes=20)), id="waiting")
    look = Look(deployment_id="waiting", after=timedelta(minutes=5), due_at=now - timedelta(minutes=11))
    await store.deployments.record(waiting, (look,))
    await store.close()


def _moved(made: Deployment, started: datetime) -> Deployment:
    return replace(made, started_at=started, finished_at=started + timedelta(minutes=4), received_at=started)


class Asking:
    """Asks at fixed times and remembers how long each answer took, in milliseconds, by the kind of question."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.taken: dict[str, list[float]] = {}
        self.verdicts: dict[str, set[str]] = {}

    async def ask(self, kind: str, path: str) -> None:
        """One question."""
        begun = perf_counter()
        async with self.session.get(path) as answer:
            body = await (answer.json() if path.startswith("/api") else answer.text())
        self.taken.setdefault(kind, []).append(1000.0 * (perf_counter() - begun))
        if isinstance(body, dict):
            self.verdicts.setdefault(kind, set()).add(body["verdict"])

    async def regularly(self, rate: float, seconds: float, questions: list[tuple[str, str]]) -> None:
        """So many a second, in turn, whether or not the answers before have come."""
        begun, asked = perf_counter(), []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(begun + number / rate - perf_counter(), 0.0))
            asked.append(asyncio.create_task(self.ask(*questions[number % len(questions)])))
        await asyncio.gather(*asked)


def questions(count: int) -> list[tuple[str, str]]:
    """The three kinds in turn."""
    found = []
    for number in range(VERSIONS):
        measured = f"d{count - 1 - number:07d}"
        planned = f"service=service-{number % SERVICES}&version=new-{number}&phase=plan"
        found += [
            ("measured", f"/api/v1/gate?deployment_id={measured}"),
            ("planned", f"/api/v1/gate?{planned}"),
            ("source away", "/api/v1/gate?deployment_id=waiting"),
        ]
    return found


async def measure(folder: Path, options: argparse.Namespace) -> None:
    """Fill, serve, ask, and print the table."""
    await fill(folder / DATABASE, options.deployments, datetime.now(UTC))
    gate = {"mode": "enforced", "next_check": f"{options.next_check}s"}
    (folder / "afdp.yml").write_text(yaml.safe_dump({**_CONFIG, "policy": {"gates": {"default": gate}}}))
    command = ["-m", "afdp_exporter", "serve", f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder}",
               "--web.listen-address=127.0.0.1:0"]  # fmt: skip
    server = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=asyncio.subprocess.PIPE)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(server.pid, {cores[0]})
    os.sched_setaffinity(0, {cores[-1]})
    try:
        keeping_to = aiohttp.TCPConnector(limit=_CONNECTIONS)
        async with aiohttp.ClientSession(base_url=await _address(server), connector=keeping_to) as session:
            first, asking = Asking(session), Asking(session)
            for question in questions(options.deployments):
                await first.ask(*question)
            await _settled(folder / DATABASE)
            every = questions(options.deployments)
            begun = _cpu_seconds(server.pid)
            await asyncio.gather(
                asking.regularly(options.rate, options.seconds, every),
                asking.regularly(HEALTHY, options.seconds, [("/-/healthy", "/-/healthy")]),
            )
            busy = _cpu_seconds(server.pid) - begun
        _table(asking, first, options)
        print(f"\n{1000 * busy / (options.rate * options.seconds):.2f} ms of CPU a request")
    finally:
        server.terminate()
        await server.communicate()


async def _settled(path: Path) -> None:
    """Once each deployment of the history is predicted and decided, as it is where they came one after the other."""
    with closing(open_reader(path)) as reader:
        waiting = "SELECT count(*) FROM jobs WHERE kind IN ('predict', 'decide')"
        while reader.execute(waiting).fetchone()[0]:  # noqa: ASYNC110 - another process settles
            await asyncio.sleep(1.0)


def _cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    used = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


async def _address(server: asyncio.subprocess.Process) -> str:
    if server.stderr is None:
        raise RuntimeError("the server's words are not read")
    async for line in server.stderr:
        if b"address=" in line:
            return line.decode().split("address=")[1].split()[0].strip('"')
    raise RuntimeError("the server does not start")


def _table(asking: Asking, first: Asking, options: argparse.Namespace) -> None:
    print("| question | n | median ms | p99 ms | longest ms | verdicts | first answer, median ms |\n|" + "---|" * 7)
    for kind, taken in asking.taken.items():
        median, p99 = np.percentile(taken, [50, 99])
        known = ", ".join(sorted(asking.verdicts.get(kind, ())))
        begun = f"{np.median(first.taken[kind]):.1f}" if kind in first.taken else ""
        print(f"| {kind} | {len(taken)} | {median:.1f} | {p99:.1f} | {max(taken):.1f} | {known} | {begun} |")
    load = os.getloadavg()[0]
    print(f"\n{options.rate:.0f} requests a second for {options.seconds:.0f} s, {options.deployments} deployments,")
    print(f"load of the machine {load:.1f} on {os.cpu_count()} cores")


def main() -> None:
    """Read the flags and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--deployments", type=int, default=2000)
    parser.add_argument("--next-check", type=int, default=60)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), parser.parse_args()))


if __name__ == "__main__":
    main()
