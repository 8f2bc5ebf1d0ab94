"""Several metrics of one deployment, judged together.

With 195 metrics at p < .05 each, 98 % of innocent deployments would get something blamed. Benjamini and Hochberg's
procedure (1995) over the primary metrics holds the expected share of false ones among those blamed. What came and went
has no p-value of its own: it stands beside a blamed metric, or where so many did that chance rarely does it.
"""

from collections.abc import Iterable
from dataclasses import replace

from scipy.stats import binom

from afdp_exporter.model import Attribution, Shift

_CHANCE_OF_TRANSIENT = 0.02  # the share of metrics that come and go by themselves just then


def settle(shifts: Iterable[Shift], false_discovery_ratio: float) -> tuple[Shift, ...]:
    """The shifts with the verdicts that stand among all of them, in their order.

    What passes stays as it was judged; a primary metric that was blamed alone and does not pass becomes inconclusive.
    Where no primary metric is blamed, secondary ones only "also moved": they decide nothing.
    """
    family = tuple(shifts)
    primary = [shift for shift in family if shift.primary and shift.change is not None]
    passing = discoveries({shift.metric: _p_value(shift) for shift in primary}, false_discovery_ratio)
    threshold = false_discovery_ratio * max(len(passing), 1) / max(len(primary), 1)
    standing = {Attribution.TRANSIENT} if _rarely_so_many(primary, false_discovery_ratio) else set()
    blamed = any(shift.verdict in standing or (shift.moved and shift.metric in passing) for shift in primary)
    settled = []
    for shift in family:
        if not shift.moved or shift.verdict in standing or (shift.primary and shift.metric in passing):
            settled.append(shift)
        elif not shift.primary:
            settled.append(_secondary(shift, blamed=blamed))
        elif shift.verdict is Attribution.TRANSIENT:
            settled.append(shift if blamed else _passing_by(shift, len(primary)))
        else:
            settled.append(_doubtful(shift, len(primary), threshold))
    return tuple(settled)


def left_alone(shifts: Iterable[Shift], false_discovery_ratio: float) -> tuple[Shift, ...]:
    """The shifts without those that stood only beside a blamed metric, where none is blamed any more."""
    family = tuple(shifts)
    primary = [shift for shift in family if shift.primary and shift.change is not None]
    passing_by = [shift for shift in primary if shift.verdict is Attribution.TRANSIENT]
    blamed = any(shift.moved and shift not in passing_by for shift in primary)
    if blamed or _rarely_so_many(primary, false_discovery_ratio):
        return family
    return tuple(
        _passing_by(shift, len(primary))
        if shift in passing_by
        else _secondary(shift, blamed=False)
        if shift.moved and not shift.primary
        else shift
        for shift in family
    )


def _rarely_so_many(primary: list[Shift], ratio: float) -> bool:
    """Whether so many of the metrics came and went that chance rarely does it."""
    came_and_went = sum(shift.verdict is Attribution.TRANSIENT for shift in primary)
    return float(binom.sf(came_and_went - 1, len(primary), _CHANCE_OF_TRANSIENT)) <= ratio


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
    reason = f"{shift.reason}; one of {size} metrics does so by chance often enough, so it is not blamed"
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
