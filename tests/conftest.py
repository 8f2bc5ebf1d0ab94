"""What every test shares."""

import os

import pytest
from hypothesis import settings

settings.register_profile("afdp", deadline=None)  # no assertion about time: machines are slow at times
settings.load_profile("afdp")

pytest_plugins = ["loopback", "real_parts.fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow suites (soak, crash, fuzz), too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in slow]
    config.hook.pytest_deselected(items=slow)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("AFDP_") and name != "AFDP_REQUIRE_REAL":
            monkeypatch.delenv(name)
