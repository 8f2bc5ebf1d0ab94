"""A world with a planted truth, made once: tests only read it."""

import pytest
from planted_worlds import World, world


@pytest.fixture(scope="session")
def two_part() -> World:
    """Only a troubled deployment moves anything."""
    return world(5002, 240, "two-part")
