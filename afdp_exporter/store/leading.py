"""The port of which process leads, and how it is where there is one process."""

from datetime import timedelta
from typing import Protocol


class LeaderStore(Protocol):
    """Which of the processes that share the store does what only one of them may do."""

    async def campaign(self, task: str, owner: str, lease: timedelta) -> int | None:
        """Lead a task for as long as the lease, or longer than before; None where another process leads it.

        The answer is the epoch of the leader: a higher one whenever it is another process than before; 0 where no other
        can share the store, so that this one leads for good.
        """

    async def resign(self, task: str, owner: str) -> None:
        """Lead it no longer, so that another process may at once."""


class OnlyProcess:
    """A `LeaderStore` of a store that one process holds: it leads, always."""

    async def campaign(self, task: str, owner: str, lease: timedelta) -> int | None:  # noqa: ARG002
        return 0

    async def resign(self, task: str, owner: str) -> None:
        """There is nobody else."""
