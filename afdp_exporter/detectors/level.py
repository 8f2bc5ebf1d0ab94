"""The size of a level shift after the deployment, with a standard error from placebo instants.

Placebo in time (Abadie, Diamond and Hainmueller 2010): a robust ridge regression (Huber 1964) forecasts the change of
the mean from what was known before; it is trained at many earlier instants of the same series, and its errors there
are the null distribution. A variance estimated inside the window would be wrong, since production series are
autocorrelated, seasonal and drifting.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from afdp_exporter.detectors.noise import LongRunError, are_skewed, long_run_error
from afdp_exporter.detectors.panel import Panel, by_panel
from afdp_exporter.detectors.regular_series import (
    REACH_SECONDS,
    RegularSeries,
    cumulative_sums,
    despike,
    smooth,
)
from afdp_exporter.detectors.robust import MAD_SCALE, quantiles, row_means, row_medians, row_quantiles
from afdp_exporter.model import Floats

Ints = NDArray[np.int64]

LEAST_HISTORY = 21  # steps: from here on there are enough placebo instants, however long after the rollout
MOST_PLACEBOS = 240  # instants that are learned from, at most, ...
LEAST_PLACEBOS = 8  # ... and at least
BLOCKS = 5  # of cross-validation
PENALTY = 3.0  # ridge, divided by the number of independent windows
OUTLIER = 2.5  # Huber 1964, in robust deviations
CLIP = 8.0  # of a predictor, in robust deviations
RARELY = 0.3  # of its root mean square: what is mostly 0 has no robust deviation
ROUNDS = 2  # of reweighting
QUANTILES = np.array([0.68, 0.90, 0.95])  # of the placebo errors, each of which gives a scale by ...
NORMAL = ndtri((1.0 + QUANTILES) / 2.0)  # ... those of what is normally distributed with a deviation of 1
DAYS = 3  # days before of which the same time is compared
SHARE_OF_HISTORY = 0.3  # the longest look back that is learned from
AS_FAR = 0.9  # of the change: a placebo error so large is as far, as steps of one size differ by their noise alone
MARGIN = 1.05  # for the quantiles of few placebos


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelShift:
    """The change of the level in standardised units, and what it is measured against.

    `p_value` is two-sided, from a t distribution, and never less than the share of placebos that moved as far: what
    moves in rare steps has no scale. `error` is that scale: the robust deviation of the same statistic at the placebo
    instants, and what the values after the deployment scatter more than any before.
    The mean of `forward` steps from position `at` on, of which the first `gap` are left out, is compared with the mean
    of `back` steps before. `base` and `bounds` are the level before and the 90 % interval of the change where events
    are counted; else the mean of those steps, and an interval that is the same to both sides.
    """

    change: float
    error: float
    degrees_of_freedom: float
    p_value: float
    independent: float
    at: int
    forward: int
    back: int
    gap: int
    base: float | None = None
    bounds: tuple[float, float] | None = None

    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the change."""
        half = self.half_width()
        return self.bounds or (self.change - half, self.change + half)

    def half_width(self, coverage: float = 0.90) -> float:
        """Half the width of the interval of the change."""
        return float(stdtrit(self.degrees_of_freedom, 0.5 + coverage / 2)) * self.error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Windows:
    """One way (row) of measuring a change for each pair of window lengths; int64 (ways, 1).

    Its placebos lie from `first` to `last`; `pasts` (ways, p) are the lengths of longer pasts, 0 for none.
    """

    forward: Ints
    back: Ints
    gap: Ints
    first: Ints
    last: Ints
    pasts: Ints

    @classmethod
    def of(cls, grid: RegularSeries, lengths: Iterable[tuple[int, int, int]]) -> "_Windows | None":
        """Those of forward, back and gap that leave enough placebo instants to learn from; None where none does."""
        ways = []
        for forward, back, gap in lengths:
            longer = (back * 2, back * 4, forward, forward * 2, forward * 4)
            pasts = [past if back < past <= SHARE_OF_HISTORY * grid.deployed else 0 for past in longer]
            first, last = max(back, *pasts), grid.deployed - forward
            first += grid.day if grid.has_daily_history else 0
            if last - first >= LEAST_PLACEBOS:
                ways.append((forward, back, gap, first, last, *pasts))
        if not ways:
            return None
        table = np.array(ways, dtype=np.int64)
        forwards, backs, gaps, firsts, lasts = table.T[:5, :, None]
        return cls(forward=forwards, back=backs, gap=gaps, first=firsts, last=lasts, pasts=table[:, 5:])


def level_shifts(panel: Panel) -> list[LevelShift | None]:
    """Measure the change of each level; None when there are not enough placebo instants to learn from."""
    windows = _Windows.of(panel.layout, _lengths(panel.layout))
    return [None] * panel.k if windows is None else _measure(panel, windows, onset_known=False)


def steps_at_onsets(grids: Sequence[RegularSeries], onsets: Sequence[int]) -> list[LevelShift | None]:
    """Measure each change again, from a known onset on: only its ramp is left out, and later drift is separated."""
    skewed = [bool(are_skewed(grid.values[None, : grid.deployed])[0]) for grid in grids]
    at_onset = [
        replace(grid, deployed=at, finished=min(at + grid.looks_back, grid.n))
        for grid, at in zip(grids, onsets, strict=True)
    ]
    found: dict[int, LevelShift | None] = {}
    for rare in (False, True):
        places = [place for place, each in enumerate(skewed) if each is rare]
        measured = by_panel(partial(_steps_at_onset, rare=rare), [at_onset[place] for place in places])
        found |= zip(places, measured, strict=True)
    return [found[place] for place in range(len(grids))]


def _steps_at_onset(panel: Panel, *, rare: bool) -> list[LevelShift | None]:
    grid = panel.layout
    forward = min(grid.n_after, int(SHARE_OF_HISTORY * grid.deployed))
    if forward < 3:
        return [None] * panel.k
    back = forward if rare else 3  # three values hold none of what is rare
    once = _Windows.of(grid, [(forward, back, min(grid.finished - grid.deployed, forward - 3))])
    return [None] * panel.k if once is None else _measure(panel, once, onset_known=True)


def _lengths(grid: RegularSeries) -> list[tuple[int, int, int]]:
    """How many steps after the deployment are compared with how many before it, without the first so many."""
    longest = min(grid.n_after, int(0.35 * grid.deployed))
    rollout = grid.finished - grid.deployed
    shortest = min(int(1.5 * grid.reach) + rollout, longest)
    forwards = sorted({max(int(share * longest), shortest) for share in (1.0, 0.5, 0.25)})
    settle = max(1, round(REACH_SECONDS / grid.step))
    return [
        (forward, back, min(min(forward // 4, settle) + rollout, forward - 3))
        for forward in forwards
        if 3 <= forward <= grid.deployed - 12
        for back in sorted({3, max(3, forward // 4)})
    ]


def _measure(panel: Panel, windows: _Windows, *, onset_known: bool) -> list[LevelShift | None]:
    grid = panel.layout
    at = _placebos(grid, windows.first, windows.last)
    skewed = are_skewed(panel.values[:, : grid.deployed])
    calm = (despike if onset_known else smooth)(panel.values)
    calm[skewed] = panel.values[skewed]
    totals = cumulative_sums(calm)
    same_time = at[:, None] - grid.day * np.arange(DAYS + 1 if grid.has_daily_history else 1)[:, None]
    base, change = _changes(totals, windows, same_time)
    columns = [_longer_pasts(totals, base[..., :1, :], at, windows.pasts)]
    if grid.has_daily_history:
        columns += _days_before(windows, same_time, base, change)
    if panel.control is not None:
        columns += _said_by_control(panel.control, windows, at)
    if onset_known:
        columns += _drift_after(totals, windows, at)
    independent = ((windows.last - windows.first) / windows.forward)[:, 0] + 2.0
    found = _select_windows(windows, at, change[..., 0, :], np.concatenate(columns, axis=-2), independent)
    if not onset_known:
        return [*found]  # a step or a drift in it would pass for scatter
    errors = [
        long_run_error(values, each.at, each.at + each.gap, each.at + each.forward)
        for each, values in zip(found, calm, strict=True)
    ]
    return [
        _with_rest_of_window(_with_long_run_error(each, more), grid.looks_back)
        for each, more in zip(found, errors, strict=True)
    ]


def _placebos(grid: RegularSeries, first: Ints, last: Ints) -> Ints:
    """Evenly spread instants (ways, m + 1), of which the last one is the deployment itself."""
    m = int(min(MOST_PLACEBOS, (last - first).max() + 1) // BLOCKS * BLOCKS)
    at = np.rint(first + (last - first) * np.linspace(0.0, 1.0, m)).astype(np.int64)
    return np.concatenate([at, np.full((len(at), 1), grid.deployed)], axis=1)


def _mean(totals: Floats, begin: Ints, end: Ints, length: Ints) -> Floats:
    """The means of the steps from positions (...) to before others, which are so many: (k, ...)."""
    mean: Floats = (totals.take(end, axis=-1) - totals.take(begin, axis=-1)) / length
    return mean


def _changes(totals: Floats, windows: _Windows, at: Ints) -> tuple[Floats, Floats]:
    """The level before positions (ways, d, instants), and how far that after them is from it: (k, ways, d, instants).

    What would begin before the series is that at its beginning.
    """
    forward, back, gap = (each[..., None] for each in (windows.forward, windows.back, windows.gap))
    at = np.maximum(at, back)
    base = _mean(totals, at - back, at, back)
    return base, _mean(totals, at + gap, at + forward, forward - gap) - base


def _longer_pasts(totals: Floats, base: Floats, at: Ints, pasts: Ints) -> Floats:
    """How far the means of longer pasts (ways, p) are from the level before: (k, ways, p, instants); 0 for none."""
    at, lengths = at[:, None], np.maximum(pasts, 1)[..., None]
    return np.where(pasts[..., None] > 0, _mean(totals, at - lengths, at, lengths) - base, 0.0)


def _days_before(windows: _Windows, same_time: Ints, base: Floats, change: Floats) -> list[Floats]:
    """What the days before say, each (k, ways, 1, instants)."""
    reached = (same_time[:, 2:] >= windows.back[..., None]).astype(np.float64)
    count = reached.sum(axis=-2, keepdims=True)
    same = change[..., 1:2, :]
    average = (change[..., 2:, :] * reached).sum(axis=-2, keepdims=True) / np.maximum(count, 1.0)
    return [same, np.where(count > 0, average, same), base[..., :1, :] - base[..., 1:2, :]]


def _said_by_control(control: Floats, windows: _Windows, at: Ints) -> list[Floats]:
    """How the control moved from the steps before, and from a time as long as that after: (k, ways, 1, instants)."""
    totals = cumulative_sums(control)
    after = _mean(totals, at + windows.gap, at + windows.forward, windows.forward - windows.gap)
    before = np.maximum(at - windows.forward, 0)
    levels = _mean(totals, at - windows.back, at, windows.back), _mean(totals, before, at, at - before)
    return [(after - each)[..., None, :] for each in levels]


def _drift_after(totals: Floats, windows: _Windows, at: Ints) -> list[Floats]:
    """How the values after move among themselves: a step leaves these differences alone, a drift does not."""
    begin, length = at + windows.gap, windows.forward - windows.gap
    whole = _mean(totals, begin, begin + length, length)
    parts = (np.minimum(length, 3), np.maximum(length // 4, 3), np.maximum(length // 2, 3))
    return [(whole - _mean(totals, begin, begin + part, part))[..., None, :] for part in parts]


def _select_windows(
    windows: _Windows, at: Ints, change: Floats, predictors: Floats, independent: Floats
) -> list[LevelShift]:
    """Forecast with every way, keep the one whose placebo errors are smallest for a series, and measure with it.

    `change` (k, ways, m + 1), `predictors` (k, ways, p, m + 1); the last instant is the deployment.
    """
    scaled = np.ascontiguousarray(_robust_scale(predictors).swapaxes(-1, -2))
    penalty = (PENALTY / independent * (change.shape[-1] - 1))[:, None, None] * np.eye(scaled.shape[-1])
    trust = np.ones_like(change[..., :-1])
    errors = np.abs(_Ridge.of(scaled[..., :-1, :], change[..., :-1], trust, penalty).residual())
    best, row = np.argmin(_scale(errors) * (1.0 + 2.0 / independent), axis=-1), np.arange(len(change))
    errors, scaled, change, penalty = errors[row, best], scaled[row, best], change[row, best], penalty[best]
    for _ in range(ROUNDS):
        usual = MAD_SCALE * row_medians(errors)[:, None]
        usual[usual == 0.0] = 1e-12
        trust = np.minimum(1.0, OUTLIER * usual / np.maximum(errors, 1e-300))
        ridge = _Ridge.of(scaled[:, :-1], change[:, :-1], trust, penalty)
        errors = np.abs(ridge.residual())
    moved = change[:, -1] - np.vecdot(scaled[:, -1], ridge.weights())
    scale = np.maximum(_scale(errors), 1e-9)
    degrees_of_freedom = (0.6 * independent[best]).clip(1.5, 8.0)
    as_far = (errors >= AS_FAR * np.abs(moved)[:, None]).mean(axis=1)
    p_value = np.maximum(2.0 * stdtr(degrees_of_freedom, -np.abs(moved) / scale), as_far)
    return [
        LevelShift(
            change=float(moved[k]), error=float(scale[k]), degrees_of_freedom=float(degrees_of_freedom[k]),
            independent=float(independent[way]), p_value=float(p_value[k]), at=int(at[way, -1]),
            forward=int(windows.forward[way, 0]), back=int(windows.back[way, 0]), gap=int(windows.gap[way, 0]),
        )
        for k, way in enumerate(best)
    ]  # fmt: skip


def _with_long_run_error(found: LevelShift, more: LongRunError) -> LevelShift:
    """The level with what the values after the deployment add to the placebos' error (Welch and Satterthwaite)."""
    if more.error == 0.0:
        return found
    variances = found.error**2, more.error**2
    error = sum(variances) ** 0.5
    degrees_of_freedom = error**4 / (
        variances[0] ** 2 / found.degrees_of_freedom + variances[1] ** 2 / more.degrees_of_freedom
    )
    return replace(
        found,
        error=error,
        degrees_of_freedom=degrees_of_freedom,
        p_value=float(2.0 * stdtr(degrees_of_freedom, -abs(found.change) / error)),
    )


def _with_rest_of_window(found: LevelShift, looks_back: int) -> LevelShift:
    """The level with an interval that reaches to where it is going as long as values still look back beyond the onset.

    A mean gets there in proportion to what its window holds of the time after, a quantile sooner.
    """
    reached = float(np.minimum(np.arange(found.gap + 1, found.forward + 1) / max(looks_back, 1), 1.0).mean())
    if reached == 1.0:
        return found
    low, high = found.interval()
    return replace(found, bounds=(low, high / reached) if found.change > 0.0 else (low / reached, high))


def _robust_scale(predictors: Floats) -> Floats:
    """Predictors (..., predictors, instants) in units of their own robust deviation, clipped."""
    learned = predictors[..., :-1]
    deviation = MAD_SCALE * row_quantiles(np.abs(learned), 0.5)[..., None]
    deviation = np.maximum(deviation, RARELY * np.sqrt(row_means(learned**2)))
    scaled: Floats = predictors / np.where(deviation > 0, deviation, 1.0)
    return scaled.clip(-CLIP, CLIP, out=scaled)


def _scale(errors: Floats) -> Floats:
    """The robust deviation by the sizes of errors (..., m): the largest that their middle or their tail asks for."""
    at = quantiles(errors, QUANTILES)
    scale: Floats = MARGIN * (at.T / NORMAL).T.max(axis=0)
    return scale


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ridge:
    """Weighted ridge of many at once, by block: `x` (..., blocks, instants, p), `y` (..., blocks, instants, 1)."""

    x: Floats
    y: Floats
    gram: Floats
    moment: Floats
    penalty: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats, weights: Floats, penalty: Floats) -> "_Ridge":
        """That of (..., m, p) predictors of (..., m) values, with penalties (..., p, p)."""
        *many, m, p = x.shape
        blocks, values = x.reshape(*many, BLOCKS, m // BLOCKS, p), y.reshape(*many, BLOCKS, -1, 1)
        weighted = (blocks * weights.reshape(*many, BLOCKS, -1, 1)).swapaxes(-1, -2)
        return cls(
            x=blocks, y=values, gram=weighted @ blocks, moment=weighted @ values,
            penalty=penalty * np.maximum(row_means(weights), 0.1)[..., None],
        )  # fmt: skip

    def residual(self) -> Floats:
        """The errors of block cross-validation (..., m)."""
        whole, right = self.gram.sum(axis=-3, keepdims=True), self.moment.sum(axis=-3, keepdims=True)
        held_out = np.linalg.solve(whole - self.gram + self.penalty[..., None, :, :], right - self.moment)
        residual = self.y - self.x @ held_out
        return residual.reshape(*residual.shape[:-3], -1)

    def weights(self) -> Floats:
        """Those of the predictors (..., p), fitted to all."""
        return np.linalg.solve(self.gram.sum(axis=-3) + self.penalty, self.moment.sum(axis=-3))[..., 0]
