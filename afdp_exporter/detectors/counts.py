"""Sparse counts: the change of a ratio of which the numerator counts a few events.

A ratio of few events is mostly 0, and its single values say little. Two rates are compared by all their events: the
signed root of the deviance (McCullagh and Nelder 1989), with a dispersion from the same statistic at placebo instants,
at least that of independent events. Denominators that are not known are taken to be alike: what their course does to
the ratio is in the dispersion as well. The onset is the posterior of one change of a Poisson rate (Raftery and Akman
1986), the interval of a difference of two rates that of Zou and Donner (2008), from Jeffreys' intervals of each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincc, gammaincinv, ndtr, stdtr, stdtrit, xlogy

from afdp_exporter.detectors.changepoint import LONGEST_SIDE, SHORTEST_SIDE, Onset
from afdp_exporter.detectors.level import (
    AS_FAR,
    LEAST_PLACEBOS,
    MARGIN,
    MOST_PLACEBOS,
    NORMAL,
    QUANTILES,
    LevelShift,
)
from afdp_exporter.detectors.regular_series import RegularSeries, cumulative_sums
from afdp_exporter.detectors.robust import quantile, quantiles
from afdp_exporter.model import Floats

Ints = NDArray[np.int64]

SPARSE = 0.2  # share of the history without any event, from which on events are counted
SINGLE = 0.1  # quantile of the sums of events between two steps without any that is one event
BASELINES = (4, 16)  # lengths of the time before, in those of the time after; and the whole history
CERTAIN = 30.0  # degrees of freedom of the dispersion, at most
LASTS = 0.4  # share of the change that each third after the onset must be able to have


@dataclass(frozen=True, slots=True, kw_only=True)
class CountShift:
    """The change of a rate of events: from the rollout on (`level`), and from its `onset` on (`step`).

    `lasting` is the p-value of the least likely third after the onset, had it at least 0.4 of the change.
    """

    level: LevelShift
    step: LevelShift
    onset: Onset
    lasting: float


def exposure_in_events(ratio: Floats, of: Floats | None, before: NDArray[np.bool_]) -> Floats | None:
    """The denominators (n,) in such units that `ratio` times them counts events, 0 where one of both is not known.

    `ratio` and `of` (n,) may be rates or counts of any overlapping windows; `before` says which values are history.
    Where successes are counted, the failures are the events. Without `of` all denominators are taken to be alike, of
    shares that the history has some events of. None where events are not sparse, or there are none.
    """
    known = np.isfinite(ratio)
    if of is None:
        shown = ratio[known]
        if not (known & before).any() or shown.min() < 0.0 or shown.max() > 1.0:
            return None
        counted_in = np.ones_like(ratio)
    else:
        known &= np.isfinite(of) & (of > 0.0)
        counted_in = np.where(known, of, 0.0)
    if (known & before).sum() < 2:
        return None
    rare = _rare(ratio, known & before) * counted_in
    events, history = rare[known], rare[known & before]
    least = 1e-9 * float(counted_in[known].max())
    if (history <= least).mean() < SPARSE or not ((history if of is None else events) > least).any():
        return None
    return np.where(known, counted_in / _one_event(events, least), 0.0)


def _rare(ratio: Floats, history: NDArray[np.bool_]) -> Floats:
    return 1.0 - ratio if _is_flipped(ratio, history) else ratio


def _is_flipped(ratio: Floats, history: NDArray[np.bool_]) -> bool:
    return bool(ratio[history].mean() > 0.5)


def _one_event(events: Floats, least: float) -> float:
    """What a single event adds to the sum of all values, by the smallest sums between two steps without any."""
    some = np.concatenate([[False], events > least, [False]])
    edges = np.flatnonzero(np.diff(some.astype(np.int8)))
    totals = cumulative_sums(events)
    return quantile(totals[edges[1::2]] - totals[edges[::2]], SINGLE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Counted:
    """Cumulative events and denominators (n + 1,), and the dispersion of a comparison with `back` steps before.

    `dispersion` is as large as any quantile of the placebos asks for, `likely` the middle one; `strayed` (k,) is how
    far the placebos are apart. `back` 0 stands for the whole history.
    """

    events: Floats
    of: Floats
    deployed: int
    back: int
    strayed: Floats
    dispersion: float
    likely: float
    degrees_of_freedom: float

    def before(self, at: int) -> tuple[float, float]:
        """Events and denominators of the time before a position, up to the deployment."""
        end = min(at, self.deployed)
        start = max(end - self.back, 0) if self.back else 0
        return float(self.events[end] - self.events[start]), float(self.of[end] - self.of[start])

    def between(self, begin: int, end: int) -> tuple[float, float]:
        """Events and denominators from a position to before another."""
        return float(self.events[end] - self.events[begin]), float(self.of[end] - self.of[begin])


def count_shift(grid: RegularSeries) -> CountShift | None:
    """The change of the rate of events after the deployment; None without denominators or where too few are known."""
    if grid.exposure is None:
        return None
    ratio, of = grid.centre + grid.scale * grid.values, grid.exposure
    history = (np.arange(grid.n) < grid.deployed) & (of > 0.0)
    begin = grid.finished if grid.n - grid.finished >= 3 else grid.deployed
    if not history.any() or of[begin:].sum() <= 0.0:
        return None
    flipped = _is_flipped(ratio, history)
    events = np.maximum(1.0 - ratio if flipped else ratio, 0.0) * of
    known = _dispersed(cumulative_sums(events), cumulative_sums(of), grid, grid.n - begin)
    if known is None:
        return None
    onset = _onset(grid, known)
    if onset is None:
        return None
    settled = max(min(onset.position + grid.looks_back, grid.n - _PER_PART), onset.position)
    if known.between(settled, grid.n)[1] <= 0.0:
        return None
    sign = (-1.0 if flipped else 1.0) / grid.scale
    return CountShift(
        level=_level(grid, known, begin, sign),
        step=_level(grid, known, settled, sign),
        onset=onset,
        lasting=_lasting(known, onset.position, grid.n),
    )


def _dispersed(events: Floats, of: Floats, grid: RegularSeries, forward: int) -> _Counted | None:
    """With the time before that predicts best at placebo instants."""
    best, found = np.inf, None
    for back in (*(times * forward for times in BASELINES), 0):
        first, last = back or forward, grid.deployed - forward
        if last - first < LEAST_PLACEBOS:
            continue
        at = np.unique(np.linspace(first, last, MOST_PLACEBOS).astype(np.int64))
        after = events[at + forward] - events[at], of[at + forward] - of[at]
        if back:
            before = events[at] - events[at - back], of[at] - of[at - back]
        else:
            before = events[grid.deployed] - after[0], of[grid.deployed] - after[1]
        used = (after[1] > 0.0) & (before[1] > 0.0)
        if used.sum() < LEAST_PLACEBOS:
            continue
        strayed = np.abs(_root_deviance(after[0][used], after[1][used], before[0][used], before[1][used]))
        roots = quantiles(strayed, QUANTILES) / NORMAL
        root, likely = max(MARGIN * float(roots.max()), 1.0), max(float(np.median(roots)), 1.0)
        own = of[grid.deployed] - of[grid.deployed - back if back else 0]
        error = root * np.sqrt(1.0 / max(float(np.median(after[1][used])), 1e-300) + 1.0 / max(float(own), 1e-300))
        if error < best:
            independent = (last - first) / forward + 2.0
            best = error
            found = _Counted(
                events=events, of=of, deployed=grid.deployed, back=back, strayed=strayed, dispersion=root**2,
                likely=likely**2,
                degrees_of_freedom=float(np.clip(0.6 * independent, 1.5, CERTAIN)),
            )  # fmt: skip
    return found


def _root_deviance(after: Floats, after_of: Floats, before: Floats, before_of: Floats) -> Floats:
    """How far two rates are apart, in standard deviations of independent events, with its sign; elementwise."""
    pooled = (after + before) / (after_of + before_of)
    deviance = xlogy(after, after / after_of) + xlogy(before, before / before_of) - xlogy(after + before, pooled)
    root: Floats = np.sign(after / after_of - before / before_of) * np.sqrt(2.0 * np.maximum(deviance, 0.0))
    return root


def _onset(grid: RegularSeries, known: _Counted) -> Onset | None:
    """The posterior of the change of a rate at each position around the deployment, all of them alike before."""
    begin = grid.deployed - min(max(grid.n_after, SHORTEST_SIDE), LONGEST_SIDE, grid.deployed - 1)
    places = np.arange(begin, min(grid.n - 1, grid.last_onset + LONGEST_SIDE) + 1)
    start = max(begin - known.back, 0) if known.back else 0
    before, before_of = (each[places] - each[start] for each in (known.events, known.of))
    after, after_of = (each[grid.n] - each[places] for each in (known.events, known.of))
    with np.errstate(all="ignore"):
        likelihood = xlogy(before, before / before_of) + xlogy(after, after / after_of)
    likelihood = np.where((before_of > 0.0) & (after_of > 0.0), likelihood, -np.inf) / known.dispersion
    inside = (places >= grid.deployed - 1) & (places <= grid.last_onset)
    if not np.isfinite(likelihood[inside]).any():
        return None
    weight = np.exp(np.maximum(likelihood - likelihood.max(), -700.0))
    within, at = weight[inside], places[inside]
    order = np.cumsum(within) / within.sum()
    at = np.maximum(at - grid.looks_back // 2, at[0])  # the middle of a ramp is found
    return Onset(
        position=int(at[np.argmax(within)]),
        low=int(at[np.searchsorted(order, 0.05)]),
        high=int(at[min(int(np.searchsorted(order, 0.95)), len(at) - 1)]),
        share=float(within.sum() / weight.sum()),
        likeliest=int(places[np.argmax(weight)]),
    )


def _level(grid: RegularSeries, known: _Counted, begin: int, sign: float) -> LevelShift:
    """The change from a position on; `sign` leads from a rate of events to the standardised ratio."""
    after, after_of = known.between(begin, grid.n)
    before, before_of = known.before(begin)
    apart = float(_root_deviance(*(np.array(each) for each in (after, after_of, before, before_of))))
    degrees = known.degrees_of_freedom
    change = after / after_of - before / before_of
    dispersion = max(known.likely, _dispersion_within(known, begin, grid.n))
    low, high = _interval((after, after_of), (before, before_of), dispersion, degrees)
    unlikely = 2.0 * float(stdtr(degrees, -abs(apart) / np.sqrt(known.dispersion)))
    error = np.sqrt(known.dispersion * max(before / before_of * after_of, 1.0)) / after_of
    base = before / before_of
    return LevelShift(
        change=sign * change,
        error=abs(sign) * float(error),
        degrees_of_freedom=degrees,
        p_value=max(unlikely, float((known.strayed >= AS_FAR * abs(apart)).mean())),
        independent=degrees / 0.6,
        at=grid.deployed,
        forward=grid.n - grid.deployed,
        back=min(known.back or grid.deployed, grid.deployed),
        gap=max(min(begin - grid.deployed, grid.n_after - 1), 0),
        base=((1.0 - base if sign < 0.0 else base) - grid.centre) / grid.scale,
        bounds=(sign * low, sign * high) if sign > 0.0 else (sign * high, sign * low),
    )


_PARTS = 10  # of the time after, between which the events may scatter more than before
_PER_PART = 3  # steps, at least


def _dispersion_within(known: _Counted, begin: int, end: int) -> float:
    """Pearson's dispersion of the events among parts of a stretch; 1 where it cannot be told apart from chance."""
    parts = min(_PARTS, (end - begin) // _PER_PART)
    if parts < 3:
        return 1.0
    edges = np.linspace(begin, end, parts + 1).astype(np.int64)
    found, of = np.diff(known.events[edges]), np.diff(known.of[edges])
    expected = of * found.sum() / max(of.sum(), 1e-300)
    used = expected > 0.0
    if used.sum() < 3:
        return 1.0
    degrees = float(used.sum() - 1)
    statistic = float(((found - expected)[used] ** 2 / expected[used]).sum())
    return statistic / degrees if gammaincc(degrees / 2.0, statistic / 2.0) < 0.05 else 1.0


def _interval(
    after: tuple[float, float], before: tuple[float, float], dispersion: float, degrees: float
) -> tuple[float, float]:
    """The 90 % interval of a difference of two rates, each given by its events and what they are counted in."""
    tail = float(ndtr(-stdtrit(degrees, 0.95)))
    (rate, low, high), (base, base_low, base_high) = (_jeffreys(*each, dispersion, tail) for each in (after, before))
    apart = rate - base
    return (
        apart - float(np.hypot(rate - low, base_high - base)),
        apart + float(np.hypot(high - rate, base - base_low)),
    )


def _jeffreys(events: float, of: float, dispersion: float, tail: float) -> tuple[float, float, float]:
    independent, unit = events / dispersion + 0.5, of / dispersion
    low = float(gammaincinv(independent, tail)) / unit if events > 0.0 else 0.0
    return events / of, min(low, events / of), float(gammaincinv(independent, 1.0 - tail)) / unit


def _lasting(known: _Counted, onset: int, end: int) -> float:
    """How likely so few events (or so many, where they became rarer) are in each third, had it a part of the change."""
    (after, after_of), (before, before_of) = known.between(onset, end), known.before(onset)
    base, change = before / before_of, after / after_of - before / before_of
    edges = np.linspace(onset, end, 4).astype(np.int64)
    found, of = (np.diff(each[edges]) / known.dispersion for each in (known.events, known.of))
    expected = np.maximum(of * (base + LASTS * change), 1e-12)
    if change > 0.0:
        tails = gammaincc(np.floor(found) + 1.0, expected)
    else:
        tails = np.where(found > 0.0, gammainc(np.maximum(np.ceil(found), 1.0), expected), 1.0)
    return float(tails.min())
