"""The ports of what is automated: what the gate answered and to whom, what is allowed to it, and what was done."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from afdp_exporter.model import (
    Action,
    ActionState,
    Deployment,
    GateDecision,
    GateEvaluation,
    LevelChange,
    PendingApproval,
    Rollout,
    StoredDecision,
)


class DecisionStore(Protocol):
    """What the gate answered."""

    async def keep(self, decision: GateDecision, caller: str) -> StoredDecision:
        """Keep a decision, unless the last one on the same deployment and phase said the same."""

    async def search(
        self, *, since: datetime, service: str | None = None, environment: str | None = None, limit: int = 1000
    ) -> list[StoredDecision]:
        """The decisions since a time, newest first."""

    async def on(self, deployment: Deployment) -> StoredDecision | None:
        """The newest decision on a deployment, else on its version while it was planned."""


class LevelStore(Protocol):
    """How far automation goes, and the false alarms that this rests on."""

    async def record(self, change: LevelChange) -> None:
        """Append to the trail of automation levels; what the rules found (kind `level`) only where it is new."""

    async def trail(self, service: str | None = None) -> list[LevelChange]:
        """That trail, oldest first."""

    async def keep_false_alarms(self, found: Mapping[str, tuple[int, int]]) -> None:
        """Keep how many placebo deployments were blamed, and how many were judged, by metric, in place of the last."""

    async def false_alarms(self) -> dict[str, tuple[int, int]]:
        """What was kept last."""


class RolloutStore(Protocol):
    """What canaries and greens show."""

    async def keep(self, service: str, rollout: Rollout) -> None:
        """Keep what a canary or green of a service shows by now."""

    async def find(self, deployment_id: str) -> Rollout | None:
        """What the canary or green of a deployment showed last; None where there was none."""

    async def newest(self, service: str | None, *, before: datetime, limit: int = 20) -> list[Rollout]:
        """What the newest canaries and greens of a service, or of all, showed last, oldest first."""


class ApprovalStore(Protocol):
    """Who waits for an answer of the gate: to be called back, or by asking again under the id of an evaluation."""

    async def keep(self, waiting: PendingApproval) -> bool:
        """Keep a request for an approval; False where the same one was kept before.

        As long as it waits, asking again is a change, too: so whoever asks is answered at once where that can be.
        """

    async def change(self, waiting: PendingApproval) -> None:
        """Keep where a request stands; once it is answered, its credential is forgotten."""

    async def waiting(self, *, limit: int = 1000) -> list[PendingApproval]:
        """The requests that wait for an answer, oldest first."""

    async def keep_evaluation(self, evaluation: GateEvaluation) -> None:
        """Keep what was begun; the same id begins anew. What was begun a month before it is forgotten."""

    async def evaluation(self, evaluation_id: str) -> GateEvaluation | None:
        """What was begun under this id; None where nothing was, or it is forgotten."""


class ActionStore(Protocol):
    """What was done about deployments."""

    async def propose(self, action: Action) -> bool:
        """Keep the intent of an action; False where there is one of its kind for the deployment already."""

    async def move(
        self, action_id: str, expected: frozenset[ActionState], change: Callable[[Action], Action]
    ) -> Action:
        """Read, change and keep an action in one transaction.

        Raises NotFound, and Conflict where it is in none of the expected states: somebody was faster.
        """

    async def find(self, action_id: str) -> Action:
        """One action. Raises NotFound."""

    async def search(
        self,
        *,
        deployment_id: str | None = None,
        since: datetime | None = None,
        only_open: bool = False,
        limit: int = 1000,
    ) -> list[Action]:
        """Actions, newest first."""
