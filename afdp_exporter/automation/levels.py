"""The automation level of each service and environment: counted from stored decisions and what became of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.gate.experience import Experience, learned
from afdp_exporter.gate.ladder import HIGHEST, WINDOW, Permission, Record, Standing, overrides, standing, tally
from afdp_exporter.model import (
    AUTOMATION,
    ROLLBACK,
    Action,
    ActionState,
    Attribution,
    LevelChange,
    MeasuredDeployment,
    Outcome,
    PoolingLevel,
)
from afdp_exporter.patterns.features.extraction import TROUBLE
from afdp_exporter.patterns.scoring import Risks, interval_coverage, risks
from afdp_exporter.store import Store
from afdp_exporter.store.reading import StoreReader

_MOST = 5000  # measured deployments and decisions, the newest
_SCORED = 200  # predictions of a service
_POOLED = 2  # the highest level that other services' deployments can earn
_EXECUTED = {ActionState.ACCEPTED, ActionState.VERIFIED}
_EARNED_BY = {
    PoolingLevel.TEAM: "earned by the deployments of its team",
    PoolingLevel.GLOBAL: "earned by the deployments of all services",
}

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Trail:
    """What people allow and since when they last said so, and which level was in force last, by place."""

    allowed: dict[Place, Permission] = field(default_factory=lambda: defaultdict(Permission))
    allowed_at: dict[Place, datetime] = field(default_factory=dict)
    levels: dict[Place, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Levels:
    """Where each service and environment stands, and what its harm has taught, as of the last `refresh`."""

    reader: StoreReader
    teams: Callable[[], Mapping[str, str]] = dict  # of services whose deployments do not name theirs
    false_alarms: dict[str, tuple[int, int]] = field(default_factory=dict)  # metric -> blamed, judged placebos
    _standings: dict[Place, Standing] = field(default_factory=dict)
    _learned: dict[Place, Experience] = field(default_factory=dict)

    def of(self, service: str, environment: str) -> Standing:
        """Where it stands; at level 0 as long as nothing is known."""
        return self._standings.get((service, environment), standing(Record()))

    def experience(self, service: str, environment: str) -> Experience:
        """How long its harm lasts, and what a rollback costs."""
        return self._learned.get((service, environment), Experience())

    def all(self) -> Mapping[Place, Standing]:
        """Every place of which something is known."""
        return dict(self._standings)

    def in_force(self) -> Mapping[Place, int]:
        """The level of each of them."""
        return {place: found.level for place, found in self._standings.items()}

    async def refresh(self, now: datetime) -> None:
        """Count anew, and write what has changed into the trail. Raises AnalysisError where no worker can count."""
        known = self.teams(), self.false_alarms
        await self._weigh(await self.reader.read(count, *known, now), now)

    async def _weigh(self, counted: Mapping[Place, tuple[Record, Experience]], now: datetime) -> None:
        trail = await _trail(self.reader.store)
        for place, (record, experience) in counted.items():
            self._learned[place] = experience
            before = trail.levels.get(place, 0)
            found = self._standings[place] = standing(record, trail.allowed[place], before)
            if found.level != before:
                earned = _EARNED_BY.get(found.basis, "earned") if found.level <= _POOLED else "earned"
                reason = earned if found.level > before else found.lost or "; ".join(found.missing)
                await self.reader.store.levels.record(
                    _change(place, "level", found.level, by="rule", reason=reason, at=now)
                )

    async def allow(self, service: str, environment: str, level: int, *, by: str, reason: str, now: datetime) -> None:
        """A named person allows at most this level, or confirms what another one allows. Raises BadInput."""
        if not 0 <= level <= HIGHEST:
            raise BadInput(Fault("level", f"a level from 0 to {HIGHEST} is expected"))
        change = _change((service, environment), "allowed", level, by=by, reason=reason, at=now)
        await self.reader.store.levels.record(change)
        # it counts at once, however busy the workers are
        await self._weigh(await count(self.reader.store, self.teams(), self.false_alarms, now), now)


async def count(
    store: Store, teams: Mapping[str, str], false_alarms: Mapping[str, tuple[int, int]], now: datetime
) -> dict[Place, tuple[Record, Experience]]:
    """What has become of the decisions and deployments of each place, and what its harm has taught."""
    since = now - WINDOW
    history: dict[Place, list[MeasuredDeployment]] = defaultdict(list)
    for each in await store.history.measured(before=now, limit=_MOST):
        if each.deployment.started_at >= since:
            history[each.deployment.service, each.deployment.environment].append(each)
    actions: dict[Place, list[Action]] = defaultdict(list)
    for action in await store.actions.search(since=since, limit=_MOST):
        if action.kind == ROLLBACK:
            actions[action.service, action.environment].append(action)
    past = _Past(
        history=history,
        actions=actions,
        since=since,
        allowed_at=(await _trail(store)).allowed_at,
        false_alarms=false_alarms,
    )
    of_team, of_all = past.pooled(teams)
    return {
        place: (
            replace(
                await past.record(store, place),
                measured_of_team=of_team[place],
                measured_of_all=of_all[place],
            ),
            past.experience(place),
        )
        for place in history
    }


async def _trail(store: Store) -> _Trail:
    trail = _Trail()
    for change in await store.levels.trail():
        place = change.service, change.environment
        if change.kind == "allowed":
            trail.allowed[place] = trail.allowed[place].after(change)
            trail.allowed_at[place] = change.at
        elif change.kind == "level":
            trail.levels[place] = change.level
    return trail


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What was deployed and rolled back since then, when people last said how much they allow, and false alarms."""

    history: Mapping[Place, list[MeasuredDeployment]]
    actions: Mapping[Place, list[Action]]
    since: datetime
    allowed_at: Mapping[Place, datetime]
    false_alarms: Mapping[str, tuple[int, int]]

    def pooled(self, teams: Mapping[str, str]) -> tuple[dict[Place, int], dict[Place, int]]:
        """How many deployments of each place's team, and of all services, were measured in its environment."""
        of_all, by_team = Counter[str](), Counter[tuple[str | None, str]]()
        team_of = {place: found[-1].deployment.team or teams.get(place[0]) for place, found in self.history.items()}
        for place, measured in self.history.items():
            of_all[place[1]] += len(measured)
            by_team[team_of[place], place[1]] += len(measured)
        return (
            {place: by_team[team, place[1]] if team is not None else 0 for place, team in team_of.items()},
            {place: of_all[place[1]] for place in self.history},
        )

    def experience(self, place: Place) -> Experience:
        """What its harm has taught."""
        begun = {action.deployment_id for action in self.actions.get(place, ()) if action.begun}
        return learned(self.history[place], begun)

    async def record(self, store: Store, place: Place) -> Record:
        """What is known of the gate there by itself."""
        (service, environment), measured, actions = place, self.history[place], self.actions.get(place, [])
        decisions = await store.decisions.search(
            since=self.since, service=service, environment=environment, limit=_MOST
        )
        outcomes = {each.deployment.id: each.decision.outcome for each in measured}
        predictions = await store.history.scored_predictions(service, _SCORED)
        held = [inside for found in interval_coverage(predictions).values() for inside in found]
        scored = risks(predictions, TROUBLE, lambda prediction: prediction.risk)
        wrong = _wrong(actions, measured)
        outcomes |= dict.fromkeys(wrong, Outcome.SUCCESS)
        ordered = [each.deployment.id for each in measured]
        return Record(
            measured=len(measured),
            false_alarms={name: self.false_alarms[name] for name in _judged_by(measured) & self.false_alarms.keys()},
            since_wrong=_since(ordered, wrong),
            coverage=sum(held) / len(held) if held else None,
            brier_skill=_skill(scored),
            risk_bias=_bias(scored),
            overrides=overrides(
                decisions,
                [each.deployment for each in measured],
                {action.deployment_id for action in actions if _is_refused_by_a_person(action)},
                since=max(self.since, self.allowed_at.get(place, self.since)),
            ),
            executed=sum(action.state in _EXECUTED and not action.dry_run for action in actions),
            proven=_proven(place, self.actions),
            **tally(decisions, outcomes, since=self.since),
        )


def _judged_by(measured: list[MeasuredDeployment]) -> set[str]:
    """The metrics by which these deployments were judged: an environment has others, which the service does not."""
    shifts = (shift for each in measured if each.impact is not None for shift in each.impact.shifts)
    return {shift.metric for shift in shifts if shift.verdict is not Attribution.INSUFFICIENT_HISTORY}


def _wrong(actions: list[Action], measured: list[MeasuredDeployment]) -> set[str]:
    """The deployments that were taken back wrongly: it did not help, or a person says that nothing was the matter.

    That they were taken back says nothing of their own end.
    """
    cleared = {each.deployment.id for each in measured if each.deployment.labelled_outcome is Outcome.SUCCESS}
    begun = [action for action in actions if not action.dry_run]
    helped = {action.deployment_id for action in begun if action.state in _EXECUTED}
    return (helped & cleared) | {each.deployment_id for each in begun if each.state is ActionState.NOT_EFFECTIVE}


def _since(ordered: list[str], wrong: set[str]) -> int | None:
    places = [index for index, each in enumerate(ordered) if each in wrong]
    return len(ordered) - 1 - places[-1] if places else None


def _proven(place: Place, actions: Mapping[Place, list[Action]]) -> bool:
    """Whether one executor has found out what it would send here, and carried out a rollback in another environment."""
    service, environment = place
    dry = {each.executor for each in actions.get(place, ()) if each.dry_run and _is_planned(each)}
    real = {
        each.executor
        for (of, where), found in actions.items()
        for each in found
        if of == service and where != environment and not each.dry_run and each.state in _EXECUTED
    }
    return bool(dry & real)


def _is_planned(action: Action) -> bool:
    """Whether a dry run came as far as its request."""
    return action.state is ActionState.SKIPPED and bool(action.request)


def _is_refused_by_a_person(action: Action) -> bool:
    return action.state is ActionState.REFUSED and bool(action.trail) and action.trail[-1].by != AUTOMATION


def _skill(scored: Risks | None) -> float | None:
    """The Brier score over that of always saying the share that happened; None where everything came alike."""
    if scored is None or not 0.0 < scored.base < 1.0:
        return None
    return scored.brier / (scored.base * (1.0 - scored.base))


def _bias(scored: Risks | None) -> float | None:
    """By how much the predicted risks are off in sum, as a share of the trouble that came; None where none came."""
    if scored is None or not scored.base > 0.0:
        return None
    return float(scored.predicted.mean()) / scored.base - 1.0


def _change(place: Place, kind: str, level: int, *, by: str, reason: str, at: datetime) -> LevelChange:
    return LevelChange(service=place[0], environment=place[1], kind=kind, level=level, by=by, reason=reason, at=at)
