"""The automation level of a service in an environment: earned and lost by its record, never above what is allowed.

0 observe, 1 alert, 2 shadow gate, 3 gate, 4 rollback where it is severe, 5 promotes and rolls back without asking.
What acts without asking, 4 and 5, takes two people to allow. Shares have exact bounds (Clopper and Pearson 1934).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from afdp_exporter.gate.sequential import clopper_pearson
from afdp_exporter.model import GateVerdict, LevelChange, Outcome, StoredDecision
from afdp_exporter.wording.numbers import format_share

HIGHEST = 5  # level
ALLOWED = 2
"""The highest allowed level by default."""
ALONE = 3
"""The highest level that one person can allow."""
WINDOW = timedelta(days=180)
"""How far back decisions and deployments count."""
_MEASURED = 10  # deployments before level 1
_FALSE_ALARMS, _FALSE_ALARMS_BOUND, _FALSE_ALARMS_LOST = (
    0.02,
    0.05,
    0.10,
)  # share of placebos to earn, bound of it, share to lose
_SHADOW_DECISIONS = 20  # in the shadow before level 3
_FALSE_HOLDS, _FALSE_HOLDS_BOUND, _FALSE_HOLDS_LOST = (
    0.05,
    0.15,
    0.25,
)  # share of holds to earn, bound of it, share to lose
_COVERAGE = (0.80, 0.97)  # within which the share of 90 % ranges that held must lie
_SEVERE_DECISIONS, _CAUGHT = 60, 3  # decisions, and failures among them that were caught, before level 4
_ONE_WRONG = 95  # decisions among which one wrong rollback is as good as none among 60
_FULL_DECISIONS, _EXECUTED = 150, 10  # decisions, and rollbacks that were carried out, before level 5
_SKILL = 0.8  # Brier score over that of the base rate, at most, for level 5
_PAUSE = 20  # deployments after a wrong rollback before level 4 can be earned again


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of the gate of one service and environment over the window.

    `holds` and `rollbacks` are verdicts whose deployments have an outcome by now, `false_*` those after which it was a
    success, or a person said so. `false_alarms` are (false alarms, judged) placebos of the worst metric.
    """

    measured: int = 0
    false_alarms: tuple[int, int] = (0, 0)
    decisions: int = 0
    holds: int = 0
    false_holds: int = 0
    rollbacks: int = 0
    wrong_rollbacks: int = 0
    caught: int = 0  # harmful deployments whose gate said hold or rollback
    since_wrong: int | None = None  # deployments since the last wrong rollback; None: there was none
    coverage: float | None = None
    brier_skill: float | None = None  # Brier score over that of the base rate
    executed: int = 0
    proven: bool = False  # the executor made a dry run here, and one rehearsal in another environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """The level that people allow at most; a higher one is `wanted` by one person, and a second has to confirm it."""

    level: int = ALLOWED
    wanted: int | None = None
    by: str = ""

    def after(self, change: LevelChange) -> "Permission":
        """With the word of one more person: up to `ALONE`, and where it lowers, it counts at once."""
        alone = max(self.level, ALONE)
        if change.level <= alone:
            return Permission(level=change.level)
        if self.wanted is None or _name(self.by) == _name(change.by):
            return Permission(level=alone, wanted=change.level, by=change.by)
        agreed = min(self.wanted, change.level)
        more, by = max((self.wanted, self.by), (change.level, change.by))
        return Permission(level=agreed, wanted=more, by=by) if more > agreed else Permission(level=agreed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The level that is in force, the one that is earned, and what is missing for the next one, as sentences."""

    level: int
    earned: int
    permission: Permission
    missing: tuple[str, ...]


def standing(record: Record, permission: Permission = Permission()) -> Standing:
    """The level by the record, capped by what is allowed."""
    earned, missing = 0, tuple[str, ...]()
    for next_level, requirement in ((1, _alert), (3, _gate), (4, _severe), (5, _full)):
        missing = tuple(requirement(record))
        if missing:
            missing = (*missing, *_people(next_level, permission))
            break
        earned = 2 if next_level == 1 else next_level  # a shadow gate follows from level 1 by itself
    level = min(earned, permission.level)
    if level < earned:
        missing = tuple(_people(level + 1, permission))
    return Standing(level=level, earned=earned, permission=permission, missing=missing)


def _people(level: int, permission: Permission) -> Iterable[str]:
    if level <= permission.level:
        return
    if permission.wanted is not None and permission.wanted >= level > ALONE:
        yield f"a second person has to confirm level {level}, which {permission.by} allows"
    else:
        who = "two people have" if level > ALONE else "a person has"
        yield f"{who} to allow level {level} (allowed: {permission.level})"


def _name(person: str) -> str:
    return " ".join(person.split()).casefold()


def _alert(record: Record) -> Iterable[str]:
    if record.measured < _MEASURED:
        yield f"{_MEASURED - record.measured} more measured deployments"
    alarms, judged = record.false_alarms
    if judged == 0:
        yield "no placebo deployment could be judged yet, so that the false alarms are not known"
    elif alarms / judged > _FALSE_ALARMS or clopper_pearson(alarms, judged)[1] > _FALSE_ALARMS_BOUND:
        high = clopper_pearson(alarms, judged)[1]
        known = f"{alarms} in {judged}, at most {format_share(high)} with 95 % certainty"
        yield f"fewer false alarms: {known}, needed {format_share(_FALSE_ALARMS_BOUND)}"


def _gate(record: Record) -> Iterable[str]:
    if record.decisions < _SHADOW_DECISIONS:
        yield f"{_SHADOW_DECISIONS - record.decisions} more decisions"
    innocent = max(record.decisions - record.caught, 1)
    high = clopper_pearson(record.false_holds, innocent)[1]
    if record.false_holds / innocent > _FALSE_HOLDS or high > _FALSE_HOLDS_BOUND:
        known = f"{record.false_holds} in {innocent}, at most {format_share(high)} with 95 % certainty"
        yield f"fewer wrong holds: {known}, needed {format_share(_FALSE_HOLDS_BOUND)}"
    if record.coverage is None:
        yield "no prediction could be scored yet"
    elif not _COVERAGE[0] <= record.coverage <= _COVERAGE[1]:
        needed = f"{format_share(_COVERAGE[0])} to {format_share(_COVERAGE[1])}"
        yield f"90 % intervals that hold: they hold in {format_share(record.coverage)}, needed {needed}"


def _severe(record: Record) -> Iterable[str]:
    enough = record.decisions >= (_ONE_WRONG if record.wrong_rollbacks == 1 else _SEVERE_DECISIONS)
    if not enough or record.wrong_rollbacks > 1:
        known = f"{record.wrong_rollbacks} of {record.decisions} by now"
        yield f"{_SEVERE_DECISIONS} decisions without a wrong rollback ({known})"
    if record.since_wrong is not None and record.since_wrong < _PAUSE:
        yield f"{_PAUSE - record.since_wrong} more deployments since the last wrong rollback"
    if record.caught < _CAUGHT:
        yield f"{_CAUGHT - record.caught} more harmful deployments that the gate saw"
    if not record.proven:
        yield "a dry run of the executor here and a rehearsal in another environment"


def _full(record: Record) -> Iterable[str]:
    if record.decisions < _FULL_DECISIONS:
        yield f"{_FULL_DECISIONS - record.decisions} more decisions"
    if record.executed < _EXECUTED:
        yield f"{_EXECUTED - record.executed} more rollbacks that were carried out"
    if record.wrong_rollbacks:
        yield "no wrong rollback in the window"
    if record.brier_skill is None or record.brier_skill >= _SKILL:
        yield f"predictions whose Brier score is below {_SKILL} of the base rate's"


def falls_to(record: Record, level: int) -> tuple[int, str] | None:
    """The level to which a service falls back, and why; None where it stays."""
    if level >= 4 and record.since_wrong is not None and record.since_wrong < _PAUSE:
        return 3, "a rollback was wrong"
    alarms, judged = record.false_alarms
    if judged and level >= 1 and clopper_pearson(alarms, judged)[1] > _FALSE_ALARMS_LOST:
        return 0, f"false alarms: {alarms} in {judged}"
    innocent = max(record.decisions - record.caught, 1)
    if level >= 3 and clopper_pearson(record.false_holds, innocent)[1] > _FALSE_HOLDS_LOST:
        return 2, f"wrong holds: {record.false_holds} in {innocent}"
    return None


def tally(decisions: Sequence[StoredDecision], outcomes: dict[str, Outcome], *, since: datetime) -> dict[str, int]:
    """The counts of a `Record` that come from decisions and what became of their deployments.

    Of several decisions on one deployment the strongest counts. `outcomes` are by deployment id, as people see them.
    """
    strongest: dict[str, GateVerdict] = {}
    order = list(GateVerdict)
    for stored in decisions:
        decision = stored.decision
        if decision.deployment_id is None or decision.decided_at < since:
            continue
        known = strongest.get(decision.deployment_id, GateVerdict.ALLOW)
        strongest[decision.deployment_id] = min(known, decision.verdict, key=order.index)
    certain = {each for each, outcome in outcomes.items() if outcome is not Outcome.UNKNOWN}
    judged = {each: verdict for each, verdict in strongest.items() if each in certain}
    innocent = {each for each in judged if outcomes[each] is Outcome.SUCCESS}
    stops = {GateVerdict.HOLD, GateVerdict.ROLLBACK}
    return {
        "decisions": len(judged),
        "holds": sum(verdict is GateVerdict.HOLD for verdict in judged.values()),
        "false_holds": sum(verdict in stops for each, verdict in judged.items() if each in innocent),
        "rollbacks": sum(verdict is GateVerdict.ROLLBACK for verdict in judged.values()),
        "wrong_rollbacks": sum(verdict is GateVerdict.ROLLBACK for each, verdict in judged.items() if each in innocent),
        "caught": sum(verdict in stops for each, verdict in judged.items() if each not in innocent),
    }
