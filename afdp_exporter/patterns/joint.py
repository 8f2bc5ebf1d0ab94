"""One model of the same event: trouble or none, and given either, whether each figure moves and how far.

Risk, failure, cost and metrics of a planned deployment all come from here, so that none can contradict another: a
figure moves with the chance of trouble times its chance under trouble, plus the same without.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtri

from afdp_exporter.model import Estimate, Floats, Forecast
from afdp_exporter.patterns.intervals import error_at, weighted_points
from afdp_exporter.patterns.risk import RiskModel
from afdp_exporter.patterns.sizes import Response

POINTS = np.array([0.05, 0.5, 0.95])
GRID = (np.arange(100) + 0.5) / 100
COARSE = (np.arange(25) + 0.5) / 25
"""The points of one possibility's distribution, where several are mixed."""
UNUSUAL = 0.6
"""How much of what a trait may do by the prior is in doubt where it is not told: it may have a value never seen."""


@dataclass(frozen=True, slots=True)
class Event:
    """Possible rows of one deployment (m, p) with their `weights` (m,), and the chance of trouble of each (m,)."""

    rows: Floats
    weights: Floats
    trouble: Floats


def event_of(trouble: RiskModel, rows: Floats, weights: Floats) -> Event:
    """The event that a deployment's rows speak of."""
    return Event(rows=rows, weights=weights, trouble=trouble.risk(rows))


def chance(fit: RiskModel, rows: Floats, weights: Floats, untold: float = 0.0) -> Estimate:
    """A probability over possible rows (m, p) with `weights` (m,), with its range: their doubt and their spread.

    `untold` is the share of a row, 0 to 1, that was filled in: what is deployed may be of a kind never seen in it.
    """
    centre, spread = fit.odds(rows)
    spread = np.sqrt(spread**2 + UNUSUAL * np.sqrt(untold) * fit.process.variance)
    reach = ndtri(COARSE if centre.size > 1 else POINTS)
    points = centre[:, None] + spread[:, None] * reach[None, :]
    share = np.repeat(weights / reach.size, reach.size)
    if centre.size > 1:
        low, _, high = expit(weighted_points(points.ravel(), share, POINTS))
    else:
        low, _, high = expit(points[0])
    middle = float(weights @ fit.risk(rows))
    return Estimate(low=min(float(low), middle), median=middle, high=max(float(high), middle))


def expect(response: Response, event: Event) -> Forecast:
    """The points of one figure: the chance that it moves, how far if it does, and of both together."""
    shares, sizes = _moved(response, event, GRID if event.weights.size == 1 else COARSE)
    moving = np.repeat(shares / sizes.shape[1], sizes.shape[1])
    chance = float(shares.sum())
    if_moved = _estimate(sizes.ravel(), moving)
    if response.moves is None:
        return Forecast(low=if_moved.low, median=if_moved.median, high=if_moved.high, chance=1.0, if_moved=if_moved)
    still = np.full(response.still.size, (1.0 - chance) / response.still.size)
    whole = _estimate(np.concatenate([sizes.ravel(), response.still]), np.concatenate([moving, still]))
    return Forecast(low=whole.low, median=whole.median, high=whole.high, chance=chance, if_moved=if_moved)


def mean(response: Response, event: Event) -> Floats:
    """The mean of one figure for each row (m,), its noise taken from left-out cases (Duan's smearing)."""
    shares, sizes = _moved(response, Event(event.rows, np.ones(event.weights.size), event.trouble), GRID)
    moved = (shares * sizes.mean(axis=1)).reshape(2, -1).sum(axis=0)
    if response.moves is None:
        return np.asarray(moved)
    return np.asarray(moved + (1.0 - shares.reshape(2, -1).sum(axis=0)) * response.still.mean())


def _moved(response: Response, event: Event, points: Floats) -> tuple[Floats, Floats]:
    """For each row with and without trouble (2 m,): the chance that it is so and the figure moves, and these points of
    the figure then (2 m, points)."""
    rows = np.vstack([response.beside(event.rows, 1.0), response.beside(event.rows, 0.0)])
    shares = np.concatenate([event.weights * event.trouble, event.weights * (1.0 - event.trouble)])
    if response.moves is not None:
        shares = shares * response.moves.risk(rows)
    errors = error_at(response.errors, response.line.freedom, points)
    centre, spread = response.line.mean(rows), response.line.spread(rows)
    return shares, response.scale.back(centre[:, None] + spread[:, None] * errors[None, :])


def _estimate(points: Floats, weights: Floats) -> Estimate:
    low, median, high = weighted_points(points, weights, POINTS)
    return Estimate(low=float(low), median=float(median), high=float(high))
