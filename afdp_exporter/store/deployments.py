"""The SQL of deployments and their idempotency keys: functions of a connection, run by the writer or a reader."""

import base64
from collections.abc import Callable, Mapping
from datetime import datetime

import orjson

from afdp_exporter.errors import BadInput, Fault, NotFound
from afdp_exporter.model import Deployment, Look, Measured, Outcome, Outline
from afdp_exporter.store import Amendment, Overview, Page, Recorded, looks
from afdp_exporter.store.connection import Connection, Row
from afdp_exporter.store.rows import Values, deployment_of, deployment_values, impact_of, to_time, to_us
from afdp_exporter.store.schema import LONG_ROLLOUT_US

_INSERT = """
INSERT INTO deployments (
    id, service, environment, started_us, finished_us, status, version, previous_version, actor, team, change_types,
    strategy, traffic_ratio, url, "commit", description, traits, labels, labelled_outcome, note, received_us,
    received_from, outcome
) VALUES (
    :id, :service, :environment, :started_us, :finished_us, :status, :version, :previous_version, :actor, :team,
    :change_types, :strategy, :traffic_ratio, :url, :commit, :description, :traits, :labels, :labelled_outcome, :note,
    :received_us, :received_from, coalesce(:stated_outcome, 'unknown')
)
"""

_UPDATE = """
UPDATE deployments SET
    service = :service, environment = :environment, started_us = :started_us, finished_us = :finished_us,
    status = :status, version = :version, previous_version = :previous_version, actor = :actor, team = :team,
    change_types = :change_types, strategy = :strategy, traffic_ratio = :traffic_ratio, url = :url,
    "commit" = :commit, description = :description, traits = :traits, labels = :labels,
    labelled_outcome = :labelled_outcome, note = :note, received_us = :received_us, received_from = :received_from,
    outcome = coalesce(:stated_outcome, (SELECT outcome FROM impacts WHERE deployment_id = :id), 'unknown')
WHERE id = :id
"""

_PAGE = "SELECT * FROM deployments WHERE {} ORDER BY started_us DESC, id DESC LIMIT :limit"

_OVERVIEW = """
SELECT deployments.*, impacts.document
FROM deployments LEFT JOIN impacts ON impacts.deployment_id = deployments.id
WHERE {} ORDER BY started_us DESC, id DESC LIMIT :limit
"""

_FILTERS = {
    "service": "service = :service",
    "environment": "environment = :environment",
    "outcome": "deployments.outcome = :outcome",
    "since_us": "started_us >= :since_us",
    "before_us": "(started_us, id) < (:before_us, :before_id)",
}

_FOREVER_US = 2**63 - 1

_BETWEEN = f"""
SELECT * FROM deployments INDEXED BY deployments_newest
WHERE started_us BETWEEN :start - {LONG_ROLLOUT_US} AND :end
    AND ended_us >= :start AND ended_us - started_us <= {LONG_ROLLOUT_US} AND status <> 'planned'
UNION ALL
SELECT * FROM deployments INDEXED BY deployments_long
WHERE ended_us >= :start AND ended_us - started_us > {LONG_ROLLOUT_US} AND started_us <= :end AND status <> 'planned'
ORDER BY started_us, id
"""  # noqa: S608 - the number is ours, and the partial index wants it literally

_HISTORY = """
SELECT deployments.*, impacts.document
FROM deployments JOIN impacts ON impacts.deployment_id = deployments.id
WHERE measured = 1 AND ended_us < :before
ORDER BY ended_us DESC, id DESC LIMIT :limit
"""

_OUTLINES = _HISTORY.replace("impacts.document", "impacts.measured_us")

HISTORY_OF_SERVICE = _HISTORY.replace("WHERE", "WHERE service = :service AND")

# UNION, not UNION ALL: in a damaged index the next place may be an earlier one, and the walk has to end.
_EACH_PLACE = """
WITH RECURSIVE places (service, environment) AS (
    SELECT * FROM (
        SELECT service, environment FROM deployments
        WHERE (service, environment) >= ('', '')
        ORDER BY service, environment LIMIT 1
    )
    UNION
    SELECT next.service, next.environment
    FROM places JOIN deployments AS next ON next.rowid = (
        SELECT rowid FROM deployments
        WHERE (service, environment) > (places.service, places.environment)
        ORDER BY service, environment LIMIT 1
    )
)
"""

_PLACES = f"{_EACH_PLACE} SELECT service, environment FROM places"  # noqa: S608 - every part of it is ours

_RECENT = f"""
{_EACH_PLACE}
SELECT deployments.*, impacts.document
FROM places JOIN deployments ON deployments.rowid IN (
    SELECT rowid FROM deployments AS newest
    WHERE newest.service = places.service AND newest.environment = places.environment
    ORDER BY newest.started_us DESC, newest.id DESC LIMIT :per_service
)
LEFT JOIN impacts ON impacts.deployment_id = deployments.id
"""  # noqa: S608 - every part of it is ours


def record(connection: Connection, values: Values, planned: tuple[Look, ...], key: str | None) -> Recorded:
    """Insert a deployment, its looks and its key, unless the key or the id is taken."""
    known = _by_key(connection, key) or search(connection, str(values["id"]))
    if known is None:
        connection.execute(_INSERT, values)
        looks.insert(connection, planned)
    stored = known or deployment_of(values)
    if key is not None:
        connection.execute(
            "INSERT INTO idempotency_keys VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (key, stored.id, values["received_us"]),
        )
    return Recorded(deployment=stored, created=known is None)


def amend(connection: Connection, deployment_id: str, change: Callable[[Deployment], Amendment]) -> Deployment:
    """Read, change and update one deployment; whatever `change` raises undoes all of it."""
    amendment = change(find(connection, deployment_id))
    connection.execute(_UPDATE, deployment_values(amendment.deployment))
    if amendment.looks is not None:
        looks.replace(connection, deployment_id, amendment.looks)
    return find(connection, deployment_id)


def put(connection: Connection, deployment: Deployment) -> None:
    """Keep a deployment, whether it is there or not."""
    values = deployment_values(deployment)
    if connection.execute(_UPDATE, values).rowcount == 0:
        connection.execute(_INSERT, values)


def find(connection: Connection, deployment_id: str) -> Deployment:
    """The deployment. Raises NotFound."""
    found = search(connection, deployment_id)
    if found is None:
        raise NotFound(f"there is no deployment {deployment_id!a}")
    return found


def page(
    connection: Connection,
    *,
    service: str | None,
    environment: str | None,
    since: datetime | None,
    cursor: str | None,
    limit: int,
) -> Page:
    """Newest first, from where the cursor points; every filter has an index that ends in this order."""
    wanted = {"service": service, "environment": environment, "since_us": to_us(since) if since else None}
    rows = _newest(connection, _PAGE, wanted, cursor, limit)
    shown = tuple(deployment_of(row) for row in rows[:limit])
    return Page(deployments=shown, cursor=_write_cursor(shown[-1]) if len(rows) > limit else None)


def overview(
    connection: Connection,
    *,
    service: str | None,
    environment: str | None,
    outcome: Outcome | None,
    cursor: str | None,
    limit: int,
) -> Overview:
    """As `page`, with what each of them did."""
    wanted = {"service": service, "environment": environment, "outcome": outcome}
    rows = _newest(connection, _OVERVIEW, wanted, cursor, limit)
    shown = tuple(_measured(row) for row in rows[:limit])
    return Overview(measured=shown, cursor=_write_cursor(shown[-1].deployment) if len(rows) > limit else None)


def between(connection: Connection, start: datetime, end: datetime) -> list[Deployment]:
    """Those whose rollout touches the window, oldest first."""
    rows = connection.execute(_BETWEEN, {"start": to_us(start), "end": to_us(end)})
    return [deployment_of(row) for row in rows]


def history(connection: Connection, before: datetime, service: str | None, limit: int) -> list[Measured]:
    """The newest measured ones that ended before an instant, oldest first."""
    rows = connection.execute(
        _HISTORY if service is None else HISTORY_OF_SERVICE,
        {"before": to_us(before), "service": service, "limit": limit},
    )
    found = [_measured(row) for row in rows]  # one row at a time: together their documents take 24 MB
    found.reverse()
    return found


def outlines(connection: Connection, before: datetime, limit: int) -> list[Outline]:
    """As the history, without reading what each of them did."""
    rows = connection.execute(_OUTLINES, {"before": to_us(before), "limit": limit}).fetchall()
    return [
        Outline(deployment=deployment_of(row), measured_at=to_time(row["measured_us"]), outcome=Outcome(row["outcome"]))
        for row in reversed(rows)
    ]


def recent(connection: Connection, per_service: int) -> list[Measured]:
    """The newest of each service and environment."""
    return [_measured(row) for row in connection.execute(_RECENT, {"per_service": per_service})]


def _newest(
    connection: Connection, query: str, wanted: Mapping[str, object], cursor: str | None, limit: int
) -> list[Row]:
    """One row more than the limit, where there are so many."""
    before_us, before_id = _read_cursor(cursor) if cursor is not None else (_FOREVER_US, "")
    values = {name: value for name, value in wanted.items() if value is not None}
    values |= {"before_us": before_us, "before_id": before_id, "limit": limit + 1}
    conditions = [condition for name, condition in _FILTERS.items() if name in values]
    return connection.execute(query.format(" AND ".join(conditions)), values).fetchall()


def places(connection: Connection) -> list[tuple[str, str]]:
    """Each service and environment of which a deployment is known."""
    return [(row["service"], row["environment"]) for row in connection.execute(_PLACES)]


def search(connection: Connection, deployment_id: str) -> Deployment | None:
    """The deployment, where there is one."""
    row = connection.execute("SELECT * FROM deployments WHERE id = ?", (deployment_id,)).fetchone()
    return deployment_of(row) if row is not None else None


def _by_key(connection: Connection, key: str | None) -> Deployment | None:
    row = connection.execute(
        "SELECT * FROM deployments WHERE id = (SELECT deployment_id FROM idempotency_keys WHERE key = ?)", (key,)
    ).fetchone()
    return deployment_of(row) if row is not None else None


def _measured(row: Row) -> Measured:
    document = row["document"]
    return Measured(deployment=deployment_of(row), impact=impact_of(document) if document is not None else None)


def _write_cursor(last: Deployment) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([to_us(last.started_at), last.id])).decode()


def _read_cursor(cursor: str) -> tuple[int, str]:
    try:
        match orjson.loads(base64.b64decode(cursor, altchars="-_", validate=True)):
            case [int(started_us), str(last_id)]:
                return started_us, last_id
    except ValueError:
        pass
    raise BadInput(Fault(field="cursor", message="is not one that a page gave"))
