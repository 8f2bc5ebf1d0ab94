"""Comparing a canary with the stable version: both are asked for minute by minute, and carried over to all."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from afdp_exporter.automation.following import EVERY, by_minutes, kept, restored
from afdp_exporter.errors import SourceError
from afdp_exporter.gate.canary import CanarySeries, at_full_traffic, carry_over, compare, cost_at_full_traffic, crowding
from afdp_exporter.gate.phase import phase_of
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    CanaryVerdict,
    Deployment,
    Extrapolation,
    Floats,
    Impact,
    Metric,
    Phase,
    Rollout,
    Status,
    Window,
)
from afdp_exporter.sources import values_of
from afdp_exporter.store import Store
from afdp_exporter.watching.evidence import MonitoringConfig

_HISTORY = timedelta(hours=12)  # of the stable version, for its noise
_EARLIER = 20  # canaries of the service


@dataclass(slots=True, kw_only=True)
class Canaries:
    """Compares a version that has a share of the traffic with the one beside it."""

    store: Store
    watched: Callable[[], MonitoringConfig]
    settings: Callable[[str], GateSettings]

    def concerns(self, deployment: Deployment) -> bool:
        """Whether it runs as a canary."""
        return phase_of(deployment) is Phase.CANARY

    async def compare(self, deployment: Deployment, now: datetime) -> Rollout:
        """Ask for both versions of each metric that has a query for them, compare, and carry over."""
        watched = self.watched()
        compared = await self._with_previous(deployment)
        metrics = [metric for metric in watched.metrics_of(deployment) if metric.canary is not None]
        earlier = await self.store.rollouts.newest(deployment.service, before=deployment.started_at, limit=_EARLIER)
        fetched = await asyncio.gather(*(self._fetch(metric, compared, watched, now) for metric in metrics))
        both = tuple(zip(metrics, fetched, strict=True))
        given = [(metric, arms) for metric, arms in both if not isinstance(arms, str)]
        troubles = [f"{metric.name}: {arms}" for metric, arms in both if isinstance(arms, str)]
        warm_up = round(self.settings(deployment.service).warm_up / EVERY)
        impacts = await self.store.results.impacts([each.deployment_id for each in earlier])
        rollout = await asyncio.to_thread(
            _rollout, compared, given, earlier=earlier, impacts=impacts, warm_up=warm_up, now=now
        )
        return replace(rollout, trouble="; ".join(troubles)) if troubles else rollout

    async def _with_previous(self, deployment: Deployment) -> Deployment:
        """With the version that runs beside it: where nobody says so, that of the last deployment that went well."""
        if deployment.previous_version is not None:
            return deployment
        page = await self.store.deployments.page(
            service=deployment.service, environment=deployment.environment, limit=_EARLIER
        )
        before = [each for each in page.deployments if each.started_at < deployment.started_at]
        well = (each.version for each in before if each.status is Status.SUCCEEDED and each.version is not None)
        return replace(deployment, previous_version=next(well, None))

    async def _fetch(
        self, metric: Metric, deployment: Deployment, watched: MonitoringConfig, now: datetime
    ) -> "_Fetched | str":
        """Both versions minute by minute, or why there is nothing."""
        _, source = watched.source_of(metric)
        queries = [metric.canary, metric.stable]
        if metric.arms_of is not None:
            queries += [metric.arms_of.canary, metric.arms_of.stable]
        window = Window(start=deployment.started_at - _HISTORY, end=now - source.settles_after)
        try:
            values = values_of(deployment)
            bound = [source.prepare(query).bind(values) for query in queries if query is not None]
        except SourceError as error:
            return str(error)
        found = by_minutes(await source.fetch(bound, window, EVERY), window)
        if isinstance(found, str):
            return found
        times, (canary, stable, *of) = found
        return _Fetched(
            times=times, canary=canary, stable=stable,
            canary_of=of[0] if of else None, stable_of=of[1] if of else None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fetched:
    """Both versions at the same minutes (n,): `times` Unix seconds; counts have what they are counted in."""

    times: Floats
    canary: Floats
    stable: Floats
    canary_of: Floats | None = None
    stable_of: Floats | None = None


def _rollout(
    deployment: Deployment,
    given: Iterable[tuple[Metric, _Fetched]],
    *,
    earlier: list[Rollout],
    impacts: Mapping[str, Impact],
    warm_up: int,
    now: datetime,
) -> Rollout:
    """The comparison of all metrics and what follows for the whole traffic; pure."""
    metrics = {metric.name: metric for metric, _ in given}
    comparisons, differences = [], {}
    for metric, fetched in given:
        series = _series(metric, fetched, deployment, earlier, warm_up)
        comparisons.append(compare(series))
        differences[metric.name] = _difference(series)
    carried = carry_over(_carried(earlier, impacts))
    stretch = crowding(metrics, comparisons)
    full = {
        one.metric: at_full_traffic(one.difference, carried, crowding=_stretch(metrics[one.metric], stretch))
        for one in comparisons
        if one.difference is not None
    }
    cost = cost_at_full_traffic(metrics, full)
    return Rollout(
        deployment_id=deployment.id,
        as_of=now,
        traffic_ratio=deployment.traffic_ratio,
        comparisons=tuple(comparisons),
        full=full,
        extrapolation=Extrapolation(
            traffic_ratio=deployment.traffic_ratio or 1.0,
            cost_per_hour=cost[0] if cost else None,
            currency=cost[1] if cost else None,
            carry_over=carried,
            not_linear=stretch > 1.0,
        )
        if comparisons
        else None,
        differences=differences,
    )


def _series(
    metric: Metric, fetched: _Fetched, deployment: Deployment, earlier: Iterable[Rollout], warm_up: int
) -> CanarySeries:
    start = int(np.searchsorted(fetched.times, deployment.started_at.timestamp()))

    def since(values: Floats | None) -> Floats | None:
        return None if values is None else values[start:]

    before = [each.differences[metric.name] for each in earlier if metric.name in each.differences]
    return CanarySeries(
        metric=metric.name,
        worse=metric.worse,
        canary=fetched.canary[start:],
        stable=fetched.stable[start:],
        canary_of=since(fetched.canary_of),
        stable_of=since(fetched.stable_of),
        stable_history=fetched.stable[:start],
        history_of=None if fetched.stable_of is None else fetched.stable_of[:start],
        earlier=tuple(restored(each) for each in before if each),
        warm_up_minutes=0 if metric.arms_of is not None else warm_up,
    )


def _difference(series: CanarySeries) -> tuple[float | None, ...]:
    if series.canary_of is None or series.stable_of is None:
        difference = series.canary - series.stable
    else:
        with np.errstate(all="ignore"):
            difference = series.canary / series.canary_of - series.stable / series.stable_of
    return kept(difference)


def _carried(earlier: Iterable[Rollout], impacts: Mapping[str, Impact]) -> list[float]:
    """For each earlier rollout how many times the canary's effect was found at full traffic, where both are sure."""
    found = []
    for rollout in earlier:
        impact = impacts.get(rollout.deployment_id)
        moved = (
            {shift.metric: shift.change for shift in impact.shifts if shift.moved and shift.change} if impact else {}
        )
        for one in rollout.comparisons:
            sure = one.verdict in {CanaryVerdict.WORSE, CanaryVerdict.BETTER}
            at_full = moved.get(one.metric)
            if sure and one.difference is not None and one.difference.median and at_full:
                found.append(at_full / one.difference.median)
    return found


def _stretch(metric: Metric, crowded: float) -> float:
    return crowded if metric.name.endswith("_seconds") else 1.0
