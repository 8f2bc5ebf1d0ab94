"""The automation level of each service and environment: counted from stored decisions and what became of them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.gate.experience import Experience, learned
from afdp_exporter.gate.ladder import HIGHEST, WINDOW, Permission, Record, Standing, falls_to, standing, tally
from afdp_exporter.model import Action, ActionState, LevelChange, MeasuredDeployment, Outcome
from afdp_exporter.patterns.features.extraction import TROUBLE
from afdp_exporter.patterns.scoring import Risks, interval_coverage, risks
from afdp_exporter.store import Store

_MOST = 5000  # measured deployments and decisions, the newest
_SCORED = 200  # predictions of a service
_EXECUTED = {ActionState.ACCEPTED, ActionState.VERIFIED}

Place = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class Levels:
    """Where each service and environment stands, and what its harm has taught, as of the last `refresh`."""

    store: Store
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
        """Count anew, and write what has changed into the trail."""
        records = await self._records(now)
        allowed, last = await self._trail()
        for place, record in records.items():
            found = standing(record, allowed[place])
            before = last.get(place, 0)
            fallen = falls_to(record, before)
            if fallen is not None and fallen[0] < found.level:
                found = replace(found, level=fallen[0], missing=(fallen[1],))
            self._standings[place] = found
            if found.level != before:
                lowered = fallen[1] if fallen is not None else "; ".join(found.missing)
                reason = "earned" if found.level > before else lowered
                await self.store.levels.record(_change(place, "level", found.level, by="rule", reason=reason, at=now))

    async def allow(self, service: str, environment: str, level: int, *, by: str, reason: str, now: datetime) -> None:
        """A named person allows at most this level, or confirms what another one allows. Raises BadInput."""
        if not 0 <= level <= HIGHEST:
            raise BadInput(Fault("level", f"a level from 0 to {HIGHEST} is expected"))
        change = _change((service, environment), "allowed", level, by=by, reason=reason, at=now)
        await self.store.levels.record(change)
        await self.refresh(now)

    async def _trail(self) -> tuple[Mapping[Place, Permission], Mapping[Place, int]]:
        """What is allowed, and which level was in force last, by place."""
        allowed: dict[Place, Permission] = defaultdict(Permission)
        last: dict[Place, int] = {}
        for change in await self.store.levels.trail():
            place = change.service, change.environment
            if change.kind == "allowed":
                allowed[place] = allowed[place].after(change)
            elif change.kind == "level":
                last[place] = change.level
        return allowed, last

    async def _records(self, now: datetime) -> dict[Place, Record]:
        since = now - WINDOW
        history: dict[Place, list[MeasuredDeployment]] = defaultdict(list)
        for each in await self.store.history.measured(before=now, limit=_MOST):
            if each.deployment.started_at >= since:
                history[each.deployment.service, each.deployment.environment].append(each)
        actions: dict[Place, list[Action]] = defaultdict(list)
        for action in await self.store.actions.search(since=since, limit=_MOST):
            actions[action.service, action.environment].append(action)
        executors = {(a.service, a.executor, a.environment, a.dry_run) for found in actions.values() for a in found}
        return {
            place: await self._record(place, measured, actions[place], executors, since)
            for place, measured in history.items()
        }

    async def _record(
        self,
        place: Place,
        measured: list[MeasuredDeployment],
        actions: list[Action],
        executors: set[tuple[str, str, str, bool]],
        since: datetime,
    ) -> Record:
        service, environment = place
        begun = {action.deployment_id for action in actions if action.begun}
        self._learned[place] = learned(measured, begun)
        decisions = await self.store.decisions.search(
            since=since, service=service, environment=environment, limit=_MOST
        )
        outcomes = {each.deployment.id: each.decision.outcome for each in measured}
        predictions = await self.store.history.scored_predictions(service, _SCORED)
        held = [inside for found in interval_coverage(predictions).values() for inside in found]
        scored = risks(predictions, TROUBLE, lambda prediction: prediction.risk)
        wrong = _wrong(actions, measured)
        outcomes |= dict.fromkeys(wrong, Outcome.SUCCESS)
        ordered = [each.deployment.id for each in measured]
        return Record(
            measured=len(measured),
            false_alarms=self._worst_alarms(),
            since_wrong=_since(ordered, wrong),
            coverage=sum(held) / len(held) if held else None,
            brier_skill=_skill(scored),
            executed=sum(action.state in _EXECUTED and not action.dry_run for action in actions),
            proven=_proven(place, executors),
            **tally(decisions, outcomes, since=since),
        )

    def _worst_alarms(self) -> tuple[int, int]:
        known = [alarms for alarms in self.false_alarms.values() if alarms[1]]
        return max(known, key=lambda alarms: alarms[0] / alarms[1], default=(0, 0))


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


def _proven(place: Place, executors: set[tuple[str, str, str, bool]]) -> bool:
    """Whether one executor made a dry run here, and a rollback in another environment."""
    service, environment = place
    dry = {name for of, name, where, dry in executors if dry and (of, where) == place}
    real = {name for of, name, where, dry in executors if not dry and of == service and where != environment}
    return bool(dry & real)


def _skill(scored: Risks | None) -> float | None:
    """The Brier score over that of always saying the share that happened; None where everything came alike."""
    if scored is None or not 0.0 < scored.base < 1.0:
        return None
    return scored.brier / (scored.base * (1.0 - scored.base))


def _change(place: Place, kind: str, level: int, *, by: str, reason: str, at: datetime) -> LevelChange:
    return LevelChange(service=place[0], environment=place[1], kind=kind, level=level, by=by, reason=reason, at=at)
