"""How likely something is after a deployment, learned from whether it happened and from how far figures moved.

Yes or no says little; sizes say much more, and what moves them far is likely to be what brings trouble. So what the
fits of sizes expect of each case enters as further columns, always from fits that did not see it (stacking: Wolpert,
"Stacked generalization", Neural Networks 5, 1992). Those columns are lines of the traits, so that they fold back into
weights of the traits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from afdp_exporter.model import Floats
from afdp_exporter.patterns.chances import Belief, Logistic, logistic
from afdp_exporter.patterns.encoding import TOGETHER

DOUBT = 0.5
"""The standard deviation of the prior's log odds: the 90 % range of a risk of 15 % goes from 7 % to 29 %."""
HERE, SERVICE, TEAM_LEVEL = ", here", "service", "team"
"""The names of the groups of columns that speak of one service: an effect of its own, its level, its team's level."""
MATTERING, MATTERING_HERE, MATTERING_TOGETHER = 0.4, 0.02, 0.005
"""How many columns of a trait matter, how many do so for one service alone, and how likely each product does."""
ODDS_SPREAD, ODDS_SPREAD_HERE, LEVEL_SPREAD = 0.8, 0.7, 0.3
"""The spread of a log odds ratio that matters, of one for a service alone, and of the levels of services and teams."""
TELLING, TELLING_SPREAD = 0.9, 0.5
"""How likely a size tells of the risk, and the spread of the log odds ratio for one standard deviation of its noise."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What every fit of a service shares: the rows, their groups, how much each counts, and which are its own."""

    table: Floats
    groups: Sequence[str]
    counts: Floats
    own: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Severity:
    """How far one figure is expected to move, in units of its noise: of each case (n,) by fits that did not see it, and
    as `weights` (p + 1,) of any row, the intercept left out."""

    effects: Floats
    weights: Floats


def chance(
    happened: Floats,
    lesson: Lesson,
    known: NDArray[np.bool_],
    expected: float,
    severities: Sequence[Severity] = (),
    *,
    spread: float = ODDS_SPREAD,
) -> Logistic:
    """How often something happens; `happened` (k,) in the `known` cases (n,); beforehand it is `expected`, and the log
    odds ratio of a trait that matters has this `spread`."""
    effects = [severity.effects[known, None] for severity in severities]
    belief = _belief(lesson.groups, expected, spread).beside(len(effects), matters=TELLING, spread=TELLING_SPREAD)
    found = logistic(np.hstack([lesson.table[known], *effects]), happened, lesson.counts[known], belief)
    back = np.vstack([np.eye(1 + len(lesson.groups)), *(severity.weights for severity in severities)])
    return Logistic(weights=found.weights @ back, covariance=back.T @ found.covariance @ back)


def _belief(groups: Sequence[str], expected: float, spread: float) -> Belief:
    believed = [_of(name, groups.count(name), spread) for name in groups]
    matters, spreads = np.array(believed, dtype=float).reshape(len(groups), 2).T
    return Belief(expected=float(logit(expected)), doubt=DOUBT, matters=matters, spread=spreads)


def _of(group: str, columns: int, spread: float) -> tuple[float, float]:
    if group in {SERVICE, TEAM_LEVEL}:
        return 1.0, LEVEL_SPREAD
    if group == TOGETHER:
        return MATTERING_TOGETHER, spread
    if group.endswith(HERE):
        return MATTERING_HERE / columns, ODDS_SPREAD_HERE
    return MATTERING / columns, spread
