"""What follows every deployment alike: the spike of cold caches, a dip while instances are replaced, a value that
starts again.

Superposed epoch analysis (Chree 1913), the event study of econometrics: the stretches after the earlier deployments are
laid upon each other at the instant of the deployment. What their median shows and few other instants of the series do
is the usual response; how far single deployments stray from it says what goes beyond.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from afdp_exporter.detectors.grid import Grid, running_totals
from afdp_exporter.detectors.robust import median, quantile
from afdp_exporter.model import Floats

LEAST = 4  # earlier deployments that are alike: this one is then at least the fifth
ALIKE = 0.75  # of the earlier deployments that can be compared
MOST = 24  # the newest ones; more only cost time
BEFORE = 8  # steps that tell the level before
HORIZON = 120  # steps after a deployment in which a response has to be over, at least
STARTS = (0, 1, 2, 5)  # steps from the deployment to a stretch of the response, and how long it is:
LENGTHS = (1, 2, 3, 5, 10, 20, 40)
NATURAL = 0.97  # quantile of how far stretches elsewhere are from the level before them
ENOUGH = 500  # of them, evenly spread
SPAN_APART = 4  # steps between two deployments that are told apart
BEYOND = 0.995  # coverage of the range of a single value after a deployment
STEADIER = 0.4  # an error smaller by this factor: the values themselves repeat, not their distance from before; ...
AS_STEADY = 1.3  # ... and by this one where the series does not come back


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response:
    """What usually follows, in standardised units.

    `count` of `compared` earlier deployments are alike. `path` (m,) is the median after them: of the distance from the
    level before, or where the series `restarts`, of the values themselves. `error` (m,) is how far a single deployment
    strays from it (one standard deviation of a prediction), with `freedom` degrees. `length` is how many steps pass
    until the series is back (all that is compared where it restarts), `height` the median over the stretch from
    `begin` on, `stretch` steps long, that shows it best.
    """

    count: int
    compared: int
    restarts: bool
    path: Floats
    error: Floats
    freedom: float
    length: int
    height: float
    begin: int
    stretch: int
    natural: float

    @property
    def reach(self) -> Floats:
        """How far from the path a single value may be without being unusual (m,)."""
        reach: Floats = float(stdtrit(self.freedom, 0.5 + BEYOND / 2)) * self.error
        return reach


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Epochs:
    """The stretches after earlier deployments: their `places`, `after` (k, m) with NaN from the next deployment on, and
    the level `before` each (k,)."""

    places: Sequence[int]
    after: Floats
    before: Floats


def epochs(grid: Grid, earlier: Sequence[float]) -> Epochs | None:
    """The stretches after the `earlier` deployments (Unix seconds); None where too few can be compared."""
    instants = sorted(float(time) for time in earlier if np.isfinite(time))
    places = [int(place) for place in np.ceil(grid.positions(instants) - 1e-6)]
    apart = [place for k, place in enumerate(places) if k == 0 or place - places[k - 1] >= SPAN_APART]
    inside = [place for place in apart if BEFORE < place <= grid.deployed - SPAN_APART][-MOST:]
    if len(inside) < LEAST:
        return None
    length = min(max(grid.n_after, HORIZON), grid.deployed)
    after = np.full((len(inside), length), np.nan)
    for row, (place, following) in enumerate(zip(inside, [*inside[1:], grid.deployed], strict=True)):
        end = min(following - 1, place + length)
        after[row, : end - place] = grid.values[place:end]
    before = np.array([level_before(grid.values, place) for place in inside])
    return Epochs(places=inside, after=after, before=before)


def level_before(values: Floats, place: int) -> float:
    """The median of the values before a position; the last of them may already belong to what comes."""
    return median(values[max(0, place - 1 - BEFORE) : max(place - 1, 1)])


def usual_response(grid: Grid, earlier: Sequence[float]) -> Response | None:
    """What the earlier deployments were followed by alike; None where that is nothing, or no more than chance."""
    known = epochs(grid, earlier)
    if known is None:
        return None
    distances = known.after - known.before[:, None]
    shown = _clearest(grid, known, distances)
    if shown is None:
        return None
    begin, stretch, alike, compared, height, natural = shown
    known_at = np.isfinite(distances).sum(axis=0)
    m = int(np.argmax(known_at < LEAST)) if (known_at < LEAST).any() else len(known_at)
    distances, values = distances[:, :m], known.after[:, :m]
    relative, absolute = np.nanmedian(distances, axis=0), np.nanmedian(values, axis=0)
    apart = float(np.nanmedian(np.abs(distances - relative)))
    themselves = float(np.nanmedian(np.abs(values - absolute)))
    single = _by_itself(grid, running_totals(grid.values), known.places, 1) or natural
    length = _back_after(relative, np.sqrt(np.nanmean(distances**2, axis=0)), natural, single)
    restarts = themselves < (STEADIER if length is not None else AS_STEADY) * apart
    if length is None and not restarts:
        return None  # it goes over to another level each time: that is no trace of the rollout
    residual = values - absolute if restarts else distances - relative
    return Response(
        count=alike,
        compared=compared,
        restarts=restarts,
        path=absolute if restarts else relative,
        error=np.maximum(_predictive(residual, known_at[:m]), 0.5 * natural if not restarts else 1e-9),
        freedom=float(compared - 1),
        length=m if restarts or length is None else length,
        height=height,
        begin=begin,
        stretch=stretch,
        natural=natural,
    )


def _clearest(grid: Grid, known: Epochs, distances: Floats) -> tuple[int, int, int, int, float, float] | None:
    """The stretch after the deployments that shows the response best.

    Its begin, its length, how many show it, of how many, how far, and how far such stretches are by themselves.
    """
    longest = max(STARTS) + max(LENGTHS)
    sums = np.zeros((len(distances), min(longest, distances.shape[1]) + 1))
    np.cumsum(distances[:, : sums.shape[1] - 1], axis=1, out=sums[:, 1:])
    totals, best, found = running_totals(grid.values), 0.0, None
    for length in LENGTHS:
        begins = np.array([begin for begin in STARTS if begin + length < sums.shape[1]], dtype=np.int64)
        if not len(begins):
            break
        means = (sums[:, begins + length] - sums[:, begins]) / length
        up, down = (means > 0.0).sum(axis=0), (means < 0.0).sum(axis=0)
        one_way = np.maximum(up, down) >= np.maximum(LEAST, ALIKE * (up + down))
        usual = _by_itself(grid, totals, known.places, length) if one_way.any() else None
        if usual is None:
            continue
        for begin, column in zip(begins[one_way], means.T[one_way], strict=True):
            finite = column[np.isfinite(column)]
            height = median(finite)
            alike = int((finite * np.sign(height) > usual).sum())
            if alike >= max(LEAST, ALIKE * len(finite)) and abs(height) > best * usual:
                best, found = abs(height) / usual, (int(begin), length, alike, len(finite), height, usual)
    return found


def _by_itself(grid: Grid, totals: Floats, places: Sequence[int], length: int) -> float | None:
    """How far the means of stretches far from any deployment are from the level before them."""
    at = np.arange(BEFORE + 1, grid.deployed - length)
    if len(at) < 20:
        return None
    near = np.zeros(grid.deployed + 1, dtype=bool)
    for place in places:
        near[max(place - length, 0) : place + BEFORE + length] = True
    clear = at[~near[at]]
    at = clear if len(clear) >= 20 else at
    at = at[:: max(len(at) // ENOUGH, 1)]
    apart = (totals[at + length] - totals[at]) / length - (totals[at - 1] - totals[at - 1 - BEFORE]) / BEFORE
    return max(quantile(np.abs(apart), NATURAL), 1e-9)


def _back_after(path: Floats, sizes: Floats, natural: float, single: float) -> int | None:
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


def _predictive(residual: Floats, known: Floats) -> Floats:
    """The standard deviation with which the next value (m,) is predicted by the median of (k, m)."""
    centred = np.abs(residual)
    spread = np.maximum(1.4826 * np.nanmedian(centred, axis=0), 0.5 * np.sqrt(np.nanmean(centred**2, axis=0)))
    neighbours = np.maximum(spread, np.maximum(np.append(spread[1:], spread[-1]), np.append(spread[0], spread[:-1])))
    predictive: Floats = neighbours * np.sqrt((1.0 + 1.0 / known) * known / np.maximum(known - 1.0, 1.0))
    return predictive
