"""Worlds with a planted truth, made once: tests only read them."""

import pytest
from planted_worlds import World, world


@pytest.fixture(scope="session")
def steady() -> World:
    """Every deployment moves latency by a product of effects."""
    return world(5001, 240, "steady")


@pytest.fixture(scope="session")
def two_part() -> World:
    """Only a troubled deployment moves anything."""
    return world(5002, 240, "two-part")
