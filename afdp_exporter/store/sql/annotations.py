"""The SQL of annotations: functions of a connection, run by the writer or a reader."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from afdp_exporter.errors import NotFound
from afdp_exporter.model import Annotation
from afdp_exporter.store.sql.connection import Connection, Row
from afdp_exporter.store.sql.rows import to_time, to_us

_ADD = """
INSERT INTO annotations (
    at_us, until_us, text, tags, dashboard_uid, panel_id, deployment_id, created_us, updated_us
) VALUES (
    :at_us, :until_us, :text, :tags, :dashboard_uid, :panel_id, :deployment_id, :created_us, :updated_us
)
RETURNING id
"""

_CHANGE = """
UPDATE annotations SET
    at_us = :at_us, until_us = :until_us, text = :text, tags = :tags, deployment_id = :deployment_id,
    updated_us = :updated_us
WHERE id = :id
"""

_FIND = """
SELECT * FROM annotations
WHERE at_us <= :until_us AND coalesce(until_us, at_us) >= :since_us
    AND (CAST(:dashboard_uid AS text) IS NULL OR dashboard_uid = :dashboard_uid)
    AND (CAST(:panel_id AS bigint) IS NULL OR panel_id = :panel_id)
    AND {tagged}
ORDER BY at_us DESC, id DESC LIMIT :limit
"""

_FOREVER_US = 2**63 - 1


def add(connection: Connection, annotation: Annotation) -> Annotation:
    """The annotation with its id, which is never given to another one."""
    (added,) = connection.execute(_ADD, _values(annotation)).fetchall()
    return replace(annotation, id=added["id"])


def find(connection: Connection, annotation_id: int) -> Annotation:
    """The annotation. Raises NotFound."""
    row = connection.execute("SELECT * FROM annotations WHERE id = ?", (annotation_id,)).fetchone()
    if row is None:
        raise NotFound("no annotation has this id")
    return _annotation(row)


def change(connection: Connection, annotation_id: int, made: Callable[[Annotation], Annotation]) -> Annotation:
    """Read, change and keep an annotation. Raises NotFound."""
    connection.serialise("annotation", str(annotation_id))
    changed = made(find(connection, annotation_id))
    connection.execute(_CHANGE, _values(changed))
    return changed


def remove(connection: Connection, annotation_id: int) -> None:
    """Forget an annotation; the deployment that it announced stays. Raises NotFound."""
    find(connection, annotation_id)
    connection.execute("DELETE FROM annotations WHERE id = ?", (annotation_id,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which annotations are asked for; None: any."""

    since: datetime | None
    until: datetime | None
    tags: Sequence[str]
    dashboard_uid: str | None
    panel_id: int | None
    limit: int


def search(connection: Connection, wanted: Wanted) -> list[Annotation]:
    """Those with all of the tags that touch the time, newest first."""
    values = {
        "since_us": to_us(wanted.since) if wanted.since is not None else 0,
        "until_us": to_us(wanted.until) if wanted.until is not None else _FOREVER_US,
        "tags": orjson.dumps(list(wanted.tags)).decode(),
        "dashboard_uid": wanted.dashboard_uid,
        "panel_id": wanted.panel_id,
        "limit": wanted.limit,
    }
    statement = _FIND.format(tagged=connection.dialect.has_tags.format("tags"))
    return [_annotation(row) for row in connection.execute(statement, values)]


def _values(annotation: Annotation) -> dict[str, Any]:
    return {
        "id": annotation.id,
        "at_us": to_us(annotation.at),
        "until_us": to_us(annotation.until) if annotation.until is not None else None,
        "text": annotation.text,
        "tags": orjson.dumps(annotation.tags).decode(),
        "dashboard_uid": annotation.dashboard_uid,
        "panel_id": annotation.panel_id,
        "deployment_id": annotation.deployment_id,
        "created_us": to_us(annotation.created_at),
        "updated_us": to_us(annotation.updated_at),
    }


def _annotation(row: Row) -> Annotation:
    return Annotation(
        id=row["id"],
        at=to_time(row["at_us"]),
        until=to_time(row["until_us"]) if row["until_us"] is not None else None,
        text=row["text"],
        tags=tuple(orjson.loads(row["tags"])),
        dashboard_uid=row["dashboard_uid"],
        panel_id=row["panel_id"],
        deployment_id=row["deployment_id"],
        created_at=to_time(row["created_us"]),
        updated_at=to_time(row["updated_us"]),
    )
