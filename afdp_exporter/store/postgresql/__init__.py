"""The store in PostgreSQL, for any number of processes: the SQL is that of the file, the transactions are the server's.

What is read, changed and written in one transaction is serialised by an advisory lock on its name, so that READ
COMMITTED suffices.
"""

import asyncio
import secrets
from contextlib import closing

import psycopg

from afdp_exporter.errors import StoreError
from afdp_exporter.store.postgresql.jobs import PostgreSQLJobs
from afdp_exporter.store.postgresql.leaders import PostgreSQLLeaders
from afdp_exporter.store.postgresql.listener import Listener
from afdp_exporter.store.postgresql.schema import shipped, upgrade
from afdp_exporter.store.postgresql.session import Session, connect, password_of, shown, translate
from afdp_exporter.store.postgresql.sessions import Sessions
from afdp_exporter.store.sql.ports import SQLPorts

_OLDEST = 140000
_POLL = 5.0  # seconds; a notification may be lost with its connection


class PostgreSQLStore(SQLPorts):
    """A `Store` in a database. Any number of processes share it; what it has answered is on the server's disk."""

    def __init__(self, url: str, sessions: Sessions, listener: Listener) -> None:
        self._url = url
        self._sessions = sessions
        self._listener = listener
        super().__init__(sessions, sessions, lambda: listener.changed, poll=_POLL)
        self.jobs = PostgreSQLJobs(sessions, self.fence)
        self.leaders = PostgreSQLLeaders(sessions)

    @classmethod
    async def open(cls, url: str) -> "PostgreSQLStore":
        """Connect, and bring the tables up to date. Raises StoreError where that cannot be."""
        await asyncio.to_thread(_prepare, url)
        opened = cls.to_read(url)
        opened._listener.begin()  # noqa: SLF001 - of our own class
        return opened

    @classmethod
    def to_read(cls, url: str) -> "PostgreSQLStore":
        """A store that is open already elsewhere: its tables are taken as they are."""
        listener = Listener(url)
        return cls(url, Sessions(url, wrote=listener.hear), listener)

    @property
    def url(self) -> str:
        """As the port has it; with its password, where it holds one."""
        return self._url

    @property
    def writable(self) -> bool:
        """Whether the server answered when it was asked last."""
        return self._sessions.answers

    @property
    def healthy(self) -> bool:
        """As long as it is open: a server that is away is waited for."""
        return not self._sessions.closed

    async def pseudonym_key(self) -> bytes:
        """In a table of its own."""
        return await self._sessions.write(_pseudonym_key)

    async def size_bytes(self) -> int:
        """Of the whole database."""
        return await self._sessions.read(_size)

    async def close(self) -> None:
        """Finish what was accepted and let go of all connections."""
        await self._listener.end()
        await asyncio.to_thread(self._sessions.close)


def _prepare(url: str) -> None:
    """Raises StoreError, which names the database and never its password."""
    place = shown(url)
    try:
        with closing(connect(url)) as connection:
            _check(connection.info.server_version)
            upgrade(Session(connection), shipped())
    except psycopg.Error as error:
        reason = translate(error, password=password_of(url))
        raise StoreError(f"{place}: {reason}") from None
    except StoreError as error:
        raise StoreError(f"{place}: {error}") from None


def _check(version: int) -> None:
    if version < _OLDEST:
        raise StoreError("PostgreSQL 14 or newer is needed")


def _pseudonym_key(session: Session) -> bytes:
    """Of several that are made at once the first stays."""
    made = secrets.token_bytes(32)
    session.execute("INSERT INTO pseudonym_key (key) VALUES (?) ON CONFLICT DO NOTHING", (made,))
    (row,) = session.execute("SELECT key FROM pseudonym_key").fetchall()
    return bytes(row["key"])


def _size(session: Session) -> int:
    (row,) = session.run("SELECT pg_database_size(current_database()) AS bytes")
    return int(row["bytes"])
