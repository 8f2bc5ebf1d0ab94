"""The ports of what is automated, in memory."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from afdp_exporter.errors import Conflict, Fault, NotFound
from afdp_exporter.model import (
    Action,
    ActionState,
    ApprovalState,
    Deployment,
    GateDecision,
    GateEvaluation,
    LevelChange,
    PendingApproval,
    Rollout,
    StoredDecision,
)
from afdp_exporter.store.follow_ups import ACTION, APPROVAL, FALSE_ALARMS, ROLLOUT
from afdp_exporter.store.memory.data import Data

_OPEN = {
    ActionState.PROPOSED,
    ActionState.AWAITING_APPROVAL,
    ActionState.CLAIMED,
    ActionState.STARTED,
    ActionState.ACCEPTED,
}
_REMEMBERED = timedelta(days=30)  # that what was begun can be polled


class MemoryDecisions:
    """A `DecisionStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._decisions: list[StoredDecision] = []

    async def keep(self, decision: GateDecision, caller: str) -> StoredDecision:
        self._data.check_held()
        same = (each for each in reversed(self._decisions) if _subject(each.decision) == _subject(decision))
        last = next(same, None)
        if last is not None and _said(last.decision) == _said(decision):
            return last
        self._decisions.append(StoredDecision(id=len(self._decisions) + 1, caller=caller, decision=decision))
        return self._decisions[-1]

    async def search(
        self, *, since: datetime, service: str | None = None, environment: str | None = None, limit: int = 1000
    ) -> list[StoredDecision]:
        found = [
            each
            for each in reversed(self._decisions)
            if each.decision.decided_at >= since
            and service in {None, each.decision.service}
            and environment in {None, each.decision.environment}
        ]
        return found[:limit]

    async def on(self, deployment: Deployment) -> StoredDecision | None:
        for each in reversed(self._decisions):
            about = each.decision
            if (about.service, about.environment) == (deployment.service, deployment.environment) and (
                about.deployment_id == deployment.id
                or (about.deployment_id is None and about.version == deployment.version)
            ):
                return each
        return None


class MemoryLevels:
    """A `LevelStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._levels: list[LevelChange] = []
        self._false_alarms: dict[str, tuple[int, int]] = {}

    async def record(self, change: LevelChange) -> None:
        self._data.check_held()
        same = (each for each in reversed(self._levels) if _standing(each) == _standing(change))
        last = next(same, None)
        if change.kind != "level" or last is None or last.level != change.level:
            self._levels.append(change)

    async def trail(self, service: str | None = None) -> list[LevelChange]:
        return [each for each in self._levels if service in {None, each.service}]

    async def keep_false_alarms(self, found: Mapping[str, tuple[int, int]]) -> None:
        self._data.check_held()
        self._false_alarms = dict(found)
        self._data.append(FALSE_ALARMS, "")

    async def false_alarms(self) -> dict[str, tuple[int, int]]:
        return dict(self._false_alarms)


class MemoryRollouts:
    """A `RolloutStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._rollouts: dict[str, tuple[str, Rollout]] = {}

    async def keep(self, service: str, rollout: Rollout) -> None:
        self._data.check_held()
        self._rollouts[rollout.deployment_id] = (service, rollout)
        self._data.append_of(ROLLOUT, self._data.deployments[rollout.deployment_id])

    async def find(self, deployment_id: str) -> Rollout | None:
        found = self._rollouts.get(deployment_id)
        return None if found is None else found[1]

    async def newest(self, service: str | None, *, before: datetime, limit: int = 20) -> list[Rollout]:
        known = [rollout for of, rollout in self._rollouts.values() if service in {None, of}]
        found = [rollout for rollout in known if rollout.as_of < before]
        return sorted(found, key=lambda rollout: rollout.as_of)[-limit:]


class MemoryApprovals:
    """An `ApprovalStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._approvals: dict[str, PendingApproval] = {}
        self._evaluations: dict[str, GateEvaluation] = {}

    async def keep(self, waiting: PendingApproval) -> bool:
        self._data.check_held()
        known = waiting.id in self._approvals
        if self._approvals.setdefault(waiting.id, waiting).state is ApprovalState.WAITING:
            self._data.append(APPROVAL, waiting.id)
        return not known

    async def change(self, waiting: PendingApproval) -> None:
        self._data.check_held()
        self._approvals[waiting.id] = waiting

    async def waiting(self, *, limit: int = 1000) -> list[PendingApproval]:
        found = [each for each in self._approvals.values() if each.state is ApprovalState.WAITING]
        return sorted(found, key=lambda each: (each.asked_at, each.id))[:limit]

    async def keep_evaluation(self, evaluation: GateEvaluation) -> None:
        self._data.check_held()
        oldest = evaluation.begun_at - _REMEMBERED
        self._evaluations = {key: each for key, each in self._evaluations.items() if each.begun_at >= oldest}
        self._evaluations[evaluation.id] = evaluation

    async def evaluation(self, evaluation_id: str) -> GateEvaluation | None:
        return self._evaluations.get(evaluation_id)


class MemoryActions:
    """An `ActionStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._actions: dict[str, Action] = {}

    async def propose(self, action: Action) -> bool:
        self._data.check_held()
        if any(
            (each.deployment_id, each.kind) == (action.deployment_id, action.kind) for each in self._actions.values()
        ):
            return False
        self._actions[action.id] = action
        self._data.append(ACTION, action.id)
        return True

    async def move(
        self, action_id: str, expected: frozenset[ActionState], change: Callable[[Action], Action]
    ) -> Action:
        self._data.check_held()
        known = await self.find(action_id)
        if known.state not in expected:
            raise Conflict(Fault("state", f"the action {action_id} is {known.state} already"))
        self._actions[action_id] = change(known)
        self._data.append(ACTION, action_id)
        return self._actions[action_id]

    async def find(self, action_id: str) -> Action:
        if action_id not in self._actions:
            raise NotFound(f"there is no action {action_id!r}")
        return self._actions[action_id]

    async def search(
        self,
        *,
        deployment_id: str | None = None,
        since: datetime | None = None,
        only_open: bool = False,
        limit: int = 1000,
    ) -> list[Action]:
        found = [
            each
            for each in self._actions.values()
            if deployment_id in {None, each.deployment_id}
            and (since is None or each.decided_at >= since)
            and (not only_open or each.state in _OPEN)
        ]
        return sorted(found, key=lambda each: (each.decided_at, each.id), reverse=True)[:limit]


def _standing(change: LevelChange) -> tuple[str, str, str]:
    return change.service, change.environment, change.kind


def _subject(decision: GateDecision) -> tuple[object, ...]:
    return decision.service, decision.environment, decision.version, decision.deployment_id, decision.phase


def _said(decision: GateDecision) -> tuple[object, ...]:
    return decision.verdict, decision.enforced_verdict
