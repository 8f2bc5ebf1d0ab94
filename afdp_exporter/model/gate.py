"""What the gate says of a deployment, what it is asked about, and who waits to hear it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from afdp_exporter.model.announcements import Origin
from afdp_exporter.model.figures import Estimate
from afdp_exporter.model.learning import PoolingLevel


class GateVerdict(StrEnum):
    """Whether a deployment may go on; of several that apply, the first one listed counts."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    UNKNOWN = "unknown"
    WARN = "warn"
    ALLOW = "allow"

    @property
    def passes(self) -> bool:
        """Whether a pipeline goes on."""
        return self in {GateVerdict.ALLOW, GateVerdict.WARN}

    @property
    def waits(self) -> bool:
        """Whether a later answer may be another one."""
        return self in {GateVerdict.HOLD, GateVerdict.UNKNOWN}


class Phase(StrEnum):
    """Where a deployment stands when the gate is asked."""

    PLAN = "plan"
    CANARY = "canary"
    PREVIEW = "preview"
    PROMOTE = "promote"
    POST = "post"


class GateMode(StrEnum):
    """Whether the verdict is to be obeyed, or only recorded."""

    SHADOW = "shadow"
    ENFORCED = "enforced"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """One thing that the gate looked at: `status` is pass, warn, fail or unknown."""

    name: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedLoss:
    """The money that each way to go on is expected to cost, in one currency; None where it is not known."""

    promote: float | None = None
    hold: float | None = None
    rollback: float | None = None
    currency: str


class CanaryVerdict(StrEnum):
    """The result of a canary comparison."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryComparison:
    """One metric of a canary compared with the stable version; figures in the metric's own unit.

    `difference` is the canary less the stable version with its 90 % interval at this check. `harm_ratio` is how
    probable it is that the canary is worse at all. `decidable_in_seconds` is how long until a change that matters
    would show, None where it will not within a week or where it is decided.
    """

    metric: str
    verdict: CanaryVerdict
    reason: str
    minutes: int
    canary: float | None = None
    stable: float | None = None
    difference: Estimate | None = None
    harm_ratio: float | None = None
    decidable_in_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryOver:
    """How many times an effect of the canary is found at full traffic: the median, its 90 % interval, and from how many
    earlier rollouts of the service that is known."""

    factor: Estimate
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """What a canary's effect costs an hour at full traffic."""

    traffic_ratio: float
    cost_per_hour: Estimate | None = None
    currency: str | None = None
    carry_over: CarryOver
    not_linear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedFailure:
    """An earlier failure that began alike: of the service, of another one of its team, or of any."""

    deployment_id: str
    similarity_ratio: float
    why: str
    basis: Literal["service", "team", "all"] = "service"


class SignalVerdict(StrEnum):
    """The result of a warm-up comparison with earlier greens at the same age."""

    USUAL = "usual"
    UNUSUAL = "unusual"
    NO_HISTORY = "no_history"


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpSignal:
    """One signal of green's warm-up, in the metric's own unit, compared with `n` earlier greens of the same age.

    `usual` is the 90 % range of one more green. `score` is the deviation to the harmful side as a standard normal one,
    `evidence` the logarithm of how much more probable that is before a harmful switch.
    """

    metric: str
    verdict: SignalVerdict
    n: int
    age_minutes: int | None = None
    value: float | None = None
    usual: Estimate | None = None
    score: float | None = None
    evidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """How sure it is that a switch to green does no harm; None where no signal could be compared.

    From `n` switches, of this service or (`basis` global) of all; `calibrated` by what became of them. `brier_score` is
    that of the service's earlier confidences. `log_odds` is before calibration.
    """

    signals: tuple[WarmUpSignal, ...]
    log_odds: float
    confidence_ratio: float | None = None
    n: int
    basis: PoolingLevel
    calibrated: bool = False
    brier_score: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """What the gate thinks and what is to be obeyed, with the evidence.

    `confidence_ratio` is how probable it is that going on does no harm; `decided_by` names the rule that decided.
    """

    service: str
    environment: str
    version: str | None = None
    deployment_id: str | None = None
    phase: Phase
    verdict: GateVerdict
    enforced_verdict: GateVerdict
    mode: GateMode
    level: int
    confidence_ratio: float | None = None
    reasons: tuple[str, ...]
    decided_by: str
    decided_at: datetime
    valid_until: datetime
    check_again_seconds: float
    decidable_in_seconds: float | None = None
    expected_loss: ExpectedLoss | None = None
    extrapolation: Extrapolation | None = None
    matched_failures: tuple[MatchedFailure, ...] = ()
    switch: Switch | None = None
    rules: tuple[GateRule, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """What it is about."""
        return (self.service, self.environment, self.version or "", self.deployment_id or "", self.phase)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """A decision as it was given to somebody: the first of several alike for one deployment and phase."""

    id: int
    caller: str
    decision: GateDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvaluation:
    """A question that is asked in two steps: begun, and then polled by its id until it ends.

    Where it is a `dry_run`, it passes whatever the verdict; `ignored_rules` are those that came with it and are not
    evaluated here.
    """

    id: str
    service: str
    environment: str
    version: str | None = None
    deployment_id: str | None = None
    dry_run: bool = False
    ignored_rules: tuple[str, ...] = ()
    begun_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChange:
    """An entry of the trail of a service's automation: who or which rule set what, and why.

    `kind` is `allowed` for what a person allows at most, `level` for what is in force.
    """

    service: str
    environment: str
    kind: str
    level: int
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A new version before it has all the traffic: a canary next to the stable version, or green before its switch.

    `full` is each metric's difference at full traffic. `differences` are those of each minute of its life, None where
    one version was not measured: later canaries are held against them. Of a green that has no users yet there are
    `signals`, its warm-up by minutes of age, and how sure they make the `switch`. `trouble` says why some are missing.
    """

    deployment_id: str
    as_of: datetime
    traffic_ratio: float | None = None
    comparisons: tuple[CanaryComparison, ...]
    full: Mapping[str, Estimate] = field(default_factory=dict)
    extrapolation: Extrapolation | None = None
    differences: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    signals: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    switch: Switch | None = None
    trouble: str | None = None

    @property
    def confidence_ratio(self) -> float | None:
        """The probability that going on does no harm; None where it is not known yet."""
        if self.switch is not None:
            return self.switch.confidence_ratio
        harms = [one.harm_ratio for one in self.comparisons if one.harm_ratio is not None]
        return 1.0 - max(harms) if harms else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """A sender asks whether a deployment may go on; the same `key` is the same question.

    `reply` is what it takes to call back, in the sender's own names; where it is empty, the answer to the request is
    all that the sender gets. `credential` is what it handed over for the callback.
    """

    sender: str  # its kind: github, gitlab, ...
    key: str
    origin: Origin
    version: str | None = None
    phase: Phase = Phase.PLAN
    reply: Mapping[str, str] = field(default_factory=dict)
    credential: str = field(default="", repr=False)


class ApprovalState(StrEnum):
    """Where a request stands: it waits for our answer, it was answered, or its sender could not be reached in time."""

    WAITING = "waiting"
    ANSWERED = "answered"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingApproval:
    """A request that is kept until it is answered.

    `attempts` counts callbacks that failed in a row, `reports` those that said it waits; `said` is the last comment.
    """

    id: str
    kind: str
    service: str
    environment: str
    version: str | None = None
    phase: Phase
    reply: Mapping[str, str]
    credential: str = field(default="", repr=False)
    state: ApprovalState = ApprovalState.WAITING
    asked_at: datetime
    due_at: datetime
    attempts: int = 0
    reports: int = 0
    said: str = ""
