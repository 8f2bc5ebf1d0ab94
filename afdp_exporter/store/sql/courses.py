"""The SQL of courses: functions of a connection, run by the writer or a reader."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from afdp_exporter.model import Trajectory
from afdp_exporter.store.sql.connection import Connection
from afdp_exporter.store.sql.rows import course_of, course_values, to_us


def save(connection: Connection, deployment_id: str, courses: Iterable[Trajectory]) -> None:
    """Put the courses of a deployment in the place of the earlier ones."""
    connection.execute("DELETE FROM courses WHERE deployment_id = ?", (deployment_id,))
    values = [course_values(deployment_id, course) for course in courses]
    if values:
        connection.make_room_for_courses(deployment_id)
        connection.executemany(connection.dialect.keep_course, values)


def forget(connection: Connection, before: datetime) -> int:
    """Forget those of deployments that ended before this."""
    return connection.forget_courses(to_us(before))


def of_deployment(connection: Connection, deployment_id: str) -> tuple[Trajectory, ...]:
    """The courses of a deployment's metrics."""
    rows = connection.execute("SELECT document FROM courses WHERE deployment_id = ? ORDER BY metric", (deployment_id,))
    return tuple(course_of(row["document"]) for row in rows)


def of_metrics(connection: Connection, chosen: Mapping[str, str]) -> dict[str, Trajectory]:
    """One course for each deployment: that of the metric which is chosen for it, where it is known."""
    found = {}
    for deployment_id, metric in chosen.items():
        row = connection.execute(
            "SELECT document FROM courses WHERE deployment_id = ? AND metric = ?", (deployment_id, metric)
        ).fetchone()
        if row is not None:
            found[deployment_id] = course_of(row["document"])
    return found
