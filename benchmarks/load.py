"""Deployments over HTTP at a steady rate, with their checks: does the exporter stay small, quick and fair?

    python benchmarks/load.py [--rate 5] [--minutes 20] [--services 40] [--scrape 15] [--keep FOLDER] [--gate cpu,rss]

The exporter, a metrics server of made-up series and a bare echo are processes of their own. At each beat one deployment
is posted to the exporter and the same body to the echo; each is checked after one and after two minutes. Printed every
minute and at the end: the resident memory and the CPU of the exporter's main process, the time until an answer beside
the echo's, the delay of the event loop as the exporter itself measures it, and how many checks wait. `--keep` leaves
the store and the log in a folder. Each goal is said to be met or not; `--gate` ends with 1 where one that it names is
not: what depends on who else uses the machine (`post`, `lag`) can be left out.
"""

import argparse
import asyncio
import itertools
import math
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import orjson
from aiohttp import ClientSession, web
from ingest import echo, free_port
from prometheus_client.parser import text_string_to_metric_families

CONFIG = """
sources: [{{name: made_up, kind: prometheus, url: 'http://127.0.0.1:{port}'}}]
metrics:
  - {{name: latency_seconds, layer: technical, query: 'latency_seconds{{service="$service"}}', worse: up}}
  - {{name: error_ratio, layer: technical, query: 'error_ratio{{service="$service"}}', worse: up}}
  - name: revenue_usd_per_hour
    layer: business
    query: 'revenue{{service="$service"}}'
    worse: down
    money: {{currency: USD, per_unit: 1}}
policy:
  watch: {{looks: [1m, 2m]}}
  analysis: {{step: 15s, history: 1h}}
"""
PAGE_TICK = os.sysconf("SC_CLK_TCK")


def made_up(port: int) -> None:
    """A server that answers every range query with a level, a slow wave and noise that depend on time and query."""

    async def answer(request: web.Request) -> web.Response:
        given = parse_qs((await request.text()) or request.query_string)
        query = given["query"][0]
        if "start" not in given:
            return web.json_response({"status": "success", "data": {"resultType": "vector", "result": []}})
        start, end, step = (float(given[name][0]) for name in ("start", "end", "step"))
        points = [start + step * number for number in range(int((end - start) / step) + 1)]
        if "timestamp(" in query:
            places = range(max(query.count("label_replace("), 1))
            found = [
                {"metric": {"afdp_place": str(place)}, "values": [[at, str(at)] for at in points]} for place in places
            ]
        else:
            found = [{"metric": {"service": "s"}, "values": [[at, str(_value(query, at))] for at in points]}]
        content = {"status": "success", "data": {"resultType": "matrix", "result": found}}
        return web.Response(body=orjson.dumps(content), content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


def _value(query: str, at: float) -> float:
    noise = random.Random(f"{query}{at:.0f}").gauss(0, 0.05)
    return 1 + 0.1 * math.sin(at / 3600) + noise


def resident(pid: int) -> float:
    """MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu(pid: int) -> float:
    """Seconds so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / PAGE_TICK


def percentile(values: list[float], percent: float) -> float:
    """Of seconds, in milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)] if ordered else math.nan


class Load:
    """What is sent, and what comes back."""

    def __init__(self, session: ClientSession, exporter: str, beside: str, services: int) -> None:
        self._session = session
        self._exporter = exporter
        self._beside = beside
        self._services = services
        self._numbers = itertools.count()
        self.ours: list[float] = []
        self.echoes: list[float] = []
        self.scrapes: list[float] = []
        self.refused = 0
        self.page: dict[tuple[str, str], float] = {}

    async def beat(self) -> None:
        """One deployment to each."""
        number = next(self._numbers)
        body = {"id": f"d{number}", "service": f"s{number % self._services}", "version": f"1.{number}"}
        self.echoes.append((await self._timed(self._beside, body))[0])
        took, status = await self._timed(self._exporter, body)
        self.ours.append(took)
        self.refused += status != 201

    async def _timed(self, address: str, body: dict[str, str]) -> tuple[float, int]:
        began = time.perf_counter()
        async with self._session.post(f"{address}/api/v1/deployments", json=body) as answer:
            await answer.read()
        return time.perf_counter() - began, answer.status

    async def scrape(self) -> None:
        """One look at /metrics."""
        began = time.perf_counter()
        async with self._session.get(f"{self._exporter}/metrics") as answer:
            text = await answer.text()
        self.scrapes.append(time.perf_counter() - began)
        families = text_string_to_metric_families(text)
        wanted = ("afdp_event_loop_lag_seconds", "afdp_analyses", "afdp_refusals")
        self.page = {
            (each.name, each.labels.get("le", "")): each.value
            for family in families
            if family.name.startswith(wanted)
            for each in family.samples
        }

    def late(self, percent: float) -> float:
        """Below which of the buckets' bounds so many of the timers were late, in milliseconds."""
        count = self.page.get(("afdp_event_loop_lag_seconds_count", ""), 0)
        bounds = sorted(
            (float(le), value)
            for (name, le), value in self.page.items()
            if name == "afdp_event_loop_lag_seconds_bucket"
        )
        return 1000 * next((le for le, value in bounds if value >= count * percent / 100), math.inf)


class Goal(NamedTuple):
    """What must hold, and what was found."""

    name: str
    found: float
    most: float

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.found <= self.most


def goals(load: Load, share: float, memory: list[float]) -> list[Goal]:
    """Of the whole run; memory is said to grow by the second half of the minutes, the first one left out."""
    later = memory[len(memory) // 2 :]
    return [
        Goal("cpu: % of a core that the main process takes", share, 30),
        Goal("rss: MB of the main process at most", max(memory, default=math.inf), 300),
        Goal("growth: MB a minute in the second half", (later[-1] - later[0]) / max(len(later) - 1, 1), 1),
        Goal("post: p99 of an answer, times the echo's", percentile(load.ours, 99) / percentile(load.echoes, 99), 5),
        Goal("lag: p99 of the event loop's delay, ms", load.late(99), 50),
    ]


async def measure(load: Load, pid: int, rate: float, minutes: float, scrape: float) -> list[Goal]:
    """Print a row each minute, and one for all."""
    memory = list[float]()
    print(
        "minute | RSS MB | CPU % | POST p50 p99 ms | echo p50 p99 ms | scrape p99 ms | lag p99 ms | waiting | refused"
    )
    began, beats = time.monotonic(), set[asyncio.Task[None]]()
    used, marked, scraped, row = cpu(pid), began, began, 1
    first = (used, began)
    for number in itertools.count():
        now = time.monotonic()
        if now >= scraped:
            beats.add(asyncio.create_task(load.scrape()))
            scraped += scrape
        if now - began >= 60 * row:
            share = 100 * (cpu(pid) - used) / (now - marked)
            recent = int(rate * 60)
            _print(str(row), load, pid, share, recent)
            used, marked, row = cpu(pid), now, row + 1
            memory.append(resident(pid))
        if now - began >= 60 * minutes:
            break
        beats.add(asyncio.create_task(load.beat()))
        beats = {task for task in beats if not task.done() or task.exception()}
        await asyncio.sleep(max(began + (number + 1) / rate - time.monotonic(), 0))
    await asyncio.gather(*beats)
    share = 100 * (cpu(pid) - first[0]) / (time.monotonic() - first[1])
    _print("all", load, pid, share, len(load.ours))
    return goals(load, share, memory)


def _print(row: str, load: Load, pid: int, share: float, recent: int) -> None:
    waiting = load.page.get(("afdp_analyses_pending", ""), math.nan)
    ours, echoes = load.ours[-recent:], load.echoes[-recent:]
    print(
        f"{row:>6} | {resident(pid):6.0f} | {share:5.0f} | {percentile(ours, 50):7.1f} {percentile(ours, 99):7.1f}"
        f" | {percentile(echoes, 50):7.1f} {percentile(echoes, 99):7.1f} | {percentile(load.scrapes[-10:], 99):8.1f}"
        f" | <={load.late(99):4.0f} | {waiting:5.0f} | {load.refused}",
        flush=True,
    )


async def answers(address: str) -> None:
    """Wait until a server answers."""
    async with ClientSession() as session:
        for _ in range(3000):
            try:
                async with session.get(f"{address}/-/ready"):
                    return
            except OSError:
                await asyncio.sleep(0.1)
    raise RuntimeError(f"{address} does not answer")


async def run(options: argparse.Namespace, folder: Path) -> list[Goal]:
    """Start all three, and measure."""
    ports = exporter, source, beside = [free_port() for _ in range(3)]
    (folder / "afdp.yml").write_text(CONFIG.format(port=source))
    serve = [
        "-m", "afdp_exporter", "serve", f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{exporter}", "--log.level=warn",
    ]  # fmt: skip
    commands = (serve, [__file__, "--made-up", str(source)], [__file__, "--echo", str(beside)])
    with (folder / "log").open("w") as log:
        processes = [
            await asyncio.create_subprocess_exec(sys.executable, *command, stderr=log, stdout=log)
            for command in commands
        ]
        try:
            for port in ports:
                await answers(f"http://127.0.0.1:{port}")
            async with ClientSession() as session:
                load = Load(session, f"http://127.0.0.1:{exporter}", f"http://127.0.0.1:{beside}", options.services)
                return await measure(load, processes[0].pid, options.rate, options.minutes, options.scrape)
        finally:
            for process in processes:
                process.terminate()
                await process.wait()


def main() -> None:
    """Read the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--services", type=int, default=40)
    parser.add_argument("--scrape", type=float, default=15.0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--gate", default="")
    parser.add_argument("--made-up", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--echo", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.made_up or options.echo:
        (made_up if options.made_up else echo)(options.made_up or options.echo)
        return
    with tempfile.TemporaryDirectory() as folder:
        kept = options.keep or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        found = asyncio.run(run(options, kept))
    for goal in found:
        print(f"{'met ' if goal.met else 'NOT '} {goal.name}: {goal.found:.3g}, at most {goal.most:g}")
    if any(goal.name.startswith(f"{each}:") and not goal.met for goal in found for each in options.gate.split(",")):
        sys.exit(1)


if __name__ == "__main__":
    main()
