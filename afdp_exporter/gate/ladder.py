"""The automation level of a service in an environment: earned and lost by its record, never above what is allowed.

0 observe, 1 alert, 2 shadow gate, 3 gate, 4 rollback where it is severe, 5 promotes and rolls back without asking.
What acts without asking, 4 and 5, takes two people to allow, and is earned anew at each count; a level up to 3 stays
until one of the rules by which it falls applies. Shares have exact bounds (Clopper and Pearson 1934).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil

from afdp_exporter.gate.sequential import clopper_pearson
from afdp_exporter.model import (
    Deployment,
    GateDecision,
    GateMode,
    GateVerdict,
    LevelChange,
    Outcome,
    Phase,
    PoolingLevel,
    Status,
    StoredDecision,
)
from afdp_exporter.wording.metrics import display_name
from afdp_exporter.wording.numbers import format_share

HIGHEST = 5  # level
OURSELVES = "self"
"""The caller of a decision for which nobody asked."""
STOPS = frozenset({GateVerdict.HOLD, GateVerdict.ROLLBACK})
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
_NAMED = 3  # metrics with too many false alarms that are named, the worst first
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
_BIAS = 0.20  # by which the predicted risks may be off in sum, at most, for level 5
_LATEST, _OVERRIDES = 5, 2  # enforced decisions, and how many of them people override to lose level 3
_PAUSE = 20  # deployments after a wrong rollback before level 4 can be earned again


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of the gate of one service and environment over the window.

    `holds` and `rollbacks` are verdicts whose deployments have an outcome by now, `false_*` those after which it was a
    success, or a person said so. `false_alarms` are (false alarms, judged) placebos by metric. `overrides` are how many
    of the latest enforced decisions people have overridden, and of how many, since a person last allowed a level.
    """

    measured: int = 0
    measured_of_team: int = 0  # with those of other services of the team in this environment
    measured_of_all: int = 0  # with those of all services in this environment
    false_alarms: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    decisions: int = 0
    innocent: int = 0  # of them, those on deployments that did no harm
    holds: int = 0
    false_holds: int = 0
    rollbacks: int = 0
    wrong_rollbacks: int = 0
    caught: int = 0  # harmful deployments whose gate said hold or rollback
    since_wrong: int | None = None  # deployments since the last wrong rollback; None: there was none
    coverage: float | None = None
    brier_skill: float | None = None  # Brier score over that of the base rate
    risk_bias: float | None = None  # predicted trouble less what came, as a share of what came
    overrides: tuple[int, int] = (0, 0)
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
    """The level that is in force, the one that is earned, and what is missing for the next one, as sentences.

    `basis` is whose deployments levels 1 and 2 rest on; `lost` why a higher level is in force no more.
    """

    level: int
    earned: int
    permission: Permission
    missing: tuple[str, ...]
    basis: PoolingLevel = PoolingLevel.SERVICE
    lost: str | None = None


def standing(record: Record, permission: Permission = Permission(), before: int = 0) -> Standing:
    """The level by the record and by the one that was in force before, capped by what is allowed."""
    earned, missing = 0, tuple[str, ...]()
    for next_level, requirement in ((1, _alert), (3, _gate), (4, _severe), (5, _full)):
        missing = tuple(requirement(record))
        if missing:
            break
        earned = 2 if next_level == 1 else next_level  # a shadow gate follows from level 1 by itself
    fallen = falls_to(record, before)
    kept = min(before, ALONE) if fallen is None else min(before, ALONE, fallen[0])
    earned = max(earned, kept)
    if missing:
        missing = (*missing, *_people(min(earned + 1, HIGHEST), permission))
    level = min(earned, permission.level)
    if level < earned:
        missing = tuple(_people(level + 1, permission))
    return Standing(
        level=level,
        earned=earned,
        permission=permission,
        missing=missing,
        basis=_basis(record),
        lost=None if fallen is None else fallen[1],
    )


def _basis(record: Record) -> PoolingLevel:
    """Whose deployments are enough: the service's own, else its team's, else all."""
    if record.measured >= _MEASURED:
        return PoolingLevel.SERVICE
    return PoolingLevel.TEAM if record.measured_of_team >= _MEASURED else PoolingLevel.GLOBAL


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
    most = max(record.measured, record.measured_of_team, record.measured_of_all)
    if most < _MEASURED:
        known = f" (of this service {record.measured}, of all {most})" if most > record.measured else ""
        yield f"{_MEASURED - most} more measured deployments{known}"
    judged = {metric: counts for metric, counts in record.false_alarms.items() if counts[1]}
    if not judged:
        yield "no placebo deployment could be judged yet, so that the false alarms are not known"
    bounds = {metric: clopper_pearson(*counts)[1] for metric, counts in judged.items()}
    missed = sorted(
        (
            metric
            for metric, (alarms, placebos) in judged.items()
            if alarms / placebos > _FALSE_ALARMS or bounds[metric] > _FALSE_ALARMS_BOUND
        ),
        key=lambda metric: (-bounds[metric], metric),
    )
    if missed:
        worst = [
            f"{display_name(metric)} {judged[metric][0]} in {judged[metric][1]} (at most {_rounded_up(bounds[metric])})"
            for metric in missed[:_NAMED]
        ]
        others = len(missed) - len(worst)
        further = f", and {others} more {'metric' if others == 1 else 'metrics'}" if others else ""
        needed = f"{format_share(_FALSE_ALARMS)}, at most {format_share(_FALSE_ALARMS_BOUND)} with 95 % certainty"
        yield f"fewer false alarms: {', '.join(worst)}{further}, needed {needed}"


def _gate(record: Record) -> Iterable[str]:
    if record.decisions < _SHADOW_DECISIONS:
        yield f"{_SHADOW_DECISIONS - record.decisions} more decisions"
    innocent = max(record.innocent, 1)
    high = clopper_pearson(record.false_holds, innocent)[1]
    if record.false_holds / innocent > _FALSE_HOLDS or high > _FALSE_HOLDS_BOUND:
        needed = f"{format_share(_FALSE_HOLDS)}, at most {format_share(_FALSE_HOLDS_BOUND)}"
        yield f"fewer wrong holds: {_count(record.false_holds, innocent)}, needed {needed}"
    if record.overrides[0] >= _OVERRIDES:
        yield f"a person has to allow level 3 anew, since {_overridden(record)}"
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
    if record.risk_bias is None:
        yield "predictions whose bias is known"
    elif abs(record.risk_bias) > _BIAS:
        which = "more" if record.risk_bias > 0 else "less"
        known = f"they expect {format_share(abs(record.risk_bias))} {which} trouble than comes"
        yield f"predictions with less bias: {known}, needed at most {format_share(_BIAS)}"


def falls_to(record: Record, level: int) -> tuple[int, str] | None:
    """The level to which a service falls back, and why; None where it stays.

    Of false alarms the metric with the most counts: one that has few placebos yet takes nothing away.
    """
    judged = [counts for counts in record.false_alarms.values() if counts[1]]
    alarms, placebos = max(judged, key=lambda counts: counts[0] / counts[1], default=(0, 0))
    if placebos and level >= 1 and clopper_pearson(alarms, placebos)[1] > _FALSE_ALARMS_LOST:
        return 0, f"false alarms: {_count(alarms, placebos)}"
    innocent = record.innocent
    if level >= 3 and innocent and clopper_pearson(record.false_holds, innocent)[1] > _FALSE_HOLDS_LOST:
        return 2, f"wrong holds: {_count(record.false_holds, innocent)}"
    if level >= 3 and record.overrides[0] >= _OVERRIDES:
        return 2, _overridden(record)
    if level >= 4 and record.since_wrong is not None and record.since_wrong < _PAUSE:
        return 3, "a rollback was wrong"
    return None


def _count(wrong: int, n: int) -> str:
    return f"{wrong} in {n}, at most {_rounded_up(clopper_pearson(wrong, n)[1])} with 95 % certainty"


def _rounded_up(bound: float) -> str:
    """A bound in whole percent that stays one."""
    return f"{ceil(round(100 * bound, 6))} %"


def _overridden(record: Record) -> str:
    return f"people overrode {record.overrides[0]} of the last {record.overrides[1]} enforced decisions"


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
    return {
        "decisions": len(judged),
        "innocent": len(innocent),
        "holds": sum(verdict is GateVerdict.HOLD for verdict in judged.values()),
        "false_holds": sum(verdict in STOPS for each, verdict in judged.items() if each in innocent),
        "rollbacks": sum(verdict is GateVerdict.ROLLBACK for verdict in judged.values()),
        "wrong_rollbacks": sum(verdict is GateVerdict.ROLLBACK for each, verdict in judged.items() if each in innocent),
        "caught": sum(verdict in STOPS for each, verdict in judged.items() if each not in innocent),
    }


def overrides(
    decisions: Sequence[StoredDecision], deployments: Sequence[Deployment], refused: Collection[str], *, since: datetime
) -> tuple[int, int]:
    """How many of the latest deployments with an enforced verdict people have overridden since a time, and of how many.

    They did where it went on although the last verdict before its end was to stop, or where they `refused` to have it
    taken back. `decisions` and `deployments` are those of one service and environment, the latter oldest first. Where
    nobody but the exporter itself ever asked, nobody has passed over its verdicts.
    """
    enforced = [
        each.decision
        for each in decisions
        if each.decision.mode is GateMode.ENFORCED and each.decision.decided_at >= since
    ]
    is_asked = any(each.caller != OURSELVES for each in decisions)
    latest = [
        deployment.id in refused or (is_asked and _passed_over(deployment, about))
        for deployment in reversed(deployments)
        if (about := [each for each in enforced if _is_about(each, deployment)])
    ][:_LATEST]
    return sum(latest), len(latest)


def _is_about(decision: GateDecision, deployment: Deployment) -> bool:
    if decision.deployment_id is not None:
        return decision.deployment_id == deployment.id
    return decision.version == deployment.version and decision.decided_at <= deployment.started_at


def _passed_over(deployment: Deployment, decisions: Sequence[GateDecision]) -> bool:
    """Whether it was completed against the last verdict that it was given before."""
    before = [each for each in decisions if each.phase is not Phase.POST and each.decided_at <= deployment.ended_at]
    last = max(before, key=lambda each: each.decided_at, default=None)
    return last is not None and last.enforced_verdict in STOPS and deployment.status is Status.SUCCEEDED
