"""The usual response to a deployment: cold caches, a dip while instances are replaced, a value that restarts.

Superposed epoch analysis (Chree 1913), known as the event study in econometrics (MacKinlay 1997): the windows after
earlier deployments are aligned at the instant of the deployment. Their median is the usual response where it exceeds
what other instants of the series show; the spread of the single responses gives a prediction band.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from afdp_exporter.detectors.panel import Panel
from afdp_exporter.detectors.regular_series import RegularSeries, cumulative_sums
from afdp_exporter.detectors.robust import MAD_SCALE, median, medians, quantile, row_medians
from afdp_exporter.model import Floats

Ints = NDArray[np.int64]

LEAST = 4  # earlier deployments that are alike: this one is then at least the fifth
ALIKE = 0.75  # of the earlier deployments that can be compared
MOST = 24  # the newest ones; more only cost time
BEFORE = 8  # steps that give the level before
HORIZON = 120  # steps after a deployment in which a response has to be over, at least
STARTS = (0, 1, 2, 5)  # steps from the deployment to a stretch of the response, and how long it is:
LENGTHS = (1, 2, 3, 5, 10, 20, 40)  # steps
STRETCHES = np.array([(start, length) for length in LENGTHS for start in STARTS], dtype=np.int64)
NATURAL = 0.97  # quantile of how far stretches elsewhere are from the level before them
ENOUGH = 500  # of them, evenly spread
FEWER = 8  # every so many-th of them, which often say at once that others are further
SPAN_APART = 4  # steps between two deployments that count as two
BEYOND = 0.995  # coverage of the range of a single value after a deployment
STEADIER = 0.4  # an error smaller by this factor: the values themselves repeat, not their distance from before; ...
AS_STEADY = 1.3  # ... and by this one where the series does not come back


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UsualResponse:
    """What usually follows, in standardised units.

    `count` of `compared` earlier deployments are alike. `path` (m,) is the median after them: of the distance from the
    level before, or where the series `restarts`, of the values themselves. `error` (m,) is how far a single deployment
    strays from it (one standard deviation of a prediction). `length` is how many steps pass
    until the series is back (all that is compared where it restarts), `height` the median over the stretch from
    `begin` on, `stretch` steps long, that shows it best.
    """

    count: int
    compared: int
    restarts: bool
    path: Floats
    error: Floats
    degrees_of_freedom: float
    length: int
    height: float
    begin: int
    stretch: int
    natural: float

    @property
    def reach(self) -> Floats:
        """How far from the path a single value may be without being unusual (m,)."""
        reach: Floats = float(stdtrit(self.degrees_of_freedom, 0.5 + BEYOND / 2)) * self.error
        return reach


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Epochs:
    """The stretches after e earlier deployments: their `places`, `after` (..., e, m) with NaN from the next one on, and
    the level `before` each (..., e)."""

    places: Sequence[int]
    after: Floats
    before: Floats


def compared_places(grid: RegularSeries, earlier: Sequence[float]) -> list[int]:
    """Where on the grid the `earlier` deployments (Unix seconds) lie that can be compared, in order."""
    instants = sorted(float(time) for time in earlier if isfinite(time))
    places = np.ceil(grid.positions(instants) - 1e-6).astype(np.int64).tolist()
    apart = [place for k, place in enumerate(places) if k == 0 or place - places[k - 1] >= SPAN_APART]
    return [place for place in apart if BEFORE < place <= grid.deployed - SPAN_APART][-MOST:]


def stack_epochs(panel: Panel, earlier: Sequence[float]) -> Epochs | None:
    """The stretches of (k,) series after the `earlier` deployments (Unix seconds).

    None where too few can be compared.
    """
    grid = panel.layout
    inside = compared_places(grid, earlier)
    if len(inside) < LEAST:
        return None
    length = min(max(grid.n_after, HORIZON), grid.deployed)
    after = np.full((panel.k, len(inside), length), np.nan)
    for row, (place, following) in enumerate(zip(inside, [*inside[1:], grid.deployed], strict=True)):
        end = min(following - 1, place + length)
        after[:, row, : end - place] = panel.values[:, place:end]
    windows = panel.values[:, np.array(inside)[:, None] + np.arange(-1 - BEFORE, -1)]
    return Epochs(places=inside, after=after, before=row_medians(windows))


def level_before(values: Floats, place: int) -> float:
    """The median of the values before a position; the last of them may already belong to what comes."""
    return median(values[max(0, place - 1 - BEFORE) : max(place - 1, 1)])


def usual_responses(panel: Panel, earlier: Sequence[float]) -> list[UsualResponse | None]:
    """What the earlier deployments were followed by alike; None where that is nothing, or no more than chance."""
    known = stack_epochs(panel, earlier)
    if known is None:
        return [None] * panel.k
    longest = min(max(STARTS) + max(LENGTHS), known.after.shape[-1])
    stretches = STRETCHES[STRETCHES.sum(axis=1) <= longest]
    sums = cumulative_sums(known.after[..., :longest] - known.before[..., None])
    means = (sums[..., stretches.sum(axis=1)] - sums[..., stretches[:, 0]]) / stretches[:, 1]
    up, down = (means > 0.0).sum(axis=1), (means < 0.0).sum(axis=1)
    one_way = np.maximum(up, down) >= np.maximum(LEAST, ALIKE * (up + down))
    elsewhere = {length: _elsewhere(panel.layout, known.places, length) for length in LENGTHS if one_way.any()}
    return [
        _usual_response(
            grid,
            replace(known, after=known.after[row], before=known.before[row]),
            elsewhere,
            dict(zip(map(tuple, stretches[alike].tolist()), means[row].T[alike], strict=True)),
        )
        if (alike := one_way[row]).any()
        else None
        for row, grid in enumerate(panel.series)
    ]


def _usual_response(
    grid: RegularSeries,
    known: Epochs,
    elsewhere: Mapping[int, Ints | None],
    means: Mapping[tuple[int, int], Floats],
) -> UsualResponse | None:
    """The same of one series; `means` (e,) are those of each stretch, by its begin and length, that went one way.

    `elsewhere` is where stretches of each length lie that have nothing to do with a deployment.
    """
    distances = known.after - known.before[:, None]
    shown = _clearest_stretch(grid, elsewhere, means)
    if shown is None:
        return None
    begin, stretch, alike, compared, height, natural = shown
    known_at = np.isfinite(distances).sum(axis=0)
    m = int(np.argmax(known_at < LEAST)) if (known_at < LEAST).any() else len(known_at)
    distances, values = distances[:, :m], known.after[:, :m]
    relative, absolute = _nan_medians(distances), _nan_medians(values)
    apart = float(np.nanmedian(np.abs(distances - relative)))
    themselves = float(np.nanmedian(np.abs(values - absolute)))
    at = elsewhere[1]
    single = natural if at is None else _natural_contrast(cumulative_sums(grid.values), at, 1)
    length = _response_length(relative, np.sqrt(np.nanmean(distances**2, axis=0)), natural, single)
    restarts = themselves < (STEADIER if length is not None else AS_STEADY) * apart
    if length is None and not restarts:
        return None  # it goes over to another level each time: that is no trace of the rollout
    residual = values - absolute if restarts else distances - relative
    return UsualResponse(
        count=alike,
        compared=compared,
        restarts=restarts,
        path=absolute if restarts else relative,
        error=np.maximum(_predictive(residual, known_at[:m]), 0.5 * natural if not restarts else 1e-9),
        degrees_of_freedom=float(compared - 1),
        length=m if restarts or length is None else length,
        height=height,
        begin=begin,
        stretch=stretch,
        natural=natural,
    )


def _clearest_stretch(
    grid: RegularSeries, elsewhere: Mapping[int, Ints | None], means: Mapping[tuple[int, int], Floats]
) -> tuple[int, int, int, int, float, float] | None:
    """The stretch after the deployments that shows the response best.

    Its begin, its length, how many show it, of how many, how far, and how far such stretches are by themselves.
    """
    totals = cumulative_sums(grid.values)
    by_itself: dict[int, float | None] = {}
    best, found = 0.0, None
    for (begin, length), each in means.items():
        finite = each[np.isfinite(each)]
        height = median(finite)
        away = finite * np.sign(height)
        needed = ceil(max(LEAST, ALIKE * len(finite)))
        if length not in by_itself:
            furthest = float(np.sort(away)[len(away) - needed])
            at = elsewhere[length]
            if at is not None and _is_further(totals, at, length, furthest):
                continue
            by_itself[length] = None if at is None else _natural_contrast(totals, at, length)
        usual = by_itself[length]
        if usual is None:
            continue
        alike = int((away > usual).sum())
        if alike >= needed and abs(height) > best * usual:
            best, found = abs(height) / usual, (begin, length, alike, len(finite), height, usual)
    return found


def _elsewhere(grid: RegularSeries, places: Sequence[int], length: int) -> Ints | None:
    """Where stretches far from any deployment begin (k,); None where there are too few."""
    first, last = BEFORE + 1, grid.deployed - length
    if last - first < 20:
        return None
    clear = np.ones(grid.deployed + 1, dtype=np.bool_)
    for place in places:
        clear[max(place - length, 0) : place + BEFORE + length] = False
    at = first + np.flatnonzero(clear[first:last])
    at = at if len(at) >= 20 else np.arange(first, last)
    return at[:: max(len(at) // ENOUGH, 1)]


def _contrasts(totals: Floats, at: Ints, length: int) -> Floats:
    """How far the means of stretches from positions (k,) on are from the level before them, without sign."""
    contrasts: Floats = np.abs(
        (totals[at + length] - totals[at]) / length - (totals[at - 1] - totals[at - 1 - BEFORE]) / BEFORE
    )
    return contrasts


def _natural_contrast(totals: Floats, at: Ints, length: int) -> float:
    """How far such stretches are by themselves."""
    return max(quantile(_contrasts(totals, at, length), NATURAL), 1e-9)


def _is_further(totals: Floats, at: Ints, length: int, contrast: float) -> bool:
    """Whether a few of such stretches are enough to say that the natural contrast is at least this one."""
    beyond = np.count_nonzero(_contrasts(totals, at[::FEWER], length) >= contrast)
    return bool(beyond >= len(at) - int(NATURAL * (len(at) - 1)))


def _response_length(path: Floats, sizes: Floats, natural: float, single: float) -> int | None:
    """After how many steps the response is over, in the median and wherever it was longer at once.

    `sizes` (m,) is the root mean square of the single responses. None where the median is not over in two thirds of
    what is known.
    """
    large = np.flatnonzero(np.abs(path) > max(0.5 * natural, 0.15 * float(np.abs(path).max())))
    length = int(large[-1]) + 1 if len(large) else 0
    if length + 1 > 2 * len(path) / 3:
        return None
    longest = min(2 * length + 2, 2 * len(path) // 3)
    while length < longest and sizes[length] > 0.5 * single:
        length += 1
    return length + 1


def _nan_medians(rows: Floats) -> Floats:
    """The median of what is known in each column of (k, m), at least one value in each. Returns (m,)."""
    columns = rows.T
    return medians(columns, np.isfinite(columns))


def _predictive(residual: Floats, known: Floats) -> Floats:
    """The standard deviation with which the next value (m,) is predicted by the median of (k, m)."""
    centred = np.abs(residual)
    spread = np.maximum(MAD_SCALE * _nan_medians(centred), 0.5 * np.sqrt(np.nanmean(centred**2, axis=0)))
    neighbours = np.maximum(spread, np.maximum(np.append(spread[1:], spread[-1]), np.append(spread[0], spread[:-1])))
    predictive: Floats = neighbours * np.sqrt((1.0 + 1.0 / known) * known / np.maximum(known - 1.0, 1.0))
    return predictive
