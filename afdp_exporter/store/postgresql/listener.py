"""Hears that something changed, by PostgreSQL's own notifications. They are a hint: who misses one polls."""

import asyncio
from contextlib import suppress

import psycopg

from afdp_exporter.store.postgresql.session import CHANNEL, connection_words

_PAUSE = 1.0  # seconds until a lost connection is made again


class Listener:
    """Sets an event when something changed in the database, by whichever process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def changed(self) -> asyncio.Event:
        """Set by the next change."""
        return self._changed

    def hear(self) -> None:
        """Something changed."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def begin(self) -> None:
        """Listen from now on."""
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Listen no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            with suppress(psycopg.Error):
                await self._listen()
            await asyncio.sleep(_PAUSE)

    async def _listen(self) -> None:
        words = {**connection_words()}
        del words["row_factory"]
        async with await psycopg.AsyncConnection.connect(self._url, **words) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            self.hear()  # of what came before it listened again
            notifications = connection.notifies()
            try:
                async for _ in notifications:
                    self.hear()
            finally:
                await (
                    notifications.aclose()
                )  # which would otherwise hold the connection's lock, and its end wait for ever
