"""What a check could not have seen is no "no effect".

A new version that serves a share of the traffic moves a metric of all traffic by that share only: what would be seen of
it is larger by as much. Where not even severe harm would have been seen, nothing is known of the metric.
"""

from collections.abc import Iterable
from dataclasses import replace

from afdp_exporter.impact.case import Case
from afdp_exporter.model import Attribution, Estimate, Layer, Shift, Worse
from afdp_exporter.wording.metrics import format_change
from afdp_exporter.wording.numbers import format_share

_WHOLE = 1.0  # the share of its level that a metric can lose at most
_WORTH_SAYING = 0.05  # of the level


def visible(shifts: Iterable[Shift], case: Case) -> tuple[Shift, ...]:
    """The shifts, with what would have been seen of those without an effect; inconclusive where that is too little."""
    return tuple(_visible(shift, case) if shift.verdict is Attribution.NO_EFFECT else shift for shift in shifts)


def _visible(shift: Shift, case: Case) -> Shift:
    size, ratio = shift.minimum_detectable_effect, shift.minimum_detectable_ratio
    if size is None or shift.onset is not None:
        return shift  # nothing was measured, or it moved and another cause explains it
    share = case.deployment.traffic_ratio or 1.0
    own = None if ratio is None else ratio / share
    if share < 1.0 and _too_large(shift, size / share, own, case):
        told = "" if own is None else f", {format_share(own)} of the level,"
        whole = Estimate(low=size / share, median=size / share, high=size / share)
        reason = (
            f"it cannot be seen at this share of the traffic: with {format_share(share)} of it in the new version, "
            f"a change of that version itself shows{told} from {format_change(shift.metric, whole, shift.before)} on"
        )
        return _unseen(shift, reason)
    if shift.worse is Worse.DOWN and ratio is not None and ratio >= _WHOLE:
        least = format_share(ratio)
        reason = f"even a complete loss would not be seen: the smallest change that would is {least} of its level"
        return _unseen(shift, reason)
    if own is not None and own >= _WORTH_SAYING:
        of = "" if share == 1.0 else f" of the new version, which has {format_share(share)} of the traffic,"
        shows = f"a lasting change{of} shows from {format_share(own)} of its level on"
        return replace(shift, reason=f"{shift.reason}; {shows}")
    return shift


def _too_large(shift: Shift, size: float, ratio: float | None, case: Case) -> bool:
    """Whether a change has to be larger than severe harm to be seen."""
    settings = case.settings
    if shift.metric.endswith("_ratio"):
        return size > settings.severe_points
    felt = shift.layer in {Layer.USER, Layer.BUSINESS} and shift.worse is Worse.DOWN
    return ratio is None or ratio > (settings.severe_user_ratio if felt else settings.severe_ratio)


def _unseen(shift: Shift, reason: str) -> Shift:
    return replace(
        shift, verdict=Attribution.INCONCLUSIVE, reason=reason, change=None, low=None, high=None, change_ratio=None,
        attribution_ratio=None,
    )  # fmt: skip
