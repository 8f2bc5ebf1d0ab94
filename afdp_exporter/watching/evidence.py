"""What a question about a deployment needs, fetched from the sources."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from afdp_exporter.compute.settings import Engine, Processes
from afdp_exporter.detectors.robust import median
from afdp_exporter.detectors.sampling import EVERY_STEP, SamplingInterval, sampling_interval
from afdp_exporter.errors import QueryFailed, SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.impact.common_cause import control_services
from afdp_exporter.impact.context import ImpactSettings
from afdp_exporter.model import BillRatio, CalendarEntry, Deployment, Metric, Series, Service, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import LATEST, Bound, Fetched, Freshness, Query, Source, ask, values_of
from afdp_exporter.wording.metrics import unknown_service

_SPACING = 0.25  # quantile of the time between samples that is the usual one: an outage only makes some longer
LARGEST_SKEW = timedelta(minutes=15)  # between our clock and a source's: what is more is another time altogether
LEAST_SKEW = timedelta(seconds=5)  # between clocks, below which it is the way of the answer
LEAST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(minutes=5)  # for samples that come late


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """What an analysis fetches, and how long it may take."""

    __pydantic_config__: ClassVar = STRICT

    history: Duration = timedelta(days=7)
    step: Duration = timedelta(seconds=60)
    deadline: Duration = timedelta(seconds=30)
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    executor: Engine = Processes()
    impact: ImpactSettings = ImpactSettings()

    @property
    def at_once(self) -> int:
        """How many analyses keep all workers busy; each under way holds the series of all its metrics."""
        return self.workers * self.executor.batch + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringConfig:
    """What the configuration says about what is watched, where it is asked, and by whose clock."""

    sources: Mapping[str, Source]
    metrics: tuple[Metric, ...]
    services: Mapping[str, Service] = field(default_factory=dict)
    calendar: tuple[CalendarEntry, ...] = ()
    zone: tzinfo = UTC
    settings: AnalysisSettings = AnalysisSettings()
    billed: Mapping[str, BillRatio] = field(default_factory=dict)

    def metrics_of(self, deployment: Deployment) -> tuple[Metric, ...]:
        """The metrics that are watched for a deployment."""
        return self.metrics_at(deployment.service, deployment.environment)

    def knows(self, service: str) -> bool:
        """Whether a service is configured; without any configured ones every service is known."""
        return not self.services or service in self.services

    def warnings(self, service: str) -> tuple[str, ...]:
        """What the sender of a deployment of this service should know, as sentences."""
        return () if self.knows(service) else (unknown_service(service, self.services),)

    def metrics_at(self, service: str, environment: str) -> tuple[Metric, ...]:
        """The metrics that are watched for a service in an environment.

        For a service that is not known: those that no configured service lists as its own.
        """
        known = self.services.get(service)
        listed = {name for each in self.services.values() for name in each.metrics or ()}
        return tuple(
            self._as_billed(metric)
            for metric in self.metrics
            if (metric.name not in listed if known is None else known.metrics is None or metric.name in known.metrics)
            and (not metric.environments or environment in metric.environments)
        )

    def _as_billed(self, metric: Metric) -> Metric:
        """A metric whose money is at list prices, at what is paid as far as that is known."""
        money = metric.money
        known = None if money is None else self.billed.get(money.bill or "")
        if money is None or known is None or known.currency != money.currency:
            return metric
        return replace(metric, money=replace(money, per_unit=money.per_unit * known.ratio.median))

    def prepared(self, metric: Metric) -> Query:
        """Its query, checked by its source. Raises SourceRefused."""
        return self.source_of(metric)[1].prepare(metric.query)

    def source_of(self, metric: Metric) -> tuple[str, Source]:
        """Where a metric is asked."""
        name = metric.source or next(iter(self.sources))
        return name, self.sources[name]


class QueryObserver(Protocol):
    """Who wants to know how the sources answer."""

    def queried(self, source: str, seconds: float) -> None:
        """A source answered a query."""

    def query_failed(self, source: str, error: SourceError) -> None:
        """A source did not answer a query."""

    def skewed(self, source: str, seconds: float) -> None:
        """By so much the clock of a source is ahead of ours."""


class NullObserver:
    """Nobody watches how the sources answer."""

    def queried(self, source: str, seconds: float) -> None:
        """Reported to nobody."""

    def query_failed(self, source: str, error: SourceError) -> None:
        """Reported to nobody; what could not be fetched is in the report."""

    def skewed(self, source: str, seconds: float) -> None:
        """Reported to nobody."""


class Cause(StrEnum):
    """Why there is no answer for a metric."""

    REFUSED = "refused"  # asking again cannot help
    FAILED = "failed"  # its source answers others: asking again a few times may help
    AWAY = "away"  # its source answers nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricData:
    """What was fetched for one metric, or why nothing could be; `peers` are other services' series of the same.

    `per_service` says that its query asks for the deployment's own service, `rate_window` over how long its values are
    rates of counters, `smoothed_over` over how long each of them is a rate, a sum or a mean. `step` is that of the
    series, where their source has samples less often than it was asked for. `late` is how long to wait for the samples
    that are still on their way, `skew` by how much the clock of the source is ahead of ours: a deployment may be of
    either.
    """

    metric: Metric
    series: Series | None = None
    control: Series | None = None
    peers: Mapping[str, Series] = field(default_factory=dict)
    problem: str | None = None
    cause: Cause | None = None
    per_service: bool = False
    rate_window: timedelta | None = None
    smoothed_over: timedelta | None = None
    step: timedelta | None = None
    late: timedelta | None = None
    skew: timedelta = timedelta(0)

    @property
    def sampling_interval(self) -> SamplingInterval | None:
        """That of its series; None where none of them says."""
        known = (self.series, self.control, *self.peers.values())
        return sampling_interval([each.values for each in known if each is not None])

    def in_rhythm(self, found: SamplingInterval, asked: timedelta) -> "MetricData":
        """Without what a source repeats until it has a new sample; `asked` is the step that it was asked for."""
        if found == EVERY_STEP:
            return self
        return replace(
            self,
            series=self.series and self.series.every(*found),
            control=self.control and self.control.every(*found),
            peers={service: series.every(*found) for service, series in self.peers.items()},
            step=found[0] * asked,
        )

    def until(self, end: datetime) -> "MetricData":
        """As much of it as was known at an instant."""
        return replace(
            self,
            series=self.series and self.series.until(end),
            control=self.control and self.control.until(end),
            peers={service: series.until(end) for service, series in self.peers.items()},
        )


async def gather(
    deployment: Deployment, window: Window, *, watched: MonitoringConfig, observer: QueryObserver, now: datetime
) -> tuple[MetricData, ...]:
    """What the sources say of each metric that is watched for a deployment, within a window.

    A metric that could not be asked says why, and holds up no other. Raises SourceUnavailable when nothing at all is
    known, since every source is away.
    """
    asking = _Fetch(deployment=deployment, window=window, watched=watched, observer=observer, now=now)
    metrics = watched.metrics_of(deployment)
    known, untold = await asking.freshness(metrics)
    skew = asking.skew(known)
    asking = replace(asking, window=replace(window, end=window.end + max(skew, timedelta(0))), now=now + skew)
    found = [asking.as_fresh(each, known.get(each.metric.name), skew) for each in await asking.gather(metrics, untold)]
    if found and all(each.cause is Cause.AWAY for each in found):
        raise SourceUnavailable("away", found[0].problem or "")
    return await asyncio.to_thread(downsample, found, watched.settings.step)


def downsample(found: Sequence[MetricData], asked: timedelta) -> tuple[MetricData, ...]:
    """Each in its own rhythm; one that does not say it in that of the others, where they have the same. Pure."""
    intervals = [each.sampling_interval for each in found]
    known = {each for each in intervals if each is not None}
    usual = known.pop() if len(known) == 1 else EVERY_STEP
    return tuple(each.in_rhythm(own or usual, asked) for each, own in zip(found, intervals, strict=True))


_Asked: TypeAlias = tuple[Metric, str | Mapping[str, Any], Mapping[str, str]]
"""A query of a metric, and the values that go into it."""


async def ask_metric(
    metric: Metric, source: Source, values: Mapping[str, str], window: Window, step: timedelta
) -> list[Series]:
    """The series that answer a metric's query; the one by what it is counted in, where that is known.

    Raises SourceError.
    """
    found = await ask(source, metric.query, values, window, step)
    if metric.query_of is None or len(found) != 1:
        return found
    of = await ask(source, metric.query_of, values, window, step)
    return [found[0].by(of[0])] if len(of) == 1 else of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetch:
    """The sources, asked for one deployment."""

    deployment: Deployment
    window: Window
    watched: MonitoringConfig
    observer: QueryObserver
    now: datetime

    async def freshness(self, metrics: Sequence[Metric]) -> tuple[dict[str, Freshness], dict[str, SourceError]]:
        """On how new samples the answers for each metric will rest, since shortly before the deployment.

        With those of which that could not be asked, and why.
        """
        start = max(self.deployment.started_at - LATEST, self.window.start)
        window, values = Window(start=start, end=self.window.end + LARGEST_SKEW), values_of(self.deployment)
        clock = asyncio.get_running_loop().time
        began = clock()
        asked: dict[str, list[tuple[str, Bound]]] = {}
        for metric in metrics:
            name, source = self.watched.source_of(metric)
            with suppress(SourceRefused):  # whoever asks for the values themselves is informed why
                asked.setdefault(name, []).append((metric.name, source.prepare(metric.query).bind(values)))

        known, untold = dict[str, Freshness](), dict[str, SourceError]()

        async def ask_source(name: str, queries: Sequence[tuple[str, Bound]]) -> None:
            bound = [query for _, query in queries]
            answers = await self.watched.sources[name].freshness(bound, window, self.watched.settings.step)
            passed = timedelta(seconds=clock() - began)
            for (metric, _), answer in zip(queries, answers, strict=True):
                if isinstance(answer, SourceError):
                    self.observer.query_failed(name, answer)
                    untold[metric] = answer
                elif answer is not None:
                    at = answer.answered_at
                    known[metric] = answer if at is None else replace(answer, answered_at=at - passed)

        await asyncio.gather(*(ask_source(name, queries) for name, queries in asked.items()))
        return known, untold

    def skew(self, known: Mapping[str, Freshness]) -> timedelta:
        """By how much the clocks of the sources are ahead of ours: the largest, as far as it can be one of a clock."""
        largest = timedelta(0)
        for metric in self.watched.metrics_of(self.deployment):
            answer = known.get(metric.name)
            if answer is None or answer.answered_at is None:
                continue
            skew = answer.answered_at - self.now
            self.observer.skewed(self.watched.source_of(metric)[0], skew.total_seconds())
            if LEAST_SKEW <= abs(skew) <= LARGEST_SKEW and abs(skew) > abs(largest):
                largest = skew
        return largest

    def as_fresh(self, evidence: MetricData, known: Freshness | None, skew: timedelta) -> MetricData:
        """Without the points that only repeat an older sample, and how long to wait for what is on its way."""
        source = self.watched.source_of(evidence.metric)[1]
        settled_in = self.window.end + source.settles_after - self.now
        late = max(settled_in, LEAST_WAIT) if settled_in > timedelta(0) else None
        if known is None or evidence.series is None or np.isnan(known.newest).all():
            return replace(evidence, late=late, skew=skew)
        newest = np.sort(known.newest[np.isfinite(known.newest)])
        apart = newest[1:] - newest[:-1]
        apart = apart[apart > 0.0]
        spacing = float(np.quantile(apart, _SPACING, method="lower")) if len(apart) > 1 else 0.0
        reach = 1.1 * max(self.watched.settings.step.total_seconds(), spacing)
        behind = self.window.end.timestamp() - float(newest[-1])
        answered = (known.answered_at or self.now).timestamp()
        if behind > 2 * reach and answered - float(newest[-1]) <= LATEST.total_seconds():
            late = max(late or LEAST_WAIT, min(max(timedelta(seconds=behind), LEAST_WAIT), LONGEST_WAIT))
        series = evidence.series if evidence.metric.query_of is not None else _as_answered(evidence.series, known)
        return replace(evidence, series=_without_repeats(series, known, reach), late=late, skew=skew)

    async def gather(self, metrics: Sequence[Metric], untold: Mapping[str, SourceError]) -> list[MetricData]:
        """All metrics and their controls at once, then the other services where a metric has no control.

        The values of `untold` metrics are not asked for: they could be repeated ones.
        """
        values = values_of(self.deployment)
        asked = [metric for metric in metrics if metric.name not in untold]
        wanted = [(metric, metric.control, values) for metric in asked if metric.control is not None]
        answers, known = await self._measured([(metric, values) for metric in asked], wanted)
        own, controls = iter(answers), iter(known)
        found = [
            _failed(metric, untold[metric.name])
            if metric.name in untold
            else self._evidence(metric, next(own), next(controls) if metric.control is not None else None)
            for metric in metrics
        ]
        return await self._beside_peers(found, values)

    def _evidence(self, metric: Metric, own: Series | SourceError, control: Series | SourceError | None) -> MetricData:
        for each in (own, control):
            if isinstance(each, SourceError):
                return _failed(metric, each)
        query = self.watched.prepared(metric)
        return MetricData(
            metric=metric,
            series=own if isinstance(own, Series) else None,
            control=control if isinstance(control, Series) else None,
            per_service="service" in query.variables,
            rate_window=query.rate_window if metric.query_of is None else None,  # both sides of a ratio dip alike
            smoothed_over=query.averages_over,
        )

    async def _beside_peers(self, found: Sequence[MetricData], values: Mapping[str, str]) -> list[MetricData]:
        """The same with the other services; one that has no such metric is no control."""
        known = self.watched.knows(self.deployment.service)
        services = control_services(self.deployment.service, self.watched.services) if known else ()
        alone = [each for each in found if each.series is not None and each.control is None and each.per_service]
        asked = [(each.metric, service) for each in alone for service in services]
        answers, _ = await self._measured([(metric, {**values, "service": service}) for metric, service in asked])
        peers: dict[str, dict[str, Series]] = {}
        for (metric, service), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Series):
                peers.setdefault(metric.name, {})[service] = answer
        return [replace(each, peers=peers[each.metric.name]) if each.metric.name in peers else each for each in found]

    async def _measured(
        self, metrics: Sequence[tuple[Metric, Mapping[str, str]]], others: Sequence[_Asked] = ()
    ) -> tuple[list[Series | SourceError], list[Series | SourceError]]:
        """The series of metrics, those of counts by what these are counted in; and those of other queries."""
        asked: list[_Asked] = [(metric, metric.query, values) for metric, values in metrics]
        of = [(metric, metric.query_of, values) for metric, values in metrics if metric.query_of is not None]
        answers = await self._all([*asked, *of, *others])
        denominators = iter(answers[len(asked) : len(asked) + len(of)])
        found = [
            own if metric.query_of is None else _by(own, next(denominators))
            for (metric, _), own in zip(metrics, answers, strict=False)
        ]
        return found, answers[len(asked) + len(of) :]

    async def _all(self, asked: Sequence[_Asked]) -> list[Series | SourceError]:
        """The one series of each query, or why there is none; each source is asked as many at once as it likes best."""
        answers: list[Series | SourceError] = [SourceRefused("no_data", "not asked")] * len(asked)
        calls: dict[str, list[tuple[int, Bound]]] = {}
        for place, (metric, query, values) in enumerate(asked):
            name, source = self.watched.source_of(metric)
            try:
                calls.setdefault(name, []).append((place, source.prepare(query).bind(values)))
            except SourceRefused as error:
                self.observer.query_failed(name, error)
                answers[place] = error

        async def call(name: str, some: Sequence[tuple[int, Bound]]) -> None:
            for (place, bound), answer in zip(some, await self._call(name, some), strict=True):
                answers[place] = _only(answer, bound)

        sizes = {name: self.watched.sources[name].queries_per_call for name in calls}
        await asyncio.gather(
            *(
                call(name, some[first : first + sizes[name]])
                for name, some in calls.items()
                for first in range(0, len(some), sizes[name])
            )
        )
        return answers

    async def _call(self, name: str, some: Sequence[tuple[int, Bound]]) -> list[Fetched]:
        source = self.watched.sources[name]
        settled = max(self.now - source.settles_after, self.window.start)
        window = replace(self.window, end=min(self.window.end, settled))
        clock = asyncio.get_running_loop().time
        started = clock()
        found = await source.fetch([bound for _, bound in some], window, self.watched.settings.step)
        failed = [answer for answer in found if isinstance(answer, SourceError)]
        for error in failed:
            self.observer.query_failed(name, error)
        if len(failed) < len(found):
            self.observer.queried(name, clock() - started)
        return found


def _as_answered(series: Series, known: Freshness) -> Series:
    """The series with the values of the very answer whose freshness is known, where this gave them."""
    if known.values is None:
        return series
    place, inside = _places(series, known)
    return replace(series, values=np.where(inside, known.values[place], series.values))


def _places(series: Series, known: Freshness) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where the points of a series are among those of which the freshness is known, and which are there at all."""
    place = np.minimum(np.searchsorted(known.times, series.times), len(known.times) - 1)
    return place, known.times[place] == series.times


def _without_repeats(series: Series, known: Freshness, reach: float) -> Series:
    """The series with gaps where no sample is as new as `reach` seconds, or it is that of the point before.

    A series that has samples less often than it is asked for repeats each of them in its own rhythm, which is taken
    out later.
    """
    repeated = np.zeros(len(known.times), dtype=np.bool_)
    if len(known.times) > 1 and reach <= 1.1 * median(known.times[1:] - known.times[:-1]):
        repeated[1:] = known.newest[1:] == known.newest[:-1]
    place, inside = _places(series, known)
    fresh = ~inside | ((series.times - known.newest[place] < reach) & ~repeated[place])
    return replace(series, values=np.where(fresh, series.values, np.nan))


def _only(answer: Fetched, asked: Bound) -> Series | SourceError:
    if isinstance(answer, SourceError):
        return answer
    if not answer:
        return SourceRefused("no_data", f"the source has no data for {asked.text}")
    if len(answer) > 1:
        return SourceRefused("many_series", f"{len(answer)} series answer {asked.text}: aggregate them, say with sum()")
    return answer[0]


def _by(own: Series | SourceError, of: Series | SourceError) -> Series | SourceError:
    if isinstance(own, SourceError) or isinstance(of, SourceError):
        return own if isinstance(own, SourceError) else of
    return own.by(of)


def _failed(metric: Metric, error: SourceError) -> MetricData:
    return MetricData(metric=metric, problem=str(error), cause=_cause(error))


def _cause(error: SourceError) -> Cause:
    if isinstance(error, SourceUnavailable):
        return Cause.AWAY
    return Cause.FAILED if isinstance(error, QueryFailed) else Cause.REFUSED
