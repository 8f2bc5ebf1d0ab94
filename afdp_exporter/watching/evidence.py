"""What a question about a deployment needs, fetched from the sources."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import perf_counter
from typing import Annotated, ClassVar, Protocol

from pydantic import Field

from afdp_exporter import promql
from afdp_exporter.detectors.repetition import EACH, Rhythm, rhythm
from afdp_exporter.errors import SourceError, SourceRefused
from afdp_exporter.impact.case import ImpactSettings
from afdp_exporter.impact.peers import witnesses
from afdp_exporter.model import Deployment, Metric, Occasion, Series, Service, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import Source
from afdp_exporter.wording.names import unknown_service


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSettings:
    """What an analysis fetches, and how long it may take."""

    __pydantic_config__: ClassVar = STRICT

    history: Duration = timedelta(days=7)
    step: Duration = timedelta(seconds=60)
    deadline: Duration = timedelta(seconds=30)
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    impact: ImpactSettings = ImpactSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the configuration says about what is watched, and where it is asked."""

    sources: Mapping[str, Source]
    metrics: tuple[Metric, ...]
    services: Mapping[str, Service] = field(default_factory=dict)
    calendar: tuple[Occasion, ...] = ()
    settings: AnalysisSettings = AnalysisSettings()

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
            metric
            for metric in self.metrics
            if (metric.name not in listed if known is None else known.metrics is None or metric.name in known.metrics)
            and (not metric.environments or environment in metric.environments)
        )

    def source_of(self, metric: Metric) -> tuple[str, Source]:
        """Where a metric is asked."""
        name = metric.source or next(iter(self.sources))
        return name, self.sources[name]


class Observer(Protocol):
    """Who wants to know how the sources answer."""

    def queried(self, source: str, seconds: float) -> None:
        """A source answered a query."""

    def query_failed(self, source: str, error: SourceError) -> None:
        """A source did not answer a query."""


class Unobserved:
    """Nobody watches how the sources answer."""

    def queried(self, source: str, seconds: float) -> None:
        """Told to nobody."""

    def query_failed(self, source: str, error: SourceError) -> None:
        """Told to nobody; what could not be fetched is in the report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was fetched for one metric, or why nothing could be; `peers` are other services' series of the same.

    `step` is that of the series, where their source has samples less often than it was asked for.
    """

    metric: Metric
    series: Series | None = None
    control: Series | None = None
    peers: Mapping[str, Series] = field(default_factory=dict)
    problem: str | None = None
    step: timedelta | None = None

    @property
    def rhythm(self) -> Rhythm | None:
        """That of its series; None where none of them tells."""
        known = (self.series, self.control, *self.peers.values())
        return rhythm([each.values for each in known if each is not None])

    def in_rhythm(self, found: Rhythm, asked: timedelta) -> "Evidence":
        """Without what a source repeats until it has a new sample; `asked` is the step that it was asked for."""
        if found == EACH:
            return self
        return replace(
            self,
            series=self.series and self.series.every(*found),
            control=self.control and self.control.every(*found),
            peers={service: series.every(*found) for service, series in self.peers.items()},
            step=found[0] * asked,
        )

    def until(self, end: datetime) -> "Evidence":
        """As much of it as was known at an instant."""
        return replace(
            self,
            series=self.series and self.series.until(end),
            control=self.control and self.control.until(end),
            peers={service: series.until(end) for service, series in self.peers.items()},
        )


async def gather(
    deployment: Deployment, window: Window, *, watched: Watched, observer: Observer
) -> tuple[Evidence, ...]:
    """What the sources say of each metric that is watched for a deployment, within a window.

    Raises SourceUnavailable when one of them is away: then nothing is known.
    """
    asking = _Asking(deployment=deployment, window=window, watched=watched, observer=observer)
    found = await _together(asking.gather(metric) for metric in watched.metrics_of(deployment))
    return await asyncio.to_thread(in_their_rhythms, found, watched.settings.step)


def in_their_rhythms(found: Sequence[Evidence], asked: timedelta) -> tuple[Evidence, ...]:
    """Each in its own rhythm; one that does not tell it in that of the others, where they have the same. Pure."""
    told = [each.rhythm for each in found]
    known = {each for each in told if each is not None}
    usual = known.pop() if len(known) == 1 else EACH
    return tuple(each.in_rhythm(own or usual, asked) for each, own in zip(found, told, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """The sources, asked for one deployment."""

    deployment: Deployment
    window: Window
    watched: Watched
    observer: Observer

    async def gather(self, metric: Metric) -> Evidence:
        values = promql.variables(self.deployment)
        try:
            series = await self._one(metric, metric.query, values)
            control = await self._one(metric, metric.control, values) if metric.control else None
        except SourceRefused as error:
            return Evidence(metric=metric, problem=str(error))
        alone = control is not None or "$service" not in metric.query or not self.watched.knows(values["service"])
        peers = {} if alone else await self._peers(metric, values)
        return Evidence(metric=metric, series=series, control=control, peers=peers)

    async def _peers(self, metric: Metric, values: Mapping[str, str]) -> dict[str, Series]:
        found = {}
        for service in witnesses(self.deployment.service, self.watched.services):
            try:
                found[service] = await self._one(metric, metric.query, {**values, "service": service})
            except SourceRefused:
                continue  # this service has no such metric: it is no witness
        return found

    async def _one(self, metric: Metric, query: str, values: Mapping[str, str]) -> Series:
        name, source = self.watched.source_of(metric)
        started = perf_counter()
        asked = promql.substitute(query, values)
        try:
            found = await source.fetch(asked, self.window, self.watched.settings.step)
        except SourceError as error:
            self.observer.query_failed(name, error)
            raise
        self.observer.queried(name, perf_counter() - started)
        if not found:
            raise SourceRefused("no_data", f"the source has no data for {asked}")
        if len(found) > 1:
            raise SourceRefused("many_series", f"{len(found)} series answer {asked}: aggregate them, say with sum()")
        return found[0]


async def _together(gathering: Iterable[Coroutine[object, object, Evidence]]) -> tuple[Evidence, ...]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in gathering]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return tuple(task.result() for task in tasks)
