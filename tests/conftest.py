"""What every test shares."""

import faulthandler
import os
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from afdp_exporter.wording.times import use_time_zone

settings.register_profile("afdp", deadline=None)  # no assertion about time: machines are slow at times
settings.load_profile("afdp")

HERE = Path(__file__).parent
UNIT = frozenset(
    {
        *("detectors", "gate", "impact", "model", "patterns", "plots", "tracking", "training_data", "wording"),
        *("test_changes.py", "test_responses.py", "test_settings.py", "test_versions.py", "test_yaml.py"),
    }
)
"""What needs no server, no store and no program of its own. Without the tests that draw many worlds, which take half of
the time, it is the first layer."""

pytest_plugins = ["loopback", "dask_fixtures", "postgres_fixtures", "real_parts.fixtures", "stored"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow suites (soak, crash, fuzz), too")
    parser.addoption("--rounds", type=int, default=12, help="how many faults the replicas under fire have to survive")
    parser.addoption("--earlier-version", help="the tree of an earlier version, for the test of a rolling upgrade")
    parser.addoption("--unit", action="store_true", help="run what needs no server and no many worlds alone")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only the first layer is asked for, what needs more is not even imported."""
    if not config.getoption("--unit") or not collection_path.is_relative_to(HERE):
        return None
    place = collection_path.relative_to(HERE)
    return (bool(place.parts) and place.parts[0] not in UNIT) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    unwanted = {"slow": not config.getoption("--slow"), "many_worlds": config.getoption("--unit")}
    left_out = [item for item in items if any(unwanted[name] and item.get_closest_marker(name) for name in unwanted)]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("slow"):
        faulthandler.cancel_dump_traceback_later()  # it takes its time


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """As many as are asked for."""
    return int(request.config.getoption("--rounds"))


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("AFDP_") and name != "AFDP_REQUIRE_REAL":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def times_in_utc() -> Iterator[None]:
    """No test leaves its time zone to the next one."""
    yield
    use_time_zone(UTC)


@pytest.fixture(autouse=True)
def logs_as_they_begin() -> Iterator[None]:
    """No command that a test has run in this process decides where the logs of the next one go."""
    yield
    structlog.reset_defaults()
