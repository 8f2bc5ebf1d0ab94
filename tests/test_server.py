"""The exporter as a process: it starts, says where, obeys signals, ends in order, and never hides what is wrong."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import yaml
from click.testing import CliRunner

from afdp_exporter.commands.serve import COMMAND
from afdp_exporter.errors import ConfigError
from afdp_exporter.server import ServeOptions, serve
from afdp_exporter.store.opening import Opening, url_of_file
from afdp_exporter.store.sqlite import SQLiteStore
from real_parts.waiting import until

PATH = "/api/v1/deployments"


class Exporter:
    """A running `afdp serve`: its address, and what it has logged so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = ""
        self._lines: list[str] = []
        self._coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line)
            self._coming.put(line)
        self._coming.put(None)
        self.process.stderr.close()

    def logged(self) -> str:
        return "".join(self._lines)

    def wait_for(self, words: str) -> str:
        """The next line that holds the words."""
        while (line := self._coming.get(timeout=120)) is not None:
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}: {self.logged()}")

    def ask(self, path: str, body: object = None, **headers: str) -> Any:  # noqa: ANN401
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.address + path, data=data, headers=headers | {"Content-Type": "text/x"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        self._reader.join(timeout=60)
        return self.process.wait(timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration."""
    (tmp_path / "recording").mkdir()
    write(tmp_path)
    return tmp_path


def write(folder: Path, **changes: object) -> None:
    content = {
        "sources": [{"name": "recorded", "kind": "recording", "path": str(folder / "recording")}],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": 'latency{service="$service"}'}],
    }
    (folder / "afdp.yml").write_text(yaml.safe_dump(content | changes))


def arguments(folder: Path, *more: str) -> list[str]:
    flags = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}"]
    return [sys.executable, "-m", "afdp_exporter", "serve", *flags, "--web.listen-address=127.0.0.1:0", *more]


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Exporter]]:
    """Starts exporters on free ports; kills them in the end."""
    running: list[Exporter] = []

    def run(*more: str, passed: socket.socket | None = None, **environment: str) -> Exporter:
        command, variables = arguments(folder, *more), os.environ | environment
        handed = () if passed is None else (passed.fileno(),)
        for number in handed:  # as systemd hands a socket on
            activate = f'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&{number}'
            command = ["bash", "-c", activate, "bash", *command]
        exporter = Exporter(
            subprocess.Popen(
                command, stderr=subprocess.PIPE, text=True, env=variables, start_new_session=True, pass_fds=handed
            )
        )
        running.append(exporter)
        found = re.search(r"https?://[^\s\"]+", exporter.wait_for("listening"))
        assert found is not None
        exporter.address = found[0]
        return exporter

    yield run
    for exporter in running:
        if exporter.process.poll() is None:
            os.killpg(exporter.process.pid, signal.SIGKILL)
            exporter.end(signal.SIGKILL)


def serving(folder: Path, port: int = 0) -> ServeOptions:
    store = Opening(url_of_file(folder / "data/afdp.db"))
    return ServeOptions(config_file=folder / "afdp.yml", addresses=[("127.0.0.1", port)], storage=store)


def test_every_listen_address_is_served(start: Callable[..., Exporter]) -> None:
    exporter = start("--web.listen-address=127.0.0.1:0")
    second = re.search(r"https?://[^\s\"]+", exporter.wait_for("listening"))
    assert second is not None
    assert second[0] != exporter.address
    exporter.address = second[0]
    assert "ready" in exporter.ask("/-/ready")


def test_a_socket_that_systemd_passes_on_is_served(start: Callable[..., Exporter], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        exporter = start("--web.systemd-socket", passed=listening)
        assert exporter.address == f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert "ready" in exporter.ask("/-/ready")


def gauge(exporter: Exporter, name: str) -> float:
    (line,) = [line for line in exporter.ask("/metrics").splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def test_what_was_recorded_is_there_after_any_end(start: Callable[..., Exporter]) -> None:
    first = start()
    first.ask(PATH, {"service": "checkout", "id": "before-kill"})
    first.end(signal.SIGKILL)
    second = start()
    second.ask(PATH, {"service": "checkout", "id": "before-term"})
    assert second.end() == 0
    assert "msg=ended" in second.logged().splitlines()[-1]
    third = start()
    page = third.ask("/metrics")
    assert 'deployment_id="before-kill"' in page
    assert 'deployment_id="before-term"' in page
    assert third.ask("/-/ready") == "afdp-exporter is ready.\n"


def test_it_ends_in_order_while_a_look_is_under_way(start: Callable[..., Exporter]) -> None:
    exporter = start()
    exporter.ask(PATH, {"service": "checkout", "started_at": "2026-03-01T00:00:00Z"})
    assert exporter.end(signal.SIGINT) == 0
    assert "Traceback" not in exporter.logged()


def test_a_reload_swaps_the_whole_configuration_or_nothing(start: Callable[..., Exporter], folder: Path) -> None:
    exporter = start()
    write(folder, tokens=[{"name": "operator", "token": "canary", "scopes": ["admin"]}])
    exporter.process.send_signal(signal.SIGHUP)
    exporter.wait_for('msg="configuration reloaded"')
    with pytest.raises(HTTPError, match="401"):
        exporter.ask(PATH)
    token = {"Authorization": "Bearer canary"}
    assert json.loads(exporter.ask(PATH, **token))["deployments"] == []
    since = gauge(exporter, "afdp_config_last_reload_success_timestamp_seconds")

    write(folder, metrics=[{"name": "m", "layer": "technical", "query": "sum("}])
    exporter.process.send_signal(signal.SIGHUP)
    assert "metrics[0].query" in exporter.wait_for('msg="configuration not reloaded"')
    with pytest.raises(HTTPError) as raised:
        exporter.ask("/-/reload", {}, **token)
    assert raised.value.code == 422
    assert json.loads(raised.value.read())["errors"][0]["field"] == "metrics[0].query"
    assert gauge(exporter, "afdp_config_last_reload_successful") == 0
    assert gauge(exporter, "afdp_config_last_reload_success_timestamp_seconds") == since
    with pytest.raises(HTTPError, match="401"):
        exporter.ask(PATH)

    write(folder)
    exporter.ask("/-/reload", {}, **token)
    assert gauge(exporter, "afdp_config_last_reload_successful") == 1
    exporter.ask(PATH)


def test_a_feed_that_is_followed_no_longer_is_shown_no_longer(start: Callable[..., Exporter], folder: Path) -> None:
    write(folder, feeds=[{"name": "tags", "kind": "git", "path": str(folder)}])  # no repository
    exporter = start()
    exporter.wait_for('msg="feed not read"')
    assert 'afdp_feed_up{feed="tags"} 0.0' in exporter.ask("/metrics")
    write(folder)
    exporter.ask("/-/reload", {})
    until(lambda: "afdp_feed_up{" not in exporter.ask("/metrics"))


def test_whatever_is_sent_a_log_line_stays_a_line_and_holds_no_secret(start: Callable[..., Exporter]) -> None:
    exporter = start("--log.level=debug", "--web.listen-address=0.0.0.0:0", AFDP_LOG_FORMAT="json")
    assert "configure tokens" in exporter.logged()  # an open address without any is warned of
    attack = "/%0d%0a%7B%22level%22%3A%22error%22%7D%1b%5B2J"
    with pytest.raises(HTTPError, match="404"):
        exporter.ask(attack, Authorization="Bearer canary")
    with pytest.raises(HTTPError, match="422"):
        exporter.ask(PATH, {"service": "canary\n", "id": "canary"})
    host, _, port = exporter.address.removeprefix("http://").partition(":")
    for words in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\nCanary: a\x00\r\n\r\n"):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(words)
            assert b" 400 " in connection.recv(4096).splitlines()[0]
    exporter.end()
    lines = [json.loads(line) for line in exporter.logged().splitlines()]
    assert {"ts", "level", "msg"} <= set.intersection(*(set(line) for line in lines))
    assert "Traceback" not in exporter.logged()
    assert "canary" not in exporter.logged().lower()


def test_what_is_wrong_at_the_start_is_said_in_one_line(start: Callable[..., Exporter], folder: Path) -> None:
    start()
    done = subprocess.run(arguments(folder), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("afdp: ")
    assert "in use" in line  # the store: one process holds it


async def test_an_address_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match=r"web\.listen-address: "):
        await serve(serving(folder, port=taken.getsockname()[1]))
    opened = await SQLiteStore.open(folder / "data/afdp.db")  # it was let go of
    await opened.close()


async def test_a_configuration_that_is_wrong_or_missing_leaves_no_trace(folder: Path) -> None:
    write(folder, sorces=[])
    with pytest.raises(ConfigError, match="sorces: unknown key; known: "):
        await serve(serving(folder))
    (folder / "afdp.yml").unlink()
    with pytest.raises(ConfigError, match="No such file"):
        await serve(serving(folder))
    assert not (folder / "data").exists()


@pytest.mark.parametrize("address", ["10333", "localhost", "a@b:1", "[::1]", ":99999", "http://x:1", "1:2:3"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    refused = CliRunner().invoke(COMMAND, [f"--web.listen-address={address}"])
    assert refused.exit_code == 2
    assert "is no HOST:PORT" in refused.output


def test_the_flags_are_explained_with_an_example() -> None:
    said = CliRunner().invoke(COMMAND, ["--help"]).output
    for flag in ("config.file", "web.listen-address", "web.config.file", "storage.path", "log.level", "log.format"):
        assert f"--{flag}" in said
        assert f"AFDP_{flag.replace('.', '_').replace('-', '_').upper()}" in said
    assert "Example: afdp serve" in said
