"""A store in memory, for tests: it keeps the promises of the ports, and is gone with its process."""

import secrets

from afdp_exporter.store.leading import OnlyProcess
from afdp_exporter.store.memory.automation import (
    MemoryActions,
    MemoryApprovals,
    MemoryDecisions,
    MemoryLevels,
    MemoryRollouts,
)
from afdp_exporter.store.memory.data import Data
from afdp_exporter.store.memory.deployments import MemoryDeployments, MemoryHistory, MemoryResults
from afdp_exporter.store.memory.events import MemoryAnnotations, MemoryCursors, MemoryEvents
from afdp_exporter.store.memory.jobs import MemoryChanges, MemoryJobs, MemoryLooks, MemoryNotices


class MemoryStore:
    """A `Store` in memory."""

    url = None
    leaders = OnlyProcess()
    writable = True
    healthy = True

    def __init__(self) -> None:
        data = Data()
        self.deployments = MemoryDeployments(data)
        self.history = MemoryHistory(data)
        self.results = MemoryResults(data)
        self.changes = MemoryChanges(data)
        self.jobs = MemoryJobs(data)
        self.looks = MemoryLooks(data)
        self.notices = MemoryNotices(data, self.jobs)
        self.annotations = MemoryAnnotations(data)
        self.events = MemoryEvents(data)
        self.cursors = MemoryCursors(data)
        self.decisions = MemoryDecisions(data)
        self.levels = MemoryLevels(data)
        self.rollouts = MemoryRollouts(data)
        self.approvals = MemoryApprovals(data)
        self.actions = MemoryActions(data)
        self._key = secrets.token_bytes(32)

    async def pseudonym_key(self) -> bytes:
        return self._key

    async def size_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        """As the port has it."""
