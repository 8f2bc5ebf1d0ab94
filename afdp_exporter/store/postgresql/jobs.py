"""The jobs of several machines, by one clock: the server's."""

import time
from datetime import timedelta

import structlog

from afdp_exporter.store.fencing import Fence
from afdp_exporter.store.postgresql.session import Session
from afdp_exporter.store.postgresql.sessions import Sessions
from afdp_exporter.store.sql.adapters import SQLJobs

log = structlog.get_logger(__name__)

_NOW = "SELECT extract(epoch FROM clock_timestamp())::double precision AS now"
_EVERY = 60.0  # seconds between two looks at the server's clock
_NO_SKEW = timedelta()


class PostgreSQLJobs(SQLJobs):
    """A `JobStore` for which every time is put in the server's: by the whole seconds that its clock is ahead.

    So two machines whose clocks differ agree on when a lease ends; clocks that agree to a second are left as they are.
    """

    def __init__(self, sessions: Sessions, fence: Fence) -> None:
        super().__init__(sessions, sessions, fence)
        self._sessions = sessions
        self._skew = _NO_SKEW
        self._compared = float("-inf")

    async def _ahead(self) -> timedelta:
        """By how many whole seconds the server's clock is ahead of ours."""
        if time.monotonic() - self._compared < _EVERY:
            return self._skew
        self._compared = time.monotonic()

        skew = timedelta(seconds=int(await self._sessions.read(_seconds_ahead)))
        if skew != self._skew:
            log.warning("the clocks differ: the server's counts", seconds=skew.total_seconds())
        self._skew = skew
        return skew


def _seconds_ahead(session: Session) -> float:
    before = time.time_ns()
    (row,) = session.run(_NOW)
    return float(row["now"]) - (before + time.time_ns()) / 2e9
