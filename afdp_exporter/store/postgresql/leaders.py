"""Which of several processes leads, by the server's clock."""

from datetime import timedelta

from afdp_exporter.store.postgresql.session import Session
from afdp_exporter.store.postgresql.sessions import Sessions

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"

_CAMPAIGN = f"""
INSERT INTO leaders (task, owner, epoch, until_us) VALUES (:task, :owner, 1, {_NOW} + :lease)
ON CONFLICT (task) DO UPDATE SET
    owner = excluded.owner,
    epoch = CASE WHEN leaders.owner = excluded.owner THEN leaders.epoch ELSE leaders.epoch + 1 END,
    until_us = excluded.until_us
WHERE leaders.owner = excluded.owner OR leaders.until_us <= {_NOW}
RETURNING epoch
"""  # noqa: S608 - every part of it is ours


class PostgreSQLLeaders:
    """A `LeaderStore`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def campaign(self, task: str, owner: str, lease: timedelta) -> int | None:
        values = {"task": task, "owner": owner, "lease": lease // timedelta(microseconds=1)}

        def campaign(session: Session) -> int | None:
            rows = session.execute(_CAMPAIGN, values).fetchall()
            return int(rows[0]["epoch"]) if rows else None

        return await self._sessions.write(campaign)

    async def resign(self, task: str, owner: str) -> None:
        await self._sessions.write(
            lambda session: (
                session.execute("UPDATE leaders SET until_us = 0 WHERE task = ? AND owner = ?", (task, owner)).rowcount
            )
        )
