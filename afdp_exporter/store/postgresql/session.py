"""A connection to PostgreSQL that the store's SQL can be asked on, and what its errors mean."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from afdp_exporter.errors import AFDPError, BadInput, Fault, StoreDamaged, StoreError, StoreFull
from afdp_exporter.model import Deployment
from afdp_exporter.store.sql.connection import Dialect, Parameters
from afdp_exporter.store.sql.rows import to_time, to_us

CHANNEL = "afdp_changes"

_DIALECT = Dialect(
    listed="SELECT json_array_elements_text(CAST(:{} AS json)) AS value",
    has_tags="CAST(annotations.tags AS jsonb) @> CAST(:{} AS jsonb)",
    walk="",
    locked="FOR UPDATE",
    skip_locked="FOR UPDATE SKIP LOCKED",
    lateral=True,
    keep_course="""
    INSERT INTO courses (deployment_id, metric, document, ended_us)
    SELECT :deployment_id, :metric, :document, ended_us FROM deployments WHERE id = :deployment_id
    """,
)

_SETTINGS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "5s",  # a replica that stands still lets go of what others wait for
    "tcp_user_timeout": "15s",  # of the server's side: the locks of a replica that is cut off must not stay
}
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 15000}
_CONNECT_SECONDS = 5

_ROOM = """
CREATE TABLE {name} (LIKE courses INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE courses ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})
"""
_PARTITION = "courses_{:%Y_%m}"
_PARTITIONS = """
SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'courses'::regclass AND relname ~ '^courses_[0-9]{4}_[0-9]{2}$'
"""


class Row(tuple[Any, ...]):
    """A row: its columns by name or by place, or unpacked in order."""

    __slots__ = ()
    _places: dict[str, int]

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - a tuple's, and that of its columns
        return tuple.__getitem__(self, self._places[key] if isinstance(key, str) else key)

    def keys(self) -> list[str]:
        """Of its columns, in order."""
        return list(self._places)


@lru_cache(256)
def _rows_of(names: tuple[str, ...]) -> type[Row]:
    return type("Row", (Row,), {"__slots__": (), "_places": {name: place for place, name in enumerate(names)}})


def _row_factory(cursor: psycopg.Cursor[Any]) -> type[Row]:
    return _rows_of(tuple(column.name for column in cursor.description or ()))


@lru_cache(1024)
def in_psycopg(statement: str) -> str:
    """A statement of the store with its values named as psycopg does."""
    named = re.sub(r"(?<![:\w]):([a-z_]+)", r"%(\1)s", statement.replace("%", "%%"))
    return named.replace("?", "%s")


def connect(url: str) -> psycopg.Connection[Row]:
    """A connection of its own, each statement a transaction unless it says otherwise. Raises psycopg's errors."""
    opened: psycopg.Connection[Row] = psycopg.connect(url, **connection_words())
    configure(opened)
    return opened


def connection_words() -> dict[str, Any]:
    """How psycopg is to connect."""
    return {
        "autocommit": True,
        "row_factory": _row_factory,
        "connect_timeout": _CONNECT_SECONDS,
        "fallback_application_name": "afdp-exporter",
        **_KEEPALIVE,
    }


def configure(connection: psycopg.Connection[Any]) -> None:
    """No statement of ours takes for ever, nor is a lock waited for so long."""
    settings = "; ".join(f"SET {name} = '{value}'" for name, value in _SETTINGS.items())
    connection.execute(settings)


def shown(url: str) -> str:
    """Which database it is, without a password. Raises StoreError for what is no URL of one."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:  # its text may repeat the URL with a password
        raise StoreError("the URL of the store cannot be read: postgresql://user@host:port/database") from None
    user = f"{parts['user']}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    return f"postgresql://{user}{parts.get('host') or ''}{port}/{parts.get('dbname') or ''}"


def password_of(url: str) -> str | None:
    """The password that a URL holds."""
    found = conninfo_to_dict(url).get("password")
    return None if found is None else str(found)


def translate(error: psycopg.Error, *, password: str | None = None) -> AFDPError:
    """PostgreSQL's error in our words, in one line."""
    message = " ".join((error.diag.message_primary or str(error) or type(error).__name__).split())
    if password:
        message = message.replace(password, "***")
    if isinstance(error, errors.DiskFull):
        return StoreFull("no space is left for the store; what was accepted before is kept")
    if isinstance(error, (errors.DataCorrupted, errors.IndexCorrupted)):
        return StoreDamaged(f"the store is damaged: {message}")
    if isinstance(error, psycopg.DataError) and "NUL" in message:
        return BadInput(Fault(field="", message="holds a NUL, which PostgreSQL cannot keep in a text"))
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return StoreError("PostgreSQL can only be read: it is a standby, or set to read only")
    if is_away(error):
        return StoreError(f"PostgreSQL does not answer: {message}")
    return StoreError(f"the store cannot do its work: {message}")


def is_away(error: psycopg.Error) -> bool:
    """Whether it is the connection or the server that failed, and not the statement."""
    if isinstance(error, errors.IdleInTransactionSessionTimeout):
        return True
    if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return False
    state = error.sqlstate
    return state is None or (state[:2] in {"08", "57", "53"} and state != errors.QueryCanceled.sqlstate)


class Session:
    """A `Connection` of the store's SQL. What was appended to the changes is written last, by `flush`."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self._changed: list[tuple[str, str]] = []

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL's."""
        return _DIALECT

    def execute(self, statement: str, values: Parameters = (), /) -> psycopg.Cursor[Row]:
        """As the protocol has it."""
        return self._connection.execute(in_psycopg(statement), values or None)

    def executemany(self, statement: str, values: Iterable[Parameters], /) -> psycopg.Cursor[Row]:
        """As the protocol has it."""
        cursor = self._connection.cursor()
        cursor.executemany(in_psycopg(statement), values)
        return cursor

    def run(self, statements: str) -> Sequence[Row]:
        """What is no statement of the store: without values, one or several; the rows of a single one."""
        cursor = self._connection.execute(statements)
        return cursor.fetchall() if cursor.description else []

    def serialise(self, kind: str, key: str) -> None:
        """As the protocol has it."""
        self.execute("SELECT pg_advisory_xact_lock(hashtextextended(?, 0))", (f"afdp {kind} {key}",))

    def append_changes(self, kind: str, *thing_ids: str, recorded: Sequence[Deployment] = ()) -> None:  # noqa: ARG002
        """As the protocol has it; whoever follows reads them, since other processes write, too."""
        self._changed += [(kind, each) for each in thing_ids]

    def last_change(self) -> int:
        """As the protocol has it."""
        (head,) = self.execute("SELECT seq FROM change_head").fetchall()
        return int(head["seq"])

    def flush(self) -> int | None:
        """Write the changes; the number of the transaction, None where nothing was written in it.

        From here to the commit nobody else can append: that is what keeps the changes in order.
        """
        if not self._changed:
            (row,) = self.run("SELECT CAST(CAST(pg_current_xact_id_if_assigned() AS text) AS bigint) AS number")
            return None if row["number"] is None else int(row["number"])
        (row,) = self.execute(
            """
            UPDATE change_head SET seq = seq + :n
            RETURNING seq, CAST(CAST(pg_current_xact_id() AS text) AS bigint) AS number
            """,
            {"n": len(self._changed)},
        ).fetchall()
        first = int(row["seq"]) - len(self._changed) + 1
        rows = [(first + place, kind, thing) for place, (kind, thing) in enumerate(self._changed)]
        self.executemany("INSERT INTO changes (seq, kind, id) VALUES (?, ?, ?)", rows)
        self.run(f"NOTIFY {CHANNEL}")
        return int(row["number"])

    def make_room_for_courses(self, deployment_id: str) -> None:
        """Have the partition of the month in which the deployment ended."""
        (row,) = self.execute(
            """
            SELECT ended_us, (
                SELECT 1 FROM pg_class WHERE oid = to_regclass('courses_' || to_char(
                    to_timestamp(ended_us / 1000000.0) AT TIME ZONE 'UTC', 'YYYY_MM'))
            ) AS made FROM deployments WHERE id = ?
            """,
            (deployment_id,),
        ).fetchall()
        if row["made"] is None:
            self.make_partition(row["ended_us"])

    def forget_courses(self, before_us: int) -> int:
        """As the protocol has it: months that are over are dropped whole, which costs nothing."""
        self.serialise("partition", "courses")
        forgotten = 0
        for row in self.run(_PARTITIONS):
            if row["name"] < _PARTITION.format(to_time(before_us)):
                (counted,) = self.run(f"SELECT count(*) AS n FROM {row['name']}")  # noqa: S608 - one of ours
                forgotten += int(counted["n"])
                self.run(f"DROP TABLE {row['name']}")
        return forgotten + self.execute("DELETE FROM courses WHERE ended_us < ?", (before_us,)).rowcount

    def make_partition(self, ended_us: int) -> None:
        """Have the partition of courses of deployments that ended then."""
        self.serialise("partition", "courses")
        name, start, end = _partition_of(ended_us)
        (found,) = self.execute("SELECT to_regclass(?) IS NOT NULL AS made", (name,)).fetchall()
        if not found["made"]:
            self.run(_ROOM.format(name=name, start=start, end=end))


def _partition_of(us: int) -> tuple[str, int, int]:
    """The partition that keeps the courses of deployments that ended then: its name and its bounds."""
    month = to_time(us).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (month + timedelta(days=32)).replace(day=1)
    return _PARTITION.format(month), to_us(month), to_us(following)
