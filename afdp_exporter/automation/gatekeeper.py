"""Asking the gate: finds what a verdict rests on, decides, and keeps the answer for as long as it holds.

Answers come from memory. No source is asked inside a request: what the sources said is in the store already, put there
by the looks and by the comparison of canaries.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cachetools import LRUCache

from afdp_exporter.automation.levels import Levels
from afdp_exporter.errors import AFDPError
from afdp_exporter.gate.decision import GateInput, decide
from afdp_exporter.gate.matching import fingerprint, matched_failures
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    Deployment,
    GateDecision,
    Impact,
    LookState,
    MatchedFailure,
    Measured,
    Occasion,
    OccasionKind,
    Phase,
    Prediction,
    Status,
    Strategy,
)
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store
from afdp_exporter.wording.metrics import display_name

_REMEMBERED = 10_000  # answers
_NEWEST = 20  # deployments among which a version is looked for
_EARLIER = 200  # measured deployments that what is seen now is compared with
_TOGETHER = timedelta(minutes=15)  # harms of several services that begin within it may have a common cause


@dataclass(frozen=True, slots=True, kw_only=True)
class GateQuestion:
    """Who asks about what: a deployment by its id, or a version of a service; the phase where the caller names one."""

    service: str
    environment: str
    version: str | None = None
    deployment_id: str | None = None
    phase: Phase | None = None
    traffic_ratio: float | None = None
    body: str = ""  # the whole body of a planned deployment, as text, and ...
    planned: Deployment | None = field(default=None, compare=False)  # ... as it was read


@dataclass(slots=True, kw_only=True)
class Gatekeeper:
    """Answers the gate's questions. What it knows of a service is dropped as soon as something changes there."""

    store: Store
    planner: Planner
    levels: Levels
    plans: Callable[[], Plans]
    settings: Callable[[str], GateSettings]
    clock: Callable[[], datetime]
    _answers: LRUCache[GateQuestion, GateDecision] = field(default_factory=lambda: LRUCache(_REMEMBERED))
    _kept: LRUCache[tuple[str, ...], GateDecision] = field(default_factory=lambda: LRUCache(_REMEMBERED))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self, service: str | None = None) -> None:
        """Something is new of a service, or of all."""
        for question in [asked for asked in self._answers if service is None or asked.service == service]:
            del self._answers[question]
        self._changed.set()
        self._changed = asyncio.Event()

    async def ask(self, question: GateQuestion, wait: timedelta = timedelta(0)) -> GateDecision:
        """The verdict by now; with `wait`, that long for one that lets the deployment go on or takes it back.

        Raises NotFound for an unknown deployment id, and never because a source is away.
        """
        deadline = asyncio.get_running_loop().time() + wait.total_seconds()
        while True:
            changed = self._changed
            decision = await self._answer(question)
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0.0 or not decision.enforced_verdict.waits:
                return decision
            try:
                async with asyncio.timeout(min(left, decision.check_again_seconds)):
                    await changed.wait()
            except TimeoutError:
                continue

    async def keep(self, decision: GateDecision, caller: str) -> None:
        """Keep a decision with its evidence, unless it was given before."""
        if self._kept.get(decision.key) is not decision:
            await self.store.automation.keep_decision(decision, caller)
            self._kept[decision.key] = decision

    async def _answer(self, question: GateQuestion) -> GateDecision:
        now = self.clock()
        known = self._answers.get(question)
        if known is not None and now < known.valid_until:
            return known
        settings = self.settings(question.service)
        decision = decide(await self._input(question, settings, now), settings)
        self._answers[question] = decision
        return decision

    async def _input(self, question: GateQuestion, settings: GateSettings, now: datetime) -> GateInput:
        deployment = await self._deployment(question)
        asked = deployment or _asked_about(question, now)
        phase = question.phase or _phase(asked, known=deployment is not None)
        given = GateInput(
            deployment=asked,
            phase=phase,
            now=now,
            known=deployment is not None,
            freeze=self._freeze(asked, now),
            level=self.levels.of(asked.service, asked.environment).level,
            names=display_name,
        )
        if phase in {Phase.PLAN, Phase.PREVIEW}:
            return await self._with_prediction(given, now)
        return await self._with_measurement(given, settings)

    async def _deployment(self, question: GateQuestion) -> Deployment | None:
        if question.deployment_id is not None:
            return await self.store.deployment(question.deployment_id)
        if question.planned is not None or question.version is None:
            return None
        page = await self.store.deployments(service=question.service, environment=question.environment, limit=_NEWEST)
        return next((each for each in page.deployments if each.version == question.version), None)

    async def _with_prediction(self, given: GateInput, now: datetime) -> GateInput:
        try:
            prediction: Prediction | None = await self.planner.predict(given.deployment, self.plans(), now)
        except AFDPError as error:
            return replace(given, trouble_with_data=f"No prediction can be made: {error}.")
        return replace(given, prediction=prediction)

    async def _with_measurement(self, given: GateInput, settings: GateSettings) -> GateInput:
        if not given.known:
            return given
        rollout = await self.store.automation.rollout(given.deployment.id)
        if rollout is not None:
            given = replace(
                given,
                comparisons=rollout.comparisons,
                extrapolation=rollout.extrapolation if given.phase is not Phase.POST else None,
                trouble_with_data=None if rollout.trouble is None else f"A metric is missing: {rollout.trouble}.",
            )
        impact = await self.store.impact(given.deployment.id)
        measured = Measured(deployment=given.deployment, impact=impact)
        told = impact is not None or given.deployment.labelled_outcome is not None or given.deployment.told_failure
        found = replace(
            given,
            impact=impact,
            outcome=measured.decision.outcome if told else None,
            trouble_with_data=await self._trouble(given) or given.trouble_with_data,
        )
        if impact is None:
            return found
        return replace(
            found,
            matched=await self._matched(impact, given.deployment, settings),
            others_moved=await self._others(impact, given),
        )

    async def _trouble(self, given: GateInput) -> str | None:
        """Why the checks that are due could not be made."""
        looks = await self.store.looks(given.deployment.id)
        late = [look for look in looks if look.state is LookState.WAITING and look.due_at <= given.now]
        return f"A check that is due has no data: {late[-1].reason}." if late else None

    async def _matched(
        self, impact: Impact, deployment: Deployment, settings: GateSettings
    ) -> tuple[MatchedFailure, ...]:
        seen = fingerprint(impact)
        if not seen:
            return ()
        past = await self.store.history(before=deployment.started_at, service=deployment.service, limit=_EARLIER)
        found = matched_failures(seen, past, least=settings.match_ratio)
        if found:
            return found
        everywhere = await self.store.history(before=deployment.started_at, limit=_EARLIER)
        return matched_failures(seen, everywhere, least=settings.match_ratio)

    async def _others(self, impact: Impact, given: GateInput) -> tuple[str, ...]:
        """The services whose own harm began at the same time."""
        if impact.harm is None or impact.harm.since is None:
            return ()
        since = impact.harm.since
        around = await self.store.between(since - 4 * _TOGETHER, given.now)
        others = {each.id: each.service for each in around if each.service != given.deployment.service}
        impacts = await self.store.impacts(tuple(others))
        return tuple(sorted({others[each] for each, theirs in impacts.items() if _began_near(theirs, since)}))

    def _freeze(self, deployment: Deployment, now: datetime) -> Occasion | None:
        at = max(deployment.started_at, now)
        return next(
            (
                occasion
                for occasion in self.plans().occasions
                if occasion.kind is OccasionKind.FREEZE
                and (not occasion.services or deployment.service in occasion.services)
                and occasion.start <= at < occasion.end
            ),
            None,
        )


def _began_near(impact: Impact, since: datetime) -> bool:
    harm = impact.harm
    return harm is not None and harm.active and harm.since is not None and abs(harm.since - since) <= _TOGETHER


def _asked_about(question: GateQuestion, now: datetime) -> Deployment:
    """A deployment of which only the question tells."""
    if question.planned is not None:
        return question.planned
    return Deployment(
        id="",
        service=question.service,
        environment=question.environment,
        version=question.version,
        started_at=now,
        status=Status.PLANNED,
        traffic_ratio=question.traffic_ratio,
        received_at=now,
    )


def _phase(deployment: Deployment, *, known: bool) -> Phase:
    if not known or deployment.planned:
        return Phase.PLAN
    running = deployment.status is Status.STARTED and deployment.finished_at is None
    if not running:
        return Phase.POST
    if deployment.strategy is Strategy.BLUE_GREEN:
        return Phase.PREVIEW
    partial = deployment.traffic_ratio is not None and deployment.traffic_ratio < 1.0
    return Phase.CANARY if partial or deployment.strategy is Strategy.CANARY else Phase.PROMOTE
