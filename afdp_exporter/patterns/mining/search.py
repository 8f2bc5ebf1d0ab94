"""Rule mining by forward selection: rules are reported only if significant under false discovery rate control.

Rules enter one after the other, the most significant first, each tested conditionally on those accepted before, so that
nothing is reported twice and a feature that only accompanies another is not blamed: a rule that is insignificant given
one other rule, which stays significant given it and is to be reported itself, is confounded and skipped. After each
step Benjamini and Hochberg's procedure over all remaining candidates decides whether there is a next one. Hour and
weekday are held against trouble and cost only where these say anything about the clock at all, as the models do.
"""

from collections.abc import Sequence, Set

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.model import Floats, Pattern, PatternKind, TrainingExample
from afdp_exporter.patterns.features.extraction import example_features
from afdp_exporter.patterns.mining.candidates import RuleSpace, enumerate_rules
from afdp_exporter.patterns.mining.effects import Effect, effect_size
from afdp_exporter.patterns.mining.statements import describe_pattern
from afdp_exporter.patterns.mining.targets import COST, OUTCOME, Target, mining_targets
from afdp_exporter.patterns.models.ridge import single_threaded_blas
from afdp_exporter.patterns.models.score_test import Nuisance, ScoreTest, nuisance, q_values, score_test
from afdp_exporter.patterns.models.training import Example, uninformative_clock

SUPPORT, HINTED = 15, 4
"""Cases that a pattern rests on at least; fewer, down to HINTED, make a hint."""
DISCOVERY_RATE = 0.05
"""The false discovery rate."""
NEWEST = 1000
"""How many of the newest cases are mined."""
LEAST_RATE, LEAST_SIZE = 0.05, 0.25
"""The floor on an effect: of a rate, and of a size in standard deviations of what was unexplained."""
EVENTS = 5
"""How many cases that differ from the usual figure a condition needs for itself (Vittinghoff and McCulloch, "Relaxing
the rule of ten events per variable", American Journal of Epidemiology 165, 2007): eight costs among 150 deployments
without any are easily separated by spurious conditions."""
SUSPECT, NOTHING = 0.01, 0.1
"""A condition with a p below the first may be what another one only travels with, which has one above the second."""
MOST = 40
"""The most patterns that are looked for."""


class _ForwardSelection:
    """Forward selection for one target: the accepted rules, and the p of every candidate given them."""

    def __init__(self, target: Target, rules: RuleSpace, services: Floats, silent: Set[str]) -> None:
        self.target = target
        self.known = target.known
        self._figures = (target.figures[self.known], target.attributed[self.known])
        self.members = rules.members[self.known]
        self.services = services[self.known]
        self.accepted: list[int] = []
        self._most_rules = np.array([_events(figures) // EVENTS for figures in self._figures])
        self._scores = [target.scores(figures) for figures in self._figures]
        self._covariates = rules.covariates[self.known]
        self.rules = rules
        self._settled = {
            place for place, one in enumerate(rules.conditions) if any(each.trait in silent for each in one)
        }
        self._alone = self._weigh(self._background(())).p
        self.p = self._p_values()

    def settle(self, candidate: int, *, accept: bool) -> None:
        """Take a candidate in, or out of the search; either way it is not looked at again."""
        self._settled.add(candidate)
        if accept:
            self.accepted.append(candidate)
            self.p = self._p_values()
        self.p[candidate] = 1.0

    def figures(self, candidate: int) -> Floats:
        """The figures that a candidate is tested on (n,): a time-dependent one on attributed outcomes only."""
        return self._figures[int(self.rules.time_dependent[candidate])]

    def others(self, candidate: int) -> list[int]:
        """What was accepted besides a candidate and is no special case of it."""
        outside = self.members[:, candidate] == 0
        return [one for one in self.accepted if self.members[outside, one].any()]

    def measure(self, candidate: int) -> Effect:
        """The effect of a candidate given the others."""
        others = self.members[:, self.others(candidate)]
        return effect_size(
            self.figures(candidate), self.members[:, candidate], others, self.services, rate=self.target.rate
        )

    def is_confounded(self, candidate: int, reportable: NDArray[np.bool_]) -> bool:
        """Whether it is confounded: insignificant given one other rule, which stays significant given it and is
        `reportable` (m,) itself."""
        own = {one.trait for one in self.rules.conditions[candidate]}
        column, known = self.members[:, [candidate]], self._background(self.others(candidate))
        for other, conditions in enumerate(self.rules.conditions):
            if not reportable[other] or own & {one.trait for one in conditions}:
                continue
            rival = self.members[:, [other]]
            if score_test(self._scores_of(candidate), column, known.extended(rival)).p[0] <= NOTHING:
                continue
            if score_test(self._scores_of(other), rival, known.extended(column)).p[0] < SUSPECT:
                return True
        return False

    def wider(self, candidate: int, reportable: NDArray[np.bool_]) -> list[int]:
        """Of a candidate with too few cases for a pattern, the `reportable` ones (m,) about the same traits that have
        enough and hold wherever it does: a smaller size, in place of the one that says most."""
        inside = self.members[:, candidate] > 0
        if int(inside.sum()) >= SUPPORT:
            return []
        traits = [one.trait for one in self.rules.conditions[candidate]]
        return [
            other
            for other in np.flatnonzero(reportable & (self.members.sum(axis=0) >= SUPPORT)).tolist()
            if [one.trait for one in self.rules.conditions[other]] == traits and self.members[inside, other].all()
        ]

    def unexplained(self, candidate: int, accepted: Sequence[int]) -> Floats:
        """A candidate's scores as residuals given the services and the accepted rules (n,)."""
        return self._background(accepted).residuals(self._scores_of(candidate))

    def _background(self, accepted: Sequence[int]) -> Nuisance:
        return nuisance(np.column_stack([self.services, self.members[:, list(accepted)]]))

    def _scores_of(self, candidate: int) -> Floats:
        return self._scores[int(self.rules.time_dependent[candidate])]

    def _weigh(self, known: Nuisance) -> ScoreTest:
        found = ScoreTest(z=np.empty(self.members.shape[1]), p=np.empty(self.members.shape[1]))
        for scores, columns in zip(self._scores, (~self.rules.time_dependent, self.rules.time_dependent), strict=True):
            tested = score_test(scores, self.members[:, columns], known)
            found.z[columns], found.p[columns] = tested.z, tested.p
        return found

    def _p_values(self) -> Floats:
        known = self._background(self.accepted)
        whole = self._weigh(known)
        p = whole.p
        for candidate in np.flatnonzero(p < DISCOVERY_RATE).tolist():
            seen = self.rules.adjusted_for[candidate]
            if seen:
                without = known.extended(self._covariates[:, list(seen)])
                adjusted = score_test(self._scores_of(candidate), self.members[:, [candidate]], without)
                further = whole.z[candidate] * adjusted.z[0] > 0
                worse = len(self.rules.conditions[candidate]) == 1 or adjusted.z[0] > 0
                p[candidate] = max(p[candidate], adjusted.p[0]) if further and worse else 1.0
        p[self._most_rules[self.rules.time_dependent.astype(int)] <= len(self.accepted)] = 1.0
        p[self.members.sum(axis=0) < HINTED] = 1.0
        p[self._violating_heredity()] = 1.0
        p[list(self._settled)] = 1.0
        return p

    def _violating_heredity(self) -> list[int]:
        """Pairs of which a half says nothing by itself: what acts together mostly acts alone too (heredity: Chipman,
        "Bayesian variable selection with related predictors", Canadian Journal of Statistics 24, 1996)."""
        pairs = [place for place, one in enumerate(self.rules.conditions) if len(one) > 1]
        return [one for one in pairs if self._alone[list(self.rules.adjusted_for[one][:2])].max() >= DISCOVERY_RATE]


def mine(examples: Sequence[TrainingExample], *, dependent: bool = False, salt: bytes = b"") -> tuple[Pattern, ...]:
    """Everything that the cases support, the surest first; `dependent` asks for Benjamini-Yekutieli, as gates do."""
    chosen = newest([example for example in examples if not example.rollback])
    rows = [example_features(example, salt=salt) for example in chosen]
    with single_threaded_blas():
        silent = uninformative_clock(chosen, rows)
    rules = enumerate_rules(rows, HINTED)
    names = sorted({example.deployment.service for example in chosen})
    services = np.array([[example.deployment.service == name for name in names] for example in chosen], dtype=float)
    with single_threaded_blas():
        searches = (
            [
                _ForwardSelection(target, rules, services, silent if target.name in {OUTCOME, COST} else frozenset())
                for target in mining_targets(chosen)
            ]
            if rules.conditions
            else []
        )
        found = _search(searches, rules, dependent=dependent)
        measured = [(search, candidate, q, search.measure(candidate)) for search, candidate, q in found]
        return tuple(_pattern(*one, chosen) for one in measured if _is_significant(one[-1]))


def newest(measured: Sequence[Example]) -> list[Example]:
    """Those that are mined, in order of time."""
    return sorted(measured, key=lambda each: (each.deployment.started_at, each.deployment.id))[-NEWEST:]


def _search(
    searches: Sequence[_ForwardSelection], rules: RuleSpace, *, dependent: bool
) -> list[tuple[_ForwardSelection, int, float]]:
    found: list[tuple[_ForwardSelection, int, float]] = []
    weights = _weights([search.target for search in searches], rules)
    while searches and len(found) < MOST:
        q = q_values(np.concatenate([search.p for search in searches]) / weights, dependent=dependent)
        best = int(np.argmin(q))
        if q[best] > DISCOVERY_RATE:
            break
        place, candidate = divmod(best, len(rules.conditions))
        search, q = searches[place], q.reshape(len(searches), -1)[place]
        reportable = q <= DISCOVERY_RATE
        wider = sorted(search.wider(candidate, reportable), key=q.__getitem__)
        chosen = next((one for one in (*wider, candidate) if _counts(search, one, reportable)), None)
        if chosen is not None:
            found.append((search, chosen, float(q[chosen])))
        search.settle(candidate if chosen is None else chosen, accept=chosen is not None)
    return found


def _counts(search: _ForwardSelection, candidate: int, reportable: NDArray[np.bool_]) -> bool:
    """Whether a significant candidate is large, and not confounded by another one that is `reportable` (m,)."""
    large = _large_enough(search, candidate) and _is_significant(search.measure(candidate))
    return large and not search.is_confounded(candidate, reportable)


def _weights(aims: Sequence[Target], rules: RuleSpace) -> Floats:
    """How much each test counts, 1 on the mean (Genovese, Roeder and Wasserman, Biometrika 93, 2006)."""
    metrics = sum(aim.name not in {OUTCOME, COST} for aim in aims)
    shares = np.array([aim.weight(metrics) for aim in aims])
    return np.outer(shares / shares.mean(), rules.weights(SUPPORT)).ravel() if aims else np.zeros(0)


def _large_enough(search: _ForwardSelection, candidate: int) -> bool:
    inside = search.members[:, candidate] > 0
    rest = search.unexplained(candidate, search.accepted)
    gap = abs(float(rest[inside].mean() - rest[~inside].mean()))
    return gap >= (LEAST_RATE if search.target.rate else LEAST_SIZE * float(rest.std()))


def _is_significant(measured: Effect) -> bool:
    """Whether the whole interval of an effect lies on one side of none."""
    return measured.difference.low > 0 or measured.difference.high < 0


def _events(figures: Floats) -> int:
    """How many figures differ from the most frequent one."""
    return figures.size - int(np.unique(figures, return_counts=True)[1].max())


def _pattern(
    search: _ForwardSelection, candidate: int, q_value: float, measured: Effect, examples: Sequence[TrainingExample]
) -> Pattern:
    inside = search.members[:, candidate] > 0
    members = [examples[place] for place in np.flatnonzero(search.known)[inside]]
    sure = len(members) >= SUPPORT and _confirmed(search, candidate)
    return describe_pattern(
        kind=PatternKind.PATTERN if sure else PatternKind.HINT,
        conditions=search.rules.conditions[candidate],
        target=search.target,
        effect=measured,
        members=members,
        usual=float(search.figures(candidate)[~inside].mean()),
        q_value=q_value,
    )


def _confirmed(search: _ForwardSelection, candidate: int) -> bool:
    """Whether the newest third of the pattern's cases points the same way as all of them."""
    inside = search.unexplained(candidate, search.others(candidate))[search.members[:, candidate] > 0]
    newest = inside[-max(inside.size // 3, 1) :]
    return float(newest.mean()) * float(inside.mean()) > 0
