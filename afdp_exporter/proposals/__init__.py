"""Metric names -> what is worth watching; pure. `discovery` does the asking."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from afdp_exporter.model import Money
from afdp_exporter.proposals.convention import Candidate, Convention, Question, Role
from afdp_exporter.proposals.conventions import (
    BUSINESS,
    ENVOY,
    GRPC,
    ISTIO,
    KUBERNETES,
    NGINX,
    NODE,
    OPENCOST,
    OPENTELEMETRY,
    PROCESS,
    PROMETHEUS_CLIENTS,
    RECORDED,
    RECORDED_COST,
    SPRING,
)
from afdp_exporter.proposals.sampling import duration, rate_window

CONVENTIONS = (
    OPENTELEMETRY,
    SPRING,
    GRPC,
    PROMETHEUS_CLIENTS,
    RECORDED,
    ISTIO,
    NGINX,
    ENVOY,
    BUSINESS,
    NODE,
    KUBERNETES,
    PROCESS,
    OPENCOST,
    RECORDED_COST,
)
"""In order of preference: what a service reports of itself before what a proxy does."""
MOST = 5
"""Metrics of one service: the more are judged, the stronger each shift must be. What it costs comes beside them."""
_PLACE = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPattern:
    """A metric that exists and that a convention knows."""

    convention: Convention
    candidate: Candidate
    metric: str
    groups: Mapping[str, str]

    def query(self, of: Question, status: str | None, scraped: timedelta) -> Question | None:
        """Its query with the selector `of` the service, which is `scraped` so often.

        None where it needs a status label that there is not.
        """
        if status is None and "<status>" in str(self.candidate.query):
            return None
        return self._asked(self.candidate.query, of, status, scraped)

    def denominator(self, of: Question, status: str | None, scraped: timedelta) -> Question | None:
        """The query of what it is counted in, with the same; None where it counts nothing."""
        return None if self.candidate.of is None else self._asked(self.candidate.of, of, status, scraped)

    def _asked(self, query: Question, of: Question, status: str | None, scraped: timedelta) -> Question:
        places = {"m": self.metric, "of": of, "status": status or "", "window": duration(rate_window(scraped))}
        return _asked(query, {**self.groups, **places})

    @property
    def name(self) -> str:
        """What the metric is called in the configuration."""
        return _filled(self.candidate.name, self.groups)

    @property
    def money(self) -> Money | None:
        """What a unit is worth, where the unit is money."""
        currency = self.groups.get("currency") or self.candidate.currency
        return Money(currency=currency.upper(), per_unit=1) if currency else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A query that returned data for a service, for one of its metrics; `scraped` is the interval of its samples.

    `of` is the query of what it is counted in, where it counts events.
    """

    lead: MetricPattern
    service: str
    query: Question
    scraped: timedelta
    of: Question | None = None

    @property
    def asked(self) -> str:
        """What is asked, as one text: proposals that ask the same share a metric."""
        return json.dumps([self.query, self.of], sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a source has: proposals in order of preference, and the services that were `left_out` as infrastructure."""

    proposals: tuple[Proposal, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A metric of the configuration, and the services for which it returned data; the rest as in `Proposal`."""

    name: str
    lead: MetricPattern
    query: Question
    services: tuple[str, ...]
    scraped: timedelta
    of: Question | None = None


def pattern() -> str:
    """An RE2 pattern of all names that any convention knows."""
    metrics = dict.fromkeys(candidate.metric for each in CONVENTIONS for candidate in each.candidates)
    return "|".join(re.sub(r"\?P<\w+>", "?:", metric) for metric in metrics)


def match_patterns(names: Iterable[str]) -> tuple[MetricPattern, ...]:
    """Everything that the conventions know of these names, in order of preference."""
    ordered = sorted(set(names))
    return tuple(
        MetricPattern(
            convention=convention,
            candidate=candidate,
            metric=name,
            groups={"prefix": "", **{key: value or "" for key, value in match.groupdict().items()}},
        )
        for convention in CONVENTIONS
        for candidate in convention.candidates
        for name in ordered
        if (match := re.fullmatch(candidate.metric, name))
    )


def select_metrics(proposals: Sequence[Proposal]) -> tuple[Choice, ...]:
    """Up to five metrics for each service, one of each role, and its cost, as metrics with names of their own.

    `proposals` are in order of preference; services whose metrics have the same query share a metric.
    """
    kept: dict[str, list[str]] = {}
    of_query: dict[str, Proposal] = {}
    for service in sorted({proposal.service for proposal in proposals}):
        own = [proposal for proposal in proposals if proposal.service == service]
        by_role: dict[Role, Proposal] = {}
        for proposal in own:
            by_role.setdefault(proposal.lead.candidate.role, proposal)
        first = [role for role in Role if role in by_role and role is not Role.COST][:MOST]
        for role in [*first, *({Role.COST} & by_role.keys())]:
            kept.setdefault(by_role[role].asked, []).append(service)
            of_query.setdefault(by_role[role].asked, by_role[role])
    order = {proposal.asked: place for place, proposal in reversed(list(enumerate(proposals)))}
    taken: set[str] = set()
    choices = []
    for query in sorted(kept, key=lambda each: (list(Role).index(of_query[each].lead.candidate.role), order[each])):
        lead = of_query[query].lead
        name = _free(lead, kept[query][0], taken)
        taken.add(name)
        known = of_query[query]
        services = tuple(kept[query])
        choices.append(
            Choice(name=name, lead=lead, query=known.query, services=services, scraped=known.scraped, of=known.of)
        )
    return tuple(choices)


def _free(lead: MetricPattern, service: str, taken: set[str]) -> str:
    """The plainest name that is free: after the instrumentation, then after the first service that has it."""
    whose = re.sub(r"[^a-z0-9]+", "_", service.lower()).strip("_")
    names = [lead.name, f"{lead.convention.key}_{lead.name}", f"{whose}_{lead.name}"]
    names += [f"{whose}_{number}_{lead.name}" for number in range(2, len(taken) + 3)]
    return next(name for name in names if name not in taken)


def _asked(query: Question, values: Mapping[str, Question]) -> Question:
    """A query with its places filled; one of a mapping is a field of its own."""
    if isinstance(query, Mapping):
        return {name: _asked(each, values) for name, each in query.items()}
    whole = _PLACE.fullmatch(query)
    if whole is not None and isinstance(found := values[whole[1]], Mapping):
        return found
    texts = {name: each for name, each in values.items() if isinstance(each, str)}
    return _filled(query, texts).replace("{, ", "{").replace("{}", "")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], text)
