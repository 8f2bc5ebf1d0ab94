"""Statistical power: the minimum detectable effect, and whether a change that matters can be ruled out.

A non-significant result of an underpowered test is inconclusive, not "no effect". A version that serves a share of the
traffic moves a metric of all traffic by that share only, so its own effect must be larger by as much to be detected.
A change matters from the metric's `worth` on (a smallest effect of interest, as in equivalence testing: Schuirmann
1987). It is ruled out where the harmful end of the interval lies below it: of the whole look, or of its first hours.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from scipy.special import stdtrit

from afdp_exporter.detectors.level import LevelShift
from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.impact.bayes_factor import ATTRIBUTION_P_VALUE
from afdp_exporter.impact.context import AnalysisContext, ImpactSettings
from afdp_exporter.model import Attribution, Estimate, Layer, Metric, Shift, Worse
from afdp_exporter.wording.metrics import display_name, format_change, format_change_up_to
from afdp_exporter.wording.numbers import format_share

_WHOLE = 1.0  # the share of its level that a metric can lose at most
_WORTH_SAYING = 0.05  # of the level


def mark_underpowered(shifts: Iterable[Shift], context: AnalysisContext) -> tuple[Shift, ...]:
    """The shifts, with what would have been seen of those without an effect; inconclusive where that is too little."""
    return tuple(
        _judged_by_power(shift, context) if shift.verdict is Attribution.NO_EFFECT else shift for shift in shifts
    )


def _judged_by_power(shift: Shift, context: AnalysisContext) -> Shift:
    size, ratio = shift.minimum_detectable_effect, shift.minimum_detectable_ratio
    if size is None or shift.onset is not None:
        return shift  # nothing was measured, or it moved and another cause explains it
    share = context.deployment.traffic_ratio or 1.0
    own = None if ratio is None else ratio / share
    if share < 1.0 and _too_large(shift, size / share, own, context):
        level = "" if own is None else f", {format_share(own)} of the level,"
        whole = Estimate(low=size / share, median=size / share, high=size / share)
        reason = (
            f"it cannot be seen at this share of the traffic: with {format_share(share)} of it in the new version, "
            f"a change of that version itself shows{level} from {format_change(shift.metric, whole, shift.before)} on"
        )
        return _underpowered(shift, reason)
    if shift.worse is Worse.DOWN and ratio is not None and ratio >= _WHOLE:
        least = format_share(ratio)
        reason = f"even a complete loss would not be seen: the smallest change that would is {least} of its level"
        return _underpowered(shift, reason)
    if own is not None and own >= _WORTH_SAYING:
        of = "" if share == 1.0 else f" of the new version, which has {format_share(share)} of the traffic,"
        shows = f"a lasting change{of} shows from {format_share(own)} of its level on"
        return replace(shift, reason=f"{shift.reason}; {shows}")
    return shift


def _too_large(shift: Shift, size: float, ratio: float | None, context: AnalysisContext) -> bool:
    """Whether a change has to be larger than severe harm to be seen."""
    settings = context.settings
    if shift.metric.endswith("_ratio"):
        return size > settings.severe_points
    felt = shift.layer in {Layer.USER, Layer.BUSINESS} and shift.worse is Worse.DOWN
    return ratio is None or ratio > (settings.severe_user_ratio if felt else settings.severe_ratio)


def _underpowered(shift: Shift, reason: str) -> Shift:
    return replace(
        shift, verdict=Attribution.INCONCLUSIVE, reason=reason, change=None, low=None, high=None, change_ratio=None,
        attribution_ratio=None,
    )  # fmt: skip


_POWER = 0.8  # how often a change of that size is found
_EVIDENCE = 2.0  # more than the level's p-value is asked for: on generated and on production series 80 % are found at
# 5 to 6 placebo errors, where a test at that p-value alone would need 2.7


_STILL = 1e-6  # of the unit of the grid: what errs by less has not moved, so that it says nothing of how far it does
_ROUNDING = 1e-9  # of the level: less is what floating-point numbers do to a constant


def minimum_detectable_effect(level: LevelShift, grid: RegularSeries) -> float | None:
    """The smallest lasting change that four checks of five would find, in the metric's own unit.

    Two-sided, for a t distribution: the sum of the quantiles of 1 - alpha / 2 and of the power, times the standard
    error (Bloom 1995, "Minimum detectable effects"); here the error that the placebos show, and more evidence. None
    where the history hardly varies: its natural variation is then unknown.
    """
    plain = minimum_detectable_effect_of(level.error, level.degrees_of_freedom, ATTRIBUTION_P_VALUE, grid)
    return None if plain is None else _EVIDENCE * plain


def minimum_detectable_effect_of(
    error: float, degrees_of_freedom: float, unlikely: float, grid: RegularSeries
) -> float | None:
    """The same for a plain t-test with a standard error in the unit of the grid, which blames below `unlikely`."""
    if error <= max(_STILL, _ROUNDING * abs(grid.centre) / grid.scale):
        return None
    seen, found = (float(stdtrit(degrees_of_freedom, share)) for share in (1.0 - unlikely / 2.0, _POWER))
    return (seen + found) * error * grid.scale


def worth_of(metric: Metric, *, level: float | None, scatter: float | None, settings: ImpactSettings) -> float | None:
    """The smallest change that matters, in the metric's own unit; None where neither that nor a level is known.

    Where the metric does not say it, the larger of a share of its level (of a ratio: of its distance to 0 or 1,
    whichever is nearer, and some points at least) and of what its single values stray by themselves.
    """
    share = metric.worth_share
    if share is None and metric.worth is not None:
        return float(metric.worth)
    if level is None:
        return None
    level = abs(level)
    if share is not None:
        return share * level
    if metric.name.endswith("_ratio"):
        nearest = min(level, abs(1 - level))
        return max(settings.worth_points, settings.worth_ratio * nearest, scatter or 0.0)
    return max(settings.worth_ratio * level, scatter or 0.0)


def with_worth(
    shifts: Iterable[Shift], sooner: Iterable[Iterable[Shift]], context: AnalysisContext
) -> tuple[Shift, ...]:
    """The shifts, each with its worth and whether a change so large is ruled out, by itself or by one of `sooner`."""
    metrics = {metric.name: metric for metric in context.metrics}
    earlier: dict[str, list[Shift]] = {}
    for shift in (each for stretch in sooner for each in stretch):
        earlier.setdefault(shift.metric, []).append(shift)
    found = []
    for shift in shifts:
        metric = metrics.get(shift.metric)
        worth = (
            None
            if metric is None
            else worth_of(metric, level=_level(shift), scatter=shift.scatter, settings=context.settings)
        )
        quiet = [each for each in earlier.get(shift.metric, ()) if each.verdict is Attribution.NO_EFFECT]
        found.append(replace(shift, worth=worth, ruled_out=_ruled_out(shift, quiet, worth)))
    return tuple(found)


def _level(shift: Shift) -> float | None:
    """The level before; of a counter that starts again, what it usually grows in the stretch that was compared."""
    if shift.before is None and shift.change and shift.change_ratio:
        return shift.change / shift.change_ratio
    return shift.before


def may_be_harmful(shift: Shift) -> str:
    """What cannot be ruled out, in words."""
    low, high = _harmful_range(shift)
    way = {Worse.UP: "risen", Worse.DOWN: "fallen"}.get(shift.worse, "moved")
    size = format_change_up_to(shift.metric, low, high, shift.before)
    return f"{display_name(shift.metric)} may have {way} by {size}"


def _ruled_out(shift: Shift, quiet: Iterable[Shift], worth: float | None) -> bool | None:
    """None where the question does not arise: it moved, or it was not measured, or its change is explained."""
    explained = shift.verdict is Attribution.NO_EFFECT and (shift.onset is not None or shift.change is None)
    if shift.moved or explained or shift.verdict not in {Attribution.NO_EFFECT, Attribution.INCONCLUSIVE}:
        return None
    if shift.low is None or shift.high is None:
        return None
    if worth is None:
        return False
    own, soon = _harmful_range(shift)[1], min((_harmful_range(each)[1] for each in quiet), default=inf)
    over = shift.recovered_at is not None  # it came and went: how far it went is known
    if shift.verdict is Attribution.INCONCLUSIVE and shift.harmful and shift.shape != "spread" and not over:
        return own < worth / 2 or max(own, soon) < worth
    if over:
        return own < worth
    return own < worth or (shift.verdict is Attribution.NO_EFFECT and soon < worth)


def _harmful_range(shift: Shift) -> tuple[float, float]:
    """From the smallest to the largest harmful change that the range leaves room for, without sign."""
    low, high = shift.low or 0.0, shift.high or 0.0
    if shift.worse is Worse.UP:
        return low, high
    if shift.worse is Worse.DOWN:
        return -high, -low
    nearest = 0.0 if low <= 0.0 <= high else min(abs(low), abs(high))
    return nearest, max(abs(low), abs(high))
