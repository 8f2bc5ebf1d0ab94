"""How likely something is after a deployment, learned from whether it happened and from how far figures moved.

Yes or no says little; sizes say much more, and what moves them far is likely to be what brings trouble. So what the
fits of sizes expect of each case enters as further columns, always from fits that did not see it (stacking: Wolpert,
"Stacked generalization", Neural Networks 5, 1992). Those columns are lines of the traits, so that they fold back into
weights of the traits.

The risk itself is the mean, on the scale of log odds, of two opinions that err differently: a regression that believes
few columns to matter (`chances.py`), and a Gaussian process that believes what is alike to behave alike
(`gaussian_process.py`). The first is the better one for many cases and a law of few traits, the second for few cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from afdp_exporter.model import Floats
from afdp_exporter.patterns.chances import Belief, Logistic, logistic, with_one
from afdp_exporter.patterns.encoding import TOGETHER
from afdp_exporter.patterns.gaussian_process import (
    GaussianProcess,
    Inputs,
    Level,
    fit_gaussian_process,
    relevance,
)
from afdp_exporter.patterns.labels import Labels
from afdp_exporter.patterns.regression import TROUBLED

DOUBT = 1.4
"""The standard deviation of the prior's log odds: the 90 % range of a risk of 15 % goes from 1 % to 50 %."""
DIRECTION_SPREAD = 0.5
"""The spread of the log odds ratio for one standard deviation of all figures' noise together."""
COMPARED = 300
"""The most cases that the process compares with: the service's own and newest ones."""
HERE, SERVICE, TEAM_LEVEL = ", here", "service", "team"
"""The names of the groups of columns that speak of one service: an effect of its own, its level, its team's level."""
MATTERING, MATTERING_HERE, MATTERING_TOGETHER = 0.8, 0.02, 0.005
"""How many columns of a trait matter, how many do so for one service alone, and how likely each product does."""
ODDS_SPREAD, ODDS_SPREAD_HERE, LEVEL_SPREAD = 1.2, 0.7, 0.3
"""The spread of a log odds ratio that matters, of one for a service alone, and of the levels of services and teams."""
TROUBLED_SPREAD = 4.0
"""The spread of the log odds ratio that there was trouble, where a figure moved."""
TELLING, TELLING_SPREAD = 0.9, 0.5
"""How likely a size tells of the risk, and the spread of the log odds ratio for one standard deviation of its noise."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What every fit of a service shares: the rows, their groups, how much each counts, and which are its own.

    `scales` (p,) turns a row into what a kernel compares, 0 for columns that it leaves out; `service` and `team` (n,)
    number where a row belongs, home first.
    """

    table: Floats
    groups: Sequence[str]
    counts: Floats
    own: NDArray[np.bool_]
    scales: Floats
    service: NDArray[np.intp]
    team: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Severity:
    """How far one figure is expected to move, in units of its noise: of each case (n,) by fits that did not see it, and
    as `weights` (p + 1,) of any row, the intercept left out."""

    effects: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class RiskModel:
    """How likely something is, in the opinion of a regression and of a Gaussian process."""

    logistic: Logistic
    process: GaussianProcess
    scales: Floats
    directions: Floats  # (p + 1, k) from a row with a one before it to the directions of the process

    def odds(self, table: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the log odds of each row of home."""
        (first, doubt), (second, other_doubt) = self.logistic.odds(table), self.process.odds(self._inputs(table))
        return 0.5 * (first + second), 0.5 * (doubt + other_doubt)

    def contrast(self, one: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of the log odds of rows, pair by pair (n,)."""
        (first, doubt), (second, other_doubt) = (
            self.logistic.contrast(one, other),
            self.process.contrast(self._inputs(one), self._inputs(other)),
        )
        return 0.5 * (first + second), 0.5 * (doubt + other_doubt)

    def _inputs(self, table: Floats) -> Inputs:
        home = np.zeros(table.shape[0], dtype=np.intp)
        return Inputs(_scaled(table, self.scales), with_one(table) @ self.directions, home, home)

    def risk(self, table: Floats) -> Floats:
        """The probability of each row of home, averaged over what is not known (MacKay's probit approximation)."""
        mean, spread = self.odds(table)
        return np.asarray(expit(mean / np.sqrt(1.0 + np.pi * spread**2 / 8.0)))


def fit_risk(labels: Labels, lesson: Lesson, expected: float, severities: Sequence[Severity] = ()) -> RiskModel:
    """Learn how likely something is; beforehand it is `expected`."""
    known = labels.weight > 0
    counted = replace(lesson, counts=lesson.counts * labels.weight)
    rows = np.sort(
        np.lexsort((np.arange(known.size), lesson.own, known))[known.size - min(int(known.sum()), COMPARED) :]
    )
    share = DIRECTION_SPREAD / np.sqrt(max(len(severities), 1))
    effects = [share * severity.effects[rows, None] for severity in severities]
    inputs = Inputs(
        traits=_scaled(lesson.table[rows], lesson.scales),
        directions=np.hstack([np.zeros((rows.size, 0)), *effects]),
        service=lesson.service[rows],
        team=lesson.team[rows],
    )
    level = Level(_prior_odds(expected), DOUBT, LEVEL_SPREAD, LEVEL_SPREAD)
    happened, counts = labels.happened[rows], counted.counts[rows]
    scales = lesson.scales.copy()
    if rows.size:
        names = [name for name, scale in zip(lesson.groups, scales, strict=True) if scale > 0]
        factors = relevance(inputs, names, happened, counts, level)
        scales[scales > 0] *= factors
        inputs = replace(inputs, traits=inputs.traits * factors)
    weights = np.array([severity.weights for severity in severities]).reshape(-1, lesson.table.shape[1] + 1)
    return RiskModel(
        logistic=chance(labels.happened[known], counted, known, expected, severities),
        process=fit_gaussian_process(inputs, happened, counts, level),
        scales=scales,
        directions=share * weights.T,
    )


def _scaled(table: Floats, scales: Floats) -> Floats:
    used = scales > 0
    return np.asarray(table[:, used] * scales[used])


def chance(
    happened: Floats,
    lesson: Lesson,
    known: NDArray[np.bool_],
    expected: float,
    severities: Sequence[Severity] = (),
    *,
    matters: float = MATTERING,
    spread: float = ODDS_SPREAD,
) -> Logistic:
    """How often something happens; `happened` (k,) in the `known` cases (n,); beforehand it is `expected`, so many
    columns of a trait `matters`, and the log odds ratio of one that does has this `spread`."""
    effects = [severity.effects[known, None] for severity in severities]
    belief = _belief(lesson.groups, expected, (matters, spread)).beside(
        len(effects), matters=TELLING, spread=TELLING_SPREAD
    )
    found = logistic(np.hstack([lesson.table[known], *effects]), happened, lesson.counts[known], belief)
    back = np.vstack([np.eye(1 + len(lesson.groups)), *(severity.weights for severity in severities)])
    return Logistic(weights=found.weights @ back, covariance=back.T @ found.covariance @ back)


def _belief(groups: Sequence[str], expected: float, trait: tuple[float, float]) -> Belief:
    believed = [_of(name, groups.count(name), trait) for name in groups]
    matters, spreads = np.array(believed, dtype=float).reshape(len(groups), 2).T
    return Belief(expected=_prior_odds(expected), doubt=DOUBT, matters=matters, spread=spreads)


def _prior_odds(expected: float) -> float:
    """The mean of the prior's log odds whose probability is the expected one."""
    return float(logit(expected) * np.sqrt(1.0 + np.pi * DOUBT**2 / 8.0))


def _of(group: str, columns: int, trait: tuple[float, float]) -> tuple[float, float]:
    if group in {SERVICE, TEAM_LEVEL}:
        return 1.0, LEVEL_SPREAD
    if group == TROUBLED:
        return 1.0, TROUBLED_SPREAD
    if group == TOGETHER:
        return MATTERING_TOGETHER, trait[1]
    if group.endswith(HERE):
        return MATTERING_HERE / columns, ODDS_SPREAD_HERE
    return trait[0] / columns, trait[1]
