"""The file on disk: which SQLite may touch it, who holds it, whether it is whole, and what its errors mean."""

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from afdp_exporter.errors import StoreDamaged, StoreError, StoreFull
from afdp_exporter.importing import import_without
from afdp_exporter.model import Deployment
from afdp_exporter.store import StoredChange
from afdp_exporter.store.sql.connection import Dialect
from afdp_exporter.store.sql.inserting import insert
from afdp_exporter.store.sqlite.schema import steps

if TYPE_CHECKING:
    import sqlite3
else:  # as sqlite-utils has it: pysqlite3 brings a newer SQLite than most systems have
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        import sqlite3

SQLError: TypeAlias = sqlite3.Error

_APPLICATION_ID = 0x41464450  # "AFDP" in the file's header
_LITTLE = 256 * 1024  # bytes; SQLite's own files beside a store take that much
_BUSY_SECONDS = 5.0
_LOGGED = 4000  # pages (16 MB) of the log that are copied to the file at once: many were changed again meanwhile
_AHEAD = 1024**2  # bytes asked for in one call: a system reads no more ahead at once
_SQLITE = Dialect(
    listed="SELECT value FROM json_each(:{})",
    has_tags="""
    NOT EXISTS (
        SELECT 1 FROM json_each(:{}) AS wanted
        WHERE wanted.value NOT IN (SELECT value FROM json_each(annotations.tags))
    )
    """,
    walk="INDEXED BY {}",
    locked="",
    skip_locked="",
    lateral=False,
    keep_course="INSERT INTO courses (deployment_id, metric, document) VALUES (:deployment_id, :metric, :document)",
)
_FULL = {"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"}
_DAMAGED = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


class Connection(sqlite3.Connection):
    """A `Connection` of the store's SQL: one process writes, in one transaction at a time, so nothing else has to.

    `changed` is what was appended to the changes in this transaction; their `seq` is not known yet.
    """

    changed: list[StoredChange]

    @property
    def dialect(self) -> Dialect:
        """SQLite's."""
        return _SQLITE

    def serialise(self, kind: str, key: str) -> None:
        """There is one writer."""

    def append_changes(self, kind: str, *thing_ids: str, recorded: Sequence[Deployment] = ()) -> None:
        """As the protocol has it."""
        insert(self, "INSERT INTO changes (kind, id) VALUES {rows}", "(?, ?)", [(kind, each) for each in thing_ids])
        self.changed += [
            StoredChange(seq=0, kind=kind, id=each, recorded=deployment)
            for each, deployment in zip_longest(thing_ids, recorded)
        ]

    def last_change(self) -> int:
        """The newest, also where it is forgotten already."""
        row = self.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
        return 0 if row is None else int(row["seq"])

    def make_room_for_courses(self, deployment_id: str) -> None:
        """There is one table."""

    def forget_courses(self, before_us: int) -> int:
        """As the protocol has it."""
        return self.execute(
            """
            DELETE FROM courses
            WHERE deployment_id IN (SELECT id FROM deployments WHERE measured = 1 AND ended_us < ?)
            """,
            (before_us,),
        ).rowcount


def translate(error: SQLError) -> StoreError:
    """SQLite's error in our words."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name in _FULL:
        return StoreFull("no space is left for the store; what was accepted before is kept")
    if name in _DAMAGED or any(name.startswith(f"{prefix}_") for prefix in _DAMAGED):
        return StoreDamaged(f"the store's file is damaged: {error}")
    if str(error).startswith("Could not decode"):  # the driver's own error, which repeats the whole text
        return StoreDamaged("the store's file is damaged: it holds text that is not UTF-8")
    return StoreError(f"the store cannot do its work: {error}")


def check_version(version: str = sqlite3.sqlite_version) -> None:
    """Raises StoreError for a SQLite whose write-ahead log can be damaged by its reset (sqlite.org/wal.html)."""
    parts = tuple(int(part) for part in version.split("."))
    mended = parts >= (3, 51, 3) or (3, 50, 7) <= parts < (3, 51) or (3, 44, 6) <= parts < (3, 45)
    if parts >= (3, 7) and not mended:
        raise StoreError(
            f"SQLite {version} can damage its write-ahead log; 3.51.3 or newer is needed: pip install pysqlite3"
        )


def url_of_file(path: Path) -> str:
    """The URL of a store in a file."""
    return f"sqlite:///{path.absolute().as_uri().removeprefix('file:///')}"


def lock(path: Path) -> int:
    """Hold the file's folder for this process, until the descriptor is closed or the process ends. Raises StoreError.

    A folder cannot be removed under its file, and is there on a disk that is full or can only be read.
    """
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"{path.parent}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreError(f"the store {path} is in use by another process") from None
    return descriptor


def make_private(path: Path, *, folder: bool) -> None:
    """Make the file, and its folder where asked to, for nobody else to read; SQLite's other files follow it."""
    try:
        if folder:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        kind = StoreFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreError
        raise kind(f"{error.filename or path}: {error.strerror}") from None


def open_writer(path: Path) -> Connection:
    """The one connection that writes, over a checked file with today's schema. Raises StoreError."""
    connection = open_checked(path)
    bring_up_to_date(connection, path)
    return connection


def open_checked(path: Path) -> Connection:
    """A connection that may write, over a file that is whole and ours, as it is. Raises StoreError."""
    with translated(path):
        connection = _connect(path.absolute().as_uri())
        try:
            _verify(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def bring_up_to_date(connection: Connection, path: Path) -> None:
    """Give the file today's schema, and have what is written be on disk; the connection is closed where it raises."""
    try:
        with translated(path):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_LOGGED}")
            connection.execute("PRAGMA foreign_keys = ON")
            if not _application(connection):
                connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            _migrate(connection, path)
    except BaseException:
        connection.close()
        raise


def open_reader(path: Path) -> Connection:
    """A connection that can only read; the file is there already. Raises StoreError."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with translated(path):
        connection = _connect(uri)
        try:
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        except SQLError:
            connection.close()
            if _has_log(path):
                raise
            connection = _connect(f"{uri}&immutable=1")  # where even SQLite's own files beside it cannot be made
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
        return connection


def why_not_written(path: Path, error: StoreError) -> StoreError | None:
    """Why a store that is there can be read and not written to, for now; None where something else is wrong with it."""
    if isinstance(error, StoreDamaged) or not path.exists() or not path.stat().st_size:
        return None
    disk = os.statvfs(path.parent)
    if disk.f_flag & os.ST_RDONLY:
        return StoreError(f"{path.parent} can only be read; nothing is taken in until it can be written to")
    if isinstance(error, StoreFull) or disk.f_bavail * disk.f_frsize < _LITTLE:
        return StoreFull(f"{path.parent}: no space is left; nothing is taken in until there is some")
    return None


def is_current(connection: Connection) -> bool:
    """Whether the schema is today's, so that a store that cannot be brought up to date can be read as it is."""
    return _applied(connection) == set(steps.names)


def _applied(connection: Connection) -> set[str]:
    """The names of the migrations that the file has seen."""
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = '_sqlite_migrations'").fetchone()
    if found is None:
        return set()
    return {str(row["name"]) for row in connection.execute("SELECT name FROM _sqlite_migrations").fetchall()}


def _has_log(path: Path) -> bool:
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _connect(uri: str) -> Connection:
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=128,
        factory=Connection,
    )
    connection.row_factory = sqlite3.Row
    connection.changed = []
    return connection


def _migrate(connection: Connection, path: Path) -> None:
    if is_current(connection):
        return
    sqlite_utils = import_without("sqlite_utils", "pandas")  # few starts need it
    database = sqlite_utils.Database(connection, execute_plugins=False)
    with database.atomic():  # otherwise a crash could leave the table of migrations without its index
        steps.migrations.ensure_migrations_table(database)
    pending = steps.migrations.pending(database)
    if pending and database["deployments"].exists() and database["deployments"].count:
        try:
            _keep_copy(connection, path.with_name(f"{path.name}.before-{pending[0].name}"))
        except OSError as error:
            kind = StoreFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreError
            raise kind(f"{path}: no copy can be kept before the update: {error.strerror}") from None
    steps.migrations.apply(database)


def _keep_copy(connection: Connection, copy: Path) -> None:
    """The store as an earlier version of the program can open it: whole and on disk, or not there at all."""
    partial = copy.with_name(f"{copy.name}.partial")
    partial.unlink(missing_ok=True)
    made = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        connection.execute("VACUUM INTO ?", (str(partial),))
        os.fsync(made)
    except BaseException:
        partial.unlink()
        raise
    finally:
        os.close(made)
    partial.replace(copy)
    folder = os.open(copy.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _application(connection: Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _verify(connection: Connection, path: Path) -> None:
    application = _application(connection)
    (things,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != _APPLICATION_ID and (application or things):
        raise StoreDamaged(f"{path} was not written by this program")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreDamaged(f"{path} is damaged: {' '.join(str(verdict).split())}")
    if _applied(connection) - set(steps.names):
        raise StoreError(f"{path} was written by a newer version of this program")


def read_ahead(path: Path) -> None:
    """Have the system read the file from its beginning to its end, where memory holds that: the check jumps about.

    To be called before SQLite opens it: who closes a file gives back all locks that the process has on it.
    """
    with suppress(OSError), path.open("rb") as file:  # whoever opens it says what is wrong with it
        size = os.fstat(file.fileno()).st_size
        if hasattr(os, "posix_fadvise") and 2 * size <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"):
            for begin in range(0, size, _AHEAD):
                os.posix_fadvise(file.fileno(), begin, _AHEAD, os.POSIX_FADV_WILLNEED)


def size_on_disk(path: Path) -> int:
    """Bytes of the file and of its write-ahead log."""
    files = (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))
    return sum(file.stat().st_size for file in files if file.exists())


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors leave as ours, with the file's name."""
    try:
        yield
    except sqlite3.Error as error:
        raised = translate(error)
        raise type(raised)(f"{path}: {raised}") from error
    except UnicodeDecodeError as error:  # the driver's own, where SQLite repeats what it found in a damaged schema
        raise StoreDamaged(f"{path}: the store's file is damaged: it holds text that is not UTF-8") from error
