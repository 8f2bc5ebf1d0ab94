"""What the system says no to is one line before anything is accepted; an end comes in time, whatever hangs."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

GRACE = 20.0  # seconds: terminationGracePeriodSeconds, TimeoutStopSec of the shipped manifests
LISTEN = ["--web.listen-address=127.0.0.1:0"]


def command(folder: Path, *more: str) -> list[str]:
    flags = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}", *LISTEN]
    return [sys.executable, "-m", "afdp_exporter", "serve", *flags, *more]


def write(folder: Path, url: str) -> None:
    content = {
        "sources": [{"name": "prometheus", "kind": "prometheus", "url": url}],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": "latency"}],
    }
    (folder / "afdp.yml").write_text(yaml.safe_dump(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def silent() -> Iterator[tuple[str, threading.Event]]:
    """A server that takes questions and answers none; the event says that it was asked."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as kept:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    kept.callback(connection.close)
                    asked.set()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked


@pytest.fixture
def run() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts processes in sessions of their own; none is left."""
    running: list[subprocess.Popen[str]] = []

    def start(arguments: list[str], **options: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            arguments,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )
        running.append(process)
        return process

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if "listening" in line:
            return line.split("address=")[1].split()[0]
    raise AssertionError("it ended before it listened")


def ended(process: subprocess.Popen[str]) -> tuple[int, str, float]:
    """Its status after SIGTERM, what it said, and how long that took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    return process.returncode, said, time.monotonic() - began


def test_it_ends_within_the_grace_while_a_source_hangs(
    folder: Path, run: Callable[..., subprocess.Popen[str]], silent: tuple[str, threading.Event]
) -> None:
    url, asked = silent
    write(folder, url)
    exporter = run(command(folder))
    body = json.dumps({"service": "shop", "finished_at": time.time() - 1200, "started_at": time.time() - 1300})
    request = urllib.request.Request(f"{address(exporter)}/api/v1/deployments", body.encode())
    urllib.request.urlopen(request, timeout=30).close()
    assert asked.wait(60)
    status, said, seconds = ended(exporter)
    assert (status, "msg=ended" in said, "Traceback" in said) == (0, True, False)
    assert seconds < GRACE


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2, 0.5, 1.0, 2.0])
def test_an_end_is_heeded_at_any_time_of_the_start(
    folder: Path, run: Callable[..., subprocess.Popen[str]], delay: float
) -> None:
    exporter = run(command(folder))
    time.sleep(delay)  # the moment itself is what is tried
    _, said, seconds = ended(exporter)
    assert exporter.returncode in {0, -signal.SIGTERM}  # the latter before Python itself has started
    assert "Traceback" not in said
    assert seconds < GRACE


def test_as_process_1_it_ends_at_once_while_it_starts(folder: Path, run: Callable[..., subprocess.Popen[str]]) -> None:
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a namespace")
    outer = run([*unshare, *command(folder)])
    children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
    while not (inner := children.read_text().split()):
        time.sleep(0.01)
    where = address(outer)
    os.kill(int(inner[0]), signal.SIGTERM)
    _, said = outer.communicate(timeout=60)
    assert where
    assert outer.returncode == 0
    assert "msg=ended" in said


def in_mounts(folder: Path, mount: str, *more: str) -> subprocess.CompletedProcess[str]:
    """The exporter in a mount namespace of its own, until it ends."""
    script = f'{mount} && exec "$@"'
    arguments = ["unshare", "--mount", "sh", "-c", script, "sh", *command(folder, *more)]
    if subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    return subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line by which it said no, before it listened."""
    lines = [line for line in done.stderr.splitlines() if "level=warn" not in line]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert "listening" not in done.stderr
    assert lines[0].startswith("afdp: ")
    return lines[0]


def test_a_dev_shm_that_cannot_be_written_is_named_before_anything_is_accepted(folder: Path) -> None:
    assert "/dev/shm: Read-only file system" in refused(in_mounts(folder, "mount -t tmpfs -o ro none /dev/shm"))
    full = "mount -t tmpfs -o size=4k none /dev/shm && head -c 4096 /dev/zero > /dev/shm/full"
    assert "/dev/shm: No space left" in refused(in_mounts(folder, full))


@pytest.mark.parametrize("kind", ["below a file", "a folder in the file's place"])
def test_a_folder_that_cannot_be_had_is_named(folder: Path, kind: str) -> None:
    where = folder / "store"
    if kind == "a folder in the file's place":
        (where / "afdp.db").mkdir(parents=True)
    else:
        where.write_text("")
    place = where / "below" if kind == "below a file" else where
    done = subprocess.run(
        command(folder, f"--storage.path={place}"), capture_output=True, text=True, timeout=120, check=False
    )
    assert str(where) in refused(done)


@pytest.fixture
def disk(folder: Path) -> Iterator[Path]:
    """A file system of 8 MB for what is kept."""
    where = folder / "data"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(where)], check=False).returncode:
        pytest.skip("no right to mount")
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


@pytest.mark.parametrize("full", [False, True], ids=["can only be read", "is full"])
def test_a_start_on_a_disk_that_takes_nothing_serves_what_is_kept_and_says_so(
    folder: Path, run: Callable[..., subprocess.Popen[str]], disk: Path, full: bool
) -> None:
    body = json.dumps({"service": "shop", "id": "kept"}).encode()
    first = run(command(folder))
    urllib.request.urlopen(f"{address(first)}/api/v1/deployments", body, timeout=30).close()
    assert ended(first)[0] == 0
    if full:
        with (disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    second = run(command(folder))
    url = address(second)
    with urllib.request.urlopen(f"{url}/api/v1/deployments/kept", timeout=30) as answer:
        assert json.load(answer)["deployment"]["service"] == "shop"
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{url}/api/v1/deployments", body.replace(b"kept", b"new"), timeout=30)
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    assert "afdp_store_writable 0.0" in page
    assert 'deployment_id="kept"' in page
    with urllib.request.urlopen(f"{url}/-/ready", timeout=30) as answer:
        assert answer.status == 200
    status, said, _ = ended(second)
    assert (status, "Traceback" in said) == (0, False)


def test_a_port_that_is_taken_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(folder, f"--web.listen-address=127.0.0.1:{port}"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert "web.listen-address" in refused(done)


@pytest.mark.parametrize("ignored", [False, True], ids=["as usual", "where the caller ignores SIGINT"])
def test_a_demo_ends_on_sigterm(tmp_path: Path, run: Callable[..., subprocess.Popen[str]], ignored: bool) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
    try:
        demo = run([sys.executable, "-m", "afdp_exporter", "demo", "--exit"], cwd=tmp_path, stdout=subprocess.PIPE)
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    assert demo.stdout is not None
    assert "A shop" in demo.stdout.readline()
    status, said, seconds = ended(demo)
    demo.stdout.close()
    assert status != 0
    assert "Traceback" not in said
    assert seconds < GRACE
