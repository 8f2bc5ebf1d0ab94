"""The use case beside the others: how far to trust the verdicts on the series that are watched here."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from afdp_exporter.compute import ComputePool
from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.errors import QueryFailed, SourceRefused
from afdp_exporter.impact.placebo_test import (
    FalseAlarms,
    PlaceboTest,
    empirical_detectable_effect,
    false_alarms,
)
from afdp_exporter.model import Deployment, Metric, Series, Window
from afdp_exporter.watching.evidence import MetricData, MonitoringConfig, ask_metric, downsample

_PLACEBOS = 100  # deployments that never were, for each series
_SIZED = 20  # of them, for the smallest visible change: it takes several judgements each
_LOOK = timedelta(hours=1)  # at which a placebo is judged, where there is so much data
_EARLY_LOOK = timedelta(minutes=10)  # for which the smallest visible change is reported, or after so many steps:
_EARLY_STEPS = 6  # ... of its series


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What was measured on one series: false alarms an hour after placebos, and what an early check shows.

    Where there is no hour yet, placebos are judged at the early check, too. `smallest_change` is in the metric's own
    unit, seen `seen_after` the rollout; None where it was not measured or nothing would be seen. `since` is the first
    sample; from `judged_from` on there is enough history before a deployment, from `measured_from` on enough for the
    first placebo.
    """

    metric: str
    service: str
    alarms: FalseAlarms
    smallest_change: float | None
    seen_after: timedelta
    since: datetime
    judged_from: datetime
    measured_from: datetime


async def false_alarms_by_metric(
    watched: MonitoringConfig,
    places: Iterable[tuple[str, str]],
    known: Sequence[Deployment],
    *,
    compute: ComputePool,
    now: datetime,
) -> dict[str, FalseAlarms]:
    """The false alarms of each metric, over services and environments; `known` as in `measure`.

    Raises SourceUnavailable, AnalysisError.
    """
    found: dict[str, FalseAlarms] = defaultdict(lambda: FalseAlarms(count=0, n=0))
    for service, environment in places:
        for metric in watched.metrics_at(service, environment):
            values = {"service": service, "environment": environment}
            trust = await measure(metric, values, watched, known, compute=compute, now=now)
            if trust is not None:
                before = found[metric.name]
                found[metric.name] = FalseAlarms(count=before.count + trust.alarms.count, n=before.n + trust.alarms.n)
    return dict(found)


async def measure(
    metric: Metric,
    values: Mapping[str, str],
    watched: MonitoringConfig,
    known: Sequence[Deployment],
    *,
    compute: ComputePool,
    now: datetime,
    sized: bool = False,
) -> Trust | None:
    """What can be trusted of one metric at one service; None where its query has no answer for that service.

    `known` are the deployments of the time, of every service: a placebo keeps clear of them.
    """
    settings = watched.settings
    series = await _fetch(metric, values, watched, now)
    if series is None or not series.measured:
        return None
    control = None
    if metric.control is not None:
        control = await _fetch(replace(metric, query=metric.control, of=None), values, watched, now)
    (evidence,) = downsample([MetricData(metric=metric, series=series, control=control)], settings.step)
    series, control = evidence.series or series, evidence.control
    step = evidence.step or settings.step
    replay = PlaceboTest(
        times=series.times,
        values=series.values,
        control=None if control is None else control.values,
        of=series.of,
        step=step.total_seconds(),
        history=settings.history.total_seconds(),
        after=_LOOK.total_seconds(),
        zone=watched.zone,
    )
    starts = tuple(deployment.started_at.timestamp() for deployment in known)
    early = max(_EARLY_LOOK, _EARLY_STEPS * step)
    alarms, smallest = await compute.run(
        _replayed, replay, starts, early.total_seconds(), sized=sized, deadline=4 * settings.deadline
    )
    since = datetime.fromtimestamp(float(series.times[np.isfinite(series.values)][0]), UTC)
    return Trust(
        metric=metric.name,
        service=values.get("service", ""),
        alarms=alarms,
        smallest_change=smallest,
        seen_after=early,
        since=since,
        judged_from=since + LEAST_HISTORY * step,
        measured_from=since + LEAST_HISTORY * step + early,
    )


async def _fetch(metric: Metric, values: Mapping[str, str], watched: MonitoringConfig, now: datetime) -> Series | None:
    _, source = watched.source_of(metric)
    window = Window(start=now - 2 * watched.settings.history, end=now)
    try:
        found = await ask_metric(metric, source, values, window, watched.settings.step)
    except (SourceRefused, QueryFailed):
        return None
    return found[0] if len(found) == 1 else None


def _replayed(
    replay: PlaceboTest, known: Sequence[float], early: float, *, sized: bool
) -> tuple[FalseAlarms, float | None]:
    sooner = replace(replay, after=early)
    instants = replay.instants(known, _PLACEBOS)
    alarms = false_alarms(replay, instants)
    if not alarms.n:
        alarms = false_alarms(sooner, sooner.instants(known, _PLACEBOS))
    if not sized:
        return alarms, None
    return alarms, empirical_detectable_effect(sooner, sooner.instants(known, _SIZED))
