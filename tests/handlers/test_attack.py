"""An exporter of its own process under attack: its memory stays, and everybody else is answered."""

import asyncio
import os
import resource
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession, TCPConnector

LARGE = 2 * 1024 * 1024
HEAD = f"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n\r\n".encode()
MOST_MB = 128  # 974 without the budget


@dataclass
class Exporter:
    """A running one."""

    port: int
    process: "subprocess.Popen[str]"

    @property
    def megabytes(self) -> float:
        """The memory that its main process holds."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@pytest.fixture
def exporter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Exporter]:
    """As it is; or the program that a test names, with a defect."""
    program = getattr(request, "param", ["-m", "afdp_exporter"])
    content = {
        "sources": [{"name": "recorded", "kind": "recording", "path": str(tmp_path)}],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": "latency"}],
        "webhooks": [{"kind": "github", "secret": "canary-secret"}],
    }
    (tmp_path / "afdp.yml").write_text(yaml.safe_dump(content))
    flags = [
        f"--config.file={tmp_path}/afdp.yml",
        f"--storage.path={tmp_path}/data",
        "--web.listen-address=127.0.0.1:0",
    ]
    serve = [sys.executable, *program, "serve", *flags]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"}) as process:
        assert process.stderr is not None
        address = next(line for line in process.stderr if "msg=listening" in line).partition("address=")[2].split()[0]
        reading = threading.Thread(target=deque, args=(process.stderr, 0))  # who logs is not to wait for us
        reading.start()
        try:
            yield Exporter(int(address.strip('"').rpartition(":")[2]), process)
        finally:
            process.kill()
            reading.join()


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def hold(exporter: Exporter, address: str, held: AsyncExitStack) -> None:
    """A delivery that lacks its last byte, or whatever of it is taken."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(20):
            _, writer = await asyncio.open_connection("127.0.0.1", exporter.port, local_addr=(address, 0))
            held.callback(writer.close)
            writer.write(HEAD + b"x" * (LARGE - 1))
            await writer.drain()


@pytest.mark.parametrize(
    ("connections", "addresses"),
    [(400, 1), (400, 20), pytest.param(5000, 100, marks=pytest.mark.slow)],
)
async def test_deliveries_without_proof_fill_no_memory_and_hold_nobody_up(
    exporter: Exporter, connections: int, addresses: int
) -> None:
    before, url = exporter.megabytes, f"http://127.0.0.1:{exporter.port}"
    connector = TCPConnector(local_addr=("127.0.1.1", 0), force_close=True)
    async with AsyncExitStack() as held, ClientSession(url, connector=connector) as client:
        attack = [
            asyncio.create_task(hold(exporter, f"127.0.0.{2 + number % addresses}", held))
            for number in range(connections)
        ]
        most, longest, rounds = before, 0.0, 0
        while not all(task.done() for task in attack):
            for path in ("/-/healthy", "/metrics"):
                began = time.perf_counter()
                async with client.get(path) as answer:
                    assert answer.status == 200
                longest = max(longest, time.perf_counter() - began)
            async with client.post("/api/v1/deployments", json={"service": "s"}) as answer:
                assert answer.status == 201
            most, rounds = max(most, exporter.megabytes), rounds + 1
        assert rounds
        print(f"{most - before:.0f} MB more at most, {longest:.2f} s the longest answer of {2 * rounds}")
        assert most - before <= MOST_MB


@pytest.mark.slow
@pytest.mark.parametrize("exporter", [[Path(__file__).with_name("unbounded_child.py")]], indirect=True)
async def test_control_without_the_bound_the_same_deliveries_fill_the_memory(exporter: Exporter) -> None:
    before = exporter.megabytes
    async with AsyncExitStack() as held:
        await asyncio.gather(*(hold(exporter, f"127.0.0.{2 + number % 20}", held) for number in range(400)))
        url = f"http://127.0.0.1:{exporter.port}"
        async with ClientSession(url) as client, client.get("/-/healthy") as answer:
            assert answer.status == 200
        assert exporter.megabytes - before > MOST_MB
