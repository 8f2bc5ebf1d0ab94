"""What is learned from deployments, and what is expected of the next one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from afdp_exporter.model.deployments import CalendarEntry, Deployment, Outcome
from afdp_exporter.model.figures import Estimate, Forecast, Trait, Window
from afdp_exporter.model.impacts import Decision, Impact, MeasuredDeployment


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The state of the system at the moment of a deployment, as it was known then: nothing later may enter it."""

    at: datetime  # in the zone of the people who deploy: hour and weekday are read from it
    occasions: tuple[CalendarEntry, ...] = ()
    holiday: str | None = None
    load_ratio: float | None = None  # the load over its mean of the last week
    load_season_ratio: float | None = None  # the load over what is usual at this hour of the week
    since_last: timedelta | None = None  # since the service's deployment before this one
    in_flight: int = 0  # other deployments under way
    recent: tuple[Outcome, ...] = ()  # what became of the service's last deployments, the newest first
    levels: Mapping[str, float] = field(default_factory=dict)  # metric -> its level before


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingExample:
    """One lesson: a deployment, the state it met, and what it did."""

    deployment: Deployment
    context: Context
    impact: Impact
    rollback: bool = False  # it brought back what ran before: nothing is learned of changes from it

    @property
    def decision(self) -> Decision:
        """What became of it."""
        return MeasuredDeployment(deployment=self.deployment, impact=self.impact).decision


class PoolingLevel(StrEnum):
    """Whose history a prediction rests on (partial pooling); `cold`: none, a documented prior."""

    COLD = "cold"
    SERVICE = "service"
    TEAM = "team"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """An earlier deployment that a prediction rests on, and why it is like the planned one."""

    deployment_id: str
    service: str
    version: str | None = None
    started_at: datetime
    similarity_ratio: float
    why: tuple[str, ...]
    outcome: Outcome
    cost_per_hour: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCost:
    """Money that is expected to be lost per hour; a gain is negative."""

    currency: str
    per_hour: Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRatio:
    """What a bill has of the list prices of the same things, over so many days that both have; `until` is the last."""

    bill: str
    currency: str
    ratio: Estimate
    days: int
    since: date
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudCost:
    """What a deployment changes of the cloud's cost per hour, by its requests; less is negative.

    `billed` is the ratio by which it was brought from list prices to what is paid.
    """

    currency: str
    per_hour: Estimate
    sentence: str
    billed: BillRatio | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a deployment is expected to do. `risk` is of degradation or failure, `failure` of failure alone."""

    deployment_id: str
    basis: PoolingLevel
    n: int
    risk: Estimate
    failure: Estimate
    metrics: Mapping[str, Forecast]
    cost: ExpectedCost | None = None
    cloud_cost: CloudCost | None = None  # where its traits report requests
    similar: tuple[Similar, ...] = ()
    patterns: tuple[str, ...] = ()  # the sentences of those that speak of it and mean harm
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a deployment must be for a pattern to speak of it: `change_types has database`, `event = sale`."""

    trait: str
    op: str  # has, =, >=, <
    value: Trait


class PatternKind(StrEnum):
    """A pattern rests on 15 cases or more and was confirmed by the newest of them; a hint on 4 or more."""

    PATTERN = "pattern"
    HINT = "hint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What was learned: under these conditions, this follows. `effect` is the difference in the target's own unit."""

    kind: PatternKind
    sentence: str
    conditions: tuple[Condition, ...]
    target: str  # a metric's name, cost_per_hour or outcome
    effect: Estimate
    multiplier: Estimate | None
    n: int
    q_value: float
    last_seen: datetime
    deployments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One hour in which a deployment may start, and what it would then be expected to do."""

    start: datetime
    end: datetime
    risk: Estimate
    cost_per_hour: float | None  # the expected cost: its mean, not its median
    reasons: tuple[str, ...] = ()
    n: int = 0  # measured deployments of the service on this weekday and in this part of the day


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The coming hours for a service, the best first; `loss_avoided` is now's expected cost less that of the best.

    Where no hour is known to be better than now, `best` is empty and nothing is avoided.
    """

    service: str
    made_at: datetime
    slots: tuple[Slot, ...]
    best: tuple[Window, ...]
    now: Slot
    loss_avoided: float | None
    saving: Estimate | None = None  # the loss avoided with its range
    currency: str | None
    basis: PoolingLevel
    n: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPrediction:
    """A prediction, and what then happened."""

    prediction: Prediction
    deployment: Deployment
    impact: Impact

    @property
    def decision(self) -> Decision:
        """What became of it."""
        return MeasuredDeployment(deployment=self.deployment, impact=self.impact).decision


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Of `n` predictions between two risks: the mean that was `predicted`, and the share that `happened`."""

    low: float
    high: float
    n: int
    predicted: float
    happened: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well the predictions for a service came true, over `n` measured deployments.

    `covered` is the share of the 90 % ranges (`ranges` of them) that held what happened, `brier` the mean squared
    error of the predicted risk, `base` the share that happened, `skill` one less the ratio of the Brier score to that
    of always predicting `base` (None where that is perfect), `width` the mean width of the risks' ranges.
    """

    service: str
    n: int
    brier: float
    ranges: int
    covered: float | None
    base: float = 0.0
    skill: Estimate | None = None
    width: float | None = None
    reliability: tuple[ReliabilityBin, ...] = ()

    @property
    def better_than_the_rate(self) -> bool:
        """Whether the whole range of the skill is above none."""
        return self.skill is not None and self.skill.low > 0
