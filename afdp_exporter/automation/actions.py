"""What is done about a deployment: decided once, begun at most once, verified, with a trail of every step.

`started` is kept before the call is made. An action that is found in that state after a restart is never called again:
its target is read, and what cannot be seen there is `unknown`.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from afdp_exporter.automation.books import Books
from afdp_exporter.automation.gatekeeper import Gatekeeper, GateQuestion
from afdp_exporter.automation.harm import in_harm
from afdp_exporter.errors import ActionError, ActionRefused, Conflict, NotFound
from afdp_exporter.executors import Order, Plan, Way, way_for
from afdp_exporter.gate.decision import GUARD_RAIL
from afdp_exporter.gate.ladder import HIGHEST, OURSELVES
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    AUTOMATION,
    ROLLBACK,
    Action,
    ActionState,
    Deployment,
    GateDecision,
    GateVerdict,
    Impact,
    LevelChange,
    LookState,
    Outcome,
    Phase,
    ShiftState,
    Status,
    TrailEntry,
    returns_to,
)
from afdp_exporter.store import Amendment, Store
from afdp_exporter.watching.watch import Schedule, schedule_looks

log = structlog.get_logger(__name__)

SEVERE_FROM = 4
"""The automation level from which on what is severe is taken back without asking."""
APPROVED_FROM = 3
"""The one from which on it is proposed to a person."""
_SURE = 0.01  # the probability of no harm below which harm is as good as sure
_LIKELY = 2 / 150  # the one up to which the highest level goes back without asking: in the mean 1 of 150 is innocent
_SERVICE_PAUSE = timedelta(hours=6)  # between two automatic rollbacks of a service
_PLACE_WINDOW, _PLACE_MOST = timedelta(hours=1), 2  # automatic rollbacks of an environment
_TOGETHER = 3  # more services than that which do harm at once have a common cause
_EFFECT = timedelta(minutes=30)  # in which the metrics have to be back
_SHOWS = timedelta(minutes=15)  # after which a check can see that they are not
_UNSEEN = timedelta(days=1)  # without such a check, after which nobody looks any more
_CLOCKS = timedelta(minutes=1)  # by which the clock of a target may be behind ours
_STALE = timedelta(hours=1)  # after which what was proposed is not begun any more
_EVERYWHERE = "*"
_NO_WAY = "its executor is not configured any more"
_STEP = timedelta(seconds=15)  # between two looks at an action that is under way
_BOOKED = 100_000  # actions whose money is counted after a start
_PAST = 1000  # measured deployments of the service
_EXPECTED = frozenset({ActionState.PROPOSED, ActionState.AWAITING_APPROVAL})


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """Why an action is not begun, and the breaker that is open, where it is one."""

    reason: str
    breaker: str | None = None


@dataclass(slots=True, kw_only=True)
class Actions:
    """Proposes, begins and follows actions. Each state is kept before what follows from it is done."""

    store: Store
    gatekeeper: Gatekeeper
    ways: Callable[[], tuple[Way, ...]]
    settings: Callable[[str], GateSettings]
    schedule: Callable[[], Schedule]
    clock: Callable[[], datetime]
    moved: Callable[[Action], None]
    booked: Callable[[Action], None]
    books: Books = field(init=False)

    def __post_init__(self) -> None:
        self.books = Books(
            store=self.store, levels=self.gatekeeper.levels, settings=self.settings, clock=self.clock,
            booked=self.booked,
        )  # fmt: skip

    async def consider(self, decision: GateDecision) -> Action | None:
        """Propose the way back where a verdict and the automation level call for it; None where there is none."""
        calls_for_it = decision.verdict is GateVerdict.ROLLBACK and decision.phase is not Phase.PLAN
        if not calls_for_it or decision.deployment_id is None:
            return None
        deployment = await self.store.deployments.find(decision.deployment_id)
        way = way_for(deployment, self.ways())
        level = self.gatekeeper.levels.of(deployment.service, deployment.environment).level
        if way is None or deployment.status is Status.ROLLED_BACK:
            return None
        automatic = way.scope.dry_run or await self._without_asking(decision, level)
        if not automatic and level < APPROVED_FROM:
            return None
        state = ActionState.PROPOSED if automatic else ActionState.AWAITING_APPROVAL
        action = _intent(deployment, way, decision, state=state, level=level, now=self.clock())
        if await self.store.actions.propose(action):
            self.moved(action)
            return action
        return await self._no_longer_waiting(action) if automatic else None

    async def _no_longer_waiting(self, action: Action) -> Action | None:
        """What waits for a person is begun without one where the level now lets it, as harm has become severe."""
        of_deployment = await self.store.actions.search(deployment_id=action.deployment_id)
        known = next(each for each in of_deployment if each.kind == action.kind)
        if known.state is not ActionState.AWAITING_APPROVAL:
            return None
        try:
            return await self._move(
                known, ActionState.PROPOSED, action.reason, level=action.level, decided_at=action.decided_at
            )
        except Conflict:
            return None  # a person was faster

    async def _without_asking(self, decision: GateDecision, level: int) -> bool:
        """Whether the level lets it be done: what is severe from level 4 on, what is likely enough at level 5."""
        left = decision.confidence_ratio  # that going on does no harm
        if level >= HIGHEST and left is not None and left <= _LIKELY:
            return True
        return level >= SEVERE_FROM and await self._severe(decision)

    async def _severe(self, decision: GateDecision) -> bool:
        """Whether a guard rail was crossed, or harm is as good as sure and surely costs more than what is severe."""
        if decision.decided_by == GUARD_RAIL:
            return True
        least = self.settings(decision.service).severe_per_hour
        sure = decision.confidence_ratio is not None and decision.confidence_ratio <= _SURE
        if least is None or not sure:
            return False
        full = decision.extrapolation
        if full is not None:
            return full.cost_per_hour is not None and full.cost_per_hour.low > least
        impact = await self.store.results.impact(decision.deployment_id or "")
        return impact is not None and any(cost.per_hour.low > least for cost in impact.costs)

    async def decide(self, deployment_id: str) -> None:
        """Decide what follows from what is new about a deployment, and propose it."""
        deployment = await self.store.deployments.find(deployment_id)
        self.gatekeeper.changed(deployment.service)
        if deployment.planned:
            return
        decision = await self._asked_of_gate(deployment)
        await self.gatekeeper.keep(decision, OURSELVES)
        await self.consider(decision)

    async def _asked_of_gate(self, deployment: Deployment) -> GateDecision:
        question = GateQuestion(
            service=deployment.service, environment=deployment.environment, deployment_id=deployment.id
        )
        return await self.gatekeeper.ask(question)

    async def work(self) -> datetime | None:
        """Take each open action one step on; when the next step is due, None while nothing is open."""
        for action in reversed(await self.store.actions.search(only_open=True)):
            try:
                await self._step(action)
            except Conflict:
                continue  # somebody was faster
        still_open = await self.store.actions.search(only_open=True, limit=1)
        return self.clock() + _STEP if still_open else None

    async def recall(self) -> None:
        """After a start: what was done so far is booked."""
        for booked in await self.store.actions.search(limit=_BOOKED):
            self.booked(booked)

    async def recover(self) -> None:
        """What another has left begun is looked up in its target, and never begun again.

        Only who holds the one job that takes actions on may call this: nobody else is at one then.
        """
        for action in await self.store.actions.search(only_open=True):
            if action.state is ActionState.CLAIMED:
                await self._move(action, ActionState.PROPOSED, "a restart came before anything was begun")
            elif action.state is ActionState.STARTED:
                await self._look_up(action)

    async def approve(self, action_id: str, *, by: str) -> Action:
        """A person wants it done. Raises NotFound, and Conflict where it does not wait for that."""
        return await self._decided(action_id, ActionState.PROPOSED, by, "approved")

    async def refuse(self, action_id: str, *, by: str) -> Action:
        """A person does not want it done. Raises NotFound, and Conflict where it is too late for that."""
        return await self._decided(action_id, ActionState.REFUSED, by, "refused")

    async def pause(self, *, by: str, paused: bool) -> None:
        """Stop all executors, or let them go on."""
        change = LevelChange(
            service=_EVERYWHERE, environment=_EVERYWHERE, kind="paused", level=int(paused), by=by,
            reason="all executors stop" if paused else "executors go on", at=self.clock(),
        )  # fmt: skip
        await self.store.levels.record(change)

    async def paused(self) -> LevelChange | None:
        """Who stopped all executors; None where they may work."""
        changes = [each for each in await self.store.levels.trail(_EVERYWHERE) if each.kind == "paused"]
        return changes[-1] if changes and changes[-1].level else None

    async def _step(self, action: Action) -> None:
        match action.state:
            case ActionState.PROPOSED:
                await self._begin(action)
            case ActionState.AWAITING_APPROVAL if self.clock() - action.decided_at > timedelta(days=1):
                await self._move(action, ActionState.SKIPPED, "nobody approved it within a day")
            case ActionState.STARTED:
                await self._look_up(action)
            case ActionState.ACCEPTED:
                await self._verify(action)

    async def _begin(self, action: Action) -> None:
        """Check, claim, keep that it is begun, and only then call."""
        way = next((each for each in self.ways() if each.name == action.executor), None)
        deployment = await self.store.deployments.find(action.deployment_id)
        obstacle = await self._obstacle(action, deployment, way)
        if obstacle is not None or way is None:
            kept_back = obstacle or _Obstacle(_NO_WAY)
            await self._move(action, ActionState.SKIPPED, kept_back.reason, breaker=kept_back.breaker)
            return
        is_automatic = action.approved_by is None and not action.dry_run
        doubt = await self._doubt(deployment) if is_automatic else None
        if doubt is not None:
            await self._wait(action, doubt)
            return
        try:
            plan = await way.executor.check(_order(deployment, self.clock()))
        except ActionRefused as error:
            await self._move(action, ActionState.REFUSED, str(error))
            return
        except ActionError as error:
            await self._wait(action, str(error))
            return
        except Exception as error:  # noqa: BLE001 - whatever a target answers, the others are not kept waiting
            await self._wait(action, f"its target is not understood: {type(error).__name__}", error)
            return
        claimed = await self._move(action, ActionState.CLAIMED, "its preconditions hold")
        request = {"sentence": plan.sentence, "request": dict(plan.request), "seen": dict(plan.seen)}
        if plan.done or action.dry_run:
            why = plan.sentence if plan.done else f"dry run: {plan.sentence}"
            await self._move(claimed, ActionState.SKIPPED, why, request=request)
            return
        started = await self._move(claimed, ActionState.STARTED, plan.sentence, request=request)
        try:
            answer = await way.executor.apply(plan)
        except ActionRefused as error:
            await self._move(started, ActionState.REFUSED, str(error))
        except ActionError as error:
            await self._move(started, ActionState.UNKNOWN, str(error))
        else:
            accepted = await self._move(started, ActionState.ACCEPTED, "the target accepted it", answer=dict(answer))
            await self._record(accepted, deployment)

    async def _obstacle(self, action: Action, deployment: Deployment, way: Way | None) -> "_Obstacle | None":
        """Why it is not begun: the breakers, and what has become of the deployment meanwhile."""
        now = self.clock()
        if way is None:
            return _Obstacle(_NO_WAY)
        paused = await self.paused()
        if paused is not None:
            return _Obstacle(f"{paused.by} has stopped all executors", "paused")
        if now - _wanted_at(action) > _STALE:
            old = "the verdict" if action.approved_by is None else "the approval"
            return _Obstacle(f"{old} is older than an hour{_and_why(action)}")
        if deployment.status is Status.ROLLED_BACK:
            return _Obstacle("it was rolled back already")
        newer = await self._newer(action, deployment)
        if newer is not None:
            return _Obstacle(f"{newer.name} was deployed since then")
        asked = action.approved_by is not None or action.dry_run
        return None if asked else await self._breaker(action, deployment, now)

    async def _newer(self, action: Action, deployment: Deployment) -> Deployment | None:
        """The newest deployment since then that is not this rollback itself."""
        return next(iter(await self._since(action, deployment)), None)

    async def _since(self, action: Action, deployment: Deployment) -> list[Deployment]:
        page = await self.store.deployments.page(service=action.service, environment=action.environment, limit=5)
        since = (each for each in page.deployments if each.started_at > deployment.started_at)
        return [each for each in since if not each.planned and each.id != action.id]

    async def _doubt(self, deployment: Deployment) -> str | None:
        """Why nobody but a person may begin it now: a check that is due waits for its source, or the harm is over."""
        looks = await self.store.looks.of_deployment(deployment.id)
        if any(look.state is LookState.WAITING and look.due_at <= self.clock() for look in looks):
            return "it waits for a check that has no data"
        self.gatekeeper.changed(deployment.service)
        verdict = (await self._asked_of_gate(deployment)).verdict
        return None if verdict is GateVerdict.ROLLBACK else f"it waits: the verdict is {verdict} by now"

    async def _wait(self, action: Action, reason: str, error: Exception | None = None) -> None:
        """Leave it for the next step, and keep why, once."""
        if action.trail[-1].reason == reason:
            return
        if error is not None:
            log.error("target not understood", action=action.id, exc_info=error)
        await self._move(action, action.state, reason)

    async def _led_back_to(self, deployment: Deployment) -> Outcome | None:
        """What became of the version before, when it was deployed last; None where that is not known."""
        past = await self.store.history.measured(before=deployment.started_at, service=deployment.service, limit=_PAST)
        same = [each for each in past if each.deployment.version == deployment.previous_version]
        here = [each for each in same if each.deployment.same_target(deployment)]
        return here[-1].decision.outcome if here else None

    async def _breaker(self, action: Action, deployment: Deployment, now: datetime) -> "_Obstacle | None":
        """Why it is not begun without a person."""
        if await self._led_back_to(deployment) is Outcome.FAILURE:
            return _Obstacle(f"{deployment.previous_version}, which it would lead back to, failed itself")
        recent = [
            each
            for each in await self.store.actions.search(since=now - _SERVICE_PAUSE)
            if each.id != action.id and each.approved_by is None and not each.dry_run and each.begun
        ]
        if any((each.service, each.environment) == (action.service, action.environment) for each in recent):
            return _Obstacle("this service was rolled back within the last six hours", "service")
        here = [each for each in recent if each.environment == action.environment]
        if sum(now - each.decided_at < _PLACE_WINDOW for each in here) >= _PLACE_MOST:
            reason = f"{_PLACE_MOST} rollbacks were begun in {action.environment} within the last hour"
            return _Obstacle(reason, "environment")
        moving = await self._services_in_harm(now)
        if len(moving) > _TOGETHER:
            return _Obstacle(f"{len(moving)} services do badly at once: a common cause is likely", "common_cause")
        return None

    async def _services_in_harm(self, now: datetime) -> set[str]:
        deployed = (each.deployment for each in await in_harm(self.store))
        return {each.service for each in deployed if each.ended_at >= now - _EFFECT}

    async def _look_up(self, action: Action) -> None:
        """What became of a call whose end nobody saw."""
        way = next((each for each in self.ways() if each.name == action.executor), None)
        deployment = await self.store.deployments.find(action.deployment_id)
        found: bool | None = False
        reason = _NO_WAY
        if way is not None:
            try:
                found = await way.executor.verify(_plan(action, _order(deployment, self.clock())))
                reason = "the target does not show it"
            except ActionError as error:
                reason = str(error)
        if found is False:
            await self._move(action, ActionState.UNKNOWN, f"begun, and its end was not seen: {reason}")
            return
        accepted = await self._move(action, ActionState.ACCEPTED, "begun before a restart, and the target shows it")
        await self._record(accepted, deployment)

    async def _verify(self, action: Action) -> None:
        """The target first, then the metrics: they have to come back in time."""
        way = next((each for each in self.ways() if each.name == action.executor), None)
        deployment = await self.store.deployments.find(action.deployment_id)
        await self._record(action, deployment)  # where a crash came before it
        impact = await self.store.results.impact(action.deployment_id)
        begun = _begun_at(action)
        passed = self.clock() - begun
        late = passed > _EFFECT and impact is not None and impact.measured_at - begun >= _SHOWS
        if impact is not None and _is_back(impact):
            await self._move(
                action, ActionState.VERIFIED, "the metrics are back",
                **await self.books.of_rollback(impact, deployment, begun),
            )  # fmt: skip
        elif late:
            currency = impact.costs[0].currency if impact is not None and impact.costs else None
            await self._move(
                action, ActionState.NOT_EFFECTIVE, f"the metrics are not back after {_EFFECT}",
                spent=self.books.rollback_cost(action.service, action.environment, currency), currency=currency,
            )  # fmt: skip
        elif passed > _UNSEEN:
            await self._move(action, ActionState.UNKNOWN, "no check has seen whether the metrics are back")
        elif way is not None:
            try:
                shown = await way.executor.verify(_plan(action, _order(deployment, self.clock())))
            except ActionError as error:
                log.debug("target not read", action=action.id, error=str(error))
                return
            if shown is False and await self._newer(action, deployment) is None:
                await self._move(action, ActionState.NOT_EFFECTIVE, "the target does not show it any more")

    async def _record(self, action: Action, deployment: Deployment) -> None:
        """The rollback is a deployment of its own, and the bad one was rolled back; once.

        Whoever watches the target may have reported it first; what is reported later is joined to this one
        (`tracking.ingestion`).
        """
        with suppress(NotFound):
            await self.store.deployments.find(action.id)
            return
        now, begun = self.clock(), _begun_at(action)
        if deployment.status is not Status.ROLLED_BACK:
            await self.store.deployments.amend(
                deployment.id, lambda known: Amendment(deployment=replace(known, status=Status.ROLLED_BACK))
            )
        since = await self._since(action, deployment)
        if any(each.started_at > begun - _CLOCKS and returns_to(each, deployment) for each in since):
            return
        back = Deployment(
            id=action.id, service=deployment.service, environment=deployment.environment,
            version=deployment.previous_version, previous_version=deployment.version, started_at=begun,
            finished_at=begun, status=Status.SUCCEEDED, actor=AUTOMATION, team=deployment.team,
            description=f"rollback of {deployment.id}", traits={"rollback": True, "rollback_of": deployment.id},
            received_at=now, received_from="automation",
        )  # fmt: skip
        await self.store.deployments.record(back, schedule_looks(back, self.schedule(), now))

    async def _decided(self, action_id: str, state: ActionState, by: str, reason: str) -> Action:
        def change(known: Action) -> Action:
            approved = by if state is ActionState.PROPOSED else None
            trail = _more(known, state, by=by, reason=reason, at=self.clock())
            return replace(known, state=state, approved_by=approved, trail=trail)

        moved = await self.store.actions.move(action_id, _EXPECTED, change)
        self.moved(moved)
        return moved

    async def _move(self, action: Action, state: ActionState, reason: str, **words: Any) -> Action:  # noqa: ANN401
        """Keep the next state, unless somebody else has moved it meanwhile. Raises Conflict."""

        def change(known: Action) -> Action:
            return replace(
                known, state=state, trail=_more(known, state, by=AUTOMATION, reason=reason, at=self.clock()), **words
            )

        moved = await self.store.actions.move(action.id, frozenset({action.state}), change)
        log.info("action", id=moved.id, state=moved.state, reason=reason)
        self.moved(moved)
        self.booked(moved)
        return moved


def _intent(
    deployment: Deployment, way: Way, decision: GateDecision, *, state: ActionState, level: int, now: datetime
) -> Action:
    identity = hashlib.sha256(f"{deployment.id}\n{ROLLBACK}".encode()).hexdigest()[:32]
    reason = decision.reasons[0] if decision.reasons else decision.verdict
    action = Action(
        id=f"rollback-{identity}", deployment_id=deployment.id, service=deployment.service,
        environment=deployment.environment, kind=ROLLBACK, executor=way.name, state=state, level=level,
        reason=reason, decided_at=now, dry_run=way.scope.dry_run,
    )  # fmt: skip
    return replace(action, trail=_more(action, state, by="gate", reason=reason, at=now))


def _order(deployment: Deployment, now: datetime) -> Order:
    return Order(
        deployment_id=deployment.id, service=deployment.service, environment=deployment.environment, at=now,
        version=deployment.version, previous_version=deployment.previous_version, traits=deployment.traits,
        labels=deployment.labels,
    )  # fmt: skip


def _plan(action: Action, order: Order) -> Plan:
    """The plan that was kept before it was begun."""
    kept = action.request
    return Plan(
        order=order, sentence=str(kept.get("sentence", "")), request=kept.get("request", {}), seen=kept.get("seen", {})
    )


def _more(action: Action, state: ActionState, *, by: str, reason: str, at: datetime) -> tuple[TrailEntry, ...]:
    return (*action.trail, TrailEntry(at=at, state=state, by=by, reason=reason))


def _begun_at(action: Action) -> datetime:
    return next(entry.at for entry in action.trail if entry.state is ActionState.STARTED)


def _wanted_at(action: Action) -> datetime:
    """When it was decided, or approved by a person."""
    if action.approved_by is None:
        return action.decided_at
    return max(entry.at for entry in action.trail if entry.by == action.approved_by)


def _and_why(action: Action) -> str:
    """What it has waited for, where it has."""
    last = action.trail[-1]
    return f"; {last.reason}" if last.state is ActionState.PROPOSED and last.by == AUTOMATION else ""


def _is_back(impact: Impact) -> bool:
    """Whether every harm that was found is over."""
    return impact.harm is not None and impact.harm.state in {ShiftState.RECOVERED, ShiftState.REPLACED}
