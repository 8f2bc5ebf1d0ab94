"""Callers that wait until they are called back with an approval or a rejection: one system a file.

A callback goes to the address of the configuration alone; what a request says of addresses is only compared with it.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import structlog

from afdp_exporter.errors import DeliveryError
from afdp_exporter.model import ApprovalRequest, PendingApproval

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswer:
    """What a caller hears: approved, rejected, or that it has to wait still; `comment` is plain text."""

    state: Literal["approved", "rejected", "waiting"]
    comment: str
    at: datetime


class Approver(Protocol):
    """One system whose requests are answered: a frozen dataclass of settings with these methods."""

    def check(self, reply: Mapping[str, str]) -> None:
        """Raise BadInput unless what a request wants to be called back by stays at the configured address."""

    async def pending(self) -> Sequence[ApprovalRequest]:
        """What waits there that nobody calls us for; nothing where the system calls. Raises DeliveryError."""

    async def answer(self, waiting: PendingApproval, answer: ApprovalAnswer) -> None:
        """Call back; the same answer twice is as good as once. Raises DeliveryError."""


async def waiting_in(
    places: Iterable[str], ask: Callable[[str], Awaitable[Sequence[ApprovalRequest]]]
) -> list[ApprovalRequest]:
    """What waits in each place of a system; one that cannot be asked is logged, and keeps no other waiting."""
    found: list[ApprovalRequest] = []
    for place in places:
        try:
            found += await ask(place)
        except DeliveryError as error:
            log.warning("not asked what waits", place=place, error=str(error))
    return found
