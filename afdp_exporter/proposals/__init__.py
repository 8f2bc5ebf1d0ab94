"""Metric names -> what is worth watching; pure. `discovery` does the asking."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from afdp_exporter.model import Money
from afdp_exporter.proposals import money, requests, resources
from afdp_exporter.proposals.convention import Candidate, Convention, Role
from afdp_exporter.proposals.sampling import duration, rate_window

CONVENTIONS = (
    requests.OPENTELEMETRY,
    requests.SPRING,
    requests.GRPC,
    requests.PROMETHEUS_CLIENTS,
    requests.RECORDED,
    requests.ISTIO,
    requests.NGINX,
    requests.ENVOY,
    money.BUSINESS,
    resources.NODE,
    resources.KUBERNETES,
    resources.PROCESS,
    money.OPENCOST,
    money.RECORDED_COST,
)
"""In order of preference: what a service tells of itself before what a proxy tells of it."""
MOST = 5
"""Metrics of one service: the more are judged, the stronger each shift must be."""
_PLACE = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A metric that exists and that a convention knows."""

    convention: Convention
    candidate: Candidate
    metric: str
    groups: Mapping[str, str]

    def query(self, of: str, status: str | None, scraped: timedelta) -> str | None:
        """Its PromQL with the selector `of` the service, which is `scraped` so often.

        None where it needs a status label that there is not.
        """
        if status is None and "<status>" in self.candidate.query:
            return None
        places = {"m": self.metric, "of": of, "status": status or "", "window": duration(rate_window(scraped))}
        filled = _filled(self.candidate.query, {**self.groups, **places})
        return filled.replace("{, ", "{").replace("{}", "")

    @property
    def name(self) -> str:
        """What the metric is called in the configuration."""
        return _filled(self.candidate.name, self.groups)

    @property
    def money(self) -> Money | None:
        """What a unit is worth, where the unit is money."""
        currency = self.groups.get("currency")
        return Money(currency=currency.upper(), per_unit=1) if currency else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A query that returned data for a service, for one of its metrics; `scraped` is the interval of its samples."""

    lead: Lead
    service: str
    query: str
    scraped: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What a source has: proposals in order of preference, and the services that were `left_out` as infrastructure."""

    proposals: tuple[Proposal, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A metric of the configuration, and the services for which it returned data; `scraped` as in `Proposal`."""

    name: str
    lead: Lead
    query: str
    services: tuple[str, ...]
    scraped: timedelta


def pattern() -> str:
    """An RE2 pattern of all names that any convention knows."""
    metrics = dict.fromkeys(candidate.metric for each in CONVENTIONS for candidate in each.candidates)
    return "|".join(re.sub(r"\?P<\w+>", "?:", metric) for metric in metrics)


def leads(names: Iterable[str]) -> tuple[Lead, ...]:
    """Everything that the conventions know of these names, in order of preference."""
    ordered = sorted(set(names))
    return tuple(
        Lead(
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


def choose(proposals: Sequence[Proposal]) -> tuple[Choice, ...]:
    """Up to five metrics for each service, one of each role, as metrics with names of their own.

    `proposals` are in order of preference; services whose metrics have the same query share a metric.
    """
    kept: dict[str, list[str]] = {}
    of_query: dict[str, Proposal] = {}
    for service in sorted({proposal.service for proposal in proposals}):
        own = [proposal for proposal in proposals if proposal.service == service]
        by_role: dict[Role, Proposal] = {}
        for proposal in own:
            by_role.setdefault(proposal.lead.candidate.role, proposal)
        for role in [role for role in Role if role in by_role][:MOST]:
            kept.setdefault(by_role[role].query, []).append(service)
            of_query.setdefault(by_role[role].query, by_role[role])
    order = {proposal.query: place for place, proposal in reversed(list(enumerate(proposals)))}
    taken: set[str] = set()
    choices = []
    for query in sorted(kept, key=lambda each: (list(Role).index(of_query[each].lead.candidate.role), order[each])):
        lead = of_query[query].lead
        name = _free(lead, kept[query][0], taken)
        taken.add(name)
        scraped = of_query[query].scraped
        choices.append(Choice(name=name, lead=lead, query=query, services=tuple(kept[query]), scraped=scraped))
    return tuple(choices)


def _free(lead: Lead, service: str, taken: set[str]) -> str:
    """The plainest name that is free: after the instrumentation, then after the first service that has it."""
    whose = re.sub(r"[^a-z0-9]+", "_", service.lower()).strip("_")
    names = [lead.name, f"{lead.convention.key}_{lead.name}", f"{whose}_{lead.name}"]
    names += [f"{whose}_{number}_{lead.name}" for number in range(2, len(taken) + 3)]
    return next(name for name in names if name not in taken)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], text)
