"""Does this process lead? Of several that share a store one shows the deployments on `/metrics`: no sum doubles."""

import asyncio
import uuid
from contextlib import suppress
from datetime import timedelta
from time import monotonic

import structlog

from afdp_exporter.errors import StoreError
from afdp_exporter.store import Store

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=6)
_BEATS = 4  # in a lease
_SCRAPERS = 100  # remembered, by their addresses


class Leadership:
    """Of one task. Its lease is counted from before it was asked for: it has ended here before another can have it."""

    def __init__(self, store: Store, task: str, *, lease: timedelta = LEASE) -> None:
        self.task = task
        self.epoch: int | None = None
        self._store = store
        self._lease = lease
        self._owner = uuid.uuid4().hex
        self._until = float("-inf")
        self._scrapers = set[str]()

    @property
    def leads(self) -> bool:
        """Whether this process leads now."""
        return monotonic() < self._until

    def shows_to(self, scraper: str) -> bool:
        """Whether a scraper is to be shown what only the leader shows.

        After another process has led, not in its first scrape: it may still have what the other showed, until it finds
        that one gone, which takes as long as from its first scrape here to its second.
        """
        if not self.leads:
            return False
        if self.epoch in {0, 1} or scraper in self._scrapers or len(self._scrapers) >= _SCRAPERS:
            return True
        self._scrapers.add(scraper)
        return False

    async def campaign(self) -> None:
        """Lead, or go on leading, unless another does."""
        led, asked = self.leads, monotonic()
        try:
            self.epoch = await self._store.leaders.campaign(self.task, self._owner, self._lease)
        except StoreError as error:
            log.warning("nobody can lead while the store does not answer", task=self.task, error=str(error))
        else:
            self._until = _end(self.epoch, asked + self._lease.total_seconds())
        if led != self.leads:
            self._scrapers.clear()
            log.debug("leads" if self.leads else "leads no more", task=self.task, epoch=self.epoch)

    async def run(self) -> None:
        """Campaign until cancelled, and resign then."""
        try:
            while True:
                await asyncio.sleep((self._lease / _BEATS).total_seconds())
                await self.campaign()
        finally:
            if self.leads:
                self._until = float("-inf")
                with suppress(StoreError):
                    await asyncio.shield(self._store.leaders.resign(self.task, self._owner))


def _end(epoch: int | None, of_lease: float) -> float:
    if epoch is None:
        return float("-inf")
    return float("inf") if epoch == 0 else of_lease
