"""Input of the impact analysis: the deployment, its metrics, and the deployments and calendar entries around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated, ClassVar

from pydantic import Field

from afdp_exporter.model import (
    CalendarEntry,
    Deployment,
    Impact,
    Layer,
    MeasuredDeployment,
    Metric,
    Service,
    Shift,
)
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.wording.metrics import unknown_service

Ratio = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lags:
    """How long after its upstream shift a layer may still respond to it.

    Machines answer at once, people after minutes, money after a visit has come to its end.
    """

    __pydantic_config__: ClassVar = STRICT

    technical: Duration = timedelta(minutes=15)
    system: Duration = timedelta(minutes=15)
    user: Duration = timedelta(minutes=30)
    business: Duration = timedelta(minutes=60)
    custom: Duration = timedelta(minutes=30)

    def of(self, layer: Layer) -> timedelta:
        """The lag of one layer."""
        lag: timedelta = getattr(self, layer.value)
        return lag


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactSettings:
    """From single shifts to an impact: lags, the family's false discovery rate, and when harm is a failure."""

    __pydantic_config__: ClassVar = STRICT

    lags: Lags = Lags()
    false_discovery_ratio: Ratio = 0.1
    severe_ratio: Ratio = 0.5  # a metric that is worse by this share of its level: a failure
    severe_user_ratio: Ratio = 0.2  # the same for users and income that are lost
    severe_points: Ratio = 0.1  # the same for metrics that are ratios themselves, in absolute terms
    severe_from_zero: Annotated[float, Field(gt=0)] = 1.0  # ... and for others whose level was zero, in their own unit
    worth_ratio: Ratio = 0.1  # the smallest change that matters, as a share of the level: without one of the metric
    worth_points: Ratio = 0.01  # of metrics that are ratios themselves so much at least, in absolute terms
    named_share_ratio: Ratio = 0.7  # the posterior from which on one of several deployments is named
    remedy_within: Duration = timedelta(days=1)  # a rollback or hotfix this soon is a sign of failure


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisContext:
    """A deployment, the metrics that are watched for it, and what happened around it.

    `others` are the deployments around it and after it, of every service; `past` what earlier ones did, oldest first.
    `per_service` names the metrics that are measured for this service alone, `rate_windows` over how long each value of
    a metric looks back; `control_shifts` is how other services' series of the same metrics moved at that time, by
    service; `previous` what the last check of this deployment found. `judged_jointly` names the metrics that were
    judged once for all deployments close together, `incomplete` those of which too little was measured after
    this one, `known_impacts` is what is known of the others' impacts, by id.
    """

    deployment: Deployment
    metrics: tuple[Metric, ...]
    step: timedelta
    now: datetime
    others: tuple[Deployment, ...] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    calendar: tuple[CalendarEntry, ...] = ()
    per_service: frozenset[str] = frozenset()
    rate_windows: Mapping[str, timedelta] = field(default_factory=dict)
    past: tuple[MeasuredDeployment, ...] = ()
    control_shifts: Mapping[str, tuple[Shift, ...]] = field(default_factory=dict)
    zone: tzinfo = UTC
    previous: Impact | None = None
    clock_skew: timedelta = timedelta(0)
    judged_jointly: frozenset[str] = frozenset()
    incomplete: frozenset[str] = frozenset()
    known_impacts: Mapping[str, Impact] = field(default_factory=dict)
    settings: ImpactSettings = ImpactSettings()

    @property
    def earlier(self) -> tuple[float, ...]:
        """When the deployments of this service and environment before this one started, Unix seconds."""
        return tuple(
            other.started_at.timestamp()
            for other in self.others
            if other.same_target(self.deployment) and other.started_at < self.deployment.started_at
        )

    @property
    def unknown_service(self) -> str | None:
        """That the configuration does not know the deployed service, as a sentence; None where it does."""
        if not self.services or self.deployment.service in self.services:
            return None
        return unknown_service(self.deployment.service, self.services)

    @property
    def short_window(self) -> timedelta:
        """How long after the rollout a metric may respond that follows on nothing else."""
        return max(timedelta(minutes=15), 4 * self.step)


def possible_onsets(shift: Shift, context: AnalysisContext) -> tuple[datetime, datetime]:
    """As `onset_range`; the whole short window for what came without a clear onset."""
    if shift.onset is None:
        return context.deployment.started_at, context.deployment.ended_at + context.short_window
    return onset_range(shift, context.step)


def onset_range(shift: Shift, step: timedelta) -> tuple[datetime, datetime]:
    """The 5 % and 95 % points of a shift's onset; one step either way where only the onset itself is known.

    Raises ValueError for a shift without an onset.
    """
    if shift.onset is None:
        raise ValueError(f"{shift.metric} has no onset")
    return shift.onset_low or shift.onset - step, shift.onset_high or shift.onset + step
