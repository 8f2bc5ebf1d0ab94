"""What tests of several processes share."""

from collections.abc import Iterator

import pytest

from replicas import Audit


@pytest.fixture
def audit(database: str) -> Iterator[Audit]:
    """PostgreSQL notes what is done."""
    made = Audit(database)
    made.begin()
    yield made
    made.end()
