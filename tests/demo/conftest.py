"""Worlds that several tests look at; making one takes a fifth of a second."""

from datetime import UTC, datetime

import pytest

from afdp_exporter.demo.world import World, make_world

END = datetime(2026, 11, 24, 9, 40, 12, tzinfo=UTC)


@pytest.fixture(scope="module", params=[0, 7])
def seed(request: pytest.FixtureRequest) -> int:
    seed: int = request.param
    return seed


@pytest.fixture(scope="module")
def world(seed: int) -> World:
    return make_world(END, seed=seed)


@pytest.fixture(scope="module")
def untouched(seed: int) -> World:
    """The same world in which no deployment does anything."""
    return make_world(END, seed=seed, effects=False)
