"""The use case of the first minute: look at a metrics source and find what is worth watching."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from afdp_exporter.errors import ConfigError, QueryFailed, SourceRefused
from afdp_exporter.model import Series, Window
from afdp_exporter.proposals import MetricPattern, Proposal, Survey, match_patterns, pattern, sampling
from afdp_exporter.proposals.convention import Question
from afdp_exporter.proposals.infrastructure import BUILDS, is_infrastructure
from afdp_exporter.sources import Source, ask
from afdp_exporter.wording.metrics import unknown_service

_DAY = timedelta(days=1)
_LATELY = timedelta(minutes=10)
_STEP = timedelta(minutes=1)
_NAMES = 40  # metrics of one candidate that are looked at: more of them are no convention
_NAMING = ("service", "service_name", "app", "application", "job", "container")
"""Labels under which a program that watches or carries others may be known."""
_USUAL_INTERVAL = timedelta(minutes=1)  # Prometheus' own default, for a metric with too few samples to say


@dataclass(slots=True, kw_only=True)
class Discovery:
    """Asks one source; `now` is the end of the day that is looked at, `asked` is called after every question."""

    source: Source
    now: datetime
    asked: Callable[[], None] = lambda: None
    _labels: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _intervals: dict[tuple[str, str | None], Mapping[str | None, timedelta]] = field(default_factory=dict)

    async def survey(self, services: Collection[str] = (), most: int = 20, *, infrastructure: bool = False) -> Survey:
        """The queries that returned data, for these services, or for up to `most` of those that there are.

        What watches or carries the others is left out, unless `infrastructure` is asked for or it is asked for by
        name. Raises ConfigError for a service that no metric names, SourceError where the source does not answer.
        """
        found = _limited(match_patterns(await self._names()))
        metrics = await self._metrics_by_service([lead for lead in found if lead.convention.leading] or found)
        tools = {name for name in metrics if is_infrastructure(name)} | await self._tools()
        left_out = set() if infrastructure or services else tools & set(metrics)
        named = set(metrics) - (set() if infrastructure else tools)
        if services:
            await self._check(services, found, named or set(metrics))
        ranked = sorted(set(metrics) - left_out, key=lambda service: (-metrics[service], service))
        wanted = set(services) or set(ranked[:most])
        places = [(lead, *await self._place(lead, named | wanted)) for lead in found]
        made = await asyncio.gather(
            *(
                self._tried(lead, label, sorted(wanted & values if label else wanted))
                for lead, label, values in places
                if label or lead.convention.shared
            )
        )
        proposals = tuple(proposal for each in made for proposal in each)
        return Survey(proposals=proposals, left_out=tuple(sorted(left_out)))

    async def _metrics_by_service(self, found: Sequence[MetricPattern]) -> dict[str, int]:
        """The services that the first label of each metric names, and how many roles of metrics each has."""
        roles: dict[str, set[str]] = {}
        for lead in found:
            for label in lead.convention.service:
                values = await self._values(lead.metric, label)
                if values:
                    for service in values:
                        roles.setdefault(service, set()).add(lead.candidate.role)
                    break
        return {service: len(each) for service, each in roles.items()}

    async def _tools(self) -> set[str]:
        """Every name of the programs that expose a build of a tool that watches or carries others."""
        found = await self._ask(f'count by ({", ".join(_NAMING)}) ({{__name__=~"{_escaped(BUILDS)}"}})')
        return {value for series in found for value in series.labels.values()}

    async def _check(self, services: Collection[str], found: Sequence[MetricPattern], known: Collection[str]) -> None:
        """Raise ConfigError where no label of any metric names one of these services."""
        there = {
            value
            for lead in found
            for label in lead.convention.service
            for value in await self._values(lead.metric, label)
        }
        for service in services:
            if service not in there:
                raise ConfigError("service", unknown_service(service, known))

    async def _place(self, lead: MetricPattern, known: Collection[str]) -> tuple[str | None, set[str]]:
        """The first label of the metric that names any of the known services, and its values; None where none does."""
        for label in lead.convention.service:
            values = set(await self._values(lead.metric, label))
            if values & set(known):
                return label, values
        return None, set()

    async def _names(self) -> list[str]:
        return [
            series.metric for series in await self._ask(f'count by (__name__) ({{__name__=~"{_escaped(pattern())}"}})')
        ]

    async def _values(self, metric: str, label: str) -> tuple[str, ...]:
        if (metric, label) not in self._labels:
            found = await self._ask(f'count by ({label}) ({metric}{{{label}!=""}})')
            self._labels[metric, label] = tuple(series.labels[label] for series in found if label in series.labels)
        return self._labels[metric, label]

    async def _scraped(self, metric: str, label: str | None, service: str) -> timedelta:
        if (metric, label) not in self._intervals:
            found = await self._ask(sampling.counting(metric, label), sampling.LOOKED_AT)
            known = {series.labels.get(label or ""): sampling.interval(series.values) for series in found}
            self._intervals[metric, label] = {value: each for value, each in known.items() if each is not None}
        return self._intervals[metric, label].get(service if label else None, _USUAL_INTERVAL)

    async def _tried(self, lead: MetricPattern, label: str | None, services: Sequence[str]) -> list[Proposal]:
        made = [await self._try(lead, label, service) for service in services]
        return [proposal for proposal in made if proposal is not None]

    async def _try(self, lead: MetricPattern, label: str | None, service: str) -> Proposal | None:
        statuses = [status for status in lead.convention.status if await self._values(lead.metric, status)]
        scraped = await self._scraped(lead.metric, label, service)
        selector, status = f'{label}="$service"' if label else "", statuses[0] if statuses else None
        query, of = (make(selector, status, scraped) for make in (lead.query, lead.denominator))
        if query is None:
            return None
        try:
            found = await self._ask(query, _DAY, service=service)
        except (SourceRefused, QueryFailed):
            return None
        if len(found) != 1 or not found[0].measured:
            return None
        return Proposal(lead=lead, service=service, query=query, scraped=scraped, of=of)

    async def _ask(self, query: Question, back: timedelta = _LATELY, **values: str) -> list[Series]:
        """Every minute of the time so far back until now."""
        try:
            return await ask(self.source, query, values, Window(start=self.now - back, end=self.now), _STEP)
        finally:
            self.asked()


def _limited(found: Sequence[MetricPattern]) -> tuple[MetricPattern, ...]:
    seen: dict[str, int] = {}
    kept = []
    for lead in found:
        seen[lead.candidate.metric] = seen.get(lead.candidate.metric, 0) + 1
        if seen[lead.candidate.metric] <= _NAMES:
            kept.append(lead)
    return tuple(kept)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
