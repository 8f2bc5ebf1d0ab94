"""The words of the domain. Frozen, plain, shared by every part; nothing here does input or output.

Times are aware datetimes in these types and Unix seconds in arrays. Wherever `low` and `high` stand,
they are the 5 % and 95 % points.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Trait: TypeAlias = bool | float | str


class Layer(StrEnum):
    """Where a metric stands on the way from the machine to the money."""

    TECHNICAL = "technical"
    SYSTEM = "system"
    USER = "user"
    BUSINESS = "business"
    CUSTOM = "custom"


class Worse(StrEnum):
    """The direction in which a metric hurts."""

    UP = "up"
    DOWN = "down"
    EITHER = "either"


class ChangeType(StrEnum):
    """What a deployment changes."""

    CODE = "code"
    CONFIG = "config"
    INFRASTRUCTURE = "infrastructure"
    DATABASE = "database"
    FLAG = "flag"


class Strategy(StrEnum):
    """How a deployment reaches its users."""

    ROLLING = "rolling"
    CANARY = "canary"
    BLUE_GREEN = "blue-green"
    RECREATE = "recreate"


class Status(StrEnum):
    """Where a deployment stands in its life, as its sender tells it."""

    PLANNED = "planned"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What became of a deployment."""

    SUCCESS = "success"
    DEGRADATION = "degradation"
    FAILURE = "failure"
    UNKNOWN = "unknown"


class Attribution(StrEnum):
    """The answer to "was it this deployment?" for one metric, the strongest first."""

    ATTRIBUTED = "attributed"
    TRANSIENT = "transient"
    GRADUAL = "gradual"
    NOT_DISTINGUISHABLE = "not_distinguishable"
    INCONCLUSIVE = "inconclusive"
    INSUFFICIENT_HISTORY = "insufficient_history"
    NO_EFFECT = "no_effect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A change of production: what, when, by whom, where. `started_at` of a planned one lies ahead."""

    id: str
    service: str
    environment: str
    started_at: datetime
    finished_at: datetime | None = None
    status: Status = Status.SUCCEEDED
    version: str | None = None
    previous_version: str | None = None
    actor: str | None = None
    team: str | None = None
    change_types: tuple[ChangeType, ...] = ()
    strategy: Strategy | None = None
    traffic_ratio: float | None = None
    url: str | None = None
    commit: str | None = None
    description: str | None = None
    traits: Mapping[str, Trait] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    labelled_outcome: Outcome | None = None  # a human's word, kept apart from what was measured
    note: str | None = None
    received_at: datetime
    received_from: str = "api"  # the kind of its sender: api, github, argocd, import, ...

    @property
    def ended_at(self) -> datetime:
        """When the rollout was over; its start, as long as no end is known."""
        return self.finished_at or self.started_at

    @property
    def planned(self) -> bool:
        """Whether it is still ahead."""
        return self.status is Status.PLANNED

    @property
    def name(self) -> str:
        """Service and version as people say them: `checkout v2.1.0`."""
        return f"{self.service} {self.version}" if self.version else self.service


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What one unit of a metric is worth: one unit less (or more, as it hurts) costs `per_unit` an hour."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    currency: str
    per_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure that is watched. Its name ends in its unit; its query may hold `$service` and the like."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    layer: Layer
    query: str
    worse: Worse = Worse.EITHER
    money: Money | None = None
    source: str | None = None  # the name of its source; None: the first one
    control: str | None = None  # PromQL of what the deployment cannot have touched
    leads_to: tuple[str, ...] = ()  # names of the metrics that may follow this one
    primary: bool = True  # judged for the outcome; the others are told as "also moved"
    environments: tuple[str, ...] = ()  # empty: every environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is known of a service beforehand: its metrics (None: all) and the services that it calls."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    metrics: tuple[str, ...] | None = None
    depends_on: tuple[str, ...] = ()
    team: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time, both ends included."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One metric over time: `times` float64 Unix seconds (n,), `values` float64 (n,), NaN where there is a gap.

    Both arrays are read-only and in order of time. `warnings` are the source's own words about partial data.
    """

    metric: str
    labels: Mapping[str, str]
    times: Floats
    values: Floats
    warnings: tuple[str, ...] = ()

    @property
    def measured(self) -> int:
        """How many of its points are no gaps."""
        return int(np.isfinite(self.values).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its range."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Money lost per hour (a gain is negative) and, where it is known, so far; never mixed across currencies."""

    currency: str
    per_hour: Estimate
    total: Estimate | None = None
    duration: timedelta | None = None
    ended: bool = False
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What one metric did after a deployment, and whose doing it was. Figures are in the metric's own unit."""

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
    shape: str | None = None  # level, transient, gradual, spread
    duration: timedelta | None = None
    recovered_at: datetime | None = None
    primary: bool = True

    @property
    def harmful(self) -> bool | None:
        """Whether the change goes in the direction that hurts; None where there is no change or no such direction."""
        if not self.change or self.worse is Worse.EITHER:
            return None
        return (self.change > 0) is (self.worse is Worse.UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step of a sequence: `cause` was followed by `effect`; `together` where the order cannot be told."""

    cause: str
    effect: str
    lag: timedelta
    together: bool
    seen_before: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another deployment that may share the blame, and the share of it, 0 to 1."""

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

    @property
    def verdict(self) -> Attribution:
        """The strongest answer among its metrics."""
        given = {shift.verdict for shift in self.shifts}
        return next((verdict for verdict in Attribution if verdict in given), Attribution.INCONCLUSIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A deployment with what it did, as far as that is known."""

    deployment: Deployment
    impact: Impact | None = None


class LookState(StrEnum):
    """Where a look stands: due rows wait for their time, waiting ones for a source that is away."""

    DUE = "due"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One planned glance at a deployment, `after` its end; `account` tells how its answer came about."""

    deployment_id: str
    after: timedelta
    due_at: datetime
    state: LookState = LookState.DUE
    attempts: int = 0
    done_at: datetime | None = None
    reason: str | None = None
    outcome: Outcome | None = None
    account: Mapping[str, object] = field(default_factory=dict)


class OccasionKind(StrEnum):
    """What is special about a time."""

    SALE = "sale"
    FREEZE = "freeze"
    HOLIDAY = "holiday"
    INCIDENT = "incident"
    TRAFFIC = "traffic"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Something special about a time: a sale, a freeze, a holiday."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    name: str
    kind: OccasionKind = OccasionKind.OTHER
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The state of the system at the moment of a deployment, as it was known then: nothing later may enter it."""

    at: datetime  # in the zone of the people who deploy: hour and weekday are read from it
    occasions: tuple[Occasion, ...] = ()
    holiday: str | None = None
    load_ratio: float | None = None  # the load over its mean of the last week
    load_season_ratio: float | None = None  # the load over what is usual at this hour of the week
    since_last: timedelta | None = None  # since the service's deployment before this one
    in_flight: int = 0  # other deployments under way
    recent: tuple[Outcome, ...] = ()  # what became of the service's last deployments, the newest first
    levels: Mapping[str, float] = field(default_factory=dict)  # metric -> its level before


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One lesson: a deployment, the state it met, and what it did."""

    deployment: Deployment
    context: Context
    impact: Impact


class Basis(StrEnum):
    """Whose history a prediction rests on; `cold`: nobody's, a documented prior."""

    COLD = "cold"
    SERVICE = "service"
    TEAM = "team"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """An earlier deployment that a prediction rests on, and why it is like the planned one."""

    deployment_id: str
    service: str
    version: str | None
    started_at: datetime
    similarity_ratio: float
    why: tuple[str, ...]
    outcome: Outcome
    cost_per_hour: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a deployment is expected to do. `risk` is of degradation or failure, `failure` of failure alone."""

    deployment_id: str
    basis: Basis
    n: int
    risk: Estimate
    failure: Estimate
    metrics: Mapping[str, Estimate]
    cost: Cost | None = None
    similar: tuple[Similar, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a deployment must be for a pattern to speak of it: `change_types has database`, `event = sale`."""

    trait: str
    op: str  # has, =, >=, <
    value: Trait


class PatternKind(StrEnum):
    """A pattern rests on 15 cases or more and was confirmed by the newest of them; a hint on 5 or more."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The coming hours for a service, the best first; `loss_avoided` is now's expected cost less that of the best."""

    service: str
    made_at: datetime
    slots: tuple[Slot, ...]
    best: tuple[Window, ...]
    now: Slot
    loss_avoided: float | None
    currency: str | None
    basis: Basis
    n: int
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well the predictions for a service came true, over `n` measured deployments.

    `covered` is the share of the 90 % ranges (`ranges` of them) that held what happened, `brier` the mean squared
    error of the predicted risk.
    """

    service: str
    n: int
    brier: float
    ranges: int
    covered: float | None
