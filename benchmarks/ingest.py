"""Durable deployments per second, beside a bare aiohttp echo in the same run.

    python benchmarks/ingest.py [--seconds 5] [--rounds 5] [--clients 1 8 32]

Both servers are processes of their own on this machine; the clients keep their connections and ask again as soon as
they are answered. An answer of the exporter means that the deployment, its looks and its key are on disk. At the end
the exporter is killed without warning and every acknowledged deployment is looked up in its file.
"""

import argparse
import asyncio
import itertools
import os
import signal
import socket
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, Popen

import orjson
from aiohttp import ClientSession, web

from afdp_exporter.store.sqlite.connection import open_reader

CONFIG = """
sources: [{name: recorded, kind: recording, path: .}]
metrics: [{name: latency_seconds, layer: technical, query: 'latency{service="$service"}'}]
"""
numbers = itertools.count()


@dataclass
class Run:
    """What the clients saw in one stretch of time."""

    seconds: float
    cpu: float
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Of the time until an answer, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


class Client(asyncio.Protocol):
    """One connection: a deployment, its answer, the next one."""

    def __init__(self, port: int, run: Run, acked: list[str], until: float) -> None:
        self._port = port
        self._run = run
        self._acked = acked
        self._until = until
        self._received = b""
        self._loop = asyncio.get_running_loop()
        self.done = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Once the answer is whole, count it and go on."""
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return
        if not head.startswith((b"HTTP/1.1 201", b"HTTP/1.1 200")):
            self.done.set_exception(RuntimeError(self._received.decode()))
            return
        now = self._loop.time()
        self._run.latencies.append(now - self._asked)
        self._acked.append(self._id)
        if now >= self._until:
            self._transport.close()
            self.done.set_result(None)
            return
        self._received = b""
        self._ask()

    def _ask(self) -> None:
        self._id = f"d{next(numbers)}"
        body = orjson.dumps(
            {
                "id": self._id,
                "service": f"service-{hash(self._id) % 50}",
                "environment": "production",
                "version": "v2.1.0",
                "change_types": ["code"],
                "strategy": "rolling",
                "team": "payments",
                "labels": {"region": "eu-west-1"},
                "url": "https://ci.example.com/builds/4711",
            }
        )
        head = f"POST /api/v1/deployments HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._asked = self._loop.time()
        self._transport.write(head.encode() + body)


def echo(port: int) -> None:
    """The bare server: parses the body and sends it back."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(await request.json(), status=201)

    app = web.Application()
    app.router.add_post("/api/v1/deployments", answer)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(port: int, *command: str) -> Iterator[Popen[bytes]]:
    """A server; killed at the end."""
    with Popen([sys.executable, *command], stdout=DEVNULL) as process:
        try:
            asyncio.run(answers(port, process))
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


async def answers(port: int, process: Popen[bytes]) -> None:
    """Wait until the server takes connections and is ready."""
    async with ClientSession() as session:
        while process.poll() is None:
            try:
                async with session.get(f"http://127.0.0.1:{port}/-/ready") as response:
                    if response.status in {200, 404}:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError("the server has ended before it was ready")


async def press(port: int, process: int, clients: int, seconds: float, acked: list[str]) -> Run:
    """Let so many clients ask for so long."""
    loop = asyncio.get_running_loop()
    begun, before = loop.time(), cpu_seconds(process)
    run = Run(seconds=0.0, cpu=0.0)
    pairs = [
        await loop.create_connection(lambda: Client(port, run, acked, begun + seconds), "127.0.0.1", port)
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in pairs))
    run.seconds, run.cpu = loop.time() - begun, cpu_seconds(process) - before
    return run


def cpu_seconds(process: int) -> float:
    """Processor time that a process with all its threads has used."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def compare(options: argparse.Namespace, folder: Path) -> None:
    """Both servers in turns, then the kill and the count."""
    config = folder / "afdp.yml"
    config.write_text(CONFIG, encoding="utf-8")
    ports = free_port(), free_port()
    serve = ["-m", "afdp_exporter", "serve", f"--config.file={config}", f"--storage.path={folder}"]
    serve += [f"--web.listen-address=127.0.0.1:{ports[1]}", "--log.level=warn"]
    acked: list[str] = []
    print("| clients | echo /s | exporter /s | ratio: median (min to max) | p50 ms | p99 ms | CPU us a deployment |")
    print("|---|---|---|---|---|---|---|")
    with started(ports[0], __file__, f"--echo={ports[0]}") as bare, started(ports[1], *serve) as exporter:
        for clients in options.clients:
            pairs = [
                (
                    asyncio.run(press(ports[0], bare.pid, clients, options.seconds, [])),
                    asyncio.run(press(ports[1], exporter.pid, clients, options.seconds, acked)),
                )
                for _ in range(options.rounds)
            ]
            print(line(clients, pairs))
    reader = open_reader(folder / "afdp.db")
    stored = {row["id"] for row in reader.execute("SELECT id FROM deployments")}
    print(f"\nacknowledged {len(acked)}, lost after the kill {len(set(acked) - stored)}")


def line(clients: int, pairs: list[tuple[Run, Run]]) -> str:
    """One row of the table: medians over the rounds."""
    ratios = [durable.rate / bare.rate for bare, durable in pairs]
    columns = [
        f"{clients}",
        f"{statistics.median(bare.rate for bare, _ in pairs):.0f}",
        f"{statistics.median(durable.rate for _, durable in pairs):.0f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        *(f"{statistics.median(durable.percentile(percent) for _, durable in pairs):.1f}" for percent in (50, 99)),
        f"{statistics.median(1e6 * durable.cpu / len(durable.latencies) for _, durable in pairs):.0f}",
    ]
    return f"| {' | '.join(columns)} |"


def main() -> None:
    """Read the flags and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--echo", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        echo(options.echo)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


if __name__ == "__main__":
    main()
