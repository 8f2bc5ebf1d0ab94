"""The impact of a deployment, the looks that measure it, and the counterfactual trajectories of its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from afdp_exporter.model.deployments import Deployment, Outcome
from afdp_exporter.model.figures import Estimate
from afdp_exporter.model.metrics import Layer, Worse


class Attribution(StrEnum):
    """The answer to "was it this deployment?" for one metric, the strongest first."""

    ATTRIBUTED = "attributed"
    TRANSIENT = "transient"
    GRADUAL = "gradual"
    NOT_DISTINGUISHABLE = "not_distinguishable"
    INCONCLUSIVE = "inconclusive"
    INSUFFICIENT_HISTORY = "insufficient_history"
    NO_EFFECT = "no_effect"

    @property
    def moved(self) -> bool:
        """Whether it says: this metric moved, and this deployment did it."""
        return self in {Attribution.ATTRIBUTED, Attribution.TRANSIENT, Attribution.GRADUAL}


class ShiftState(StrEnum):
    """Where a finding about one metric stands over the checks of a deployment.

    `suspected`: a harmful change that is doubtful. `active`: this deployment moved it, and it goes on as far as known.
    `recovered`: it is back at its level. `replaced`: the next deployment of the service came before it was back.
    `withdrawn`: an earlier check found it; since then it is ruled out, or put down to something else.
    """

    SUSPECTED = "suspected"
    ACTIVE = "active"
    RECOVERED = "recovered"
    REPLACED = "replaced"
    WITHDRAWN = "withdrawn"

    @property
    def found(self) -> bool:
        """Whether this deployment moved the metric, be it over or not."""
        return self in {ShiftState.ACTIVE, ShiftState.RECOVERED, ShiftState.REPLACED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Money lost per hour (a gain is negative) and, where it is known, in all; never mixed across currencies.

    `total` is what it cost up to `as_of`, and stays once it `ended`.
    """

    currency: str
    per_hour: Estimate
    total: Estimate | None = None
    duration: timedelta | None = None
    ended: bool = False
    as_of: datetime | None = None
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """What followed `count` of the `compared` earlier deployments of the service alike, and this one as well.

    `change` is in the metric's own unit; no `duration` where the value starts again with each deployment.
    """

    count: int
    compared: int
    change: float
    duration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What one metric did after a deployment, and to what it is attributed. Figures are in the metric's own unit."""

    metric: str
    layer: Layer
    verdict: Attribution
    reason: str
    worse: Worse = Worse.EITHER
    onset: datetime | None = None
    onset_low: datetime | None = None
    onset_high: datetime | None = None
    onset_ratio: float | None = None  # the share of all possible onsets that this deployment may answer for, 0 to 1
    before: float | None = None
    after: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    change_ratio: float | None = None
    p_value: float | None = None
    attribution_ratio: float | None = None  # how sure it is that this deployment did it, 0 to 1
    usual: Usual | None = None  # what follows this service's deployments alike; `change` is what goes beyond it
    minimum_detectable_effect: float | None = None  # the smallest lasting change that four checks of five would find
    minimum_detectable_ratio: float | None = None  # the same, as a share of its level
    shape: str | None = None  # level, transient, gradual, spread
    duration: timedelta | None = None
    recovered_at: datetime | None = None
    primary: bool = True
    state: ShiftState | None = None  # None where no check found anything, and in what older releases stored
    as_of: datetime | None = None  # the end of the data that its state rests on
    ended_by: str | None = None  # id of the next deployment of the service, where that replaced it or brought it back
    scatter: float | None = None  # how far nine in ten single values stray from the level of their hour by themselves
    worth: float | None = None  # the smallest change that matters, in the metric's own unit
    ruled_out: bool | None = None  # whether a harmful change so large is ruled out; None where that is no question

    @property
    def moved(self) -> bool:
        """Whether the metric moved and this deployment did it; otherwise its change is noise, or another's doing."""
        return self.verdict.moved

    @property
    def harmful(self) -> bool | None:
        """Whether the change goes in the direction that hurts; None where there is no change or no such direction."""
        if not self.change or self.worse is Worse.EITHER:
            return None
        return (self.change > 0) is (self.worse is Worse.UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """The harm of a deployment in short: whether it goes on, over those of its primary metrics that are worse.

    `state` is `active` as long as one of `metrics` is, else `replaced` or `recovered`; `suspected` where nothing is
    sure. `over_at` is when the last metric was back. All of it is as of `as_of`, the end of the data it rests on.
    """

    state: ShiftState
    metrics: tuple[str, ...]
    since: datetime | None = None
    over_at: datetime | None = None
    as_of: datetime | None = None
    ended_by: str | None = None

    @property
    def active(self) -> bool:
        """Whether it goes on as far as known."""
        return self.state is ShiftState.ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step of a sequence: `cause` was followed by `effect`; `together` where the order is unknown."""

    cause: str
    effect: str
    lag: timedelta
    together: bool
    seen_before: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another deployment that may have caused it, with its posterior probability, 0 to 1."""

    deployment_id: str
    service: str
    started_at: datetime
    share_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBefore:
    """Earlier deployments after which the same thing happened, newest first; `scope` is service, team or all."""

    count: int = 0
    deployment_ids: tuple[str, ...] = ()
    scope: str = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """What a deployment did, as known at `measured_at`."""

    deployment_id: str
    measured_at: datetime
    shifts: tuple[Shift, ...]
    outcome: Outcome
    outcome_reason: str
    label_source: str = "rule"  # who says so: rule, or rollback where its sender or a remedy shows that it failed
    links: tuple[Link, ...] = ()
    costs: tuple[Cost, ...] = ()
    rivals: tuple[Rival, ...] = ()
    seen_before: SeenBefore = SeenBefore()
    story: tuple[str, ...] = ()
    first_hour: tuple[Shift, ...] = ()  # what moved in it, as it was seen then, where the look reaches further

    @property
    def verdict(self) -> Attribution:
        """The strongest answer among its metrics."""
        given = {shift.verdict for shift in self.shifts}
        return next((verdict for verdict in Attribution if verdict in given), Attribution.INCONCLUSIVE)

    @property
    def harm(self) -> Harm | None:
        """The harm that was found or is suspected; None where no primary metric is worse."""
        worse = [shift for shift in self.shifts if shift.primary and shift.harmful and shift.state is not None]
        for state in (ShiftState.ACTIVE, ShiftState.REPLACED, ShiftState.RECOVERED, ShiftState.SUSPECTED):
            those = [shift for shift in worse if shift.state is state]
            if those:
                return _harm(state, those)
        return None


def _harm(state: ShiftState, those: list[Shift]) -> Harm:
    """The harm of shifts in the same state."""
    backs = [shift.recovered_at for shift in those if shift.recovered_at is not None]
    return Harm(
        state=state,
        metrics=tuple(shift.metric for shift in those),
        since=min((shift.onset for shift in those if shift.onset is not None), default=None),
        over_at=max(backs, default=None) if state is ShiftState.RECOVERED else None,
        as_of=min((shift.as_of for shift in those if shift.as_of is not None), default=None),
        ended_by=next((shift.ended_by for shift in those if shift.ended_by is not None), None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An outcome with its reason as a sentence, and who says so: `human`, `rollback` or `rule`."""

    outcome: Outcome
    reason: str
    label_source: str = "rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSummary:
    """A measured deployment in short: as much as the state that a later one meets, and the choice of cases, need."""

    deployment: Deployment
    measured_at: datetime
    outcome: Outcome


def stated_decision(deployment: Deployment) -> Decision | None:
    """What a human, else its sender, says became of a deployment; it outweighs what was measured."""
    if deployment.labelled_outcome is not None:
        reason = deployment.note or "labelled by hand"
        return Decision(outcome=deployment.labelled_outcome, reason=reason, label_source="human")
    if deployment.reported_failure is not None:
        return Decision(outcome=Outcome.FAILURE, reason=deployment.reported_failure, label_source="rollback")
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredDeployment:
    """A deployment with what it did, as far as that is known."""

    deployment: Deployment
    impact: Impact | None = None

    @property
    def decision(self) -> Decision:
        """The one answer to what became of it: as stated by a human or its sender, else as measured."""
        impact = self.impact
        if (said := stated_decision(self.deployment)) is not None:
            return said
        if impact is None:
            return Decision(outcome=Outcome.UNKNOWN, reason="not measured yet")
        return Decision(outcome=impact.outcome, reason=impact.outcome_reason, label_source=impact.label_source)

    @property
    def known(self) -> bool:
        """Whether anything is known of it: it was measured, or somebody states what became of it."""
        return self.impact is not None or stated_decision(self.deployment) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stability:
    """DORA's change failure rate with its 90 % interval, and the median time to restore over `restored` failures."""

    deployments: int
    failures: int
    change_failure_ratio: Estimate | None
    restored: int = 0
    time_to_restore: timedelta | None = None


class LookState(StrEnum):
    """Where a look stands: due rows wait for their time, waiting ones for a source that is away."""

    DUE = "due"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


_OPEN = (LookState.DUE, LookState.WAITING, LookState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One planned measurement of a deployment, `after` its end; `account` is its audit record."""

    deployment_id: str
    after: timedelta
    due_at: datetime
    state: LookState = LookState.DUE
    attempts: int = 0
    done_at: datetime | None = None
    reason: str | None = None
    outcome: Outcome | None = None
    account: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether it has no answer yet, and may have one."""
        return self.state in _OPEN

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was tried yet, so that nothing else is known of it than when it is due."""
        nothing = self.reason is None and self.outcome is None and self.done_at is None
        return self.state is LookState.DUE and nothing and not self.attempts and not self.account


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectWindow:
    """The mean over the stretch that was judged: as measured, and as expected without the deployment.

    Every figure is in the metric's own unit; `low` and `high` are the 5 % and 95 % points of `expected`.
    """

    start: datetime
    end: datetime
    measured: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One metric around a deployment, as its judgement saw it; all figures in the metric's own unit.

    `measured` has a value at `start`, `start + step` and so on, None where there is a gap. `expected` has the last of
    these instants, from the deployment on: the course without the deployment. Nine of ten single values were to lie
    between `expected - below` and `expected + above`. There is no `level` and no `expected` where nothing was judged.
    """

    metric: str
    start: datetime
    step: timedelta
    measured: tuple[float | None, ...]
    expected: tuple[float, ...] = ()
    below: float = 0.0
    above: float = 0.0
    level: EffectWindow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A deployment with what is known of it by now; `headline` is that in one line of plain text.

    `at` is when it is sent.
    """

    deployment: Deployment
    impact: Impact | None
    headline: str
    at: datetime
    report_url: str | None = None  # the page of the deployment, where the exporter knows how it is reached

    @property
    def measured(self) -> MeasuredDeployment:
        """The deployment with what it did."""
        return MeasuredDeployment(deployment=self.deployment, impact=self.impact)
