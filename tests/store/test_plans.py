"""No read that a user waits for walks through a whole table."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.model import Look, Outcome
from afdp_exporter.store import courses, deployments, impacts, looks
from afdp_exporter.store.connection import Connection, open_writer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAGE = {"service": None, "environment": None, "since": None, "cursor": None, "limit": 50}
OVERVIEW = {"service": None, "environment": None, "outcome": None, "cursor": None, "limit": 50}
LOOK = Look(deployment_id="d1", after=timedelta(minutes=2), due_at=NOON)

QUERIES: dict[str, Callable[[Connection], object]] = {
    "a page of all": lambda connection: deployments.page(connection, **PAGE),
    "a page of a service": lambda connection: deployments.page(connection, **PAGE | {"service": "checkout"}),
    "a page of an environment": lambda connection: deployments.page(connection, **PAGE | {"environment": "staging"}),
    "a page of both": lambda connection: deployments.page(
        connection, **PAGE | {"service": "checkout", "environment": "staging", "since": NOON}
    ),
    "an overview": lambda connection: deployments.overview(connection, **OVERVIEW),
    "an overview of an outcome": lambda connection: deployments.overview(
        connection, **OVERVIEW | {"outcome": Outcome.FAILURE}
    ),
    "the courses of a deployment": lambda connection: courses.of_deployment(connection, "d1"),
    "a chosen course": lambda connection: courses.of_metrics(connection, {"d1": "m"}),
    "a window": lambda connection: deployments.between(connection, NOON, NOON),
    "the history": lambda connection: deployments.history(connection, NOON, None, 1000),
    "the history of a service": lambda connection: deployments.history(connection, NOON, "checkout", 1000),
    "the history in short": lambda connection: deployments.outlines(connection, NOON, 1000),
    "the newest of each service": lambda connection: deployments.recent(connection, 5),
    "each place": deployments.places,
    "several impacts": lambda connection: impacts.of_several(connection, ["d1", "d2"]),
    "an impact": lambda connection: impacts.find(connection, "d1"),
    "the looks at a deployment": lambda connection: looks.of_deployment(connection, "d1"),
    "taking looks": lambda connection: looks.claim(connection, NOON, 5, timedelta(minutes=5)),
    "an answer": lambda connection: looks.finish(connection, LOOK),
    "the next look": looks.next_at,
    "the backlog": lambda connection: looks.backlog(connection, NOON),
}


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    """An empty store's connection: SQLite then plans by the indexes alone, as it does without statistics."""
    opened = open_writer(path)
    yield opened
    opened.close()


def steps(connection: Connection, query: Callable[[Connection], object]) -> list[str]:
    """SQLite's plan of every statement that a query runs."""
    ran: list[str] = []
    connection.set_trace_callback(ran.append)
    query(connection)
    connection.set_trace_callback(None)
    return [row["detail"] for sql in ran for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_read_finds_its_rows_by_an_index(connection: Connection, query: Callable[[Connection], object]) -> None:
    plan = steps(connection, query)
    assert any(step.startswith("SEARCH") for step in plan)
    assert not [
        step for step in plan if step.startswith(("SCAN deployments", "SCAN looks", "SCAN impacts", "SCAN courses"))
    ]


@pytest.mark.parametrize("query", [name for name in QUERIES if name.startswith(("a page", "the history"))])
def test_a_read_in_order_needs_no_sorting(connection: Connection, query: str) -> None:
    assert not [step for step in steps(connection, QUERIES[query]) if "TEMP B-TREE" in step]


def test_the_plans_would_show_a_walk_through_a_table(connection: Connection) -> None:
    plan = steps(connection, lambda opened: opened.execute("SELECT * FROM deployments WHERE note = 'x'"))
    assert plan == ["SCAN deployments"]
