"""Cases -> patterns: what follows under which conditions, stated only where chance is an unlikely author.

Conditions enter one after the other, the most telling first, each tested beside all that were accepted before, so that
nothing is told twice and a trait that only accompanies another is not blamed: what says nothing more beside one other
condition, which still says something beside it, travels with that one and is passed over. After each step
Benjamini-Hochberg over everything that is left decides whether there is a next one.
"""

from collections.abc import Sequence

import numpy as np

from afdp_exporter.model import Case, Floats, Pattern, PatternKind
from afdp_exporter.patterns.effects import Effect, effect
from afdp_exporter.patterns.evidence import Background, Evidence, background, q_values, weigh
from afdp_exporter.patterns.ground import Ground, survey
from afdp_exporter.patterns.learning import Told
from afdp_exporter.patterns.statements import state
from afdp_exporter.patterns.targets import COST, OUTCOME, Target, targets
from afdp_exporter.patterns.threads import one_thread
from afdp_exporter.patterns.traits import case_traits

SUPPORT, HINTED = 15, 4
"""Cases that a pattern rests on at least; fewer, down to HINTED, make a hint."""
DISCOVERY_RATE = 0.05
NEWEST = 1000
"""How many of the newest cases are mined."""
LEAST_RATE, LEAST_SIZE = 0.05, 0.25
"""The floor on an effect: of a rate, and of a size in standard deviations of what was unexplained."""
EVENTS = 5
"""How many cases that differ from the usual figure a condition needs for itself (Vittinghoff and McCulloch, "Relaxing
the rule of ten events per variable", American Journal of Epidemiology 165, 2007): eight costs among 150 deployments
without any are soon told apart by conditions that have nothing to do with them."""
SUSPECT, NOTHING = 0.01, 0.1
"""A condition with a p below the first may be what another one only travels with, which has one above the second."""
MOST = 40
"""The most patterns that are looked for."""


class _Search:
    """What was accepted for one target so far, and the p of every candidate beside it."""

    def __init__(self, target: Target, ground: Ground, services: Floats) -> None:
        self.target = target
        self.known = target.known
        self._figures = (target.figures[self.known], target.blamed[self.known])
        self.members = ground.members[self.known]
        self.services = services[self.known]
        self.accepted: list[int] = []
        self._room = np.array([_unusual(figures) // EVENTS for figures in self._figures])
        self._scores = [target.scores(figures) for figures in self._figures]
        self._seen = ground.seen[self.known]
        self.ground = ground
        self._settled: set[int] = set()
        self._alone = self._weigh(self._background(())).p
        self.p = self._test()

    def settle(self, candidate: int, *, accept: bool) -> None:
        """Take a candidate in, or out of the search; either way it is not looked at again."""
        self._settled.add(candidate)
        if accept:
            self.accepted.append(candidate)
            self.p = self._test()
        self.p[candidate] = 1.0

    def figures(self, candidate: int) -> Floats:
        """What a candidate is held against (n,): one of the time only against what a deployment is to blame for."""
        return self._figures[int(self.ground.timed[candidate])]

    def others(self, candidate: int) -> list[int]:
        """What was accepted besides a candidate and is no special case of it."""
        outside = self.members[:, candidate] == 0
        return [one for one in self.accepted if self.members[outside, one].any()]

    def measure(self, candidate: int) -> Effect:
        """The effect of a candidate beside the others."""
        others = self.members[:, self.others(candidate)]
        return effect(self.figures(candidate), self.members[:, candidate], others, self.services, rate=self.target.rate)

    def travels(self, candidate: int) -> bool:
        """Whether a candidate says nothing more beside one other condition, which says something beside it."""
        own = {one.trait for one in self.ground.conditions[candidate]}
        column, known = self.members[:, [candidate]], self._background(self.others(candidate))
        for other, conditions in enumerate(self.ground.conditions):
            if self._alone[other] >= SUSPECT or own & {one.trait for one in conditions}:
                continue
            rival = self.members[:, [other]]
            if weigh(self._scores_of(candidate), column, known.beside(rival)).p[0] <= NOTHING:
                continue
            if weigh(self._scores_of(other), rival, known.beside(column)).p[0] < SUSPECT:
                return True
        return False

    def unexplained(self, candidate: int, accepted: Sequence[int]) -> Floats:
        """What of a candidate's scores is left beside the services and those accepted (n,)."""
        return self._background(accepted).rest(self._scores_of(candidate))

    def _background(self, accepted: Sequence[int]) -> Background:
        return background(np.column_stack([self.services, self.members[:, list(accepted)]]))

    def _scores_of(self, candidate: int) -> Floats:
        return self._scores[int(self.ground.timed[candidate])]

    def _weigh(self, known: Background) -> Evidence:
        found = Evidence(z=np.empty(self.members.shape[1]), p=np.empty(self.members.shape[1]))
        for scores, columns in zip(self._scores, (~self.ground.timed, self.ground.timed), strict=True):
            tested = weigh(scores, self.members[:, columns], known)
            found.z[columns], found.p[columns] = tested.z, tested.p
        return found

    def _test(self) -> Floats:
        known = self._background(self.accepted)
        whole = self._weigh(known)
        p = whole.p
        for candidate in np.flatnonzero(p < DISCOVERY_RATE).tolist():
            seen = self.ground.beside[candidate]
            if seen:
                without = known.beside(self._seen[:, list(seen)])
                beside = weigh(self._scores_of(candidate), self.members[:, [candidate]], without)
                further = whole.z[candidate] * beside.z[0] > 0
                worse = len(self.ground.conditions[candidate]) == 1 or beside.z[0] > 0
                p[candidate] = max(p[candidate], beside.p[0]) if further and worse else 1.0
        p[self._room[self.ground.timed.astype(int)] <= len(self.accepted)] = 1.0
        p[self.members.sum(axis=0) < HINTED] = 1.0
        p[self._orphans()] = 1.0
        p[list(self._settled)] = 1.0
        return p

    def _orphans(self) -> list[int]:
        """Pairs of which a half says nothing by itself: what acts together mostly acts alone too (heredity: Chipman,
        "Bayesian variable selection with related predictors", Canadian Journal of Statistics 24, 1996)."""
        pairs = [place for place, one in enumerate(self.ground.conditions) if len(one) > 1]
        return [one for one in pairs if self._alone[list(self.ground.beside[one][:2])].max() >= DISCOVERY_RATE]


def mine(cases: Sequence[Case], *, dependent: bool = False, salt: bytes = b"") -> tuple[Pattern, ...]:
    """Everything that the cases support, the surest first; `dependent` asks for Benjamini-Yekutieli, as gates do."""
    chosen = newest([case for case in cases if not case.rollback])
    ground = survey([case_traits(case, salt=salt) for case in chosen], HINTED)
    names = sorted({case.deployment.service for case in chosen})
    services = np.array([[case.deployment.service == name for name in names] for case in chosen], dtype=float)
    with one_thread():
        searches = [_Search(target, ground, services) for target in targets(chosen)] if ground.conditions else []
        found = _search(searches, ground, dependent=dependent)
        told = [(search, candidate, q, search.measure(candidate)) for search, candidate, q in found]
        return tuple(_pattern(*one, chosen) for one in told if _certain(one[-1]))


def newest(told: Sequence[Told]) -> list[Told]:
    """Those that are mined, in order of time."""
    return sorted(told, key=lambda each: (each.deployment.started_at, each.deployment.id))[-NEWEST:]


def _search(searches: Sequence[_Search], ground: Ground, *, dependent: bool) -> list[tuple[_Search, int, float]]:
    found: list[tuple[_Search, int, float]] = []
    weights = _weights([search.target for search in searches], ground)
    while searches and len(found) < MOST:
        q = q_values(np.concatenate([search.p for search in searches]) / weights, dependent=dependent)
        best = int(np.argmin(q))
        if q[best] > DISCOVERY_RATE:
            break
        search, candidate = searches[best // len(ground.conditions)], best % len(ground.conditions)
        counts = _large_enough(search, candidate) and _certain(search.measure(candidate))
        counts = counts and not search.travels(candidate)
        if counts:
            found.append((search, candidate, float(q[best])))
        search.settle(candidate, accept=counts)
    return found


def _weights(aims: Sequence[Target], ground: Ground) -> Floats:
    """How much each test counts, 1 on the mean (Genovese, Roeder and Wasserman, Biometrika 93, 2006)."""
    metrics = sum(aim.name not in {OUTCOME, COST} for aim in aims)
    shares = np.array([aim.weight(metrics) for aim in aims])
    return np.outer(shares / shares.mean(), ground.weights(SUPPORT)).ravel() if aims else np.zeros(0)


def _large_enough(search: _Search, candidate: int) -> bool:
    inside = search.members[:, candidate] > 0
    rest = search.unexplained(candidate, search.accepted)
    gap = abs(float(rest[inside].mean() - rest[~inside].mean()))
    return gap >= (LEAST_RATE if search.target.rate else LEAST_SIZE * float(rest.std()))


def _certain(measured: Effect) -> bool:
    """Whether the whole interval of an effect lies on one side of none."""
    return measured.difference.low > 0 or measured.difference.high < 0


def _unusual(figures: Floats) -> int:
    """How many figures differ from the most frequent one."""
    return figures.size - int(np.unique(figures, return_counts=True)[1].max())


def _pattern(search: _Search, candidate: int, q_value: float, measured: Effect, cases: Sequence[Case]) -> Pattern:
    inside = search.members[:, candidate] > 0
    members = [cases[place] for place in np.flatnonzero(search.known)[inside]]
    sure = len(members) >= SUPPORT and _confirmed(search, candidate)
    return state(
        kind=PatternKind.PATTERN if sure else PatternKind.HINT,
        conditions=search.ground.conditions[candidate],
        target=search.target,
        effect=measured,
        members=members,
        usual=float(search.figures(candidate)[~inside].mean()),
        q_value=q_value,
    )


def _confirmed(search: _Search, candidate: int) -> bool:
    """Whether the newest third of the pattern's cases points the same way as all of them."""
    inside = search.unexplained(candidate, search.others(candidate))[search.members[:, candidate] > 0]
    newest = inside[-max(inside.size // 3, 1) :]
    return float(newest.mean()) * float(inside.mean()) > 0
