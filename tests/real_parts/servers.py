"""The servers themselves: found, started, killed, started again."""

import os
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import orjson
import urllib3
import yaml

from afdp_exporter.model import Series
from real_parts.remote_write import remote_write

_FETCHED = Path(__file__).parents[2] / ".cache/real/usr/bin"
_START = 120.0  # seconds until a server has to be ready, on a machine that is busy with other work
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PORTS = 5  # tries to find one that nobody takes between its choice and its use


class Missing(Exception):
    """A server is neither on PATH nor was it fetched."""


class Server(ABC):
    """One process of a real server; its data stay in its folder from start to start."""

    programs: ClassVar[tuple[str, ...]]
    ready: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.http = urllib3.PoolManager(timeout=10.0, retries=False)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def program(cls) -> str:
        """The path of its program. Raises Missing."""
        path = os.pathsep.join([os.environ.get("PATH", ""), str(_FETCHED)])
        for name in cls.programs:
            found = shutil.which(name, path=path)
            if found:
                return found
        raise Missing(cls.programs[0])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @abstractmethod
    def arguments(self) -> list[str]:
        """Its command line behind the program; called at each start, may write its configuration."""

    def start(self) -> None:
        """Start it on a free port, on the same one as before if there was one, and wait until it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(1 if self.port else _PORTS):
            self.port = self.port or free_port()
            if self._up():
                return
            self.port = 0
        raise AssertionError(f"{self.program()} did not start:\n{self.log[-3000:]}")

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again, with its data, on the same port."""
        self.kill()
        self.start()

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """What a GET answers, read as JSON."""
        answer = self.http.request("GET", self.url + path, fields=parameters)
        assert answer.status == 200, answer.data.decode()
        return orjson.loads(answer.data)

    def _up(self) -> bool:
        """Whether the process just started is ready, and is the one that listens on the port."""
        with (self.folder / "log").open("ab") as log:
            command = [self.program(), *self.arguments()]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self._process.poll() is None:
            if _listens(self._process.pid, self.port) and self._answers():
                return True
            time.sleep(0.02)
        self.kill()
        return False

    def _answers(self) -> bool:
        try:
            return bool(self.http.request("GET", self.url + self.ready).status == 200)
        except urllib3.exceptions.HTTPError:
            return False


class Prometheus(Server):
    """Takes remote writes of up to 90 days ago; scrapes, rules and alerting as its `config` says."""

    programs = ("prometheus",)
    ready = "/-/ready"

    def __init__(self, folder: Path, config: dict[str, Any] | None = None) -> None:
        super().__init__(folder)
        self.config = config or {}

    def arguments(self) -> list[str]:
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "storage": {"tsdb": {"out_of_order_time_window": "90d"}},
            **self.config,
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        return [
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=120d",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
            "--web.enable-admin-api",
            "--web.enable-remote-write-receiver",
        ]

    def remote_write(self, series: Iterable[Series]) -> None:
        """Write samples of any age; they can be queried at once."""
        remote_write(self.http, f"{self.url}/api/v1/write", series)

    def query(self, query: str, at: float | None = None) -> list[dict[str, Any]]:
        """What an instant query answers: `[{"metric": {...}, "value": [time, "text"]}, ...]`."""
        when = {} if at is None else {"time": str(at)}
        return list(self.get("/api/v1/query", query=query, **when)["data"]["result"])


class Alertmanager(Server):
    """Alone, without peers; its receivers as its `config` says."""

    programs = ("prometheus-alertmanager", "alertmanager")
    ready = "/-/ready"

    def __init__(self, folder: Path, config: dict[str, Any] | None = None) -> None:
        super().__init__(folder)
        self.config = config or {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}

    def arguments(self) -> list[str]:
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(self.config))
        for template in Path(self.program()).parents[1].glob("share/prometheus/alertmanager/*.tmpl"):
            shutil.copy(template, self.folder)
        return [
            "--config.file=alertmanager.yml",
            "--storage.path=data",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]


class VictoriaMetrics(Server):
    """Takes remote writes of up to a year ago."""

    programs = ("victoria-metrics", "victoria-metrics-prod")
    ready = "/health"

    def arguments(self) -> list[str]:
        return [
            "-storageDataPath=data",
            "-retentionPeriod=12",
            "-search.latencyOffset=0s",
            f"-httpListenAddr=127.0.0.1:{self.port}",
        ]

    def remote_write(self, series: Iterable[Series]) -> None:
        """Write samples of any age; they can be queried at once."""
        remote_write(self.http, f"{self.url}/api/v1/write", series)
        self.http.request("GET", f"{self.url}/internal/force_flush")


class NodeExporter(Server):
    """Reports on the machine that it runs on."""

    programs = ("prometheus-node-exporter", "node_exporter")
    ready = "/"

    def arguments(self) -> list[str]:
        return [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=error"]


SERVERS: tuple[type[Server], ...] = (Prometheus, Alertmanager, NodeExporter, VictoriaMetrics)


def chromium() -> str:
    """The path of a Chromium. Raises Missing."""
    for name in _BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    raise Missing("chromium")


def kubectl() -> str:
    """The path of a kubectl, as `scripts/helm` fetches it. Raises Missing."""
    found = shutil.which("kubectl") or shutil.which("kubectl", path=str(_FETCHED))
    if found is None:
        raise Missing("kubectl")
    return found


def missing() -> list[str]:
    """The programs that are not to be found."""
    absent = [] if any(map(shutil.which, _BROWSERS)) else ["chromium"]
    absent += [] if shutil.which("kubectl") or (_FETCHED / "kubectl").exists() else ["kubectl"]
    for server in SERVERS:
        try:
            server.program()
        except Missing as error:
            absent.append(str(error))
    return absent


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _listens(pid: int, port: int) -> bool:
    """Whether it is this very process that listens on the port, by Linux's own tables."""
    listening = {
        fields[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if (fields := line.split())[1].endswith(f":{port:04X}") and fields[3] == "0A"
    }
    try:
        opened = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    except OSError:  # it is just ending, or opening and closing files
        return False
    return any(f"socket:[{inode}]" in opened for inode in listening)
