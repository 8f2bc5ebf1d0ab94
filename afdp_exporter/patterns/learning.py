"""Cases -> a Model of one service, shrunk from the service to its team to everybody."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Basis, Case, Floats, Outline
from afdp_exporter.patterns import responses
from afdp_exporter.patterns.encoding import Encoder, learn_columns
from afdp_exporter.patterns.intervals import CONFORMAL
from afdp_exporter.patterns.labels import Labels, failure_labels, trouble_labels
from afdp_exporter.patterns.risk import HERE, SERVICE, TEAM_LEVEL, Lesson, RiskModel, fit_risk
from afdp_exporter.patterns.sizes import ENOUGH, Response, respond
from afdp_exporter.patterns.threads import one_thread
from afdp_exporter.patterns.timing import untold
from afdp_exporter.patterns.traits import Traits, case_traits, is_intrinsic

OWN, TEAM, OTHERS = 400, 150, 150
"""How many of the newest cases are learned from: of the service, of its team, of all others."""
HALF_LIFE = timedelta(days=180)
"""A case this much older than the newest one counts half."""
EXPECTED_RISK, EXPECTED_FAILURE = 0.15, 1 / 3
"""The prior: this share of changes hurts (DORA's change fail rate of high performers); of those this share fails."""
CONTEXT = 0.5
"""How much a trait of the moment counts in what is alike, against 1 for one of the change itself."""
RARE = 0.2
"""The smallest standard deviation that a column of the kernel is scaled by: a level that few cases have makes a row no
longer than a twentieth of the cases would."""
LEVELLED = 10
"""A service with this many cases has a level of its own."""

Told = TypeVar("Told", Case, Outline)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment belongs."""

    service: str
    team: str | None


@dataclass(frozen=True, slots=True)
class Design:
    """Traits and place -> the row that the fits know: what holds for all, for the team, for the service."""

    encoder: Encoder
    home: Place
    services: tuple[str, ...]
    teams: tuple[str, ...]

    @property
    def groups(self) -> list[str]:
        """The name of each column's group."""
        own = [f"{column.trait}{HERE}" for column in self.encoder.columns] if self.services else []
        return self.encoder.groups + own + [SERVICE] * len(self.services) + [TEAM_LEVEL] * len(self.teams)

    def rows(self, traits: Sequence[Traits], places: Sequence[Place]) -> Floats:
        """One row a deployment, shape (n, columns)."""
        table = self.encoder.encode(traits)
        if not self.services:
            return table
        here = np.array([place.service == self.home.service for place in places], dtype=float)[:, None]
        service = np.array([[place.service == name for name in self.services] for place in places], dtype=float)
        team = np.array([[place.team == name for name in self.teams] for place in places], dtype=float)
        return np.hstack(
            [table, table[:, : len(self.encoder.columns)] * here, service, team.reshape(len(places), len(self.teams))]
        )


@dataclass(frozen=True, slots=True)
class Model:
    """What is known for deployments of one service; immutable, and cheap to learn anew."""

    home: Place
    learned_at: datetime
    cases: tuple[Case, ...]
    traits: tuple[Traits, ...]
    design: Design
    basis: Basis
    n: int
    metrics: Mapping[str, Response]
    cost: Response | None
    currency: str | None
    trouble: RiskModel
    failure: RiskModel  # of those that hurt
    varying: Floats  # the standard deviation of each of the encoder's columns over the cases
    salt: bytes


def fit(cases: Sequence[Case], *, service: str, team: str | None, now: datetime, salt: bytes = b"") -> Model:
    """Learn for `service` from the cases that were measured by `now`; no case at all gives the cold prior."""
    home = Place(service, team)
    chosen = select([case for case in cases if case.impact.measured_at <= now and not case.rollback], home)
    traits = tuple(case_traits(case, salt=salt) for case in chosen)
    places = [place_of(case) for case in chosen]
    name, labels = responses.currency(chosen), trouble_labels(chosen)
    costs = responses.costs(chosen, name) if name else None
    with one_thread():
        clock = _untold(traits, places, labels, costs)
    design = _design(traits, places, home, clock)
    table = design.rows(traits, places)
    lesson = Lesson(
        table=table,
        groups=design.groups,
        scales=_kernel_scales(design.encoder, table, design.groups),
        service=_numbered([place.service for place in places], service),
        team=_numbered([place.team for place in places], team),
        counts=_counts(chosen),
        own=np.array([place.service == service for place in places], dtype=bool),
    )
    basis, n = _basis(places, home)
    happened = np.where(labels.weight > 0, labels.happened, _rate(labels))
    with one_thread():
        lines = {
            metric: respond(responses.changes(chosen, metric), lesson, happened) for metric in responses.metrics(chosen)
        }
        metrics = {metric: response for metric, response in lines.items() if response is not None}
        cost = respond(costs, lesson, happened) if costs else None
        learned = [*metrics.values(), *([cost] if cost else [])]
        severities = [response.severity for response in learned if response.used >= CONFORMAL]
        return Model(
            home=home,
            learned_at=now,
            cases=chosen,
            traits=traits,
            design=design,
            basis=basis,
            n=n,
            metrics=metrics,
            cost=cost,
            currency=name,
            trouble=fit_risk(labels, lesson, EXPECTED_RISK, severities),
            failure=fit_risk(failure_labels(chosen), lesson, EXPECTED_FAILURE),
            varying=lesson.table.std(axis=0) if chosen else np.zeros(lesson.table.shape[1]),
            salt=salt,
        )


def select(cases: Sequence[Told], home: Place) -> tuple[Told, ...]:
    """The newest cases of the service, its team and all others that are learned from, in order of time."""
    newest = sorted(cases, key=lambda case: (case.deployment.started_at, case.deployment.id), reverse=True)
    own = [case for case in newest if case.deployment.service == home.service]
    rest = [case for case in newest if case.deployment.service != home.service]
    team = [case for case in rest if home.team is not None and case.deployment.team == home.team]
    others = [case for case in rest if home.team is None or case.deployment.team != home.team]
    chosen = own[:OWN] + team[:TEAM] + others[:OTHERS]
    return tuple(sorted(chosen, key=lambda case: (case.deployment.started_at, case.deployment.id)))


def place_of(case: Case) -> Place:
    """Where a case belongs."""
    return Place(case.deployment.service, case.deployment.team)


def _untold(
    traits: Sequence[Traits], places: Sequence[Place], labels: Labels, costs: responses.Figures | None
) -> frozenset[str]:
    """What of the clock the cases say nothing about."""
    encoder = learn_columns(traits)
    used = [place for place, column in enumerate(encoder.columns) if column.kind != "above"]
    names = sorted({place.service for place in places})
    services = np.array([[place.service == name for name in names] for place in places], dtype=float)
    table = encoder.encode(traits)[:, used]
    columns = [encoder.columns[place].trait for place in used]
    return untold(columns, table, services, labels, costs.blamed if costs else None)


def _design(traits: Sequence[Traits], places: Sequence[Place], home: Place, clock: frozenset[str]) -> Design:
    services = Counter(place.service for place in places)
    teams = sorted({place.team for place in places if place.team is not None})
    telling = _telling(services, home) if len(services) > 1 else ()
    return Design(
        encoder=learn_columns(traits, clock),
        home=home,
        services=telling,
        teams=tuple(teams) if telling and len(teams) > 1 else (),
    )


def _telling(services: Mapping[str, int], home: Place) -> tuple[str, ...]:
    """The services with a level of their own: the one at home, and those with enough cases to show one."""
    return tuple(sorted(name for name, count in services.items() if name == home.service or count >= LEVELLED))


def _rate(labels: Labels) -> float:
    """How often there was trouble among what is known, with one expected case beside it."""
    return float((labels.weight @ labels.happened + EXPECTED_RISK) / (labels.weight.sum() + 1.0))


def _kernel_scales(encoder: Encoder, table: Floats, groups: Sequence[str]) -> Floats:
    """What turns the encoder's columns into a row of length 1 in the mean, each trait as long as any other; the traits
    of the moment count CONTEXT. Steps of a number are left out: its linear column says what they say."""
    columns = encoder.columns
    used = np.array([column.kind != "above" for column in columns], dtype=bool)
    spread = table[:, : len(columns)].std(axis=0) if table.size else np.zeros(len(columns))
    names = [column.trait for column in columns]
    counts = Counter(name for name, one in zip(names, used, strict=True) if one)
    weights = {name: 1.0 if is_intrinsic(name) else CONTEXT for name in counts}
    whole = sum(weight**2 for weight in weights.values())
    scales = np.zeros(len(groups))
    for place, name in enumerate(names):
        if used[place] and spread[place] > 0:
            scales[place] = weights[name] / (max(spread[place], RARE) * np.sqrt(counts[name] * whole))
    return scales


def _numbered(names: Sequence[str | None], home: str | None) -> NDArray[np.intp]:
    """A number for each name, 0 for home's."""
    known = {home: 0}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.intp)


def _basis(places: Sequence[Place], home: Place) -> tuple[Basis, int]:
    own = sum(place.service == home.service for place in places)
    team = sum(home.team is not None and place.team == home.team for place in places)
    for basis, n in ((Basis.SERVICE, own), (Basis.TEAM, team), (Basis.GLOBAL, len(places))):
        if n >= ENOUGH:
            return basis, n
    return Basis.COLD, 0


def _counts(cases: Sequence[Case]) -> Floats:
    """How much each case counts (n,): half for every HALF_LIFE that it is older than the newest one."""
    newest = max((case.deployment.started_at for case in cases), default=None)
    return np.array(
        [0.5 ** ((newest - case.deployment.started_at) / HALF_LIFE) for case in cases if newest], dtype=float
    )
