"""Hears of every change in the store, in order, and hands it to who keeps something in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from afdp_exporter.errors import StoreError
from afdp_exporter.store import Store, StoredChange

log = structlog.get_logger(__name__)

_PAUSE = 1.0  # seconds, while the store does not answer
_PATIENCE = 5.0  # seconds, for whoever waits until a change is taken into account


class Follower:
    """Hands on what changed since it began; where that fails it says so and goes on with what comes after it."""

    def __init__(self, store: Store, take: Callable[[Sequence[StoredChange]], Awaitable[None]]) -> None:
        self._store = store
        self._take = take
        self._reached = 0
        self._moved = asyncio.Event()

    async def begin(self) -> None:
        """Follow from here: whoever reads the whole store after this misses nothing. Raises StoreError."""
        self._reached = await self._store.changes.last()

    async def caught_up(self) -> None:
        """Wait until everything that is stored now was handed on; for some seconds at most."""
        with suppress(TimeoutError, StoreError):
            newest = await self._store.changes.last()
            if self._reached >= newest:
                return
            async with asyncio.timeout(_PATIENCE):
                while self._reached < newest:
                    await self._moved.wait()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                async for changes in self._store.changes.follow(self._reached):
                    await self._hand_on(changes)
            except StoreError as error:
                log.error("store does not answer", error=str(error))
                await asyncio.sleep(_PAUSE)

    async def _hand_on(self, changes: Sequence[StoredChange]) -> None:
        try:
            await self._take(changes)
        except StoreError:
            raise
        except Exception:  # one change that nobody foresaw must not hide the later ones
            log.exception("changes not taken into account", first=changes[0].seq, last=changes[-1].seq)
        self._reached = changes[-1].seq
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
