"""Several metrics of one deployment, judged together.

With 195 metrics at p < .05 each, 98 % of innocent deployments would get something blamed. Benjamini and Hochberg's
procedure (1995) over the primary metrics holds the expected share of false ones among those blamed.

A lasting shift is blamed on far more evidence than its p-value. What came and went, or came by and by, has little else:
it has to pass at a fifth of that ratio, among what moved alone, so that this happens after one innocent deployment in
fifty, however many metrics there are.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from afdp_exporter.model import Attribution, Shift
from afdp_exporter.wording.numbers import format_p_value

_AT_FACE_VALUE = 0.2  # of the ratio, for what has hardly more evidence than its p-value, ...
_RARE = 0.01  # ... and the p-value above which it never passes, whatever else moved


def settle(shifts: Iterable[Shift], false_discovery_ratio: float) -> tuple[Shift, ...]:
    """The shifts with the verdicts that stand among all of them, in their order.

    What passes stays as it was judged; a primary metric that was blamed alone and does not pass becomes inconclusive.
    Where no primary metric is blamed, secondary ones only "also moved": they decide nothing.
    """
    family = tuple(shifts)
    primary = [shift for shift in family if shift.primary and shift.change is not None]
    by_itself = [_p_value(shift) if shift.moved else 1.0 for shift in primary]
    lasting = highest([_p_value(shift) for shift in primary], false_discovery_ratio)
    surer = min(highest(by_itself, _AT_FACE_VALUE * false_discovery_ratio), _RARE)
    settled = []
    for shift in family:
        needed = lasting if shift.verdict is Attribution.ATTRIBUTED else surer
        undecided = shift.primary or shift.verdict is Attribution.TRANSIENT
        doubtful = shift.moved and undecided and _p_value(shift) > needed
        settled.append(_doubtful(shift, len(primary), needed) if doubtful else shift)
    return _beside(settled)


def left_alone(shifts: Iterable[Shift]) -> tuple[Shift, ...]:
    """The shifts without those that stood only beside a blamed metric, where none is blamed any more."""
    family = tuple(shifts)
    return family if _blamed(family) else _beside(family)


def _beside(family: Iterable[Shift]) -> tuple[Shift, ...]:
    shifts = tuple(family)
    blamed = _blamed(shifts)
    return tuple(_secondary(shift, blamed=blamed) if shift.moved and not shift.primary else shift for shift in shifts)


def _blamed(family: Iterable[Shift]) -> bool:
    return any(shift.primary and shift.moved for shift in family)


def highest(p_values: Collection[float], false_discovery_ratio: float) -> float:
    """The p-value up to which Benjamini and Hochberg's procedure lets pass; what one alone would need, if none does."""
    rank = 1
    for place, p_value in enumerate(sorted(p_values), start=1):
        if p_value <= false_discovery_ratio * place / len(p_values):
            rank = place
    return false_discovery_ratio * rank / max(len(p_values), 1)


def _p_value(shift: Shift) -> float:
    return 1.0 if shift.p_value is None else shift.p_value


def _doubtful(shift: Shift, size: int, threshold: float) -> Shift:
    among = f"by itself it would count, among {size} metrics" if size > 1 else "to count by itself"
    reason = (
        f"{shift.reason}; {among} it needs p <= {format_p_value(threshold)} and has {format_p_value(_p_value(shift))}: "
        f"the history is too short, or the change too small, to tell it from chance"
    )
    return replace(shift, verdict=Attribution.INCONCLUSIVE, reason=reason)


def _secondary(shift: Shift, *, blamed: bool) -> Shift:
    if blamed:
        return replace(shift, reason=f"also moved; {shift.reason}")
    reason = "moved, but no primary metric did: a metric that is not primary is not blamed by itself"
    return replace(shift, verdict=Attribution.INCONCLUSIVE, reason=reason)
