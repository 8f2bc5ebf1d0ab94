"""Debian's own Docker engine with a Swarm of one node, as `scripts/engine` fetches it: in namespaces of its own."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiodocker import Docker

from real_parts.servers import Missing

NAME = "Docker engine"
FETCHED_BY = "apt-get"
FOLDER = Path(__file__).parents[2] / ".cache/engine"
FILE = FOLDER / "usr/sbin/dockerd"
TAGS = ("v1", "v2", "v3")
_START, _PATIENCE = 120.0, 180.0  # seconds, on a machine that is busy with other work
_PAUSE = 0.05  # seconds between two looks at a service
_BRIEF = 100_000_000  # ns that an update watches a new task
_COMMAND = ("/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; /bin/busybox sleep 3600 & wait")
_RUN = """
"$ENGINE/bin/busybox" ip link set lo up
exec "$ENGINE/usr/sbin/dockerd" --iptables=false --ip-masq=false --bridge=none --storage-driver=vfs \
    --data-root "$DATA/data" --exec-root "$DATA/run" --pidfile "$DATA/pid" --host "unix://$DATA/api.sock"
"""


class Engine:
    """A manager on a socket; it sees no network but its own loopback, and ends with everything that it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder / 'api.sock'}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers. Raises Missing, with the engine's words where this machine refuses it."""
        if not FILE.exists():
            raise Missing(NAME)
        if os.geteuid() != 0:
            raise Missing(f"the right to run the {NAME} (root)")
        programs = [str(FOLDER / "usr/bin"), str(FOLDER / "usr/sbin"), os.environ["PATH"]]
        libraries = [str(path) for path in FOLDER.glob("**/*-linux-gnu")]
        environment = {
            "PATH": os.pathsep.join(programs), "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "ENGINE": str(FOLDER), "DATA": str(self.folder),
        }  # fmt: skip
        command = ["unshare", "--net", "--mount-proc", "--pid", "--fork", "--kill-child", "sh", "-c", _RUN]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self._process.poll() is None:
            if "API listen on" in self.log:
                return
            time.sleep(0.1)
        raise Missing(f"a {NAME} that this machine lets run ({self.log[-300:].strip()})")

    def kill(self) -> None:
        """End it with all that it started: they share its process namespace."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@contextmanager
def running() -> Iterator[Engine]:
    """A running engine in a folder whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="afdp-engine-"))
    started = Engine(folder)
    try:
        started.start()
        yield started
    finally:
        started.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def begin(url: str) -> None:
    """Make the Swarm and the images, which hold nothing but busybox."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(FOLDER / "bin/busybox", "bin/busybox")
    async with Docker(url=url) as docker:
        await docker.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:2377")
    connector = aiohttp.UnixConnector(path=url.removeprefix("unix://"))
    async with aiohttp.ClientSession(base_url="http://engine", connector=connector) as session:
        for tag in TAGS:
            made = {"fromSrc": "-", "repo": "shop/checkout", "tag": tag}
            async with session.post("/images/create", params=made, data=io.BytesIO(packed.getvalue())) as answer:
                assert answer.status == 200, await answer.text()
                assert "error" not in await answer.text()


class Swarm:
    """A Swarm of this engine alone, with an image `shop/checkout` of three tags."""

    def __init__(self, url: str, docker: Docker) -> None:
        self.url, self.docker = url, docker

    async def create(self, name: str, tag: str) -> None:
        """A service of one task."""
        quick = {"Monitor": _BRIEF, "Order": "start-first"}
        await self.docker.services.create(
            {
                "ContainerSpec": {"Image": f"shop/checkout:{tag}", "Command": list(_COMMAND), "StopGracePeriod": 10**9},
                "Networks": [{"Target": "host"}],
            },
            name=name, mode={"Replicated": {"Replicas": 1}}, update_config=quick, rollback_config=quick,
        )  # fmt: skip
        await self.until(name, lambda _: self._runs(name))

    async def update(self, name: str, tag: str) -> None:
        """A deployment, to its end."""
        index = (await self.inspect(name))["Version"]["Index"]
        await self.docker.services.update(name, index, image=f"shop/checkout:{tag}")
        await self.until(name, ended("completed"))

    async def inspect(self, name: str) -> dict[str, Any]:
        return dict(await self.docker.services.inspect(name))

    async def image(self, name: str) -> str:
        """What its spec says."""
        return str((await self.inspect(name))["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"])

    async def running(self, name: str) -> set[str]:
        """The images that its tasks run."""
        tasks = await self.docker.tasks.list(filters={"service": name, "desired-state": "running"})
        return {each["Spec"]["ContainerSpec"]["Image"] for each in tasks if each["Status"]["State"] == "running"}

    async def _runs(self, name: str) -> bool:
        return bool(await self.running(name))

    async def roll_back(self, name: str) -> None:
        """What `docker service rollback` asks the engine for, to its end."""
        index = (await self.inspect(name))["Version"]["Index"]
        await self.docker.services.update(name, index, rollback=True)
        await self.until(name, ended("rollback_completed"))

    async def until(self, name: str, reached: Callable[[dict[str, Any]], Awaitable[bool]]) -> None:
        """Wait until its service has come so far: the engine reports no end of an update that could be waited for."""
        async with asyncio.timeout(_PATIENCE):
            async for found in self._looked_at(name):
                if await reached(found):
                    return

    async def _looked_at(self, name: str) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield await self.inspect(name)
            await asyncio.sleep(_PAUSE)


def ended(state: str) -> Callable[[dict[str, Any]], Awaitable[bool]]:
    """Whether the last update has ended so."""

    async def reached(found: dict[str, Any]) -> bool:
        return bool((found.get("UpdateStatus") or {}).get("State") == state)

    return reached
