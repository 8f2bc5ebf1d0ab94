"""The SQL of courses: functions of a connection, run by the writer or a reader."""

from collections.abc import Iterable, Mapping

from afdp_exporter.model import Course
from afdp_exporter.store.connection import Connection
from afdp_exporter.store.rows import course_of, course_values

_KEEP = "INSERT INTO courses (deployment_id, metric, document) VALUES (:deployment_id, :metric, :document)"


def keep(connection: Connection, deployment_id: str, courses: Iterable[Course]) -> None:
    """Put the courses of a deployment in the place of the earlier ones."""
    connection.execute("DELETE FROM courses WHERE deployment_id = ?", (deployment_id,))
    connection.executemany(_KEEP, [course_values(deployment_id, course) for course in courses])


def of_deployment(connection: Connection, deployment_id: str) -> tuple[Course, ...]:
    """The courses of a deployment's metrics."""
    rows = connection.execute("SELECT document FROM courses WHERE deployment_id = ? ORDER BY metric", (deployment_id,))
    return tuple(course_of(row["document"]) for row in rows)


def of_metrics(connection: Connection, chosen: Mapping[str, str]) -> dict[str, Course]:
    """One course for each deployment: that of the metric which is chosen for it, where it is known."""
    found = {}
    for deployment_id, metric in chosen.items():
        row = connection.execute(
            "SELECT document FROM courses WHERE deployment_id = ? AND metric = ?", (deployment_id, metric)
        ).fetchone()
        if row is not None:
            found[deployment_id] = course_of(row["document"])
    return found
