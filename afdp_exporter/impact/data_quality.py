"""Data artefacts of a rollout without any effect: `rate()` dips, counter resets, and data that stop.

While instances are replaced, the counters of the old ones end and those of the new ones have too few samples in the
window of the query, so that `rate()` falls for at most that window. A counter kept by an instance restarts from zero.
Missing data can show an effect, and never that there is none.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from afdp_exporter.detectors.robust import mad, quantile
from afdp_exporter.impact.verdict import Finding
from afdp_exporter.model import Attribution, Floats
from afdp_exporter.wording.numbers import format_duration, format_share
from afdp_exporter.wording.times import format_time

_LEVEL_VALUES = 30  # values that give the level before a dip
_SETTLED_VALUES = 5  # and that behind it
_DIP_DEVIATIONS = 3.0  # robust deviations below the level, and at least
_DIP_SHARE = 0.05  # of the level
_LEAST_COUNTER_VALUES = 20  # values before, of which hardly any may fall
_FRESH_FACTOR = 3.0  # times what it usually grows in one step, which is as far as a fresh counter has come
_RESET_SHARE = 0.5  # of the value before, at most, is what a counter that starts again has
_PRECISION = 1e-6  # of that: smaller differences are those of floating-point numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class RateDip:
    """Values that fell while instances were replaced: from the Unix second `begin` to before `end`."""

    begin: float
    end: float


def bridge_rate_dip(
    times: Floats, values: Floats, deployed_at: float, finished_at: float | None, window: float
) -> tuple[Floats, RateDip | None]:
    """The values (n,) with such a dip bridged, and the dip; unchanged where there is none, or a longer one.

    `times` (n,) are Unix seconds in order, `window` the seconds of the query's own range. A dip begins during the
    rollout and is at most as long as the window. Where the data end within it, it cannot be distinguished from a
    loss yet: its values are then missing.
    """
    finished = deployed_at if finished_at is None else max(finished_at, deployed_at)
    finite = np.flatnonzero(np.isfinite(values))
    before = finite[times[finite] < deployed_at - 1e-6]
    after = finite[times[finite] >= deployed_at - 1e-6]
    if len(before) < _SETTLED_VALUES or not len(after):
        return values, None
    step = float(np.median(np.diff(times[finite][-200:])))
    past = values[before[:-1][-_LEVEL_VALUES:]]
    level = float(np.median(past))
    noise = mad(past - level)
    behind = after[times[after] > finished + window + step][:_SETTLED_VALUES]
    settled = min(level, float(np.median(values[behind]))) if len(behind) else level
    near = finite[(times[finite] >= deployed_at - step) & (times[finite] <= finished + window + 2 * step)]
    low = values[near] < settled - max(_DIP_DEVIATIONS * noise, _DIP_SHARE * abs(level))
    bridged, found = values.copy(), []
    for begin, end in _runs(low):
        lasted = times[near[end - 1]] - times[near[begin]]
        if times[near[begin]] > finished + step or lasted > window + 1e-6:
            continue
        inside = near[begin:end]
        bridged[inside] = np.nan
        left, right = finite[finite < inside[0]], finite[finite > inside[-1]]
        if len(right):
            ends = [left[-1], right[0]]
            bridged[inside] = np.interp(times[inside], times[ends], values[ends])
        found.append(RateDip(begin=float(times[inside[0]]), end=float(times[inside[-1]]) + step))
    if not found:
        return values, None
    return bridged, RateDip(begin=found[0].begin, end=found[-1].end)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Where runs of true values begin, and end before."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def mention_rate_dip(finding: Finding, dip: RateDip, window: float) -> Finding:
    """A finding on the bridged values, with the dip where nothing else was found."""
    if finding.verdict is not Attribution.NO_EFFECT:
        return finding
    over = format_duration(timedelta(seconds=window))
    lasted = format_duration(timedelta(seconds=dip.end - dip.begin))
    reason = (
        f"it dipped for {lasted} while instances were replaced, no longer than the {over} over which its query "
        f"takes the rate: no loss; {finding.reason}"
    )
    return replace(finding, reason=reason)


def counter_increments(times: Floats, values: Floats, deployed_at: float, until: float) -> Floats | None:
    """What a counter grew by up to each value (n,), NaN where that is not known; None for what is no such counter.

    Such a counter never falls but to near zero, and does so between `deployed_at` and `until`: instances that start
    begin at zero, which is no change of anything.
    """
    begin, end = np.searchsorted(times, [deployed_at - 1e-6, until])
    past = values[max(begin - _SETTLED_VALUES, 0) : begin]
    if not (values[begin:end] < _RESET_SHARE * past[np.isfinite(past)].max(initial=0.0)).any():
        return None
    finite = np.flatnonzero(np.isfinite(values))
    before = int((times[finite] < deployed_at).sum())
    if before < _LEAST_COUNTER_VALUES or before == len(finite):
        return None
    grown = np.diff(values[finite])
    fell = np.flatnonzero(grown < 0.0) + 1
    rises = grown[grown > 0.0]
    if not len(fell) or len(rises) < max(_LEAST_COUNTER_VALUES // 2, 10 * len(fell)):
        return None
    fresh = _FRESH_FACTOR * float(np.quantile(rises, 0.9))
    restarted, left, begun = times[finite[fell]], values[finite[fell - 1]], values[finite[fell]]
    if values[finite].min() < 0.0 or begun.max() > fresh or left.min() <= fresh or not np.isfinite(fresh):
        return None
    if not ((restarted >= deployed_at - 1e-6) & (restarted <= until)).any():
        return None
    grown = np.round(grown / (_PRECISION * fresh)) * (_PRECISION * fresh)
    grown[fell - 1] = np.nan
    grown[np.minimum(fell, len(grown) - 1)] = np.nan  # it may have started within that step only
    growth = np.full(len(values), np.nan)
    growth[finite[1:]] = grown
    return growth


def rescale_to_counter(finding: Finding) -> Finding:
    """A finding on increments, as one on the counter: its mean over the stretch that was compared moved so far."""
    compared = finding.compared
    factor = 1.0 if compared is None else (compared.end - compared.begin + 1) / 2.0

    def on_counter(figure: float | None) -> float | None:
        return None if figure is None else figure * factor

    return replace(
        finding,
        before=None,
        after=None,
        change=on_counter(finding.change),
        low=on_counter(finding.low),
        high=on_counter(finding.high),
        minimum_detectable_effect=on_counter(finding.minimum_detectable_effect),
        reason=f"a counter that starts again from zero was judged by what it grows: {finding.reason}",
    )


_TAIL_STEPS = 3  # steps at the end of a stretch that may be missing
_GAP_QUANTILE = 0.99  # quantile of the gaps of the history: as long a one at the end is usual, too
_MISSING_SHARE = 0.2  # the share of the steps after a deployment that may be missing, ...
_MISSING_FACTOR = 2.0  # ... or so many times that of the history


def missing_after(times: Floats, values: Floats, deployed_at: datetime, until: datetime, step: timedelta) -> str | None:
    """Why the data after a deployment is too little to say that nothing changed, as a sentence; None where it is not.

    `times` (n,) Unix seconds in order, `values` (n,) with NaN for gaps; what was to be measured ends at `until`.
    """
    start, end, seconds = deployed_at.timestamp(), until.timestamp(), step.total_seconds()
    known = times[np.isfinite(values) & (times <= end)]
    before, after = known[known < start], known[known >= start]
    if not len(after):
        return "it was not measured after the deployment"
    behind = end - float(after[-1])
    if behind / seconds > _TAIL_STEPS + 1.0 and behind / seconds > _usual_gap(before, seconds) + 1.0:
        last = datetime.fromtimestamp(float(after[-1]), UTC)
        before_end = format_duration(timedelta(seconds=behind))
        return f"its data ends at {format_time(last)}, {before_end} before the end of the check"
    lacking = 1.0 - len(after) / max((end - start) / seconds, 1.0)
    lacked = 1.0 - len(before) / max((start - float(times[0])) / seconds, 1.0)
    if lacking > max(_MISSING_SHARE, _MISSING_FACTOR * lacked):
        return f"{format_share(lacking)} of its data after the deployment is missing"
    return None


def _usual_gap(times: Floats, step: float) -> float:
    """How many steps lie at most between two of (n,) times in order, but for the longest gaps."""
    apart = np.diff(times) / step
    return quantile(apart, _GAP_QUANTILE) if len(apart) else 1.0
