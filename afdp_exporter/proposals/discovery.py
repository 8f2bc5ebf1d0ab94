"""The use case of the first minute: look at a metrics source and find what is worth watching."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from afdp_exporter import promql
from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Window
from afdp_exporter.proposals import Lead, Proposal, leads, pattern
from afdp_exporter.sources import Source

_DAY = timedelta(days=1)
_LATELY = timedelta(minutes=10)
_STEP = timedelta(minutes=1)
_NAMES = 40  # metrics of one candidate that are looked at: more of them are no convention


@dataclass(slots=True, kw_only=True)
class Discovery:
    """Asks one source; `now` is the end of the day that is looked at, `asked` is told of every question."""

    source: Source
    now: datetime
    asked: Callable[[], None] = lambda: None
    _labels: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    async def proposals(self, services: Collection[str] = (), most: int = 20) -> tuple[Proposal, ...]:
        """The queries that returned data, in order of preference; only for these services, where any are given.

        Raises SourceError where the source does not answer.
        """
        found = _limited(leads(await self._names()))
        places = {lead.metric: await self._service_of(lead) for lead in found}
        known = set(services) or _services(found, places, most)
        wanted = [
            (lead, label, service)
            for lead in found
            for label, values in [places[lead.metric]]
            for service in (sorted(known & set(values)) if label else sorted(known) if lead.convention.shared else ())
        ]
        made = await asyncio.gather(*(self._try(lead, label, service) for lead, label, service in wanted))
        return tuple(proposal for proposal in made if proposal is not None)

    async def _names(self) -> list[str]:
        found = await self._ask(f'count by (__name__) ({{__name__=~"{_escaped(pattern())}"}})')
        return [series for series, _ in found]

    async def _service_of(self, lead: Lead) -> tuple[str | None, tuple[str, ...]]:
        """The label that holds the service, and its values; None where the metric has no such label."""
        for label in lead.convention.service:
            values = await self._values(lead.metric, label)
            if values:
                return label, values
        return None, ()

    async def _values(self, metric: str, label: str) -> tuple[str, ...]:
        if (metric, label) not in self._labels:
            found = await self._ask(f'count by ({label}) ({metric}{{{label}!=""}})')
            self._labels[metric, label] = tuple(labels[label] for _, labels in found if label in labels)
        return self._labels[metric, label]

    async def _try(self, lead: Lead, label: str | None, service: str) -> Proposal | None:
        statuses = [status for status in lead.convention.status if await self._values(lead.metric, status)]
        query = lead.query(f'{label}="$service"' if label else "", statuses[0] if statuses else None)
        if query is None:
            return None
        window = Window(start=self.now - _DAY, end=self.now)
        try:
            found = await self.source.fetch(promql.substitute(query, {"service": service}), window, _STEP)
        except SourceRefused:
            return None
        finally:
            self.asked()
        points = found[0].measured if len(found) == 1 else 0
        return Proposal(lead=lead, service=service, query=query, points=points) if points else None

    async def _ask(self, query: str) -> list[tuple[str, dict[str, str]]]:
        """Name and labels of each series that there was lately."""
        window = Window(start=self.now - _LATELY, end=self.now)
        found = await self.source.fetch(query, window, _STEP)
        self.asked()
        return [(series.metric, dict(series.labels)) for series in found]


def _limited(found: Sequence[Lead]) -> tuple[Lead, ...]:
    seen: dict[str, int] = {}
    kept = []
    for lead in found:
        seen[lead.candidate.metric] = seen.get(lead.candidate.metric, 0) + 1
        if seen[lead.candidate.metric] <= _NAMES:
            kept.append(lead)
    return tuple(kept)


def _services(found: Sequence[Lead], places: dict[str, tuple[str | None, tuple[str, ...]]], most: int) -> set[str]:
    """The services that the conventions tell of: those with the most metrics first, then by name."""
    leading = [lead for lead in found if lead.convention.leading] or list(found)
    metrics: dict[str, set[str]] = {}
    for lead in leading:
        for service in places[lead.metric][1]:
            metrics.setdefault(service, set()).add(lead.candidate.role)
    return set(sorted(metrics, key=lambda service: (-len(metrics[service]), service))[:most])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
