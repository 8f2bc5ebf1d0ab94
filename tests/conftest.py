"""What every test shares."""

import os

import pytest


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("AFDP_") and name != "AFDP_REQUIRE_REAL":
            monkeypatch.delenv(name)
