"""What automation was worth, and what it cost: booked once it is confirmed, and corrected by what people say later."""

import hashlib
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from afdp_exporter.automation.levels import Levels
from afdp_exporter.errors import Conflict
from afdp_exporter.gate.ladder import OURSELVES, STOPS
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.gate.worth import (
    HARM,
    Hold,
    Prevented,
    Usual,
    delay_cost,
    held_back,
    hold_of,
    in_one_sentence,
    prevented,
    usual_duration,
)
from afdp_exporter.model import (
    AUTOMATION,
    HOLD,
    Action,
    ActionState,
    Deployment,
    GateDecision,
    GateMode,
    Impact,
    LookState,
    MeasuredDeployment,
    Outcome,
    Phase,
    Rollout,
    Status,
    TrailEntry,
)
from afdp_exporter.store import Store
from afdp_exporter.wording.numbers import format_duration

log = structlog.get_logger(__name__)

_GATE = "gate"  # what holds, in the place of an executor
_PAST, _EVERYWHERE = 1000, 5000  # measured deployments of the service, and of all
_WATCHED = timedelta(days=30)  # after a verdict, in which its deployment comes to its end
_CORRECTED = timedelta(days=180)  # in which a label still counts
_MOST = 5000  # decisions and actions
_OPEN = frozenset({LookState.DUE, LookState.WAITING, LookState.RUNNING})
_STOPPED = frozenset({Status.FAILED, Status.ROLLED_BACK, Status.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A deployment whose last check was made, when its rollout was over, and whether it never went on."""

    measured: MeasuredDeployment
    at: datetime
    never_went_on: bool


@dataclass(slots=True, kw_only=True)
class Books:
    """Books what rollbacks and holds have spared and cost."""

    store: Store
    levels: Levels
    settings: Callable[[str], GateSettings]
    clock: Callable[[], datetime]
    booked: Callable[[Action], None]

    async def of_rollback(self, impact: Impact, deployment: Deployment, begun: datetime) -> dict[str, Any]:
        """The loss that a rollback has surely spared, and what it cost itself, as fields of its action."""
        spared = prevented(
            impact,
            usual=await self._usual(deployment),
            reached=deployment.traffic_ratio or 1.0,
            taken_back_at=begun,
        )
        if spared is None:
            return {}
        spent = self.rollback_cost(deployment.service, deployment.environment, spared.currency)
        return {
            "prevented": spared.amount,
            "spent": spent,
            "currency": spared.currency,
            "arithmetic": in_one_sentence(spared, spent, spared.currency, "the rollback itself"),
        }

    def rollback_cost(self, service: str, environment: str, currency: str | None) -> float | None:
        """What a rollback of the service costs, as far as that is configured or known."""
        configured = self.settings(service).rollback_cost
        if configured is not None or currency is None:
            return configured
        return self.levels.experience(service, environment).rollback_cost(currency)

    async def work(self) -> None:
        """Book the holds whose deployments have come to their end, and correct what people have called wrong."""
        now = self.clock()
        actions = await self.store.actions.search(since=now - _CORRECTED, limit=_MOST)
        await self._correct(actions)
        known = {action.deployment_id for action in actions if action.kind == HOLD}
        decisions = await self.store.decisions.search(since=now - _WATCHED, limit=_MOST)
        asked = {_place(each.decision) for each in decisions if each.caller != OURSELVES}
        enforced = [
            each.decision
            for each in reversed(decisions)
            if each.decision.mode is GateMode.ENFORCED
            and each.decision.phase is not Phase.POST
            and _place(each.decision) in asked
        ]
        deployments = await self._stopped(enforced, known)
        held = known | {each.id for each in deployments}
        for deployment in deployments:
            about = [each for each in enforced if _is_about(each, deployment)]
            await self._hold(deployment, about, actions, held)

    async def _stopped(self, enforced: Iterable[GateDecision], known: Set[str]) -> list[Deployment]:
        """The deployments that a verdict kept waiting, but for those that are known."""
        stops = [each for each in enforced if each.enforced_verdict in STOPS]
        ids = {each.deployment_id for each in stops if each.deployment_id is not None}
        planned = {(*_place(each), each.version): each for each in reversed(stops) if each.deployment_id is None}
        found = {each.deployment.id: each.deployment for each in await self.store.history.of(tuple(ids - known))}
        for (service, environment, _), decision in planned.items():
            page = await self.store.deployments.page(service=service, environment=environment)
            found |= {each.id: each for each in page.deployments if _is_about(decision, each)}
        return [each for each in found.values() if each.id not in known]

    async def _hold(
        self,
        deployment: Deployment,
        about: Sequence[GateDecision],
        actions: Iterable[Action],
        held: Set[str],
    ) -> None:
        ended = await self._ended(deployment)
        if ended is None:
            return
        hold = hold_of(about, ended.at)
        if hold is None:
            return
        taken_back = any(each.begun and each.deployment_id == deployment.id for each in actions)
        rollout = await self.store.rollouts.find(deployment.id)
        spared = None if taken_back else await self._spared(ended, hold, rollout, held)
        action = _booking(hold, ended, spared, await self._spent(ended, hold, rollout), self.clock())
        if await self.store.actions.propose(action):
            log.info("hold booked", id=action.id, state=action.state, prevented=action.prevented, spent=action.spent)
            self.booked(action)

    async def _ended(self, deployment: Deployment) -> _Ended | None:
        """None as long as it goes on, or a check is still to come."""
        if any(look.state in _OPEN for look in await self.store.looks.of_deployment(deployment.id)):
            return None
        impact = await self.store.results.impact(deployment.id)
        measured = MeasuredDeployment(deployment=deployment, impact=impact)
        if deployment.status in _STOPPED:
            return _Ended(measured=measured, at=deployment.ended_at, never_went_on=True)
        if deployment.status is Status.SUCCEEDED:
            return _Ended(measured=measured, at=deployment.ended_at, never_went_on=False)
        page = await self.store.deployments.page(
            service=deployment.service, environment=deployment.environment, since=deployment.started_at
        )
        later = [
            each.started_at
            for each in page.deployments
            if each.started_at > deployment.started_at and not each.planned and each.version != deployment.version
        ]
        return _Ended(measured=measured, at=min(later), never_went_on=True) if later else None

    async def _spared(self, ended: _Ended, hold: Hold, rollout: Rollout | None, held: Set[str]) -> Prevented | None:
        """What would have been lost, had it gone on; None where that is not confirmed."""
        deployment, impact = ended.measured.deployment, ended.measured.impact
        reached = deployment.traffic_ratio
        followed = hold.to_the_end and ended.never_went_on
        if not followed or reached is None or reached >= 1.0 or _is_cleared(ended.measured):
            return None
        harm = impact.harm if impact is not None else None
        if harm is not None and (harm.active or (harm.over_at is not None and harm.over_at < ended.at)):
            return None  # it went on without the version, or ended by itself with the version still there
        since = harm.since if harm is not None and harm.since is not None else hold.first.decided_at
        return held_back(
            impact,
            rollout,
            reached=reached,
            usual=await self._usual(deployment, held),
            lasted=max(ended.at - since, timedelta(0)),
        )

    async def _spent(self, ended: _Ended, hold: Hold, rollout: Rollout | None) -> tuple[float, str] | None:
        """What the wait has cost; None where no currency is known."""
        deployment, impact = ended.measured.deployment, ended.measured.impact
        known = [
            rollout.extrapolation.currency if rollout is not None and rollout.extrapolation is not None else None,
            impact.costs[0].currency if impact is not None and impact.costs else None,
            hold.first.expected_loss.currency if hold.first.expected_loss is not None else None,
        ]
        currency = next(filter(None, known), None) or await self._currency(deployment)
        if currency is None:
            return None
        return delay_cost(hold.lasted, self.settings(deployment.service).delay_cost_per_hour), currency

    async def _currency(self, deployment: Deployment) -> str | None:
        """The currency of the service's newest costs."""
        past = await self.store.history.measured(before=self.clock(), service=deployment.service, limit=_PAST)
        costs = (cost for each in reversed(past) if each.impact is not None for cost in each.impact.costs)
        return next((cost.currency for cost in costs), None)

    async def _usual(self, deployment: Deployment, held: Set[str] = frozenset()) -> Usual:
        """How long harm lasts that automation does not end: of this service, else its team, else all, else assumed.

        What was `held` ended sooner than people alone would have ended it.
        """
        before = deployment.started_at
        actions = await self.store.actions.search()
        ours = held | {each.deployment_id for each in actions if each.begun or each.kind == HOLD}

        def counted(past: Iterable[MeasuredDeployment]) -> list[MeasuredDeployment]:
            here = (each for each in past if each.deployment.environment == deployment.environment)
            return [each for each in here if each.deployment.id not in ours]

        own = counted(await self.store.history.measured(before=before, service=deployment.service, limit=_PAST))
        found = usual_duration(own)
        if found is not None:
            return Usual(duration=found[0], n=found[1], whose="this service")
        everywhere = counted(await self.store.history.measured(before=before, limit=_EVERYWHERE))
        team = self._team(deployment)
        of_team = [each for each in everywhere if team is not None and self._team(each.deployment) == team]
        for past, whose in ((of_team, "its team"), (everywhere, "all services")):
            found = usual_duration(past)
            if found is not None:
                return Usual(duration=found[0], n=found[1], whose=whose)
        return Usual(duration=self.settings(deployment.service).repair_time)

    def _team(self, deployment: Deployment) -> str | None:
        return deployment.team or self.levels.teams().get(deployment.service)

    async def _correct(self, actions: Iterable[Action]) -> None:
        """What was booked as spared, and a person has called wrong since, is booked as a cost: counters only grow."""
        spared = {each.deployment_id: each for each in actions if each.prevented and each.corrected is None}
        for measured in await self.store.history.of(tuple(spared)):
            action = spared[measured.deployment.id]
            if measured.deployment.labelled_outcome is not Outcome.SUCCESS:
                continue
            try:
                moved = await self.store.actions.move(
                    action.id, frozenset({action.state}), lambda known: _corrected(known, self.clock())
                )
            except Conflict:
                continue  # somebody was faster
            self.booked(moved)


def _place(decision: GateDecision) -> tuple[str, str]:
    return decision.service, decision.environment


def _is_about(decision: GateDecision, deployment: Deployment) -> bool:
    if decision.deployment_id is not None:
        return decision.deployment_id == deployment.id
    same = (*_place(decision), decision.version) == (deployment.service, deployment.environment, deployment.version)
    return same and decision.decided_at <= deployment.started_at


def _is_cleared(measured: MeasuredDeployment) -> bool:
    return measured.deployment.labelled_outcome is Outcome.SUCCESS


def _corrected(action: Action, now: datetime) -> Action:
    reason = "a person says that nothing was the matter: what was booked as spared is booked as a cost"
    entry = TrailEntry(at=now, state=action.state, by=AUTOMATION, reason=reason)
    return replace(action, corrected=action.prevented, trail=(*action.trail, entry))


def _booking(
    hold: Hold, ended: _Ended, spared: Prevented | None, spent: tuple[float, str] | None, now: datetime
) -> Action:
    """A hold is wrong where its deployment did no harm; whether it did is not known of each."""
    deployment, outcome = ended.measured.deployment, ended.measured.decision.outcome
    state = ActionState.VERIFIED if outcome in HARM else ActionState.UNKNOWN
    state = ActionState.NOT_EFFECTIVE if outcome is Outcome.SUCCESS else state
    cost, currency = spent if spent is not None else (None, spared.currency if spared is not None else None)
    first, waited = hold.first, f"a wait of {format_duration(hold.lasted)}"
    identity = hashlib.sha256(f"{deployment.id}\n{HOLD}".encode()).hexdigest()[:32]
    trail = (
        TrailEntry(at=first.decided_at, state=ActionState.PROPOSED, by=_GATE, reason=(*first.reasons, "held")[0]),
        TrailEntry(at=now, state=state, by=AUTOMATION, reason=_verdict(state, hold, ended)),
    )
    return Action(
        id=f"{HOLD}-{identity}", deployment_id=deployment.id, service=deployment.service,
        environment=deployment.environment, kind=HOLD, executor=_GATE, state=state, level=first.level,
        reason=trail[0].reason, decided_at=first.decided_at, currency=currency, spent=cost,
        prevented=spared.amount if spared is not None else None,
        arithmetic=in_one_sentence(spared, cost, currency, waited), trail=trail,
    )  # fmt: skip


def _verdict(state: ActionState, hold: Hold, ended: _Ended) -> str:
    if state is ActionState.NOT_EFFECTIVE:
        return "it waited, and did no harm"
    if hold.to_the_end and ended.never_went_on:
        return "it never went on"
    return "it went on all the same" if hold.to_the_end else "it waited, and went on later"
