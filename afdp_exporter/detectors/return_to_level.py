"""When a series that a deployment had moved returned to its level.

A return is a step against the change: the mean of the hour before it compared with the mean of the hour after it,
seasonally adjusted by the same minutes of earlier days. Only local contrasts are compared, since over many hours a
series drifts away from its old level by itself. The position is the mode of the changepoint posterior under a given
prior (Smith 1975).
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.detectors.robust import mad, quantile
from afdp_exporter.model import Floats

SIDE = 60  # steps compared on either side of a return, at most
LEAST = 3  # steps after it, at least
DAYS = 3  # earlier days in the seasonal profile
SMOOTH = 31  # steps, of the days before
HALF = 0.5  # share of the change that has to be undone for a return that was to be expected, ...
MOST = 0.65  # ... and for one that nothing explains, which also ...
CLEAR = 2.0  # ... has to be so many times as large as nine in ten contrasts of the history
SETTLED = 5  # steps after a return that nothing explains, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """The first position at which the series is back, and the share of the change that is undone there."""

    position: int
    share: float


def deseasonalized(grid: RegularSeries) -> Floats:
    """The values (n,) without what the same minutes of the days before the deployment did, standardised."""
    n, day = grid.n, grid.day
    if not grid.has_daily_history:
        return grid.values
    at = np.arange(n)
    back = np.where(at < grid.deployed, 1, (at - grid.deployed) // day + 1)
    days = np.stack([at - (back + number) * day for number in range(DAYS)])
    known = days >= 0
    total = np.where(known, grid.values[np.maximum(days, 0)], 0.0).sum(axis=0)
    usual = total / np.maximum(known.sum(axis=0), 1)
    usual[~known.any(axis=0)] = np.nan
    usual = _smooth(usual)
    rest: Floats = np.where(np.isfinite(usual), grid.values - usual, np.nan)
    return rest


def return_within(rest: Floats, onset: int, change: float, prior: Floats, *, first: int, until: int) -> Return | None:
    """A return that was to be expected at a position from `first` on, `prior` (k,) in proportion to its chance.

    `rest` (n,) is what `deseasonalized` gives, `change` the standardised change since `onset`; what lies at or after
    `until` is not regarded. None where less than half of the change is undone, or too little is known yet.
    """
    begin = max(onset, first - SIDE)
    last = min(first + len(prior), until - LEAST + 1)
    if change == 0.0 or first - begin < LEAST or last <= first:
        return None
    places = np.arange(first, last)
    seen = rest[begin : min(until, last + SIDE)]
    scores = np.full(len(places), -np.inf)
    noise = _noise(seen)
    shares = np.zeros(len(places))
    for number, place in enumerate(places):
        before, after = (part[np.isfinite(part)] for part in np.split(seen, [place - begin]))
        if min(len(before), len(after)) < LEAST:
            continue
        low, high = before.mean(), after.mean()
        misfit = float(((before - low) ** 2).sum() + ((after - high) ** 2).sum())
        scores[number] = -misfit / (2 * noise**2) + np.log(max(prior[number], 1e-12))
        shares[number] = (low - high) / change
    best = int(np.argmax(scores))
    if not shares[best] >= HALF:
        return None
    return Return(position=int(places[best]), share=float(shares[best]))


def return_by_itself(rest: Floats, onset: int, change: float, *, deployed: int, until: int) -> Return | None:
    """A return that nothing explains, before `until`; the arguments are those of `return_within`.

    What lies before `deployed` is the history.
    It has to undo most of the change, to stand out of what the history does by itself, and to last.
    """
    places = np.arange(onset + LEAST, until - SETTLED + 1)
    if change == 0.0 or not len(places):
        return None
    seen = rest[onset:until]
    totals = np.concatenate([[0.0], np.cumsum(np.nan_to_num(seen))])
    counts = np.concatenate([[0.0], np.cumsum(np.isfinite(seen))])
    at = places - onset
    left, right = np.maximum(at - SIDE, 0), np.minimum(at + SIDE, len(seen))
    known_before, known_after = counts[at] - counts[left], counts[right] - counts[at]
    with np.errstate(all="ignore"):
        step = (totals[at] - totals[left]) / known_before - (totals[right] - totals[at]) / known_after
        gain = np.sign(step * change) * step**2 * known_before * known_after / (known_before + known_after)
    usable = (known_before >= LEAST) & (known_after >= SETTLED)
    if not usable.any():
        return None
    best = int(np.argmax(np.where(usable, gain, -np.inf)))
    place, share = int(places[best]), float(step[best] / change)
    usual = _usual_contrast(rest[:deployed], int(known_before[best]), int(known_after[best]))
    stays = np.nanmean(seen[at[best] :]) - (np.nanmean(seen[left[best] : at[best]]) - change)
    if share < MOST or abs(step[best]) < CLEAR * usual or abs(stays) > HALF * abs(change):
        return None
    return Return(position=place, share=share)


def _usual_contrast(history: Floats, before: int, after: int) -> float:
    """What nine in ten contrasts of two adjacent stretches of the history stay below; infinite where they are few."""
    known = history[np.isfinite(history)]
    at = np.arange(before, len(known) - after, max(1, min(before, after) // 4))
    if len(at) < 10:
        return float("inf")
    totals = np.concatenate([[0.0], np.cumsum(known)])
    apart = (totals[at + after] - totals[at]) / after - (totals[at] - totals[at - before]) / before
    return quantile(np.abs(apart), 0.9)


def _noise(values: Floats) -> float:
    """The deviation of single values, from their differences: a step in them does not count."""
    known = values[np.isfinite(values)]
    return mad(np.diff(known)) / np.sqrt(2.0) or 1e-9 if len(known) > 1 else 1.0


def _smooth(values: Floats) -> Floats:
    known = np.isfinite(values)
    if not known.any():
        return values
    filled = np.interp(np.arange(len(values)), np.flatnonzero(known), values[known])
    smoothed: Floats = np.where(known, uniform_filter1d(filled, SMOOTH, mode="nearest"), np.nan)
    return smoothed
