"""False discovery rate control over the metrics of one deployment (Benjamini and Hochberg 1995).

With 195 metrics at p < .05 each, 98 % of innocent deployments would get something attributed. The procedure runs over
the primary metrics. A lasting shift is attributed on far more evidence than its p-value; transient and gradual changes
are not, so they are tested at a fifth of that rate, among what moved alone: one innocent deployment in fifty,
whatever the number of metrics.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from afdp_exporter.model import Attribution, Shift
from afdp_exporter.wording.numbers import format_p_value

_AT_FACE_VALUE = 0.2  # of the ratio, for what has hardly more evidence than its p-value, ...
_RARE = 0.01  # ... and the p-value above which it never passes, whatever else moved


def control_fdr(shifts: Iterable[Shift], false_discovery_ratio: float) -> tuple[Shift, ...]:
    """The shifts with the verdicts that stand among all of them, in their order.

    What passes stays as it was judged; a primary metric that moved and does not pass becomes inconclusive.
    Where no primary metric moved, secondary ones only "also moved": they decide nothing.
    """
    family = tuple(shifts)
    primary = [shift for shift in family if shift.primary and shift.change is not None]
    by_itself = [_p_value(shift) if shift.moved else 1.0 for shift in primary]
    lasting = bh_threshold([_p_value(shift) for shift in primary], false_discovery_ratio)
    surer = min(bh_threshold(by_itself, _AT_FACE_VALUE * false_discovery_ratio), _RARE)
    settled = []
    for shift in family:
        needed = lasting if shift.verdict is Attribution.ATTRIBUTED else surer
        undecided = shift.primary or shift.verdict is not Attribution.ATTRIBUTED
        doubtful = shift.moved and undecided and _p_value(shift) > needed
        settled.append(_not_significant(shift, len(primary), needed) if doubtful else shift)
    return _settle_secondary(settled)


def drop_unsupported_secondary(shifts: Iterable[Shift]) -> tuple[Shift, ...]:
    """Drop secondary shifts where no primary metric moved any more."""
    family = tuple(shifts)
    return family if _any_primary(family) else _settle_secondary(family)


def _settle_secondary(family: Iterable[Shift]) -> tuple[Shift, ...]:
    shifts = tuple(family)
    any_primary = _any_primary(shifts)
    return tuple(
        _secondary(shift, any_primary=any_primary) if shift.moved and not shift.primary else shift for shift in shifts
    )


def _any_primary(family: Iterable[Shift]) -> bool:
    return any(shift.primary and shift.moved for shift in family)


def bh_threshold(p_values: Collection[float], false_discovery_ratio: float) -> float:
    """The p-value up to which Benjamini and Hochberg's procedure lets pass; what one alone would need, if none does."""
    rank = 1
    for place, p_value in enumerate(sorted(p_values), start=1):
        if p_value <= false_discovery_ratio * place / len(p_values):
            rank = place
    return false_discovery_ratio * rank / max(len(p_values), 1)


def _p_value(shift: Shift) -> float:
    return 1.0 if shift.p_value is None else shift.p_value


def _not_significant(shift: Shift, size: int, threshold: float) -> Shift:
    among = f"by itself it would count, among {size} metrics" if size > 1 else "to count by itself"
    reason = (
        f"{shift.reason}; {among} it needs p <= {format_p_value(threshold)} and has {format_p_value(_p_value(shift))}: "
        f"the history is too short, or the change too small, to tell it from chance"
    )
    return replace(shift, verdict=Attribution.INCONCLUSIVE, reason=reason)


def _secondary(shift: Shift, *, any_primary: bool) -> Shift:
    if any_primary:
        return replace(shift, reason=f"also moved; {shift.reason}")
    reason = "moved, but no primary metric did: a metric that is not primary is not blamed by itself"
    return replace(shift, verdict=Attribution.INCONCLUSIVE, reason=reason)
