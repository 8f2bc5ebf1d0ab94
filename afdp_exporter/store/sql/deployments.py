"""The SQL of deployments and their idempotency keys: functions of a connection, run by the writer or a reader."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from afdp_exporter.errors import NotFound
from afdp_exporter.model import Deployment, Look, MeasuredDeployment, MeasuredSummary, Outcome
from afdp_exporter.store import Amendment, Overview, Page, Recorded
from afdp_exporter.store.follow_ups import DEPLOYMENT, check
from afdp_exporter.store.paging import read_cursor, write_cursor
from afdp_exporter.store.sql import changes, looks
from afdp_exporter.store.sql.connection import Connection, Row
from afdp_exporter.store.sql.inserting import insert
from afdp_exporter.store.sql.rows import (
    Values,
    deployment_of,
    deployment_values,
    measured_of,
    near_deployments_of,
    to_time,
    to_us,
)

_INSERT = """
INSERT INTO deployments (
    id, service, environment, started_us, finished_us, status, version, previous_version, actor, team, change_types,
    strategy, traffic_ratio, url, "commit", description, traits, labels, labelled_outcome, note, received_us,
    received_from, outcome
) VALUES {rows}
"""
_COLUMNS = (
    "id", "service", "environment", "started_us", "finished_us", "status", "version", "previous_version", "actor",
    "team", "change_types", "strategy", "traffic_ratio", "url", "commit", "description", "traits", "labels",
    "labelled_outcome", "note", "received_us", "received_from", "stated_outcome",
)  # fmt: skip
_ROW = f"({'?, ' * (len(_COLUMNS) - 1)}coalesce(?, 'unknown'))"

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

LONG_ROLLOUT_US = 86_400_000_000
"""Rollouts above a day are rare and have an index of their own, so that a window finds all others by their start."""

_BETWEEN = """
SELECT * FROM deployments {newest}
WHERE started_us BETWEEN :start - {long_us} AND :end
    AND ended_us >= :start AND ended_us - started_us <= {long_us} AND status <> 'planned'
UNION ALL
SELECT * FROM deployments {long}
WHERE ended_us >= :start AND ended_us - started_us > {long_us} AND started_us <= :end AND status <> 'planned'
ORDER BY started_us, id
"""

_TOUCHES = "ended_us >= :start AND ended_us - started_us <= {long_us} AND status <> 'planned' AND {target}"

_NEAREST = f"""
SELECT deployments.* FROM (
    SELECT id FROM (
        SELECT * FROM (
            SELECT id, started_us FROM deployments {{newest}}
            WHERE started_us BETWEEN :start - {{long_us}} AND CASE WHEN :at < :end THEN :at ELSE :end END AND {_TOUCHES}
            ORDER BY started_us DESC, id DESC LIMIT :limit
        ) AS earlier
        UNION ALL
        SELECT * FROM (
            SELECT id, started_us FROM deployments {{newest}}
            WHERE started_us > :at AND started_us <= :end AND {_TOUCHES}
            ORDER BY started_us, id LIMIT :limit
        ) AS later
        UNION ALL
        SELECT id, started_us FROM deployments {{long}}
        WHERE ended_us >= :start AND ended_us - started_us > {{long_us}} AND started_us <= :end AND status <> 'planned'
            AND {{target}}
    ) AS around
    ORDER BY abs(started_us - :at), id LIMIT :limit
) AS chosen JOIN deployments ON deployments.id = chosen.id
ORDER BY deployments.started_us, deployments.id
"""  # noqa: S608 - every part of it is ours
_OF_TARGET = "service = :service AND environment = :environment"

_UNDER_WAY = """
SELECT count(*) AS found FROM (
    SELECT started_us, finished_us FROM deployments {newest}
    WHERE started_us < :at AND status <> 'planned' ORDER BY started_us DESC, id DESC LIMIT :limit
) AS latest
WHERE finished_us > :at OR (finished_us IS NULL AND started_us > :since)
"""

_HISTORY = """
SELECT deployments.*, impacts.document
FROM deployments JOIN impacts ON impacts.deployment_id = deployments.id
WHERE measured = 1 AND ended_us < :before
ORDER BY ended_us DESC, id DESC LIMIT :limit
"""

_OF = """
SELECT deployments.*, impacts.document
FROM deployments LEFT JOIN impacts ON impacts.deployment_id = deployments.id
WHERE deployments.id IN ({})
"""

_WITH_IDS = "SELECT * FROM deployments WHERE id IN ({})"

_WITH_KEYS = """
SELECT deployments.*, idempotency_keys.key AS key
FROM idempotency_keys JOIN deployments ON deployments.id = idempotency_keys.deployment_id
WHERE idempotency_keys.key IN ({})
"""

_OUTLINES = _HISTORY.replace("impacts.document", "impacts.measured_us")

HISTORY_OF_SERVICE = _HISTORY.replace("WHERE", "WHERE service = :service AND")

# UNION, not UNION ALL: in a damaged index the next place may be an earlier one, and the walk has to end.
_FIRST_PLACE = """
WITH RECURSIVE places (service, environment) AS (
    SELECT * FROM (
        SELECT service, environment FROM deployments
        WHERE (service, environment) >= ('', '')
        ORDER BY service, environment LIMIT 1
    ) AS first
    UNION
"""

_NEXT_PLACE = {
    False: """
    SELECT next.service, next.environment
    FROM places JOIN deployments AS next ON next.rowid = coalesce(
        (
            SELECT rowid FROM deployments
            WHERE service = places.service AND environment > places.environment
            ORDER BY environment LIMIT 1
        ),
        (SELECT rowid FROM deployments WHERE service > places.service ORDER BY service, environment LIMIT 1)
    )
)
""",
    True: """
    SELECT next.service, next.environment
    FROM places CROSS JOIN LATERAL (
        SELECT service, environment FROM deployments
        WHERE (service, environment) > (places.service, places.environment)
        ORDER BY service, environment LIMIT 1
    ) AS next
)
""",
}
"""Without and with lateral subqueries. SQLite finds what follows on a pair by the first of the two alone, and reads all
that has the same: each of the two is asked for by itself.
"""

_EACH_PLACE = {lateral: _FIRST_PLACE + following for lateral, following in _NEXT_PLACE.items()}

_PLACES = "SELECT service, environment FROM places"

_NEWEST_OF_PLACES = {
    False: """
SELECT newest.*, impacts.document
FROM places JOIN deployments AS newest ON newest.rowid IN (
    SELECT rowid FROM deployments
    WHERE deployments.service = places.service AND deployments.environment = places.environment
    ORDER BY started_us DESC, id DESC LIMIT :per_service
)
LEFT JOIN impacts ON impacts.deployment_id = newest.id
""",
    True: """
SELECT newest.*, impacts.document
FROM places CROSS JOIN LATERAL (
    SELECT * FROM deployments
    WHERE deployments.service = places.service AND deployments.environment = places.environment
    ORDER BY started_us DESC, id DESC LIMIT :per_service
) AS newest
LEFT JOIN impacts ON impacts.deployment_id = newest.id
""",
}


@dataclass(frozen=True, slots=True)
class Report:
    """A deployment that is to be recorded, with its columns, looks and key."""

    deployment: Deployment
    values: Values
    planned: tuple[Look, ...]
    key: str | None


def record(connection: Connection, reports: Sequence[Report]) -> list[Recorded]:
    """Insert deployments, their looks and their keys, unless the key or the id is taken."""
    for report in reports:
        connection.serialise("deployment", report.deployment.id)
        if report.key is not None:
            connection.serialise("key", report.key)
    known, keyed = _known(connection, reports), _keyed(connection, reports)
    new, keys, recorded = list[Report](), list[tuple[str, str, int]](), list[Recorded]()
    for report in reports:
        found = keyed.get(report.key or "") or known.get(report.deployment.id)
        stored = found or report.deployment
        if found is None:
            new.append(report)
            known[stored.id] = stored
        if report.key is not None and report.key not in keyed:
            keyed[report.key] = stored
            keys.append((report.key, stored.id, report.values["received_us"]))
        recorded.append(Recorded(deployment=stored, created=found is None))
    _insert(connection, [report.values for report in new])
    looks.insert(connection, [look for report in new for look in report.planned])
    if new:
        checks = (check(look, each.deployment.service) for each in new for look in each.planned if look.is_open)
        changes.append_new(connection, [report.deployment for report in new], checks)
    insert(connection, "INSERT INTO idempotency_keys VALUES {rows}", "(?, ?, ?)", keys)
    return recorded


def _known(connection: Connection, reports: Iterable[Report]) -> dict[str, Deployment]:
    """Those that are there already, by their ids."""
    rows = _of_texts(connection, _WITH_IDS, [report.deployment.id for report in reports])
    return {row["id"]: deployment_of(row) for row in rows}


def _keyed(connection: Connection, reports: Iterable[Report]) -> dict[str, Deployment]:
    """Those for which the keys stand, by the keys."""
    keys = [report.key for report in reports if report.key is not None]
    return {row["key"]: deployment_of(row) for row in _of_texts(connection, _WITH_KEYS, keys)} if keys else {}


def _insert(connection: Connection, values: Iterable[Values]) -> None:
    insert(connection, _INSERT, _ROW, [tuple(each[name] for name in _COLUMNS) for each in values])


def amend(connection: Connection, deployment_id: str, change: Callable[[Deployment], Amendment]) -> Deployment:
    """Read, change and update one deployment; whatever `change` raises undoes all of it."""
    connection.serialise("deployment", deployment_id)
    amendment = change(find(connection, deployment_id))
    put(connection, amendment.deployment)
    if amendment.looks is not None:
        looks.replace(connection, deployment_id, amendment.looks)
    return find(connection, deployment_id)


def put(connection: Connection, deployment: Deployment) -> None:
    """Keep a deployment, whether it is there or not."""
    values = deployment_values(deployment)
    if connection.execute(_UPDATE, values).rowcount == 0:
        _insert(connection, [values])
    changes.append_of(connection, DEPLOYMENT, deployment)


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
    return Page(deployments=shown, cursor=write_cursor(shown[-1]) if len(rows) > limit else None)


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
    shown = tuple(measured_of(row) for row in rows[:limit])
    return Overview(measured=shown, cursor=write_cursor(shown[-1].deployment) if len(rows) > limit else None)


def overlapping(connection: Connection, start: datetime, end: datetime) -> list[Deployment]:
    """Those whose rollout touches the window, oldest first."""
    walk = connection.dialect.walk
    statement = _BETWEEN.format(
        newest=walk.format("deployments_newest"), long=walk.format("deployments_long"), long_us=LONG_ROLLOUT_US
    )
    rows = connection.execute(statement, {"start": to_us(start), "end": to_us(end)})
    return near_deployments_of(rows.fetchall())


def nearest(
    connection: Connection,
    start: datetime,
    end: datetime,
    *,
    at: datetime,
    limit: int,
    target: tuple[str, str] | None,
) -> list[Deployment]:
    """Of those whose rollout touches the window the ones that started nearest to an instant, oldest first."""
    service, environment = target or (None, None)
    values = {"service": service, "environment": environment, "limit": limit}
    values |= {"start": to_us(start), "end": to_us(end), "at": to_us(at)}
    walk = connection.dialect.walk
    statement = _NEAREST.format(
        newest=walk.format("deployments_newest" if target is None else "deployments_newest_of_both"),
        long=walk.format("deployments_long"),
        long_us=LONG_ROLLOUT_US,
        target="TRUE" if target is None else _OF_TARGET,
    )
    return near_deployments_of(connection.execute(statement, values).fetchall())


def under_way(connection: Connection, at: datetime, since: datetime, limit: int) -> int:
    """Of those that started last before an instant, how many had not ended then."""
    statement = _UNDER_WAY.format(newest=connection.dialect.walk.format("deployments_newest"))
    values = {"at": to_us(at), "since": to_us(since), "limit": limit}
    return int(connection.execute(statement, values).fetchone()["found"])


def history(connection: Connection, before: datetime, service: str | None, limit: int) -> list[MeasuredDeployment]:
    """The newest measured ones that ended before an instant, oldest first."""
    rows = connection.execute(
        _HISTORY if service is None else HISTORY_OF_SERVICE,
        {"before": to_us(before), "service": service, "limit": limit},
    )
    found = [measured_of(row) for row in rows]  # one row at a time: together their documents take 24 MB
    found.reverse()
    return found


def history_index(connection: Connection, before: datetime, limit: int) -> list[MeasuredSummary]:
    """As the history, without reading what each of them did."""
    rows = connection.execute(_OUTLINES, {"before": to_us(before), "limit": limit}).fetchall()
    return [
        MeasuredSummary(
            deployment=deployment_of(row), measured_at=to_time(row["measured_us"]), outcome=Outcome(row["outcome"])
        )
        for row in reversed(rows)
    ]


def of(connection: Connection, deployment_ids: Sequence[str]) -> list[MeasuredDeployment]:
    """These, as far as they are known."""
    return [measured_of(row) for row in _of_texts(connection, _OF, deployment_ids)]


def recent(
    connection: Connection, per_service: int, outcomes: Collection[Outcome] | None = None
) -> list[MeasuredDeployment]:
    """The newest of each service and environment; of them those with one of these outcomes."""
    lateral = connection.dialect.lateral
    values: dict[str, object] = {"per_service": per_service}
    statement = _EACH_PLACE[lateral] + _NEWEST_OF_PLACES[lateral]
    if outcomes:
        statement += f"WHERE newest.outcome IN ({connection.dialect.listed.format('outcomes')})"
        values["outcomes"] = orjson.dumps(sorted(outcomes)).decode()
    return [measured_of(row) for row in connection.execute(statement, values)]


def _newest(
    connection: Connection, query: str, wanted: Mapping[str, object], cursor: str | None, limit: int
) -> list[Row]:
    """One row more than the limit, where there are so many."""
    before_us, before_id = read_cursor(cursor) if cursor is not None else (_FOREVER_US, "")
    values = {name: value for name, value in wanted.items() if value is not None}
    values |= {"before_us": before_us, "before_id": before_id, "limit": limit + 1}
    conditions = [condition for name, condition in _FILTERS.items() if name in values]
    return connection.execute(query.format(" AND ".join(conditions)), values).fetchall()


def service_environments(connection: Connection) -> list[tuple[str, str]]:
    """Each service and environment of which a deployment is known."""
    rows = connection.execute(_EACH_PLACE[connection.dialect.lateral] + _PLACES)
    return [(row["service"], row["environment"]) for row in rows]


def search(connection: Connection, deployment_id: str) -> Deployment | None:
    """The deployment, where there is one."""
    row = connection.execute("SELECT * FROM deployments WHERE id = ?", (deployment_id,)).fetchone()
    return deployment_of(row) if row is not None else None


def _of_texts(connection: Connection, statement: str, texts: Sequence[str]) -> list[Row]:
    """The rows that a statement finds which compares with a list of texts."""
    listed = connection.dialect.listed.format("texts")
    return connection.execute(statement.format(listed), {"texts": orjson.dumps(list(texts)).decode()}).fetchall()
