"""No read that a user waits for walks through a whole table."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.model import Deployment, Look, Outcome
from afdp_exporter.store import Job, NewJob
from afdp_exporter.store.sql import changes, courses, deployments, impacts, jobs, looks
from afdp_exporter.store.sqlite.connection import Connection, open_writer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAGE = {"service": None, "environment": None, "since": None, "cursor": None, "limit": 50}
OVERVIEW = {"service": None, "environment": None, "outcome": None, "cursor": None, "limit": 50}
LOOK = Look(deployment_id="d1", after=timedelta(minutes=2), due_at=NOON)
JOB = Job(kind="check", key="d1/120000000", lane="checkout", due_at=NOON, attempts=0, reason=None, version=1, token=1)
CLAIM = {"owner": "me", "limit": 5, "lease": timedelta(minutes=5)}

NEAREST = {"at": NOON, "limit": 5}

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
    "a window": lambda connection: deployments.overlapping(connection, NOON, NOON),
    "the nearest of a window": lambda connection: deployments.nearest(connection, NOON, NOON, **NEAREST, target=None),
    "the nearest of a target": lambda connection: deployments.nearest(
        connection, NOON, NOON, **NEAREST, target=("checkout", "production")
    ),
    "what is under way": lambda connection: deployments.under_way(connection, NOON, NOON, 200),
    "the history": lambda connection: deployments.history(connection, NOON, None, 1000),
    "the history of a service": lambda connection: deployments.history(connection, NOON, "checkout", 1000),
    "the history in short": lambda connection: deployments.history_index(connection, NOON, 1000),
    "the newest of each service": lambda connection: deployments.recent(connection, 5),
    "each place": deployments.service_environments,
    "several impacts": lambda connection: impacts.of_several(connection, ["d1", "d2"]),
    "an impact": lambda connection: impacts.find(connection, "d1"),
    "the looks at a deployment": lambda connection: looks.of_deployment(connection, "d1"),
    "jobs by lanes": lambda connection: jobs.claim(
        connection, "check", NOON, **CLAIM, per_lane=1, in_turns=True, lanes=None
    ),
    "jobs of known lanes": lambda connection: jobs.claim(
        connection, "check", NOON, **CLAIM, per_lane=1, in_turns=True, lanes=["checkout"]
    ),
    "jobs in turns": lambda connection: jobs.claim(
        connection, "check", NOON, **CLAIM, per_lane=None, in_turns=True, lanes=None
    ),
    "jobs in order": lambda connection: jobs.claim(
        connection, "check", NOON, **CLAIM, per_lane=None, in_turns=False, lanes=None
    ),
    "holding jobs": lambda connection: jobs.heartbeat(connection, [JOB], NOON),
    "the end of a job": lambda connection: jobs.finish(connection, JOB, None),
    "a job that is due again": lambda connection: jobs.finish(connection, JOB, NOON),
    "a lane that waits": lambda connection: jobs.postpone(connection, JOB, NOON, "away", True),
    "the next jobs": lambda connection: jobs.next_at(connection, ["check", "notice"], {}),
    "the next jobs of lanes": lambda connection: jobs.next_at(connection, ["check"], {"check": ["checkout"]}),
    "the look of a job": lambda connection: looks.of_job(connection, JOB),
    "an answer": lambda connection: looks.finish(connection, LOOK, None),
    "changes": lambda connection: changes.since(connection, 5, 100),
    "the backlog": lambda connection: looks.backlog(connection, NOON),
    "the backlog of services": lambda connection: looks.backlog(connection, NOON, ["checkout"]),
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
        step
        for step in plan
        if step.startswith(
            ("SCAN deployments", "SCAN looks", "SCAN impacts", "SCAN courses", "SCAN jobs", "SCAN changes")
        )
    ]


def test_the_nearest_of_a_target_are_found_among_its_own(connection: Connection) -> None:
    plan = steps(connection, QUERIES["the nearest of a target"])
    walks = [step for step in plan if "INDEX deployments_newest" in step]
    assert len(walks) == 2
    assert all("service=? AND environment=?" in step for step in walks)


@pytest.mark.parametrize("query", [name for name in QUERIES if name.startswith(("a page", "the history"))])
def test_a_read_in_order_needs_no_sorting(connection: Connection, query: str) -> None:
    assert not [step for step in steps(connection, QUERIES[query]) if "TEMP B-TREE" in step]


def test_the_plans_would_show_a_walk_through_a_table(connection: Connection) -> None:
    plan = steps(connection, lambda opened: opened.execute("SELECT * FROM deployments WHERE note = 'x'"))
    assert plan == ["SCAN deployments"]


@pytest.mark.parametrize("query", ["each place", "the newest of each service"])
def test_what_is_read_of_each_place_costs_no_more_the_more_was_deployed_there(
    connection: Connection, query: str
) -> None:
    count = itertools.count()

    def work_with(each: int) -> int:
        """How many tens of SQLite's instructions it takes, with so many deployments in each of six places."""
        for service, environment, number in itertools.product("abc", ("production", "staging"), range(each)):
            at = NOON + timedelta(minutes=number)
            deployments.put(
                connection,
                Deployment(
                    id=f"{service}-{environment}-{number}",
                    service=service,
                    environment=environment,
                    started_at=at,
                    received_at=at,
                ),
            )
        begun = next(count)
        connection.set_progress_handler(lambda: next(count) < 0, 10)
        QUERIES[query](connection)
        connection.set_progress_handler(None, 0)
        return next(count) - begun

    few = work_with(10)
    assert work_with(300) < 2 * few


def test_a_claim_in_turns_costs_no_more_the_more_jobs_wait_in_each_lane(connection: Connection) -> None:
    count = itertools.count()

    def work_of_a_claim(each: int) -> int:
        """How many hundreds of SQLite's instructions it takes, with so many jobs in each of ten lanes."""
        waiting = [
            NewJob(kind="check", key=f"{lane}-{at}", due_at=NOON, lane=lane)
            for lane in "abcdefghij"
            for at in range(each)
        ]
        later = [replace(job, key=f"{job.key}/later", due_at=NOON + timedelta(hours=1)) for job in waiting]
        jobs.enqueue(connection, (*waiting, *later))
        begun = next(count)
        connection.set_progress_handler(lambda: next(count) < 0, 100)
        assert len(QUERIES["jobs by lanes"](connection)) == 5  # type: ignore[arg-type]
        connection.set_progress_handler(None, 0)
        return next(count) - begun

    few = work_of_a_claim(10)
    assert work_of_a_claim(1000) < 2 * few


def test_a_claim_of_all_that_is_ready_looks_at_no_lane_without_it(connection: Connection) -> None:
    count = itertools.count()

    def work_of_a_claim(lanes: int) -> int:
        """How many dozens of SQLite's instructions it takes, with jobs for later in so many lanes."""
        later = [
            NewJob(kind="check", key=f"later {lane}", due_at=NOON + timedelta(hours=1), lane=f"{lane}")
            for lane in range(lanes)
        ]
        jobs.enqueue(connection, (*later, NewJob(kind="check", key=f"ready {lanes}", due_at=NOON, lane="0")))
        begun = next(count)
        connection.set_progress_handler(lambda: next(count) < 0, 10)
        assert [job.key for job in QUERIES["jobs in turns"](connection)] == [f"ready {lanes}"]  # type: ignore[attr-defined]
        connection.set_progress_handler(None, 0)
        return next(count) - begun

    few = work_of_a_claim(5)
    assert work_of_a_claim(500) < 2 * few
