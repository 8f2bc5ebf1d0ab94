"""A Dask cluster of real processes on loopback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from afdp_exporter.compute.settings import Certificates, Dask
from real_parts.waiting import until

TESTS = Path(__file__).parent.parent


@dataclass
class Cluster:
    """A scheduler and its workers, each with a nanny as `dask worker` has it."""

    folder: Path
    certificates: Certificates | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, program: str, *options: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        if self.certificates is not None:
            files = self.certificates
            options += ("--tls-ca-file", str(files.ca_file), "--tls-cert", str(files.cert_file))
            options += ("--tls-key", str(files.key_file))
        command = [sys.executable, "-m", "dask", program, "--no-dashboard", *options]
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(TESTS), **(env or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def scheduler(self, port: int = 0, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        self.file.unlink(missing_ok=True)
        protocol = "tcp" if self.certificates is None else "tls"
        options = ["--host", f"{protocol}://127.0.0.1", "--port", str(port), "--scheduler-file", str(self.file)]
        started = self.start("scheduler", *options, env=env)
        until(self.file.exists, self.logs)
        until(lambda: self.file.read_text().endswith("}"), self.logs)
        return started

    def worker(self, *, env: Mapping[str, str] | None = None, nanny: bool = True) -> subprocess.Popen[bytes]:
        """One of one thread; without a nanny nobody starts it again."""
        pid = self.folder / f"worker-{len(self.processes)}"
        options = ["--nthreads", "1", "--pid-file", str(pid), "--local-directory", str(self.folder)]
        return self.start("worker", self.address, *options, *(() if nanny else ("--no-nanny",)), env=env)

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text())["address"])

    @property
    def engine(self) -> Dask:
        return Dask(kind="dask", address=self.address, tls_config=self.certificates)

    def logs(self) -> str:
        return "\n".join(each.read_text() for each in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """All at once, with what they have started."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
