"""What a monitor's usual integrations report: which services it knows, and the queries that return data for them.

A monitor is a table of integrations, the form of a service's selector, and an example of revenue.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from afdp_exporter.errors import ConfigError, QueryFailed, SourceError, SourceRefused
from afdp_exporter.model import Window
from afdp_exporter.proposals import MetricPattern, Proposal, Survey, cloudwatch, datadog, new_relic
from afdp_exporter.proposals.convention import Candidate, Integration, Question
from afdp_exporter.proposals.infrastructure import is_infrastructure
from afdp_exporter.sources import Bound, Fetched, Source
from afdp_exporter.wording.metrics import unknown_service

_DAY = timedelta(days=1)
_LATELY = timedelta(hours=3)
_STEP = timedelta(minutes=1)  # in which all of these monitors keep what is new
_LISTING_STEP = timedelta(minutes=5)
_PLAIN = re.compile(r"[\w ./:@+-]{1,200}")  # what a name may hold that is put into a query as it is
_SERVICE = "$service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """The table of one kind of source; `selector` makes what asks for a service of its labels."""

    integrations: tuple[Integration, ...]
    selector: Callable[[Mapping[str, str]], Question]
    revenue: str  # a query of what is earned an hour, as YAML


MONITORS: Mapping[str, Monitor] = {
    "cloudwatch": Monitor(
        integrations=cloudwatch.INTEGRATIONS, selector=cloudwatch.selector, revenue=cloudwatch.REVENUE
    ),
    "datadog": Monitor(integrations=datadog.INTEGRATIONS, selector=datadog.selector, revenue=datadog.REVENUE),
    "new_relic": Monitor(integrations=new_relic.INTEGRATIONS, selector=new_relic.selector, revenue=new_relic.REVENUE),
}


@runtime_checkable
class DimensionLister(Protocol):
    """A source that lists the dimensions of a metric, where no query does."""

    async def dimensions(self, namespace: str, metric: str, names: Collection[str]) -> list[Mapping[str, str]]:
        """Each set of dimensions with exactly these names that the metric had lately. Raises SourceError."""
        ...


@dataclass(frozen=True, slots=True)
class _Instance:
    """What an integration knows under one set of labels; `service` is the name that is in them."""

    integration: Integration
    labels: Mapping[str, str]
    service: str

    @property
    def selected(self) -> Mapping[str, str]:
        """The labels, with the name of the service left open where it is the whole value."""
        named = self.integration.service[0]
        whole = self.labels[named] == self.service
        return {**self.labels, named: _SERVICE} if whole else self.labels


@dataclass(frozen=True, slots=True)
class _Try:
    """A metric of a service, with what it would ask."""

    lead: MetricPattern
    service: str
    query: Question
    of: Question | None


@dataclass(slots=True, kw_only=True)
class MonitorDiscovery:
    """Asks one monitor; `now` is the end of the day that is looked at, `asked` is called after every question."""

    monitor: Monitor
    source: Source
    now: datetime
    asked: Callable[[], None] = lambda: None

    async def survey(self, services: Collection[str] = (), most: int = 20, *, infrastructure: bool = False) -> Survey:
        """The queries that returned data, for these services, or for up to `most` of those that there are.

        What watches or carries the others is left out, unless `infrastructure` is asked for or it is asked for by
        name. Raises ConfigError for a service that nothing names, SourceError where the source does not answer.
        """
        found = await self._instances()
        leading = [each for each in found if each.integration.leading] or found
        roles: dict[str, set[str]] = {}
        for each in leading:
            roles.setdefault(each.service, set()).update(one.role for one in each.integration.candidates)
        tools = {name for name in roles if is_infrastructure(name)}
        for service in services:
            if service not in {each.service for each in found}:
                raise ConfigError("service", unknown_service(service, set(roles) - tools or set(roles)))
        left_out = set() if infrastructure or services else tools
        ranked = sorted(set(roles) - left_out, key=lambda service: (-len(roles[service]), service))
        wanted = set(services) or set(ranked[:most])
        tries = [each for service in sorted(wanted) for each in self._tries(found, service, roles)]
        made = await self._tried(tries)
        return Survey(proposals=tuple(made), left_out=tuple(sorted(left_out)))

    async def _instances(self) -> list[_Instance]:
        """In the order of the table."""
        queries = [each for each in self.monitor.integrations if isinstance(each.listing, str)]
        answers = iter(await self._fetched([(each.listing, {}) for each in queries], _LATELY, _LISTING_STEP))
        found: list[_Instance] = []
        for integration in self.monitor.integrations:
            if isinstance(integration.listing, str):
                answer = next(answers)
                sets = [] if isinstance(answer, SourceError) else [series.labels for series in answer]
            else:
                sets = await self._listed(integration.listing)
            found += _named(integration, sets)
        return found

    async def _listed(self, listing: Mapping[str, Any]) -> list[Mapping[str, str]]:
        if not isinstance(self.source, DimensionLister):
            raise TypeError("this source lists no dimensions")
        try:
            return await self.source.dimensions(listing["namespace"], listing["metric"], listing["dimensions"])
        finally:
            self.asked()

    def _tries(self, found: Sequence[_Instance], service: str, names: Collection[str]) -> Iterator[_Try]:
        """Each metric of each integration that knows the service, or one thing alone that is none of the `names`."""
        for integration in self.monitor.integrations:
            known = [each for each in found if each.integration is integration]
            own = [each for each in known if each.service == service]
            if not own and integration.shared and len(known) == 1 and known[0].service not in names:
                yield from self._questions(integration, known[0].labels, service)
            elif own:
                yield from self._questions(integration, own[0].selected, service)

    def _questions(self, integration: Integration, labels: Mapping[str, str], service: str) -> Iterator[_Try]:
        selector = self.monitor.selector(labels)
        for candidate in integration.candidates:
            lead = _lead(integration, candidate)
            query, of = (make(selector, None, _STEP) for make in (lead.query, lead.denominator))
            if query is not None:
                yield _Try(lead, service, query, of)

    async def _tried(self, tries: Sequence[_Try]) -> list[Proposal]:
        questions = [
            (question, {"service": each.service}) for each in tries for question in (each.query, each.of) if question
        ]
        answers = iter(await self._fetched(questions, _DAY - _STEP, _STEP))
        made = []
        for each in tries:
            found = [next(answers) for question in (each.query, each.of) if question]
            if all(map(_measured, found)):
                made.append(Proposal(lead=each.lead, service=each.service, query=each.query, scraped=_STEP, of=each.of))
        return made

    async def _fetched(
        self, questions: Sequence[tuple[Question, Mapping[str, str]]], back: timedelta, step: timedelta
    ) -> list[Fetched]:
        """The answers to questions, as many in a call as the source likes. Raises SourceError where it is away."""
        end = self.now - self.source.settles_after
        window, size = Window(start=end - back, end=end), self.source.queries_per_call
        bound = [self._bound(query, values) for query, values in questions]
        sent = [each for each in bound if not isinstance(each, SourceRefused)]
        found: list[Fetched] = []
        for first in range(0, len(sent), size):
            try:
                found += await self.source.fetch(sent[first : first + size], window, step)
            finally:
                self.asked()
        for answer in found:
            if isinstance(answer, SourceError) and not isinstance(answer, SourceRefused | QueryFailed):
                raise answer
        answers = iter(found)
        return [each if isinstance(each, SourceRefused) else next(answers) for each in bound]

    def _bound(self, query: Question, values: Mapping[str, str]) -> Bound | SourceRefused:
        """A name that the language cannot hold is refused for itself."""
        try:
            return self.source.prepare(query).bind(values)
        except SourceRefused as error:
            return error


def _named(integration: Integration, sets: Sequence[Mapping[str, str]]) -> Iterator[_Instance]:
    """The labels that name a service, in order."""
    label = integration.service[0]
    for labels in sorted(sets, key=lambda each: sorted(each.items())):
        match = re.fullmatch(integration.named, labels.get(label, ""))
        if match is None:
            continue
        known = _Instance(integration, labels, match[1])
        if all(_PLAIN.fullmatch(value) for value in known.selected.values() if value != _SERVICE):
            yield known


def _lead(integration: Integration, candidate: Candidate) -> MetricPattern:
    return MetricPattern(convention=integration, candidate=candidate, metric=candidate.metric, groups={})


def _measured(answer: Fetched) -> bool:
    return not isinstance(answer, SourceError) and len(answer) == 1 and answer[0].measured > 0
