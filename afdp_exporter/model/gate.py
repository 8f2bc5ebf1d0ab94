"""What the gate is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from afdp_exporter.model.figures import Estimate


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
    """What the canary's metric is beside the stable version's."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryComparison:
    """One metric of a canary beside the stable version; figures in the metric's own unit.

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
    """An earlier failure that began alike."""

    deployment_id: str
    similarity_ratio: float
    why: str


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
    """A canary beside the stable version, and what it will be at full traffic, as of a time.

    `full` is each metric's difference at full traffic. `differences` are those of each minute of its life, None where
    one version was not measured: later canaries are held against them. `trouble` says why metrics are missing.
    """

    deployment_id: str
    as_of: datetime
    traffic_ratio: float | None = None
    comparisons: tuple[CanaryComparison, ...]
    full: Mapping[str, Estimate] = field(default_factory=dict)
    extrapolation: Extrapolation | None = None
    differences: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    trouble: str | None = None
