"""What outlives a process: the store in memory, as a disk on which every operation is kept whole."""

import asyncio
import random
from collections.abc import Iterable
from datetime import datetime
from itertools import chain

from afdp_exporter.model import Deployment, Impact, Look
from afdp_exporter.store import Store
from afdp_exporter.store.memory import MemoryStore
from simulation.conditions import Conditions


class Disk:
    """A `Store` that answers at once, and what an onlooker sees of it."""

    store: Store

    def news(self) -> asyncio.Event:
        """Set by the next change."""
        raise NotImplementedError

    def suffer(self, conditions: Conditions, chance: random.Random) -> None:
        """Be in trouble whenever there is an episode of it."""

    def reopened(self) -> None:
        """A process opens it, and no other has it. Raises StoreError."""
        raise NotImplementedError

    def deployments(self) -> dict[str, Deployment]:
        """All of them."""
        raise NotImplementedError

    def impacts(self) -> dict[str, Impact]:
        """What was found of each."""
        raise NotImplementedError

    def looks(self) -> Iterable[Look]:
        """All of them."""
        raise NotImplementedError

    def open_jobs(self) -> list[tuple[str, str]]:
        """Kind and key of each job."""
        raise NotImplementedError

    def overdue(self, now: datetime) -> int:
        """How many looks are due without an answer."""
        return sum(look.is_open and look.due_at <= now for look in self.looks())

    def close(self) -> None:
        """Let go of it."""


class MemoryDisk(Disk):
    """The store that keeps the promises of the ports in memory."""

    def __init__(self) -> None:
        self.store: MemoryStore = MemoryStore()
        self._data = self.store.deployments._data

    def news(self) -> asyncio.Event:
        return self._data.news

    def reopened(self) -> None:
        for owner in {held.owner for held in self._data.jobs.values() if held.owner is not None}:
            for held in self._data.jobs.values():
                if held.owner == owner:
                    held.owner, held.ready_at = None, held.job.due_at

    def deployments(self) -> dict[str, Deployment]:
        return self._data.deployments

    def impacts(self) -> dict[str, Impact]:
        return self._data.impacts

    def looks(self) -> Iterable[Look]:
        return chain.from_iterable(known.values() for known in self._data.looks.values())

    def open_jobs(self) -> list[tuple[str, str]]:
        return list(self._data.jobs)
