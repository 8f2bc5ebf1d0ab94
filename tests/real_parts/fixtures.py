"""The fixtures, and what a run says when the real parts are not there."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import psutil
import pytest
from aiodocker import Docker
from playwright.async_api import Browser, async_playwright

from real_parts import datadog_ci, engine, github
from real_parts.servers import Alertmanager, Missing, Prometheus, Server, VictoriaMetrics, chromium, kubectl, missing

S = TypeVar("S", bound=Server)

_FIXTURES = {
    "prometheus",
    "alertmanager",
    "victoria_metrics",
    "start",
    "promtool",
    "amtool",
    "github_examples",
    "datadog_command",
    "kubectl_program",
    "swarm",
    "browser",
}

_PATIENCE = 180.0  # seconds with a browser

_QUIET = [
    f"--{flag}"
    for flag in (
        "no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync",
        "no-first-run", "disable-quic",
    )
]  # fmt: skip


class Start(Protocol):
    """Starts a server for one test: `start(Prometheus(tmp_path / "prometheus", {"scrape_configs": [...]}))`."""

    def __call__(self, server: S) -> S: ...


@contextmanager
def running(server: S) -> Iterator[S]:
    """The server, started; killed in the end."""
    with _skipped_when_missing():
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def _skipped_when_missing() -> Iterator[None]:
    try:
        yield
    except Missing as error:
        message = f"{error} is neither on PATH nor in .cache"
        if os.environ.get("AFDP_REQUIRE_REAL") == "1":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A real Prometheus that takes remote writes."""
    with running(Prometheus(tmp_path_factory.mktemp("prometheus"))) as server:
        yield server


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """A real Alertmanager that notifies nobody."""
    with running(Alertmanager(tmp_path_factory.mktemp("alertmanager"))) as server:
        yield server


@pytest.fixture(scope="session")
def victoria_metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    """A real VictoriaMetrics that takes remote writes."""
    with running(VictoriaMetrics(tmp_path_factory.mktemp("victoria-metrics"))) as server:
        yield server


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The path of promtool, which comes with Prometheus."""
    with _skipped_when_missing():
        return Path(Prometheus.program()).with_name("promtool")


@pytest.fixture(scope="session")
def amtool() -> Path:
    """The path of amtool, which comes with Alertmanager."""
    with _skipped_when_missing():
        return Path(Alertmanager.program()).with_name("amtool")


@pytest.fixture(scope="session")
def github_examples() -> dict[str, list[dict[str, Any]]]:
    """GitHub's own example deliveries, by event."""
    with _skipped_when_missing():
        return github.examples()


@pytest.fixture(scope="session")
def datadog_command() -> tuple[str, ...]:
    """Datadog's own command line, as words of a command."""
    with _skipped_when_missing():
        return datadog_ci.command()


@pytest.fixture(scope="session")
def kubectl_program() -> str:
    """The path of a real kubectl."""
    with _skipped_when_missing():
        return kubectl()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[engine.Engine]:
    """A real Docker engine whose Swarm has three images and no service."""
    with _skipped_when_missing(), engine.running() as started:
        asyncio.run(engine.begin(started.url))
        yield started


@pytest.fixture
async def swarm(docker_engine: engine.Engine) -> AsyncIterator[engine.Swarm]:
    """A real Swarm."""
    async with Docker(url=docker_engine.url) as docker:
        yield engine.Swarm(docker_engine.url, docker)


@asynccontextmanager
async def browsing(*flags: str) -> AsyncIterator[Browser]:
    """A real Chromium with these flags that goes nowhere but where a test leads it.

    Where it or what drives it hangs both are killed, so that nothing waits for them for ever.
    """
    with _skipped_when_missing():
        program = chromium()
    others = set(psutil.Process().children())
    watch = asyncio.get_running_loop().call_later(_PATIENCE, _kill_but, others)
    try:
        async with async_playwright() as playwright:
            launched = await playwright.chromium.launch(executable_path=program, args=[*_QUIET, *flags])
            yield launched
            await launched.close()
    finally:
        watch.cancel()


def _kill_but(others: set[psutil.Process]) -> None:
    """Kill the processes that this one has started, but for these, with all that they have started."""
    for child in set(psutil.Process().children()) - others:
        for process in (*child.children(recursive=True), child):
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A real Chromium that goes nowhere but where a test leads it."""
    async with browsing() as launched:
        yield launched


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers that belong to one test, with the configuration that it needs."""
    with ExitStack() as started:

        def enter(server: S) -> S:
            return started.enter_context(running(server))

        yield enter


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("real")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    absent = missing()
    if absent and reporter is not None and not hasattr(config, "workerinput"):
        where = "not on PATH and not in .cache/real; ./scripts/test fetches Debian's packages where apt-get is there"
        reporter.write_line(f"NOT TESTED against the real {', '.join(absent)}: {where}", red=True)
    for part in (github, datadog_ci, engine):
        if not part.FILE.exists() and reporter is not None and not hasattr(config, "workerinput"):
            where = f"./scripts/test fetches it where {part.FETCHED_BY} is there"
            reporter.write_line(f"NOT TESTED against {part.NAME}: {where}", red=True)
