"""Ranges as bars over a common axis: an interval, its middle, and where zero is."""

from collections.abc import Sequence
from dataclasses import dataclass

from afdp_exporter.model import Estimate
from afdp_exporter.pictures.scales import Scale

WIDTH, HEIGHT = 160, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """From `low` to `high`, its middle at `median`; `zero` is where nothing changes, None outside of the picture."""

    low: float
    median: float
    high: float
    zero: float | None
    width: int = WIDTH
    height: int = HEIGHT


def bars(estimates: Sequence[Estimate], *, low: float | None = None, high: float | None = None) -> list[Bar]:
    """The bars of several estimates on one scale that holds zero; `low` and `high` fix its ends."""
    least = min([0.0, *(each.low for each in estimates)]) if low is None else low
    most = max([0.0, *(each.high for each in estimates)]) if high is None else high
    x = Scale(low=least, high=most if most > least else least + 1.0, begin=4, end=WIDTH - 4)

    def inside(value: float) -> float:
        return x(min(max(value, x.low), x.high))

    return [
        Bar(
            low=inside(each.low),
            median=inside(each.median),
            high=max(inside(each.high), inside(each.low) + 2),
            zero=x(0.0) if x.low <= 0.0 <= x.high else None,
        )
        for each in estimates
    ]
