"""Whether a change that matters can be ruled out: without that, nothing is called a success.

A change matters from the metric's `worth` on. It is ruled out where the harmful end of a range that was measured lies
below it: of the whole look, or of the first hours where the look reaches further, since over a day a metric wanders
by itself.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from afdp_exporter.impact.case import Case, ImpactSettings
from afdp_exporter.model import Attribution, Metric, Shift, Worse
from afdp_exporter.wording.metrics import display_name, format_change_up_to


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


def with_worth(shifts: Iterable[Shift], sooner: Iterable[Iterable[Shift]], case: Case) -> tuple[Shift, ...]:
    """The shifts, each with its worth and whether a change so large is ruled out, by itself or by one of `sooner`."""
    metrics = {metric.name: metric for metric in case.metrics}
    earlier: dict[str, list[Shift]] = {}
    for shift in (each for stretch in sooner for each in stretch):
        earlier.setdefault(shift.metric, []).append(shift)
    found = []
    for shift in shifts:
        metric = metrics.get(shift.metric)
        worth = (
            None
            if metric is None
            else worth_of(metric, level=shift.before, scatter=shift.scatter, settings=case.settings)
        )
        quiet = [each for each in earlier.get(shift.metric, ()) if each.verdict is Attribution.NO_EFFECT]
        found.append(replace(shift, worth=worth, ruled_out=_ruled_out(shift, quiet, worth)))
    return tuple(found)


def may_have(shift: Shift) -> str:
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
    if shift.verdict is Attribution.INCONCLUSIVE and shift.harmful and shift.shape != "spread":
        return own < worth / 2 or max(own, soon) < worth
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
