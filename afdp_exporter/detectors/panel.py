"""A panel: several series on one grid around one deployment, judged together since numpy costs by the call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from afdp_exporter.detectors.regular_series import RegularSeries, cumulative_sums, despike
from afdp_exporter.model import Floats

T = TypeVar("T")

MOST = 20  # series in a panel: more save no time, and take memory


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Series that have all but their values, centre and scale in common: `values` (k, n), `control` (k, n) or None."""

    series: tuple[RegularSeries, ...]
    values: Floats
    control: Floats | None

    @classmethod
    def of(cls, series: Sequence[RegularSeries]) -> "Panel":
        """Those series, at least one."""
        controls = [each.control for each in series if each.control is not None]
        return cls(
            series=tuple(series),
            values=np.array([each.values for each in series]),
            control=np.array(controls) if controls else None,
        )

    def of_rows(self, rows: Sequence[int]) -> "Panel":
        """Some of its series, in their order."""
        return self if len(rows) == self.k else Panel.of([self.series[row] for row in rows])

    @property
    def layout(self) -> RegularSeries:
        """One of them, for what they have in common."""
        return self.series[0]

    @cached_property
    def despiked(self) -> Floats:
        """The values without single wild points (k, n)."""
        return despike(self.values)

    @cached_property
    def totals(self) -> Floats:
        """The sum of the first values of each series at each position: (k, n + 1)."""
        return cumulative_sums(self.values)

    @property
    def k(self) -> int:
        """How many series there are."""
        return len(self.series)


def by_panel(
    detector: Callable[..., Sequence[T]], series: Sequence[RegularSeries], *beside: Sequence[object]
) -> list[T]:
    """What a detector finds in each series, asked about panels of them; it is also given what is `beside` each."""
    groups: dict[object, list[int]] = {}
    for place, each in enumerate(series):
        when = each.deployed, each.finished, each.reach, each.looks_back
        layout = each.n, each.start, each.step, when, each.control is None
        groups.setdefault(layout, []).append(place)
    found: dict[int, T] = {}
    for places in groups.values():
        for begin in range(0, len(places), MOST):
            some = places[begin : begin + MOST]
            panel, others = (
                Panel.of([series[place] for place in some]),
                [[each[place] for place in some] for each in beside],
            )
            found |= zip(some, detector(panel, *others), strict=True)
    return [found[place] for place in range(len(series))]
