"""Comparing canaries while they run: each minute both versions are asked for, compared, and carried over to all."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import structlog

from afdp_exporter.errors import AFDPError, SourceError
from afdp_exporter.gate.canary import CanarySeries, compare
from afdp_exporter.gate.extrapolation import at_full_traffic, carry_over, cost_at_full_traffic, crowding
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    CanaryVerdict,
    Deployment,
    Extrapolation,
    Floats,
    Impact,
    Metric,
    Rollout,
    Status,
    Strategy,
    Window,
)
from afdp_exporter.sources import Fetched, values_of
from afdp_exporter.store import Store
from afdp_exporter.watching.evidence import Watched

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=1)
_HISTORY = timedelta(hours=12)  # of the stable version, for its noise
_LONGEST = timedelta(hours=24)  # of a canary: what comes later adds nothing that a check does not see
_UNFINISHED = timedelta(days=7)  # how far back a start is looked for after a restart
_EARLIER = 20  # canaries of the service


@dataclass(slots=True, kw_only=True)
class Canaries:
    """Follows the canaries that run, and keeps what they show."""

    store: Store
    watched: Callable[[], Watched]
    settings: Callable[[str], GateSettings]
    clock: Callable[[], datetime]
    shown: Callable[[Deployment, Rollout], None]
    _running: dict[str, Deployment] = field(default_factory=dict)
    _begun: bool = False
    _next: datetime | None = None

    def told(self, deployment: Deployment) -> None:
        """A deployment was recorded or has changed."""
        if _runs(deployment):
            self._running[deployment.id] = deployment
        else:
            self._running.pop(deployment.id, None)

    async def work(self) -> bool:
        """Compare each canary that runs, once a minute; always False: the rest waits for the next minute."""
        now = self.clock()
        if not self._begun:
            for each in await self.store.between(now - _UNFINISHED, now):
                self.told(each)
            self._begun = True
        if self._next is not None and now < self._next:
            return False
        for deployment in tuple(self._running.values()):
            if now - deployment.started_at > _LONGEST:
                del self._running[deployment.id]
                continue
            try:
                await self.compare(deployment, now)
            except AFDPError as error:
                log.warning("canary not compared", deployment=deployment.id, error=str(error))
        self._next = now + EVERY
        return False

    async def next_at(self) -> datetime | None:
        """When the next comparison is due; None while no canary runs."""
        return self._next if self._running else None

    async def compare(self, deployment: Deployment, now: datetime) -> Rollout:
        """Ask for both versions of each metric that has a query for them, compare, carry over, and keep it."""
        watched = self.watched()
        told = await self._with_previous(deployment)
        metrics = [metric for metric in watched.metrics_of(deployment) if metric.canary is not None]
        earlier = await self.store.automation.rollouts(deployment.service, before=deployment.started_at, limit=_EARLIER)
        fetched = await asyncio.gather(*(self._fetch(metric, told, watched, now) for metric in metrics))
        both = tuple(zip(metrics, fetched, strict=True))
        given = [(metric, arms) for metric, arms in both if not isinstance(arms, str)]
        troubles = [f"{metric.name}: {arms}" for metric, arms in both if isinstance(arms, str)]
        warm_up = round(self.settings(deployment.service).warm_up / EVERY)
        impacts = await self.store.impacts([each.deployment_id for each in earlier])
        rollout = await asyncio.to_thread(
            _rollout, told, given, earlier=earlier, impacts=impacts, warm_up=warm_up, now=now
        )
        if troubles:
            rollout = replace(rollout, trouble="; ".join(troubles))
        await self.store.automation.keep_rollout(deployment.service, rollout)
        self.shown(deployment, rollout)
        return rollout

    async def _with_previous(self, deployment: Deployment) -> Deployment:
        """With the version that runs beside it: where nobody says so, that of the last deployment that went well."""
        if deployment.previous_version is not None:
            return deployment
        page = await self.store.deployments(
            service=deployment.service, environment=deployment.environment, limit=_EARLIER
        )
        before = [each for each in page.deployments if each.started_at < deployment.started_at]
        well = (each.version for each in before if each.status is Status.SUCCEEDED and each.version is not None)
        return replace(deployment, previous_version=next(well, None))

    async def _fetch(self, metric: Metric, deployment: Deployment, watched: Watched, now: datetime) -> "_Fetched | str":
        """Both versions minute by minute, or why there is nothing."""
        _, source = watched.source_of(metric)
        queries = [metric.canary, metric.stable]
        if metric.of is not None:
            queries += [metric.of.canary, metric.of.stable]
        window = Window(start=deployment.started_at - _HISTORY, end=now - source.settles_after)
        try:
            values = values_of(deployment)
            bound = [source.prepare(query).bind(values) for query in queries if query is not None]
        except SourceError as error:
            return str(error)
        return _aligned(await source.fetch(bound, window, EVERY), window)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Fetched:
    """Both versions at the same minutes (n,): `times` Unix seconds; counts have what they are counted in."""

    times: Floats
    canary: Floats
    stable: Floats
    canary_of: Floats | None = None
    stable_of: Floats | None = None


def _runs(deployment: Deployment) -> bool:
    unfinished = deployment.status is Status.STARTED and deployment.finished_at is None
    partial = deployment.traffic_ratio is not None and deployment.traffic_ratio < 1.0
    return unfinished and (partial or deployment.strategy is Strategy.CANARY)


def _aligned(answers: Iterable[Fetched], window: Window) -> "_Fetched | str":
    first = np.ceil(window.start.timestamp() / 60.0) * 60.0
    times = np.arange(first, window.end.timestamp() + 1e-6, 60.0)
    arms = []
    for answer in answers:
        if isinstance(answer, SourceError):
            return str(answer)
        if len(answer) > 1:
            return f"{len(answer)} series answer one query: aggregate them, say with sum()"
        values = np.full(times.size, np.nan)
        if answer:
            places = np.round((answer[0].times - first) / 60.0).astype(int)
            inside = (places >= 0) & (places < times.size)
            values[places[inside]] = answer[0].values[inside]
        arms.append(np.where(np.isfinite(values), values, np.nan))
    canary, stable, *of = arms
    return _Fetched(
        times=times, canary=canary, stable=stable,
        canary_of=of[0] if of else None, stable_of=of[1] if of else None,
    )  # fmt: skip


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
        earlier=tuple(np.array([np.nan if one is None else one for one in each]) for each in before if each),
        warm_up_minutes=0 if metric.of is not None else warm_up,
    )


def _difference(series: CanarySeries) -> tuple[float | None, ...]:
    if series.canary_of is None or series.stable_of is None:
        difference = series.canary - series.stable
    else:
        with np.errstate(all="ignore"):
            difference = series.canary / series.canary_of - series.stable / series.stable_of
    return tuple(float(one) if np.isfinite(one) else None for one in difference)


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
