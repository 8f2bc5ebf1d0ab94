"""What is done about a deployment: at most once, with a trail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

AUTOMATION = "afdp"
"""Who moved an action where it was no person."""
ROLLBACK, HOLD = "rollback", "hold"
"""The kinds of actions: what takes a deployment back, and what only kept it waiting."""


class ActionState(StrEnum):
    """Where an action stands.

    `unknown`: it was begun and its result is unknown; such an action is never begun again.
    """

    PROPOSED = "proposed"
    AWAITING_APPROVAL = "awaiting_approval"
    CLAIMED = "claimed"
    STARTED = "started"
    ACCEPTED = "accepted"
    VERIFIED = "verified"
    NOT_EFFECTIVE = "not_effective"
    SKIPPED = "skipped"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def open(self) -> bool:
        """Whether something is still to be done."""
        return self in {
            ActionState.PROPOSED, ActionState.AWAITING_APPROVAL, ActionState.CLAIMED, ActionState.STARTED,
            ActionState.ACCEPTED,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEntry:
    """One step of an action: when, into which state, by whom, and why."""

    at: datetime
    state: ActionState
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What is to be done, or was done, about one deployment: one of each kind at most.

    `request` is exactly what was or would be sent, without secrets; `answer` what came back.
    """

    id: str
    deployment_id: str
    service: str
    environment: str
    kind: str
    executor: str  # the name of the executor in the configuration; gate of a hold
    state: ActionState
    level: int
    reason: str
    decided_at: datetime
    dry_run: bool = False
    breaker: str | None = None  # what kept it from being begun: paused, service, environment or common_cause
    approved_by: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)
    prevented: float | None = None  # money at its lower point, booked once the metrics are back
    spent: float | None = None  # money that it cost itself
    corrected: float | None = None  # of what was prevented, what a person has called wrong since
    currency: str | None = None
    arithmetic: str | None = None  # how the amount comes about, as a sentence
    trail: tuple[TrailEntry, ...] = ()

    @property
    def begun(self) -> bool:
        """Whether its call was made, or may have been."""
        return any(entry.state is ActionState.STARTED for entry in self.trail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A figure of an action as it is counted: spared where it has no `reason`, else what it has cost for that."""

    amount: float
    currency: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What automation has spared and cost, in one currency."""

    prevented: float = 0.0
    spent: float = 0.0

    @property
    def net(self) -> float:
        """What is left."""
        return self.prevented - self.spent
