"""Training: examples -> a Model of one service, with partial pooling over the service, its team and all others.

Clock features (part of the day, weekday) are used only where the examples are informative about them: with few examples
some hour always looks bad. Each, alone and in products with what is deployed, is tested against trouble and cost by a
score test given the service and the most significant features of the change, with Bonferroni's correction.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats, MeasuredSummary, PoolingLevel, TrainingExample
from afdp_exporter.patterns.features.encoding import TOGETHER, Encoder, learn_columns
from afdp_exporter.patterns.features.extraction import OF_THE_PAST, SIZES, Features, example_features, is_intrinsic
from afdp_exporter.patterns.models import targets
from afdp_exporter.patterns.models.cases import CaseTable, case_table
from afdp_exporter.patterns.models.hurdle import ENOUGH, HurdleModel, fit_hurdle
from afdp_exporter.patterns.models.ridge import CONFORMAL, single_threaded_blas
from afdp_exporter.patterns.models.risk import HERE, SERVICE, TEAM_LEVEL, RatePrior, RiskModel, TrainingMatrix, fit_risk
from afdp_exporter.patterns.models.score_test import normal_scores, nuisance, score_test
from afdp_exporter.patterns.models.targets import Labels, failure_labels, trouble_labels

OWN, TEAM, OTHERS = 400, 150, 150
"""How many of the newest examples are used for training: of the service, of its team, of all others."""
HALF_LIFE = timedelta(days=180)
"""An example this much older than the newest one counts half."""
EXPECTED_RISK, EXPECTED_FAILURE = RatePrior(0.15, doubt=0.8), RatePrior(1 / 3)
"""The prior: this share of changes hurts, 3 to 38 % with a chance of 90 % (DORA's change fail rates reach from 5 % of
elite to 40 % of low performers); of those this share fails."""
MOMENT, PAST = 0.5, 0.25
"""How much a trait of the moment, and one of what was before, counts in what is alike, against 1 for one of the change
itself."""
LARGER = 0.3
"""What one standard deviation of the size of a change is expected to add to the log odds of trouble. In each of six
projects of ApacheJIT (Keshavarz and Nagappan, MSR 2022) it is more, 0.5 and above; a deployment is no commit."""
CONJUNCTIONS = 2.0
"""How much all products of two columns count together, such as a migration on a Monday."""
RARE = 0.2
"""The smallest standard deviation that a column of the kernel is scaled by: a level that few cases have makes a row no
longer than a twentieth of the cases would."""
LEVELLED = 10
"""A service with this many cases has a level of its own."""

Example = TypeVar("Example", TrainingExample, MeasuredSummary)


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Where a deployment belongs."""

    service: str
    team: str | None


@dataclass(frozen=True, slots=True)
class DesignMatrix:
    """Traits and place -> the row that the fits know: what holds for all, for the team, for the service."""

    encoder: Encoder
    home: GroupKey
    services: tuple[str, ...]
    teams: tuple[str, ...]

    @property
    def groups(self) -> list[str]:
        """The name of each column's group."""
        own = [f"{column.trait}{HERE}" for column in self.encoder.columns] if self.services else []
        return self.encoder.groups + own + [SERVICE] * len(self.services) + [TEAM_LEVEL] * len(self.teams)

    def rows(self, traits: Sequence[Features], places: Sequence[GroupKey]) -> Floats:
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
    """What is known for deployments of one service; immutable, and small enough to pass between processes."""

    home: GroupKey
    cases: CaseTable
    design: DesignMatrix
    basis: PoolingLevel
    n: int
    metrics: Mapping[str, HurdleModel]
    cost: HurdleModel | None
    currency: str | None
    trouble: RiskModel
    failure: RiskModel  # of those that hurt
    varying: Floats  # the standard deviation of each of the encoder's columns over the cases
    salt: bytes


def fit(
    examples: Sequence[TrainingExample], *, service: str, team: str | None, now: datetime, salt: bytes = b""
) -> Model:
    """Learn for `service` from the cases that were measured by `now`; fewer than three give the cold prior."""
    home = GroupKey(service, team)
    chosen = training_set(
        [example for example in examples if example.impact.measured_at <= now and not example.rollback], home
    )
    if len(chosen) < ENOUGH:
        chosen = ()
    traits = tuple(example_features(example, salt=salt) for example in chosen)
    places = [group_of(example) for example in chosen]
    name, labels = targets.currency(chosen), trouble_labels(chosen)
    costs = targets.costs(chosen, name) if name else None
    with single_threaded_blas():
        clock = uninformative_clock(chosen, traits)
    design = _design(traits, places, home, clock)
    data = _training_matrix(design, traits, places, _sample_weights(chosen))
    basis, n = _pooling(places, home)
    happened = np.where(labels.weight > 0, labels.happened, _trouble_rate(labels))
    with single_threaded_blas():
        fitted = {
            metric: fit_hurdle(targets.changes(chosen, metric), data, happened) for metric in targets.metrics(chosen)
        }
        cost = fit_hurdle(costs, data, happened) if costs else None
        learned = [each for each in (*fitted.values(), cost) if each is not None]
        severities = [severity for response, severity in learned if response.used >= CONFORMAL]
        return Model(
            home=home,
            cases=case_table(chosen, traits, name),
            design=design,
            basis=basis,
            n=n,
            metrics={metric: each[0] for metric, each in fitted.items() if each is not None},
            cost=cost[0] if cost else None,
            currency=name,
            trouble=fit_risk(labels, data, EXPECTED_RISK, severities, _expected_effects(design.encoder, data.table)),
            failure=fit_risk(failure_labels(chosen), data, EXPECTED_FAILURE),
            varying=data.table.std(axis=0) if chosen else np.zeros(data.table.shape[1]),
            salt=salt,
        )


def _training_matrix(
    design: DesignMatrix, traits: Sequence[Features], places: Sequence[GroupKey], sample_weight: Floats
) -> TrainingMatrix:
    home, table = design.home, design.rows(traits, places)
    return TrainingMatrix(
        table=table,
        groups=design.groups,
        scales=_kernel_scales(design.encoder, table, design.groups),
        service=_group_ids([place.service for place in places], home.service),
        team=_group_ids([place.team for place in places], home.team),
        sample_weight=sample_weight,
        own=np.array([place.service == home.service for place in places], dtype=bool),
    )


def training_set(examples: Sequence[Example], home: GroupKey) -> tuple[Example, ...]:
    """The newest cases of the service, its team and all others that are learned from, in order of time."""
    newest = sorted(examples, key=lambda example: (example.deployment.started_at, example.deployment.id), reverse=True)
    own = [example for example in newest if example.deployment.service == home.service]
    rest = [example for example in newest if example.deployment.service != home.service]
    team = [example for example in rest if home.team is not None and example.deployment.team == home.team]
    others = [example for example in rest if home.team is None or example.deployment.team != home.team]
    chosen = own[:OWN] + team[:TEAM] + others[:OTHERS]
    return tuple(sorted(chosen, key=lambda example: (example.deployment.started_at, example.deployment.id)))


def group_of(example: TrainingExample) -> GroupKey:
    """Where a case belongs."""
    return GroupKey(example.deployment.service, example.deployment.team)


def uninformative_clock(examples: Sequence[TrainingExample], traits: Sequence[Features]) -> frozenset[str]:
    """Which traits of the clock the cases, with these `traits`, say nothing about."""
    currency = targets.currency(examples)
    costs = targets.costs(examples, currency) if currency else None
    encoder = learn_columns(traits)
    used = [place for place, column in enumerate(encoder.columns) if column.kind != "above"]
    own = [example.deployment.service for example in examples]
    services = np.array([[one == name for name in sorted(set(own))] for one in own], dtype=float)
    table = encoder.encode(traits)[:, used]
    columns = [encoder.columns[place].trait for place in used]
    cost = costs.attributed if costs else None
    return uninformative_clock_features(columns, table, services, trouble_labels(examples), cost)


def _design(
    traits: Sequence[Features], places: Sequence[GroupKey], home: GroupKey, clock: frozenset[str]
) -> DesignMatrix:
    services = Counter(place.service for place in places)
    teams = sorted({place.team for place in places if place.team is not None})
    levels = _services_with_level(services, home) if len(services) > 1 else ()
    return DesignMatrix(
        encoder=learn_columns(traits, clock),
        home=home,
        services=levels,
        teams=tuple(teams) if levels and len(teams) > 1 else (),
    )


def _services_with_level(services: Mapping[str, int], home: GroupKey) -> tuple[str, ...]:
    """The services with a level of their own: the one at home, and those with enough cases to show one."""
    return tuple(sorted(name for name, count in services.items() if name == home.service or count >= LEVELLED))


def _trouble_rate(labels: Labels) -> float:
    """The rate of trouble among what is known, with one pseudo-observation of the prior."""
    return float((labels.weight @ labels.happened + EXPECTED_RISK.expected) / (labels.weight.sum() + 1.0))


def _kernel_scales(encoder: Encoder, table: Floats, groups: Sequence[str]) -> tuple[Floats, ...]:
    """What turns the encoder's columns into a row of length 1 in the mean, without the products of columns, and with
    them where there are any."""
    alone = _scales(encoder.groups[: len(encoder.columns)], encoder, table, len(groups))
    return (alone, _scales(encoder.groups, encoder, table, len(groups))) if encoder.products else (alone,)


def _scales(names: Sequence[str], encoder: Encoder, table: Floats, columns: int) -> Floats:
    """The scale of each of the columns, of which the first have these names, 0 for the others: each trait is as long as
    any other, those of the moment count MOMENT, those of the past PAST, all products together CONJUNCTIONS. Steps of a
    number are left out: its linear column says what they say."""
    steps = {place for place, column in enumerate(encoder.columns) if column.kind == "above"}
    spread = table[:, : len(names)].std(axis=0) if table.size else np.zeros(len(names))
    counts = Counter(name for place, name in enumerate(names) if place not in steps)
    weights = {name: _kernel_weight(name) for name in counts}
    whole = sum(weight**2 for weight in weights.values())
    scales = np.zeros(columns)
    for place, name in enumerate(names):
        if place not in steps and spread[place] > 0:
            scales[place] = weights[name] / (max(spread[place], RARE) * np.sqrt(counts[name] * whole))
    return scales


def _kernel_weight(group: str) -> float:
    if group == TOGETHER:
        return CONJUNCTIONS
    if group in OF_THE_PAST:
        return PAST
    return 1.0 if is_intrinsic(group) else MOMENT


def _expected_effects(encoder: Encoder, table: Floats) -> Floats:
    """What each column of the table (n, p) is expected to add to the log odds of trouble (p,): what is larger in the
    mean of its sizes is riskier."""
    sizes = [place for place, column in enumerate(encoder.columns) if column.kind == "linear" and column.trait in SIZES]
    expected = np.zeros(table.shape[1])
    expected[sizes] = LARGER / max(len(sizes), 1)
    return expected


def _group_ids(names: Sequence[str | None], home: str | None) -> NDArray[np.intp]:
    """A number for each name, 0 for home's."""
    known = {home: 0}
    return np.array([known.setdefault(name, len(known)) for name in names], dtype=np.intp)


def _pooling(places: Sequence[GroupKey], home: GroupKey) -> tuple[PoolingLevel, int]:
    own = sum(place.service == home.service for place in places)
    team = sum(home.team is not None and place.team == home.team for place in places)
    for basis, n in ((PoolingLevel.SERVICE, own), (PoolingLevel.TEAM, team), (PoolingLevel.GLOBAL, len(places))):
        if n >= ENOUGH:
            return basis, n
    return PoolingLevel.COLD, 0


def _sample_weights(examples: Sequence[TrainingExample]) -> Floats:
    """How much each case counts (n,): half for every HALF_LIFE that it is older than the newest one."""
    newest = max((example.deployment.started_at for example in examples), default=None)
    return np.array(
        [0.5 ** ((newest - example.deployment.started_at) / HALF_LIFE) for example in examples if newest], dtype=float
    )


CLOCK = ("weekday", "hour")
CLOCK_LEVEL = 0.02
"""The significance level, after Bonferroni, from which on a clock feature is used."""
LEAST_CLOCK_CASES = 15
"""Examples without which no clock feature is used."""
CASES_A_COVARIATE = 6
"""One covariate of the change for so many examples."""


def uninformative_clock_features(
    columns: Sequence[str], table: Floats, places: Floats, labels: Labels, costs: Floats | None
) -> frozenset[str]:
    """Which of CLOCK the cases say nothing about; `columns` names the trait of each column of `table` (n, p), `places`
    (n, s) are the levels of services, `costs` (n,) NaN where unknown."""
    figures = [(labels.happened, labels.weight > 0)]
    if costs is not None:
        known = np.isfinite(costs)
        figures.append((_scores(costs, known), known))
    return frozenset(
        name for name in CLOCK if not any(_is_informative(name, columns, table, places, each) for each in figures)
    )


def _is_informative(
    name: str, columns: Sequence[str], table: Floats, places: Floats, figure: tuple[Floats, np.ndarray]
) -> bool:
    values, known = figure
    if int(known.sum()) < LEAST_CLOCK_CASES or np.ptp(values[known]) == 0.0:
        return False
    names = np.array(columns, dtype=str)
    values, table, places = values[known], table[known], places[known]
    change = table[:, ~np.isin(names, CLOCK)]
    clock = table[:, names == name]
    together = (clock[:, :, None] * change[:, None, :]).reshape(values.size, -1)
    strength = np.abs(score_test(values, change, nuisance(places)).z) if change.size else np.zeros(0)
    covariates = change[:, np.argsort(-strength, kind="stable")[: values.size // CASES_A_COVARIATE]]
    adjusted = nuisance(np.column_stack([places, covariates]))
    alone = score_test(values, clock, adjusted).p
    paired = score_test(values, together, adjusted.extended(clock)).p if together.size else np.ones(0)
    smallest = min((float(p.min()) * p.size for p in (alone, paired) if p.size), default=1.0)
    return 2.0 * smallest < CLOCK_LEVEL


def _scores(costs: Floats, known: np.ndarray) -> Floats:
    found = np.zeros(costs.size)
    found[known] = normal_scores(costs[known])
    return found
