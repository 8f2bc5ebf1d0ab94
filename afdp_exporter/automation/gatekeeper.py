"""Asking the gate: finds what a verdict rests on, decides, and keeps the answer for as long as it holds.

Answers come from memory. No source is asked inside a request: what the sources said is in the store already, put there
by the looks and by the comparison of canaries.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cachetools import LRUCache

from afdp_exporter.automation.harm import in_harm
from afdp_exporter.automation.levels import Levels
from afdp_exporter.errors import AFDPError
from afdp_exporter.gate.decision import GateInput, decide
from afdp_exporter.gate.earlier_failures import fingerprint, matched_failures
from afdp_exporter.gate.phase import phase_of
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    CalendarEntry,
    CalendarEntryKind,
    Deployment,
    GateDecision,
    Impact,
    Look,
    LookState,
    MatchedFailure,
    MeasuredDeployment,
    Phase,
    Prediction,
    Status,
)
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store
from afdp_exporter.wording.metrics import display_name

_REMEMBERED = 10_000  # answers
_KEPT = 1000  # decisions that are known to be in the store; of others it is asked again
_NEWEST = 20  # deployments among which a version is looked for
_EARLIER = 200  # measured deployments that what is seen now is compared with
_TOGETHER = timedelta(minutes=15)  # harms of several services that begin within it may have a common cause
_LONGEST = timedelta(minutes=15)  # that an answer holds, whatever does not change
_RENEWED = 0.75  # the share of its time after which a question has the answer made anew
_OPEN = {LookState.DUE, LookState.WAITING, LookState.RUNNING}


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


@dataclass(frozen=True, slots=True)
class _Answer:
    """A decision, and until when it holds unless something changes: of its service, or where it is `wide` of any.

    Who asks after `renewed_from` has it made anew before its time is over, so that whoever asks often never waits.
    """

    decision: GateDecision
    renewed_from: datetime
    holds_until: datetime
    wide: bool


@dataclass(slots=True, kw_only=True)
class Gatekeeper:
    """Answers the gate's questions. What it knows of a service is dropped as soon as something changes there."""

    store: Store
    planner: Planner
    levels: Levels
    plans: Callable[[], Plans]
    settings: Callable[[str], GateSettings]
    clock: Callable[[], datetime]
    _answers: LRUCache[GateQuestion, _Answer] = field(default_factory=lambda: LRUCache(_REMEMBERED))
    _kept: LRUCache[tuple[str, ...], GateDecision] = field(default_factory=lambda: LRUCache(_KEPT))
    _deciding: dict[GateQuestion, asyncio.Task[_Answer]] = field(default_factory=dict)
    _known: LRUCache[str, GateQuestion] = field(default_factory=lambda: LRUCache(_REMEMBERED))
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def changed(self, service: str | None = None) -> None:
        """Something is new of a service, or of all. What is decided at that moment may not know it, and is not kept."""
        self._deciding.clear()
        for question, answer in tuple(self._answers.items()):
            if service is None or question.service == service or answer.wide:
                del self._answers[question]
        for deployment_id in [each for each, of in self._known.items() if service is None or of.service == service]:
            del self._known[deployment_id]
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

    async def of(self, deployment_id: str) -> GateQuestion:
        """About this deployment. Raises NotFound."""
        known = self._known.get(deployment_id)
        if known is not None:
            return known
        changed, found = self._changed, await self.store.deployments.find(deployment_id)
        question = GateQuestion(
            service=found.service, environment=found.environment, version=found.version, deployment_id=found.id
        )
        if changed is self._changed:
            self._known[deployment_id] = question
        return question

    async def about(
        self, service: str, environment: str, *, version: str | None = None, phase: Phase | None = None
    ) -> GateQuestion:
        """About the deployment of this version, else about the one that runs; without any about what is planned."""
        page = await self.store.deployments.page(service=service, environment=environment, limit=_NEWEST)
        named = version is not None or phase is Phase.POST
        fitting = (
            each
            for each in page.deployments
            if version in {None, each.version} and (named or each.status is Status.STARTED)
        )
        known = next(fitting, None)
        if known is None:
            return GateQuestion(service=service, environment=environment, version=version)
        return GateQuestion(
            service=service, environment=environment, version=known.version, deployment_id=known.id, phase=phase
        )

    async def keep(self, decision: GateDecision, caller: str) -> None:
        """Keep a decision with its evidence, unless it was given before."""
        if self._kept.get(decision.key) is not decision:
            await self.store.decisions.keep(decision, caller)
            self._kept[decision.key] = decision

    async def _answer(self, question: GateQuestion) -> GateDecision:
        """What is known and holds, or what is decided now: once, for all who ask at the same time."""
        known, now = self._answers.get(question), self.clock()
        if known is None or now >= known.holds_until:
            return (await asyncio.shield(self._decision(question))).decision
        if now >= known.renewed_from:
            self._decision(question)
        return self._confirmed(question, known, now)

    def _decision(self, question: GateQuestion) -> asyncio.Task[_Answer]:
        """What decides a question at this moment."""
        deciding = self._deciding.get(question)
        if deciding is None:
            deciding = self._deciding[question] = asyncio.create_task(self._decide(question))
            deciding.add_done_callback(lambda ended: self._decided(question, ended))
        return deciding

    def _confirmed(self, question: GateQuestion, known: _Answer, now: datetime) -> GateDecision:
        """A decision that still holds, valid anew where its time was over."""
        decision = known.decision
        if now < decision.valid_until:
            return decision
        until = min(now + timedelta(seconds=decision.check_again_seconds), known.holds_until)
        anew = replace(decision, valid_until=until)
        self._answers[question] = replace(known, decision=anew)
        if self._kept.get(decision.key) is decision:
            self._kept[decision.key] = anew
        return anew

    async def _decide(self, question: GateQuestion) -> _Answer:
        settings = self.settings(question.service)
        given, looks = await self._input(question, settings, self.clock())
        decision, until = decide(given, settings), self._holds_until(given, looks, settings)
        return _Answer(
            decision=replace(decision, valid_until=min(decision.valid_until, until)),
            renewed_from=given.now + _RENEWED * (until - given.now),
            holds_until=until,
            wide=given.impact is not None and bool(fingerprint(given.impact) or given.impact.harm),
        )

    def _holds_until(self, given: GateInput, looks: Sequence[Look], settings: GateSettings) -> datetime:
        """When time alone may change the verdict: a forecast's with the hour, a check that is due, an edge of a freeze.

        What changes in the store is heard of, except that a check which is due finds no data.
        """
        pending = [look for look in looks if look.state in _OPEN]
        unheard = any(look.state is not LookState.DUE or look.due_at <= given.now for look in pending)
        longest = settings.next_check if given.phase is Phase.PLAN or unheard else _LONGEST
        freezes = (each for each in self.plans().occasions if each.kind is CalendarEntryKind.FREEZE)
        edges = [edge for each in freezes for edge in (each.start, each.end)]
        ahead = (at for at in (*edges, *(look.due_at for look in pending)) if at > given.now)
        return min((given.now + longest, *ahead))

    def _decided(self, question: GateQuestion, ended: asyncio.Task[_Answer]) -> None:
        """Keep a decision, unless something has changed meanwhile."""
        failed = ended.cancelled() or ended.exception() is not None
        if self._deciding.get(question) is ended:
            del self._deciding[question]
            if not failed:
                self._answers[question] = ended.result()

    async def _input(
        self, question: GateQuestion, settings: GateSettings, now: datetime
    ) -> tuple[GateInput, Sequence[Look]]:
        """What a verdict rests on, and the checks of the deployment where it was measured."""
        deployment = await self._deployment(question)
        asked = deployment or _asked_about(question, now)
        phase = question.phase or (Phase.PLAN if deployment is None else phase_of(deployment))
        given = GateInput(
            deployment=asked,
            phase=phase,
            now=now,
            known=deployment is not None,
            freeze=self._freeze(asked, now),
            level=self.levels.of(asked.service, asked.environment).level,
            experience=self.levels.experience(asked.service, asked.environment),
            names=display_name,
        )
        if phase is Phase.PREVIEW:
            rollout = await self.store.rollouts.find(asked.id) if given.known else None
            return replace(given, switch=rollout.switch if rollout is not None else None), ()
        if phase is Phase.PLAN:
            return await self._with_prediction(given, now), ()
        if not given.known:
            return given, ()
        return await self._with_measurement(given, settings)

    async def _deployment(self, question: GateQuestion) -> Deployment | None:
        if question.deployment_id is not None:
            return await self.store.deployments.find(question.deployment_id)
        if question.planned is not None or question.version is None:
            return None
        page = await self.store.deployments.page(
            service=question.service, environment=question.environment, limit=_NEWEST
        )
        return next((each for each in page.deployments if each.version == question.version), None)

    async def _with_prediction(self, given: GateInput, now: datetime) -> GateInput:
        try:
            prediction: Prediction | None = await self.planner.predict(given.deployment, self.plans(), now)
        except AFDPError as error:
            return replace(given, trouble_with_data=f"No prediction can be made: {error}.")
        return replace(given, prediction=prediction)

    async def _with_measurement(self, given: GateInput, settings: GateSettings) -> tuple[GateInput, Sequence[Look]]:
        rollout = await self.store.rollouts.find(given.deployment.id)
        if rollout is not None:
            given = replace(
                given,
                comparisons=rollout.comparisons,
                extrapolation=rollout.extrapolation if given.phase is not Phase.POST else None,
                trouble_with_data=None if rollout.trouble is None else f"A metric is missing: {rollout.trouble}.",
            )
        impact = await self.store.results.impact(given.deployment.id)
        measured = MeasuredDeployment(deployment=given.deployment, impact=impact)
        known = impact is not None or given.deployment.labelled_outcome is not None or given.deployment.reported_failure
        looks = await self.store.looks.of_deployment(given.deployment.id)
        found = replace(
            given,
            impact=impact,
            outcome=measured.decision.outcome if known else None,
            trouble_with_data=_trouble(looks, given.now) or given.trouble_with_data,
        )
        if impact is None:
            return found, looks
        matched = await self._matched(impact, given.deployment, settings)
        return replace(found, matched=matched, others_moved=await self._others(impact, given)), looks

    async def _matched(
        self, impact: Impact, deployment: Deployment, settings: GateSettings
    ) -> tuple[MatchedFailure, ...]:
        seen = fingerprint(impact)
        if not seen:
            return ()
        past = await self.store.history.measured(
            before=deployment.started_at, service=deployment.service, limit=_EARLIER
        )
        found = matched_failures(seen, past, least=settings.match_ratio)
        if found:
            return found
        everywhere = await self.store.history.measured(before=deployment.started_at, limit=_EARLIER)
        team_of = self.plans().team_of
        team = team_of(deployment)
        of_team = [each for each in everywhere if team is not None and team == team_of(each.deployment)]
        return matched_failures(seen, of_team, least=settings.match_ratio, basis="team") or matched_failures(
            seen, everywhere, least=settings.match_ratio, basis="all"
        )

    async def _others(self, impact: Impact, given: GateInput) -> tuple[str, ...]:
        """The services whose own harm began at the same time."""
        if impact.harm is None or impact.harm.since is None:
            return ()
        since = impact.harm.since
        lately = [each for each in await in_harm(self.store) if each.deployment.ended_at >= since - 4 * _TOGETHER]
        near = {each.deployment.service for each in lately if _began_near(each.impact, since)}
        return tuple(sorted(near - {given.deployment.service}))

    def _freeze(self, deployment: Deployment, now: datetime) -> CalendarEntry | None:
        at = max(deployment.started_at, now)
        return next(
            (
                occasion
                for occasion in self.plans().occasions
                if occasion.kind is CalendarEntryKind.FREEZE
                and occasion.concerns(deployment.service)
                and occasion.start <= at < occasion.end
            ),
            None,
        )


def _trouble(looks: Sequence[Look], now: datetime) -> str | None:
    """Why the checks that are due could not be made."""
    late = [look for look in looks if look.state is LookState.WAITING and look.due_at <= now]
    return f"A check that is due has no data: {late[-1].reason}." if late else None


def _began_near(impact: Impact | None, since: datetime) -> bool:
    harm = impact.harm if impact is not None else None
    return harm is not None and harm.since is not None and abs(harm.since - since) <= _TOGETHER


def _asked_about(question: GateQuestion, now: datetime) -> Deployment:
    """A deployment that only the question names."""
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
