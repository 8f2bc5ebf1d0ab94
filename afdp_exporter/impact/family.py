"""Several metrics of one deployment, judged together.

With 195 metrics at p < .05 each, 98 % of innocent deployments would get something blamed. Benjamini and Hochberg's
procedure (1995) over the primary metrics holds the expected share of false ones among those blamed.
"""

from collections.abc import Iterable
from dataclasses import replace

from afdp_exporter.model import Attribution, Shift

_PASSING_BY = 0.01  # the p-value above which what came and went is nobody's doing, whatever else moved


def settle(shifts: Iterable[Shift], false_discovery_ratio: float) -> tuple[Shift, ...]:
    """The shifts with the verdicts that stand among all of them, in their order.

    What passes stays as it was judged; a primary metric that was blamed alone and does not pass becomes inconclusive.
    Where no primary metric is blamed, secondary ones only "also moved": they decide nothing.
    """
    family = tuple(shifts)
    primary = [shift for shift in family if shift.primary and shift.change is not None]
    passing = discoveries({shift.metric: _p_value(shift) for shift in primary}, false_discovery_ratio)
    threshold = false_discovery_ratio * max(len(passing), 1) / max(len(primary), 1)
    settled = []
    for shift in family:
        if shift.verdict is Attribution.TRANSIENT and _p_value(shift) > _PASSING_BY:
            settled.append(_passing_by(shift, len(family)))
        elif not shift.moved or not shift.primary or shift.metric in passing:
            settled.append(shift)
        else:
            settled.append(_doubtful(shift, len(primary), threshold))
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


def discoveries(p_values: dict[str, float], false_discovery_ratio: float) -> frozenset[str]:
    """The names that pass Benjamini and Hochberg's procedure at the given ratio."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    last = 0
    for rank, name in enumerate(ordered, start=1):
        if p_values[name] <= false_discovery_ratio * rank / len(ordered):
            last = rank
    return frozenset(ordered[:last])


def _p_value(shift: Shift) -> float:
    return 1.0 if shift.p_value is None else shift.p_value


def _passing_by(shift: Shift, size: int) -> Shift:
    reason = f"{shift.reason}; one of {size} metrics does so by chance often enough, so nobody is blamed"
    return replace(shift, verdict=Attribution.INCONCLUSIVE, reason=reason)


def _doubtful(shift: Shift, size: int, threshold: float) -> Shift:
    reason = (
        f"by itself it would count (p = {_p_value(shift):.2g}), among {size} metrics it needs p <= {threshold:.2g}: "
        f"the history is too short, or the change too small, for so many metrics"
    )
    return replace(shift, verdict=Attribution.INCONCLUSIVE, reason=reason)


def _secondary(shift: Shift, *, blamed: bool) -> Shift:
    if blamed:
        return replace(shift, reason=f"also moved; {shift.reason}")
    reason = "moved, but no primary metric did: a metric that is not primary is not blamed by itself"
    return replace(shift, verdict=Attribution.INCONCLUSIVE, reason=reason)
