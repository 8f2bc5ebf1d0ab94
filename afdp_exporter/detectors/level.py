"""How far the level moved after the deployment, judged by how far it moves by itself.

Placebo in time (Abadie, Diamond and Hainmueller 2010): the change of the level is forecast directly from what was
known before, by a robust ridge regression learned at many earlier instants of the same series; the errors made at
those placebo instants say how large an error is nothing special. A variance taken from inside the window would not:
production series are autocorrelated, seasonal and drifting.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from afdp_exporter.detectors.grid import REACH_SECONDS, Grid, despike, running_totals, smooth
from afdp_exporter.detectors.long_run import Scatter, lopsided, more_scatter
from afdp_exporter.detectors.robust import median, quantiles
from afdp_exporter.model import Floats

Ints = NDArray[np.int64]

LEAST_HISTORY = 21  # steps: from here on there are enough placebo instants, however long after the rollout
LEARN_FROM = 240  # placebo instants
BLOCKS = 5  # of cross-validation
PENALTY = 3.0  # ridge, divided by the number of independent windows
OUTLIER = 2.5  # Huber 1964, in robust deviations
CLIP = 8.0  # of a predictor, in robust deviations
RARELY = 0.3  # of its root mean square: what is mostly 0 has no robust deviation
ROUNDS = 2  # of reweighting
QUANTILES = np.array([0.68, 0.90, 0.95])
MIDDLE = np.array([0.5])
SHARE_OF_HISTORY = 0.3  # the longest look back that is learned from
MARGIN = 1.05  # for the quantiles of few placebos


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The change of the level in standardised units, and what it is measured against.

    `p_value` is two-sided, from a t distribution with `freedom` degrees; `error` is its scale: the robust deviation of
    the same statistic at the placebo instants, and what the values after the deployment scatter more than any before.
    The mean of `forward` steps, of which the first `gap` are left out, is compared with the mean of `back` steps before
    the deployment.
    """

    change: float
    error: float
    freedom: float
    p_value: float
    independent: float
    forward: int
    back: int
    gap: int

    def half_width(self, coverage: float = 0.90) -> float:
        """Half the width of the interval of the change."""
        return float(stdtrit(self.freedom, 0.5 + coverage / 2)) * self.error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Designs:
    """One way (row) of measuring the change for each pair of window lengths; lengths int64 (ways, 1)."""

    forward: Ints
    back: Ints
    gap: Ints


def level(grid: Grid) -> Level | None:
    """Measure the change of the level; None when there are not enough placebo instants to learn from."""
    designs = _designs(grid)
    return None if designs is None else _measure(grid, designs, onset_known=False)


def step_at(grid: Grid, onset: int) -> Level | None:
    """Measure the change again, from a known onset on: nothing is left out, and later drift is told from the step."""
    at_onset = replace(grid, deployed=onset, finished=onset)
    forward = np.array([[min(at_onset.n_after, int(SHARE_OF_HISTORY * onset))]], dtype=np.int64)
    if forward[0, 0] < 3:
        return None
    before = grid.values[: grid.deployed]
    back = forward if lopsided(before) else np.full_like(forward, 3)  # three values hold none of what is rare
    once = _Designs(forward=forward, back=back, gap=np.zeros_like(forward))
    return _measure(at_onset, once, onset_known=True)


def _designs(grid: Grid) -> _Designs | None:
    longest = min(grid.n_after, int(0.35 * grid.deployed))
    rollout = grid.finished - grid.deployed
    shortest = min(int(1.5 * grid.reach) + rollout, longest)
    forwards = sorted({max(int(share * longest), shortest) for share in (1.0, 0.5, 0.25)})
    pairs = [(f, b) for f in forwards for b in sorted({3, max(3, f // 4)}) if 3 <= f <= grid.deployed - 12]
    if not pairs:
        return None
    forward = np.array([[f] for f, _ in pairs], dtype=np.int64)
    settle = np.minimum(forward // 4, max(1, round(REACH_SECONDS / grid.step)))
    return _Designs(
        forward=forward,
        back=np.array([[b] for _, b in pairs], dtype=np.int64),
        gap=np.minimum(settle + rollout, forward - np.minimum(forward, 3)),
    )


def _measure(grid: Grid, designs: _Designs, *, onset_known: bool) -> Level | None:
    looks_back = np.concatenate(
        [designs.back * 2, designs.back * 4, designs.forward, designs.forward * 2, designs.forward * 4], axis=1
    )
    used = (looks_back > designs.back) & (looks_back <= SHARE_OF_HISTORY * grid.deployed)
    first = np.maximum(np.where(used, looks_back, 0).max(axis=1, keepdims=True), designs.back)
    first += grid.day if grid.knows_days else 0
    last = grid.deployed - designs.forward
    enough = (last - first >= 8)[:, 0]
    if not enough.any():
        return None
    ways = _Designs(forward=designs.forward[enough], back=designs.back[enough], gap=designs.gap[enough])
    first, last = first[enough], last[enough]
    at = _placebos(grid, first, last)
    calm = grid.values if lopsided(grid.values[: grid.deployed]) else (despike if onset_known else smooth)(grid.values)
    totals = running_totals(calm)
    change = _change(totals, ways, at)
    columns = _predictors(grid, totals, ways, at, np.where(used[enough], looks_back[enough], 0))
    if onset_known:
        columns += _drift_after(totals, ways, at)
    predictors = np.stack(columns, axis=1)
    independent = (last - first)[:, 0] / ways.forward[:, 0] + 2.0
    found = _choose(ways, change, predictors, independent)
    if not onset_known:
        return found  # a step or a drift in it would pass for scatter
    return _with_scatter(found, more_scatter(calm, grid.deployed, grid.deployed, grid.deployed + found.forward))


def _placebos(grid: Grid, first: Ints, last: Ints) -> Ints:
    """Evenly spread instants (ways, m + 1), of which the last one is the deployment itself."""
    m = int(min(LEARN_FROM, (last - first).max() + 1) // BLOCKS * BLOCKS)
    at = np.rint(first + (last - first) * np.linspace(0.0, 1.0, m)).astype(np.int64)
    return np.concatenate([at, np.full((len(at), 1), grid.deployed)], axis=1)


def _mean(totals: Floats, begin: Ints, end: Ints) -> Floats:
    return (totals[end] - totals[begin]) / (end - begin)


def _change(totals: Floats, ways: _Designs, at: Ints) -> Floats:
    return _mean(totals, at + ways.gap, at + ways.forward) - _mean(totals, at - ways.back, at)


def _predictors(grid: Grid, totals: Floats, ways: _Designs, at: Ints, looks_back: Ints) -> list[Floats]:
    """What is known before, each (ways, instants): longer pasts, the days before, the control."""
    base = _mean(totals, at - ways.back, at)
    columns = []
    for k in range(looks_back.shape[1]):
        length = looks_back[:, k : k + 1]
        past = _mean(totals, at - np.maximum(length, 1), at)
        columns.append(np.where(length > 0, past - base, 0.0))
    if grid.knows_days:
        columns += _days_before(grid, totals, ways, at, base)
    if grid.control is not None:
        other = running_totals(grid.control)
        after = _mean(other, at + ways.gap, at + ways.forward)
        columns += [
            after - _mean(other, at - ways.back, at),
            after - _mean(other, np.maximum(at - ways.forward, 0), at),
        ]
    return columns


def _drift_after(totals: Floats, ways: _Designs, at: Ints) -> list[Floats]:
    """How the values after move among themselves: a step leaves these differences alone, a drift does not."""
    whole = _mean(totals, at, at + ways.forward)
    parts = (np.minimum(ways.forward, 3), np.maximum(ways.forward // 4, 3), np.maximum(ways.forward // 2, 3))
    return [whole - _mean(totals, at, at + part) for part in parts]


def _days_before(grid: Grid, totals: Floats, ways: _Designs, at: Ints, base: Floats) -> list[Floats]:
    yesterday = at - grid.day
    same = _change(totals, ways, yesterday)
    earlier = [at - days * grid.day for days in (2, 3)]
    reached = [(day >= ways.back).astype(np.float64) for day in earlier]
    changes = [_change(totals, ways, np.maximum(day, ways.back)) for day in earlier]
    count = reached[0] + reached[1]
    average = (changes[0] * reached[0] + changes[1] * reached[1]) / np.maximum(count, 1.0)
    return [same, np.where(count > 0, average, same), base - _mean(totals, yesterday - ways.back, yesterday)]


def _choose(ways: _Designs, change: Floats, predictors: Floats, independent: Floats) -> Level:
    """Forecast with every way, keep the one whose placebo errors are smallest, and measure with it."""
    scaled = np.ascontiguousarray(_scaled(predictors).swapaxes(1, 2))
    learned, y = scaled[:, :-1], change[:, :-1]
    penalty = PENALTY / independent * y.shape[1]
    residual, _ = _ridge(learned, y, np.ones_like(y), penalty)
    error = _error(residual) * (1.0 + 2.0 / independent)
    best = slice(int(np.argmin(error)), int(np.argmin(error)) + 1)
    learned, y, penalty = learned[best], y[best], penalty[best]
    residual = residual[best]
    weights = np.zeros(0)
    for _ in range(ROUNDS):
        usual = 1.4826 * median(np.abs(residual).ravel()) or 1e-12
        residual, weights = _ridge(
            learned, y, np.minimum(1.0, OUTLIER * usual / np.maximum(np.abs(residual), 1e-300)), penalty
        )
    moved = float(change[best][0, -1] - scaled[best][0, -1] @ weights[0])
    scale = max(float(_error(residual)[0]), 1e-9)
    n_independent = float(independent[best][0])
    freedom = float(np.clip(0.6 * n_independent, 1.5, 8.0))
    return Level(
        change=moved, error=scale, freedom=freedom, independent=n_independent,
        p_value=float(2.0 * stdtr(freedom, -abs(moved) / scale)),
        forward=int(ways.forward[best][0, 0]), back=int(ways.back[best][0, 0]), gap=int(ways.gap[best][0, 0]),
    )  # fmt: skip


def _with_scatter(found: Level, more: Scatter) -> Level:
    """The level with what the values after the deployment add to the placebos' error (Welch and Satterthwaite)."""
    if more.error == 0.0:
        return found
    variances = found.error**2, more.error**2
    error = sum(variances) ** 0.5
    freedom = error**4 / (variances[0] ** 2 / found.freedom + variances[1] ** 2 / more.freedom)
    return replace(found, error=error, freedom=freedom, p_value=float(2.0 * stdtr(freedom, -abs(found.change) / error)))


def _scaled(predictors: Floats) -> Floats:
    """Predictors (ways, predictors, instants) in units of their own robust deviation, clipped."""
    learned = predictors[..., :-1]
    deviation = 1.4826 * quantiles(np.abs(learned), MIDDLE)[0][..., None]
    deviation = np.maximum(deviation, RARELY * np.sqrt((learned**2).mean(axis=-1, keepdims=True)))
    return np.clip(predictors / np.where(deviation > 0, deviation, 1.0), -CLIP, CLIP)


def _error(residual: Floats) -> Floats:
    """The robust deviation of the errors (ways,): the largest that their middle or their tail asks for."""
    at = quantiles(np.abs(residual), QUANTILES)
    error: Floats = MARGIN * (at / ndtri((1.0 + QUANTILES) / 2.0)[:, None]).max(axis=0)
    return error


def _ridge(x: Floats, y: Floats, weights: Floats, penalty: Floats) -> tuple[Floats, Floats]:
    """Weighted ridge for every way at once: errors of block cross-validation (ways, m), weights on all of it."""
    ways, m, p = x.shape
    blocks = x.reshape(ways, BLOCKS, m // BLOCKS, p)
    weighted = (blocks * weights.reshape(ways, BLOCKS, -1, 1)).swapaxes(-1, -2)
    gram = weighted @ blocks
    moment = weighted @ y.reshape(ways, BLOCKS, -1, 1)
    ridge = (penalty * np.maximum(weights.mean(axis=1), 0.1))[:, None, None] * np.eye(p)
    whole, right = gram.sum(axis=1), moment.sum(axis=1)
    held_out = np.linalg.solve(whole[:, None] - gram + ridge[:, None], right[:, None] - moment)
    forecast = (blocks @ held_out).reshape(ways, m)
    return y - forecast, np.linalg.solve(whole + ridge, right)[..., 0]
