"""A two-part (hurdle) model of one target, and its mixture over trouble or none (Cragg 1971; Mullahy 1986).

The probability that a figure moves at all is a logistic regression, its size given a move a ridge regression. Risk,
failure, cost and metrics of a planned deployment all come from this one mixture, so that they cannot contradict one
another: a figure moves with the probability of trouble times its probability under trouble, plus the same without.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from afdp_exporter.model import Estimate, Floats, Forecast
from afdp_exporter.patterns.models import ridge, targets
from afdp_exporter.patterns.models.logistic import Logistic, LogOdds
from afdp_exporter.patterns.models.ridge import (
    CONFORMAL,
    TROUBLED,
    RidgePosterior,
    conformal_quantiles,
    weighted_quantiles,
)
from afdp_exporter.patterns.models.risk import RatePrior, SeverityFeature, TrainingMatrix, fit_probability
from afdp_exporter.patterns.models.targets import AsinhTransform, TargetValues

ENOUGH = 3
"""The fewest cases that a prediction may rest on."""
LEAST_SPREAD = 0.5
"""The least spread of a fit that left cases out, against that of the whole one: without the only case that ever moved
there seems to be no noise at all, and that case would lie thousands of spreads away."""
EXPECTED_MOVE = RatePrior(0.3)
"""The prior: this share of deployments moves a given figure."""
CLEAR = 2.0
"""The largest standard deviation of what sizes say of the risk, in units of their noise: it may be next to none."""
MOVE_MATTERING, MOVE_SPREAD = 0.4, 2.5
"""The prior: how many columns of a trait matter, and the spread of the log odds ratio of one that does; a trait can
decide whether a figure moves."""


@dataclass(frozen=True, slots=True)
class HurdleModel:
    """What was learned of one figure from `n` cases: how far it moves, and, where it does not always, how often.

    `used` examples moved. `errors` are out-of-fold, in units of their predictive standard deviation; `unmoved` holds
    the figures where nothing moved.
    """

    scale: AsinhTransform
    size_model: RidgePosterior
    errors: Floats
    n: int
    used: int
    occurrence: Logistic | None
    unmoved: Floats
    mean_trouble: float  # the mean chance of trouble of the cases behind

    def with_trouble(self, rows: Floats, trouble: float) -> Floats:
        """Rows (m, p) as `size_model` and `occurrence` know them, with or without trouble (m, p + 1)."""
        return np.hstack([rows, np.full((rows.shape[0], 1), trouble - self.mean_trouble)])


def fit_hurdle(
    figures: TargetValues, data: TrainingMatrix, trouble: Floats
) -> tuple[HurdleModel, SeverityFeature] | None:
    """Fit one target given the probability (n,) of `trouble`, with what it teaches the risk; None while fewer than
    ENOUGH are known.

    Where some cases moved and others did not, the size is learned from those that moved, and moving by itself.
    """
    known = np.isfinite(figures.values)
    if int(known.sum()) < ENOUGH:
        return None
    moved = known & figures.moved
    hurdle = ENOUGH <= int(moved.sum()) <= int(known.sum()) - ENOUGH
    used = moved if hurdle else known
    usual = float(trouble.mean())
    table, groups = np.hstack([data.table, trouble[:, None] - usual]), [*data.groups, TROUBLED]
    scale, line = _fit_size(figures.values[used], table[used], groups, data.sample_weight[used])
    scaled = np.where(used, scale.transform(figures.values), np.nan)
    unseen = ridge.leave_one_out(line, table, scaled, groups, data.sample_weight)
    spread = np.maximum(unseen.predictive_sd, LEAST_SPREAD * line.predictive_sd(table))
    errors = ((scaled - unseen.mean) / spread)[used]
    model = HurdleModel(
        scale=scale,
        size_model=line,
        errors=_of_the_service(errors, data.own[used]),
        n=int(known.sum()),
        used=int(used.sum()),
        occurrence=_fit_occurrence(figures.moved[known], replace(data, table=table, groups=groups), known)
        if hurdle
        else None,
        unmoved=_of_the_service(figures.values[known & ~moved], data.own[known & ~moved]) if hurdle else np.zeros(0),
        mean_trouble=usual,
    )
    return model, _severity(scaled, used, data)


def _severity(scaled: Floats, used: NDArray[np.bool_], data: TrainingMatrix) -> SeverityFeature:
    """How far the traits alone move the figure: what teaches the risk must not know whether there was trouble."""
    line = ridge.fit_ridge(data.table[used], scaled[used], data.groups, data.sample_weight[used])
    unseen = ridge.leave_one_out(line, data.table, scaled, data.groups, data.sample_weight)
    share = 1.0 / max(float(unseen.effect.std()) / CLEAR, 1.0)
    return SeverityFeature(share * unseen.effect, share * np.append(0.0, line.weights[1:]) / line.sigma)


def _fit_occurrence(moved: NDArray[np.bool_], data: TrainingMatrix, known: NDArray[np.bool_]) -> Logistic:
    return fit_probability(
        moved.astype(float), data, known, EXPECTED_MOVE, inclusion_probability=MOVE_MATTERING, slab_sd=MOVE_SPREAD
    )


def _of_the_service(values: Floats, own: NDArray[np.bool_]) -> Floats:
    """The service's own values where they are enough to speak for themselves, else everybody's."""
    return values[own] if int(own.sum()) >= CONFORMAL else values


def _fit_size(
    values: Floats, rows: Floats, groups: Sequence[str], sample_weight: Floats
) -> tuple[AsinhTransform, RidgePosterior]:
    """The scale on which cases left out are the least surprising, and the line on it."""
    candidates = targets.asinh_transform(values, CONFORMAL)

    def surprise(scale: AsinhTransform) -> float:
        scaled = scale.transform(values)
        line = ridge.fit_ridge(rows, scaled, groups, sample_weight, rounds=ridge.QUICK_ROUNDS)
        errors = ridge.studentized_residuals(line, rows, scaled, sample_weight)
        return float(np.sum(0.5 * errors**2 - scale.log_jacobian(values)) + values.size * np.log(line.sigma))

    best = min(candidates, key=surprise) if len(candidates) > 1 else candidates[0]
    return best, ridge.fit_ridge(rows, best.transform(values), groups, sample_weight)


POINTS = np.array([0.05, 0.5, 0.95])
"""The points of a distribution that are reported."""
GRID = (np.arange(100) + 0.5) / 100  # the points of a distribution's own
COARSE = (np.arange(25) + 0.5) / 25
"""The points of one possibility's distribution, where several are mixed."""
HALVINGS = 30
"""Steps towards a point of a mixture."""


@dataclass(frozen=True, slots=True)
class OutcomeMixture:
    """Possible rows of one deployment (m, p) with their `weights` (m,), and the chance of trouble of each (m,)."""

    rows: Floats
    weights: Floats
    trouble: Floats


def risk_estimate(odds: LogOdds, weights: Floats, doubt: float = 0.0) -> Estimate:
    """A probability over possible rows (m,) with `weights` (m,), with its range: their doubt and their spread; `doubt`
    is a variance of the log odds that is added to each (`RiskModel.unreported`)."""
    shares, means = np.outer(odds.shares, weights).ravel(), odds.means.ravel()
    spreads = np.sqrt(odds.sds**2 + doubt).ravel()
    low, high = expit(_mixture_quantiles(means, spreads, shares, POINTS[[0, -1]]))
    middle = float(weights @ odds.probability)
    return Estimate(low=min(float(low), middle), median=middle, high=max(float(high), middle))


def _mixture_quantiles(means: Floats, sds: Floats, weights: Floats, shares: Floats) -> Floats:
    """The points below which these `shares` (s,) of a mixture of normal distributions (k,) lie, each between the lowest
    and the highest of the distributions' own. One normal distribution with the mixture's mean and variance is too wide:
    a few that are very wide make its variance, and hardly move these points."""
    own = means[:, None] + sds[:, None] * ndtri(shares)
    low, high = own.min(axis=0), own.max(axis=0)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        below = weights @ ndtr((middle - means[:, None]) / sds[:, None]) < shares
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(0.5 * (low + high))


def expected_change(response: HurdleModel, event: OutcomeMixture) -> Forecast:
    """The points of one figure: the chance that it moves, how far if it does, and of both together."""
    shares, sizes = _components(response, event, GRID if event.weights.size == 1 else COARSE)
    moving = np.repeat(shares / sizes.shape[1], sizes.shape[1])
    chance = float(shares.sum())
    if_moved = _estimate(sizes.ravel(), moving)
    if response.occurrence is None:
        return Forecast(low=if_moved.low, median=if_moved.median, high=if_moved.high, chance=1.0, if_moved=if_moved)
    still = np.full(response.unmoved.size, (1.0 - chance) / response.unmoved.size)
    whole = _estimate(np.concatenate([sizes.ravel(), response.unmoved]), np.concatenate([moving, still]))
    return Forecast(low=whole.low, median=whole.median, high=whole.high, chance=chance, if_moved=if_moved)


def expected_value(response: HurdleModel, event: OutcomeMixture) -> Floats:
    """The mean of one figure for each row (m,), its noise taken from left-out cases (Duan's smearing)."""
    shares, sizes = _components(response, OutcomeMixture(event.rows, np.ones(event.weights.size), event.trouble), GRID)
    moved = (shares * sizes.mean(axis=1)).reshape(2, -1).sum(axis=0)
    if response.occurrence is None:
        return np.asarray(moved)
    return np.asarray(moved + (1.0 - shares.reshape(2, -1).sum(axis=0)) * response.unmoved.mean())


def _components(response: HurdleModel, event: OutcomeMixture, points: Floats) -> tuple[Floats, Floats]:
    """For each row with and without trouble (2 m,): the chance that it is so and the figure moves, and these points of
    the figure then (2 m, points)."""
    rows = np.vstack([response.with_trouble(event.rows, 1.0), response.with_trouble(event.rows, 0.0)])
    shares = np.concatenate([event.weights * event.trouble, event.weights * (1.0 - event.trouble)])
    if response.occurrence is not None:
        shares = shares * response.occurrence.log_odds(rows).probability
    errors = conformal_quantiles(response.errors, response.size_model.degrees_of_freedom, points)
    centre, spread = response.size_model.mean(rows), response.size_model.predictive_sd(rows)
    return shares, response.scale.inverse(centre[:, None] + spread[:, None] * errors[None, :])


def _estimate(points: Floats, weights: Floats) -> Estimate:
    low, median, high = weighted_quantiles(points, weights, POINTS)
    return Estimate(low=float(low), median=float(median), high=float(high))
