"""The risk of trouble: the pooled log odds of a sparse logistic regression and a Gaussian process, with stacked inputs.

Yes or no carries little information; sizes carry much more, and what moves them far is likely to bring trouble. The
out-of-fold predictions of the size models are therefore further columns (stacking: Wolpert, "Stacked generalization",
Neural Networks 5, 1992). They are linear in the features, so that they fold back into weights of the features.

The two learners err differently: the logistic regression (`logistic.py`) assumes few informative columns and is better
for many examples; the Gaussian process (`gaussian_process.py`) assumes that similar deployments behave alike and is
better for few, and is believed beforehand. Each weighs as much as its score of left-out cases says (pseudo-Bayesian
model averaging: Yao et al., "Using stacking to average Bayesian predictive distributions", Bayesian Analysis 13, 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit

from afdp_exporter.model import Floats
from afdp_exporter.patterns.features.encoding import TOGETHER
from afdp_exporter.patterns.models.gaussian_process import (
    GaussianProcess,
    Inputs,
    MeanPrior,
    fit_gaussian_process,
)
from afdp_exporter.patterns.models.logistic import (
    Logistic,
    LogOdds,
    SpikeAndSlabPrior,
    add_intercept,
    fit_logistic,
)
from afdp_exporter.patterns.models.ridge import TROUBLED
from afdp_exporter.patterns.models.targets import Labels

DOUBT = 1.4
"""The standard deviation of the prior's log odds where nothing is said of it: the 90 % range of 15 % goes from 1 % to
50 %."""
FEW_MATTER = 0.1
"""How likely it is beforehand that the regression is the better learner. It is so where cases are many, and many cases
say so themselves."""
DIRECTION_SPREAD = 0.5
"""The spread of the log odds ratio for one standard deviation of all figures' noise together."""
COMPARED = 200
"""The most cases that the process compares with: the service's own and newest ones."""
HERE, SERVICE, TEAM_LEVEL = ", here", "service", "team"
"""The names of the groups of columns that speak of one service: an effect of its own, its level, its team's level."""
MATTERING, MATTERING_HERE, MATTERING_TOGETHER = 0.8, 0.02, 0.005
"""How many columns of a trait matter, how many do so for one service alone, and how likely each product does."""
ODDS_SPREAD, ODDS_SPREAD_HERE, LEVEL_SPREAD = 0.9, 0.7, 0.3
"""The spread of a log odds ratio that matters, of one for a service alone, and of the levels of services and teams."""
TROUBLED_SPREAD = 4.0
"""The spread of the log odds ratio that there was trouble, where a figure moved."""
INFORMATIVE, INFORMATIVE_SPREAD = 0.9, 0.5
"""Prior inclusion probability of a stacked column, and the slab of its log odds ratio for one SD of its noise."""
UNUSUAL = 0.6
"""How much of what a trait may do by the prior is in doubt where it is not reported: it may have a value never seen."""
FOLDS = 5
"""Parts of the cases that are left out in turn to score the regression."""


@dataclass(frozen=True, slots=True)
class RatePrior:
    """How often something is expected to happen before any case is known, and the `doubt` about it, the standard
    deviation of its log odds."""

    expected: float
    doubt: float = DOUBT

    @property
    def mean_log_odds(self) -> float:
        """The mean of the log odds whose probability is the expected one."""
        return float(logit(self.expected) * np.sqrt(1.0 + np.pi * self.doubt**2 / 8.0))


@dataclass(frozen=True, slots=True)
class TrainingMatrix:
    """What every fit of a service shares: the rows, their groups, how much each counts, and which are its own.

    Each of the `scales` (p,) turns a row into what a kernel may compare, 0 for columns that it leaves out; `service`
    and `team` (n,) number where a row belongs, home first.
    """

    table: Floats
    groups: Sequence[str]
    sample_weight: Floats
    own: NDArray[np.bool_]
    scales: tuple[Floats, ...]
    service: NDArray[np.intp]
    team: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SeverityFeature:
    """How far one figure is expected to move, in units of its noise: of each case (n,) by fits that did not see it, and
    as `weights` (p + 1,) of any row, the intercept left out."""

    effects: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class RiskModel:
    """How likely something is, in the opinion of a regression, which has this `share`, and of a Gaussian process."""

    logistic: Logistic
    process: GaussianProcess
    share: float
    scales: tuple[Floats, ...]
    directions: Floats  # (p + 1, k) from a row with a one before it to the directions of the process
    expected: Floats  # (p,) the log odds that each column is expected to add

    def log_odds(self, table: Floats) -> LogOdds:
        """The log odds of each row of home: a learner that does not know is pooled as one that does not."""
        first, second = self.logistic.log_odds(table), self.process.log_odds(self._inputs(table))
        return LogOdds(
            shares=np.append(self.share, (1.0 - self.share) * second.shares),
            means=np.vstack([first.means, second.means]),
            sds=np.vstack([first.sds, second.sds]),
        )

    def unreported(self, share: float) -> float:
        """The variance of the log odds where this share of a row, 0 to 1, was imputed: what is deployed may be of a
        kind never seen in it."""
        return float(UNUSUAL * np.sqrt(share) * self.process.variance)

    def contrast(self, one: Floats, other: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the difference of the log odds of rows, pair by pair (n,)."""
        first, first_sd = self.logistic.contrast(one, other)
        second, second_sd = self.process.contrast(self._inputs(one), self._inputs(other))
        return self._pooled(first, second), self._pooled(first_sd, second_sd)

    def _pooled(self, first: Floats, second: Floats) -> Floats:
        return self.share * first + (1.0 - self.share) * second

    def _inputs(self, table: Floats) -> Inputs:
        home = np.zeros(table.shape[0], dtype=np.intp)
        directions = add_intercept(table) @ self.directions
        return Inputs(_views(table, self.scales), directions, table @ self.expected, home, home)


def fit_risk(
    labels: Labels,
    data: TrainingMatrix,
    prior: RatePrior,
    severities: Sequence[SeverityFeature] = (),
    expected: Floats | None = None,
) -> RiskModel:
    """Learn how likely something is; `expected` (p,) is what a unit of each column adds to the log odds before any case
    is known, nothing where it is not given."""
    expected = np.zeros(data.table.shape[1]) if expected is None else expected
    known = labels.weight > 0
    counted = replace(data, sample_weight=data.sample_weight * labels.weight)
    rows = np.sort(np.lexsort((np.arange(known.size), data.own, known))[known.size - min(int(known.sum()), COMPARED) :])
    share = DIRECTION_SPREAD / np.sqrt(max(len(severities), 1))
    effects = [share * severity.effects[rows, None] for severity in severities]
    inputs = Inputs(
        views=_views(data.table[rows], data.scales),
        directions=np.hstack([np.zeros((rows.size, 0)), *effects]),
        expected=data.table[rows] @ expected,
        service=data.service[rows],
        team=data.team[rows],
    )
    level = MeanPrior(prior.mean_log_odds, _doubt_of_all(prior), LEVEL_SPREAD, LEVEL_SPREAD)
    happened, sample_weight = labels.happened[rows], counted.sample_weight[rows]
    weights = np.array([severity.weights for severity in severities]).reshape(-1, data.table.shape[1] + 1)
    process = fit_gaussian_process(inputs, happened, sample_weight, level)
    score = _left_out_score(labels, counted, rows, prior, severities)
    return RiskModel(
        logistic=fit_probability(labels.happened[known], counted, known, prior, severities),
        process=process,
        share=float(expit(score - process.left_out + logit(FEW_MATTER))),
        scales=data.scales,
        directions=share * weights.T,
        expected=expected,
    )


def _doubt_of_all(prior: RatePrior) -> float:
    """What the levels of a team and a service leave of the doubt about a rate."""
    return float(np.sqrt(max(prior.doubt**2 - 2.0 * LEVEL_SPREAD**2, 0.0)))


def _left_out_score(
    labels: Labels,
    data: TrainingMatrix,
    rows: NDArray[np.intp],
    rate: RatePrior,
    severities: Sequence[SeverityFeature],
) -> float:
    """The regression's log score of `rows`, each by a fit that did not see it nor others of its fold."""
    known = labels.weight > 0
    table = np.hstack([data.table, *(severity.effects[:, None] for severity in severities)])
    prior = _prior(data.groups, rate, (MATTERING, ODDS_SPREAD))
    fold = np.cumsum(known) % FOLDS
    score = 0.0
    for number in np.unique(fold[rows]):
        seen, out = known & (fold != number), rows[fold[rows] == number]
        found = _regression(labels.happened[seen], data, seen, prior, severities)
        odds, happened = found.log_odds(table[out]).predictive, labels.happened[out]
        score += float(data.sample_weight[out] @ (happened * log_expit(odds) + (1.0 - happened) * log_expit(-odds)))
    return score


def _views(table: Floats, scales: Sequence[Floats]) -> tuple[Floats, ...]:
    return tuple(table[:, each > 0] * each[each > 0] for each in scales)


def fit_probability(
    happened: Floats,
    data: TrainingMatrix,
    known: NDArray[np.bool_],
    rate: RatePrior,
    severities: Sequence[SeverityFeature] = (),
    *,
    inclusion_probability: float = MATTERING,
    slab_sd: float = ODDS_SPREAD,
) -> Logistic:
    """Fit the probability of `happened` (k,) in the `known` examples (n,). The prior beside its `rate`: so many columns
    of a trait matter (`inclusion_probability`), and the log odds ratio of one that does has this `slab_sd`."""
    prior = _prior(data.groups, rate, (inclusion_probability, slab_sd))
    found = _regression(happened, data, known, prior, severities)
    columns, sizes = 1 + len(data.groups), np.array([severity.weights for severity in severities])
    sizes = sizes.reshape(-1, columns)
    return Logistic(
        weights=found.weights[:columns] + found.weights[columns:] @ sizes,
        variance=found.variance[:columns],
        shared=np.sqrt(found.variance[columns:, None]) * sizes,
    )


def _regression(
    happened: Floats,
    data: TrainingMatrix,
    known: NDArray[np.bool_],
    prior: SpikeAndSlabPrior,
    severities: Sequence[SeverityFeature],
) -> Logistic:
    """The fit by the columns and, behind them, by what the fits of the sizes expect of each case."""
    effects = [severity.effects[known, None] for severity in severities]
    whole = prior.with_columns(len(effects), inclusion_probability=INFORMATIVE, slab_sd=INFORMATIVE_SPREAD)
    return fit_logistic(np.hstack([data.table[known], *effects]), happened, data.sample_weight[known], whole)


def _prior(groups: Sequence[str], rate: RatePrior, trait: tuple[float, float]) -> SpikeAndSlabPrior:
    rows = [_column_prior(name, groups.count(name), trait) for name in groups]
    inclusion_probability, slab_sds = np.array(rows, dtype=float).reshape(len(groups), 2).T
    return SpikeAndSlabPrior(
        intercept_mean=rate.mean_log_odds,
        intercept_sd=rate.doubt,
        inclusion_probability=inclusion_probability,
        slab_sd=slab_sds,
    )


def _column_prior(group: str, columns: int, trait: tuple[float, float]) -> tuple[float, float]:
    if group in {SERVICE, TEAM_LEVEL}:
        return 1.0, LEVEL_SPREAD
    if group == TROUBLED:
        return 1.0, TROUBLED_SPREAD
    if group == TOGETHER:
        return MATTERING_TOGETHER, trait[1]
    if group.endswith(HERE):
        return MATTERING_HERE / columns, ODDS_SPREAD_HERE
    return trait[0] / columns, trait[1]
