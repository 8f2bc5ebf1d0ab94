"""The ports of what is automated, over a database."""

from collections.abc import Callable, Mapping
from datetime import datetime

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
from afdp_exporter.store.sql import actions, approvals, decisions, levels, rollouts
from afdp_exporter.store.sql.adapters import Adapter


class SQLDecisions(Adapter):
    """A `DecisionStore`."""

    async def keep(self, decision: GateDecision, caller: str) -> StoredDecision:
        return await self._write(decisions.keep, decision, caller)

    async def search(
        self, *, since: datetime, service: str | None = None, environment: str | None = None, limit: int = 1000
    ) -> list[StoredDecision]:
        return await self._read(decisions.search, service, environment, since, limit)

    async def on(self, deployment: Deployment) -> StoredDecision | None:
        return await self._read(decisions.on, deployment)


class SQLLevels(Adapter):
    """A `LevelStore`."""

    async def record(self, change: LevelChange) -> None:
        await self._write(levels.record, change)

    async def trail(self, service: str | None = None) -> list[LevelChange]:
        return await self._read(levels.trail, service)

    async def keep_false_alarms(self, found: Mapping[str, tuple[int, int]]) -> None:
        await self._write(levels.keep_false_alarms, found)

    async def false_alarms(self) -> dict[str, tuple[int, int]]:
        return await self._read(levels.false_alarms)


class SQLRollouts(Adapter):
    """A `RolloutStore`."""

    async def keep(self, service: str, rollout: Rollout) -> None:
        await self._write(rollouts.keep, service, rollout)

    async def find(self, deployment_id: str) -> Rollout | None:
        return await self._look_up(rollouts.find, deployment_id)

    async def newest(self, service: str | None, *, before: datetime, limit: int = 20) -> list[Rollout]:
        return await self._read(rollouts.newest, service, before, limit)


class SQLApprovals(Adapter):
    """An `ApprovalStore`."""

    async def keep(self, waiting: PendingApproval) -> bool:
        return await self._write(approvals.keep, waiting)

    async def change(self, waiting: PendingApproval) -> None:
        await self._write(approvals.change, waiting)

    async def waiting(self, *, limit: int = 1000) -> list[PendingApproval]:
        return await self._read(approvals.waiting, limit)

    async def keep_evaluation(self, evaluation: GateEvaluation) -> None:
        await self._write(approvals.keep_evaluation, evaluation)

    async def evaluation(self, evaluation_id: str) -> GateEvaluation | None:
        return await self._read(approvals.find_evaluation, evaluation_id)


class SQLActions(Adapter):
    """An `ActionStore`."""

    async def propose(self, action: Action) -> bool:
        return await self._write(actions.propose, action)

    async def move(
        self, action_id: str, expected: frozenset[ActionState], change: Callable[[Action], Action]
    ) -> Action:
        return await self._write(actions.move, action_id, expected, change)

    async def find(self, action_id: str) -> Action:
        return await self._read(actions.find, action_id)

    async def search(
        self,
        *,
        deployment_id: str | None = None,
        since: datetime | None = None,
        only_open: bool = False,
        limit: int = 1000,
    ) -> list[Action]:
        return await self._read(
            actions.search, deployment_id=deployment_id, since=since, only_open=only_open, limit=limit
        )
