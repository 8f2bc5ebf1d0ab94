"""Seasonal changes: what the same minutes of earlier days did (the nightly job, the morning rise, the end of a month).

The change after the deployment is measured in the same way at comparable instants: the same wall-clock time of earlier
days, of days of the same kind (working day or weekend), of the same weekday, of the same day of the month, and the same
minute of earlier hours, each within some minutes of jitter. A seasonal change counts only as far as other times of the
day change less, since the largest of several noisy changes is never small.

What moved further than forecast is held against the largest changes that came in those minutes. What fell short of a
usual movement is held against those at the very minute: their scatter says whether it may only be late today.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from afdp_exporter.detectors.clock import HOUR, changed_elsewhere
from afdp_exporter.detectors.regular_series import DAY, RegularSeries, cumulative_sums
from afdp_exporter.detectors.robust import mad, median, quantile
from afdp_exporter.model import Floats

EARLIER_OR_LATER = 600.0  # seconds by which a recurring movement may come sooner or later
SIDE = (3, 15)  # steps before a stretch that give the level before it: at least, at most
SAME = 0.4  # share of the movement that comparable instants must have made
ALIKE = 0.7  # share of the comparable instants that must have made it
AT_ONCE = 0.5  # the share at the very minute where few, or hours, are compared: chance has many minutes to choose from
ELSEWHERE = 60  # other instants that say what chance makes of so many changes
QUIET = 0.25  # their quantile that is chance; ...
LOUD = 0.95  # ... and the one that must be exceeded where hardly anything can be compared
FEW = 3  # changes, from which on their scatter is estimated
DAYS, WEEKS, MONTHS, HOURS = 14, 4, 3, 24  # how many earlier ones are compared
WORKING_DAYS = 5  # of a week, from Monday on
LEAST_DAYS = 3  # earlier days, from which on a t-test means anything
REAL = 0.5  # share of a stretch that must have been measured


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonalChange:
    """What comparable instants usually do, in standardised units.

    `change` is their median at the same minute, `excess` what went beyond it, `error` the standard error of a
    prediction of one more; `count` of `compared` moved by a good part of what is asked about, some
    minutes sooner or later. `p_value` is one-sided: that nothing goes beyond the furthest that came in those minutes.
    Of the `shortfall` of a movement it is that nothing stays behind what is usual at the very minute. `recurs` says
    whether there is a usual movement, `period` what the instants have in common.
    """

    period: str
    shortfall: bool
    recurs: bool
    change: float
    excess: float
    error: float
    degrees_of_freedom: float
    p_value: float
    count: int
    compared: int

    def half_width(self, coverage: float = 0.90) -> float:
        """Half the width of the interval of the excess."""
        return float(stdtrit(self.degrees_of_freedom, 0.5 + coverage / 2)) * self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class DayComparison:
    """A change compared with those of the same minutes of `compared` earlier days: a two-sided t-test for one more."""

    p_value: float
    compared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Instants so many steps (k,) before, of which `least` are needed; they repeat with the `cycle` (steps).

    What `jitters` comes some minutes sooner or later.
    """

    period: str
    lags: tuple[int, ...]
    least: int
    cycle: int
    jitters: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """From position `begin` to before `end`, compared with the values before `base`.

    Such a stretch moves by `error` by itself (one standard deviation); `apart` is how far it is from what was forecast,
    with its sign.
    """

    base: int
    begin: int
    end: int
    error: float
    apart: float


def seasonal_changes(
    grid: RegularSeries, stretches: Iterable[Stretch], *, earlier: Sequence[float] = ()
) -> Iterator[tuple[Stretch, SeasonalChange]]:
    """How each stretch recurs, for each way to compare it that shows it.

    What followed one of the `earlier` deployments (Unix seconds) is not compared. Where a usual movement fell short,
    days without one are compared as well: this may be such a day.
    """
    comparables, sums = tuple(_comparisons(grid)), _sums(grid)
    for stretch in stretches:
        changes = _Changes.of(grid, sums, stretch, earlier)
        if changes is None:
            continue
        for shortfall in (False, True):
            compared = (changes.compare(each, shortfall=shortfall) for each in comparables)
            found = [each for each in compared if each is not None]
            missing = max((abs(each.excess) for each in found if each.recurs), default=0.0)
            yield from ((stretch, each) for each in found if each.recurs or abs(each.excess) < SAME * missing)


def compare_with_days(grid: RegularSeries, stretch: Stretch, earlier: Sequence[float] = ()) -> DayComparison | None:
    """The change of a stretch compared with the same minutes of earlier days; None where three cannot be compared."""
    changes = _Changes.of(grid, _sums(grid), stretch, earlier)
    return None if changes is None else changes.compare_days(grid.day * np.arange(1, DAYS + 1))


def _sums(grid: RegularSeries) -> tuple[Floats, Floats]:
    """The sum of the first values at each position, and how many of them were measured, (n + 1,) each."""
    return cumulative_sums(grid.values), cumulative_sums(grid.measured.astype(np.float64))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Changes:
    """The change of a stretch to the `side` on which it is `apart` from its forecast, and others as long elsewhere."""

    begin: int
    length: int
    lead: int
    back: int
    last: int
    totals: Floats
    measured: Floats
    shifts: NDArray[np.int64]
    excluded: NDArray[np.bool_]
    side: float
    change: float
    apart: float
    error: float

    @classmethod
    def of(
        cls, grid: RegularSeries, sums: tuple[Floats, Floats], stretch: Stretch, earlier: Sequence[float]
    ) -> "_Changes | None":
        base, begin, end = stretch.base, stretch.begin, stretch.end
        length = end - begin
        back = min(max(length // 4, SIDE[0]), SIDE[1], base)
        if length < 1 or back < 1:
            return None
        totals, measured = sums
        change = float((totals[end] - totals[begin]) / length - (totals[base] - totals[base - back]) / back)
        excluded = np.zeros(grid.n + 1, dtype=bool)
        for place in np.ceil(grid.positions(earlier) - 1e-6).astype(int):
            if 0 <= place < grid.deployed:
                excluded[max(place - length, 0) : place + grid.reach + 1] = True
        jitter = round(EARLIER_OR_LATER / grid.step)
        side = 1.0 if stretch.apart > 0.0 else -1.0
        return cls(
            begin=begin, length=length, lead=begin - base, back=back, last=grid.deployed - length, totals=totals,
            measured=measured, shifts=np.arange(-jitter, jitter + 1), excluded=excluded, side=side,
            change=side * change, apart=abs(stretch.apart), error=stretch.error,
        )  # fmt: skip

    def compare_days(self, lags: NDArray[np.int64]) -> DayComparison | None:
        """The change compared with the same minutes `lags` before, whether those moved or not."""
        at = self.begin - lags
        at = at[(at >= self.lead + self.back) & (at <= self.last)]
        real = self.measured[at + self.length] - self.measured[at - self.lead - self.back]
        at = at[(real >= REAL * (self.length + self.back)) & ~self.excluded[at]]
        if len(at) < LEAST_DAYS:
            return None
        after = (self.totals[at + self.length] - self.totals[at]) / self.length
        base = at - self.lead
        moved = self.side * (after - (self.totals[base] - self.totals[base - self.back]) / self.back)
        error = float(np.std(moved, ddof=1)) * float(np.sqrt(1.0 + 1.0 / len(at)))
        apart = self.change - float(moved.mean())
        return DayComparison(
            p_value=float(2.0 * stdtr(len(at) - 1.0, -abs(apart) / max(error, 1e-12))),
            compared=len(at),
        )

    def compare(self, comparison: _Comparison, *, shortfall: bool) -> SeasonalChange | None:
        """What is usual with one period; None where too little can be compared, or it explains nothing.

        Asked about is the change, or the `shortfall` of the movement to the other side that was forecast.
        """
        forecast = self.apart - self.change
        if shortfall and forecast < SAME * self.apart:
            return None
        asked, side = (forecast, -1.0) if shortfall else (self.change, 1.0)
        shortest = self.length + int(self.shifts[-1])
        longest = self.begin - self.lead - self.back if shortfall else self.begin
        lags = np.array([k for k in comparison.lags if shortest < k <= longest], dtype=np.int64)
        if asked <= 0.0 or len(lags) < comparison.least:
            return None
        moved = self._moved(self.begin - lags)
        moved = moved[np.isfinite(moved).any(axis=1)]
        same = moved[:, len(self.shifts) // 2]
        same = same[np.isfinite(same)]
        if len(moved) < comparison.least or (shortfall and len(same) < comparison.least):
            return None
        furthest, recurring = np.fmax.reduce(moved, axis=1), np.fmax.reduce(side * moved, axis=1)
        at_this_minute = median(same) if len(same) else median(furthest)
        at_once = side * at_this_minute >= AT_ONCE * asked or (comparison.jitters and len(moved) >= FEW)
        count = int((recurring >= SAME * asked).sum())
        recurs = (
            at_once
            and count >= ALIKE * len(moved)
            and self._more_than_elsewhere(recurring, side, asked, lags, comparison)
        )
        still = int((side * same < SAME * asked).sum()) >= ALIKE * len(same)
        if not recurs and not (shortfall and comparison.jitters and still):
            return None
        if shortfall:  # the scatter at this minute says how much sooner or later the movement comes
            usual, (error, degrees_of_freedom) = float(same.mean()), _prediction_by_mean(same, self.error)
        else:
            usual, (error, degrees_of_freedom) = median(furthest), _prediction(furthest, self.error)
        return SeasonalChange(
            period=comparison.period,
            shortfall=shortfall,
            recurs=recurs,
            change=self.side * at_this_minute,
            excess=self.side * (self.change - at_this_minute),
            error=_prediction(same, error)[0] if len(same) else error,
            degrees_of_freedom=degrees_of_freedom,
            p_value=float(stdtr(degrees_of_freedom, (usual - self.change) / error)),
            count=count,
            compared=len(moved),
        )

    def _more_than_elsewhere(
        self, recurring: Floats, side: float, asked: float, lags: NDArray[np.int64], comparison: _Comparison
    ) -> bool:
        """Whether comparable instants at other times of the cycle do less in the median."""
        stride = max(comparison.cycle // ELSEWHERE, 1)
        others = self.begin - stride * np.arange(1, comparison.cycle // stride)
        moved = side * self._moved((others[:, None] - lags).ravel())
        elsewhere = np.fmax.reduce(moved, axis=1).reshape(len(others), len(lags))
        counts = np.isfinite(elsewhere).sum(axis=1)
        rows, counts = np.sort(elsewhere[counts >= comparison.least], axis=1), counts[counts >= comparison.least]
        if not len(rows):
            return False
        k, usual = np.arange(len(rows)), median(recurring)
        medians = 0.5 * (rows[k, (counts - 1) // 2] + rows[k, counts // 2])  # what is not known comes last
        if len(recurring) < FEW and usual <= quantile(medians, LOUD):
            return False
        return usual - quantile(medians, QUIET) >= SAME * asked

    def _moved(self, begins: NDArray[np.int64]) -> Floats:
        """The changes to the side of the one asked about, around positions (k,): (k, shifts), NaN if unknown."""
        at = begins[:, None] + self.shifts
        base = at - self.lead
        back = np.where(base >= self.back, self.back, SIDE[0])
        known = (base >= back) & (at <= self.last)
        at, base = np.where(known, at, self.begin), np.where(known, base, self.begin - self.lead)
        back = np.where(known, back, self.back)
        end = np.minimum(at + self.length, len(self.totals) - 1)
        known &= ~self.excluded[at]
        known &= self.measured[end] - self.measured[base - back] >= REAL * (self.length + back)
        after = (self.totals[end] - self.totals[at]) / self.length
        before = (self.totals[base] - self.totals[base - back]) / back
        moved: Floats = np.where(known, self.side * (after - before), np.nan)
        return moved


def _prediction(changes: Floats, natural: float) -> tuple[float, float]:
    """The standard error with which the median of (k,) changes predicts one more, and its degrees of freedom."""
    k, usual = len(changes), median(changes)
    scatter = mad(changes - usual) if k >= FEW else 0.25 * abs(usual)
    return max(scatter, natural) * float(np.sqrt(1.0 + 1.0 / k)), float(k - 1 if k >= FEW else 8)


def _prediction_by_mean(changes: Floats, natural: float) -> tuple[float, float]:
    """The same for their mean: a movement that came late on some days counts with all its size."""
    if len(changes) < FEW:
        return _prediction(changes, natural)
    return max(float(np.std(changes, ddof=1)), natural) * float(np.sqrt(1.0 + 1.0 / len(changes))), len(changes) - 1.0


def _comparisons(grid: RegularSeries) -> Iterator[_Comparison]:
    """Ways to compare, the most specific first."""
    day, step = grid.day, grid.step
    wall = grid.clock.wall(grid.time(grid.deployed))
    known = int(min(grid.deployed // max(day, 1) + 1, DAYS))
    if day > 1 and known >= 2:
        working = wall.weekday() < WORKING_DAYS
        alike = [k for k in range(1, known + 1) if ((wall - timedelta(k)).weekday() < WORKING_DAYS) == working]
        every = tuple(k * day for k in range(1, known + 1))
        yield _Comparison(period="at this time of other weeks", lags=_weeks(grid), least=1, cycle=day)
        yield _Comparison(period="at this time of such days", lags=tuple(k * day for k in alike), least=3, cycle=day)
        yield _Comparison(period="at this time of the days before", lags=every, least=2, cycle=day)
        from_start, from_end = _months(grid)
        yield _Comparison(period="on this day of other months", lags=from_start, least=1, cycle=day)
        yield _Comparison(period="so long before the end of other months", lags=from_end, least=1, cycle=day)
        if changed_elsewhere(grid.clock.zone, grid.time(0), grid.time(grid.deployed)):
            for hours in (-HOUR, HOUR):
                lags = tuple(lag + round(hours / step) for lag in every)
                yield _Comparison(period="an hour apart, since the clock was changed", lags=lags, least=3, cycle=day)
    hour = round(HOUR / step)
    if hour > 2 and known < 3:
        lags = tuple(k * hour for k in range(1, HOURS + 1))
        yield _Comparison(period="at this minute of the hours before", lags=lags, least=4, cycle=hour, jitters=False)


def _weeks(grid: RegularSeries) -> tuple[int, ...]:
    return tuple(round(7 * k * DAY / grid.step) for k in range(1, WEEKS + 1))


def _months(grid: RegularSeries) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same day of earlier months, and the one as far from the end of its month."""
    wall = grid.clock.wall(grid.time(grid.deployed))
    following = _month_after(wall)
    first = _month_after(following - timedelta(days=40))
    since, until = wall - first, following - wall
    from_start, from_end = [], []
    for _ in range(MONTHS):
        following, first = first, (first - timedelta(days=1)).replace(day=1)
        from_start += [first + since] if first + since < following else []
        from_end += [following - until] if following - until >= first else []
    lags = [tuple(round((wall - day).total_seconds() / grid.step) for day in days) for days in (from_start, from_end)]
    return lags[0], lags[1]


def _month_after(wall: datetime) -> datetime:
    return (wall.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
