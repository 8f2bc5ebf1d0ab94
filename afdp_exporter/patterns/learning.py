"""Cases -> a Model of one service, shrunk from the service to its team to everybody."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Basis, Case, Floats, Outcome
from afdp_exporter.patterns import regression, responses
from afdp_exporter.patterns.encoding import Encoder, learn_columns
from afdp_exporter.patterns.intervals import CONFORMAL
from afdp_exporter.patterns.regression import Linear, Logistic
from afdp_exporter.patterns.responses import Figures, Scale
from afdp_exporter.patterns.threads import one_thread
from afdp_exporter.patterns.traits import TROUBLE, Traits, case_traits, outcome

ENOUGH = 3
"""The fewest cases that a prediction may rest on."""
OWN, TEAM, OTHERS = 400, 150, 150
"""How many of the newest cases are learned from: of the service, of its team, of all others."""
HALF_LIFE = timedelta(days=180)
"""A case this much older than the newest one counts half."""
EXPECTED_RISK, EXPECTED_FAILURE = 0.15, 0.05
"""The prior: this share of changes hurts (DORA's change fail rate of high performers), and this share fails."""
EXPECTED_MOVE = 0.3
"""The prior: this share of deployments moves a given figure."""
CERTAINTY = 4.0
"""1 / variance of the prior's log odds: the 90 % range of the risk goes from 7 % to 29 %."""
LEVELLED = 10
"""A service with this many cases has a level of its own."""
TRUSTED = 100
"""With this many cases the effects on sizes count half of what they are found to be, as hints about the risk."""


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
        own = [f"{column.trait}, here" for column in self.encoder.columns] if self.services else []
        return self.encoder.groups + own + ["service"] * len(self.services) + ["team"] * len(self.teams)

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
class Response:
    """What was learned of one figure from `n` cases: how far it moves, and, where it does not always, how often.

    `used` cases tell how far. `errors` are those of left-out cases, in units of their predicted spread; `still` holds
    the figures where nothing moved.
    """

    scale: Scale
    line: Linear
    errors: Floats
    n: int
    used: int
    moves: Logistic | None
    still: Floats


@dataclass(frozen=True, slots=True)
class Lesson:
    """What every fit of a service shares: the rows, their groups, how much each counts, and which are its own."""

    table: Floats
    groups: Sequence[str]
    counts: Floats
    own: NDArray[np.bool_]


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
    trouble: Logistic
    failure: Logistic
    varying: Floats  # the standard deviation of each of the encoder's columns over the cases
    salt: bytes


def fit(cases: Sequence[Case], *, service: str, team: str | None, now: datetime, salt: bytes = b"") -> Model:
    """Learn for `service` from the cases that were measured by `now`; no case at all gives the cold prior."""
    home = Place(service, team)
    chosen = select([case for case in cases if case.impact.measured_at <= now], home)
    traits = tuple(case_traits(case, salt=salt) for case in chosen)
    places = [place_of(case) for case in chosen]
    design = _design(traits, places, home)
    lesson = Lesson(
        table=design.rows(traits, places),
        groups=design.groups,
        counts=_counts(chosen),
        own=np.array([place.service == service for place in places], dtype=bool),
    )
    basis, n = _basis(places, home)
    name = responses.currency(chosen)
    with one_thread():
        lines = {metric: respond(responses.changes(chosen, metric), lesson) for metric in responses.metrics(chosen)}
        metrics = {metric: response for metric, response in lines.items() if response is not None}
        cost = respond(responses.costs(chosen, name), lesson) if name else None
        hints = _hints([*metrics.values(), *([cost] if cost else [])], lesson.groups)
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
            trouble=_risk(chosen, TROUBLE, lesson, EXPECTED_RISK, hints),
            failure=_risk(chosen, frozenset({Outcome.FAILURE}), lesson, EXPECTED_FAILURE, hints),
            varying=lesson.table.std(axis=0) if chosen else np.zeros(lesson.table.shape[1]),
            salt=salt,
        )


def select(cases: Sequence[Case], home: Place) -> tuple[Case, ...]:
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


def respond(figures: Figures, lesson: Lesson) -> Response | None:
    """Learn one figure; None while fewer than ENOUGH are known.

    Where some cases moved and others did not, the size is learned from those that moved, and moving by itself.
    """
    known = np.isfinite(figures.values)
    if int(known.sum()) < ENOUGH:
        return None
    moved = known & figures.moved
    hurdle = ENOUGH <= int(moved.sum()) <= int(known.sum()) - ENOUGH
    used = moved if hurdle else known
    values, table, counts = figures.values[used], lesson.table[used], lesson.counts[used]
    scale, line = _line(values, table, lesson.groups, counts)
    errors = regression.left_out(line, table, scale.forward(values), lesson.groups, counts)
    return Response(
        scale=scale,
        line=line,
        errors=_own(errors, lesson.own[used]),
        n=int(known.sum()),
        used=values.size,
        moves=_chance(figures.moved[known].astype(float), lesson, known, EXPECTED_MOVE, {}) if hurdle else None,
        still=_own(figures.values[known & ~moved], lesson.own[known & ~moved]) if hurdle else np.zeros(0),
    )


def _own(values: Floats, own: NDArray[np.bool_]) -> Floats:
    """The service's own values where they are enough to speak for themselves, else everybody's."""
    return values[own] if int(own.sum()) >= CONFORMAL else values


def _line(values: Floats, rows: Floats, groups: Sequence[str], counts: Floats) -> tuple[Scale, Linear]:
    """The scale on which cases left out are the least surprising, and the line on it."""
    candidates = responses.scales(values, CONFORMAL)

    def surprise(scale: Scale) -> float:
        scaled = scale.forward(values)
        line = regression.ridge(rows, scaled, groups, counts, rounds=regression.QUICK_ROUNDS)
        errors = regression.tension(line, rows, scaled, counts)
        return float(np.sum(0.5 * errors**2 - scale.stretch(values)) + values.size * np.log(line.sigma))

    best = min(candidates, key=surprise) if len(candidates) > 1 else candidates[0]
    return best, regression.ridge(rows, best.forward(values), groups, counts)


def _design(traits: Sequence[Traits], places: Sequence[Place], home: Place) -> Design:
    services = Counter(place.service for place in places)
    teams = sorted({place.team for place in places if place.team is not None})
    several = len(services) > 1
    return Design(
        encoder=learn_columns(traits),
        home=home,
        services=_telling(services, home) if several else (),
        teams=tuple(teams) if several and len(teams) > 1 else (),
    )


def _telling(services: Mapping[str, int], home: Place) -> tuple[str, ...]:
    """The services with a level of their own: the one at home, and those with enough cases to show one."""
    return tuple(sorted(name for name, count in services.items() if name == home.service or count >= LEVELLED))


def _hints(learned: Sequence[Response], groups: Sequence[str]) -> dict[str, float]:
    """What matters for a size probably matters for the risk: the largest effect of each group on any figure.

    Few cases say little about that, so that the effects found in n of them count n / (n + TRUSTED).
    """
    found: dict[str, float] = {}
    for response in learned:
        trust = response.used / (response.used + TRUSTED)
        for name, effect in regression.relevance(response.line, groups).items():
            found[name] = max(found.get(name, 0.0), trust * effect)
    return found


def _risk(
    cases: Sequence[Case], happened: frozenset[Outcome], lesson: Lesson, expected: float, hints: Mapping[str, float]
) -> Logistic:
    outcomes = [outcome(case) for case in cases]
    known = np.array([one is not Outcome.UNKNOWN for one in outcomes], dtype=bool)
    return _chance(np.array([one in happened for one in outcomes], dtype=float)[known], lesson, known, expected, hints)


def _chance(
    happened: Floats, lesson: Lesson, known: NDArray[np.bool_], expected: float, hints: Mapping[str, float]
) -> Logistic:
    """How often something happens; `happened` (k,) in the `known` cases (n,)."""
    return regression.logistic(
        lesson.table[known],
        happened,
        lesson.groups,
        lesson.counts[known],
        expected=float(np.log(expected / (1.0 - expected))),
        certainty=CERTAINTY,
        hints=hints,
    )


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
