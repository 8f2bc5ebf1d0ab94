"""Whether the clock tells anything: the traits of the hour and the weekday are learned from where the cases carry it.

With few cases some hour always looks bad. So each part of the day and each weekday, alone and together with what is
deployed, is tested against trouble and cost (`evidence.py`), beside the service and what of the change tells most; a
trait is kept where the smallest p, times the number of tests, is below LEVEL.
"""

from collections.abc import Sequence

import numpy as np

from afdp_exporter.model import Floats
from afdp_exporter.patterns.evidence import background, weigh
from afdp_exporter.patterns.labels import Labels
from afdp_exporter.patterns.targets import normal_scores

CLOCK = ("weekday", "hour")
LEVEL = 0.02
LEAST_CASES = 15
BESIDE = 6
"""One column of the change is held beside for so many cases."""


def untold(
    columns: Sequence[str], table: Floats, places: Floats, labels: Labels, costs: Floats | None
) -> frozenset[str]:
    """Which of CLOCK the cases say nothing about; `columns` names the trait of each column of `table` (n, p), `places`
    (n, s) are the levels of services, `costs` (n,) NaN where unknown."""
    figures = [(labels.happened, labels.weight > 0)]
    if costs is not None:
        known = np.isfinite(costs)
        figures.append((_scores(costs, known), known))
    return frozenset(name for name in CLOCK if not any(_tells(name, columns, table, places, each) for each in figures))


def _tells(name: str, columns: Sequence[str], table: Floats, places: Floats, figure: tuple[Floats, np.ndarray]) -> bool:
    values, known = figure
    if int(known.sum()) < LEAST_CASES or np.ptp(values[known]) == 0.0:
        return False
    names = np.array(columns, dtype=str)
    values, table, places = values[known], table[known], places[known]
    change = table[:, ~np.isin(names, CLOCK)]
    clock = table[:, names == name]
    together = (clock[:, :, None] * change[:, None, :]).reshape(values.size, -1)
    strength = np.abs(weigh(values, change, background(places)).z) if change.size else np.zeros(0)
    beside = change[:, np.argsort(-strength, kind="stable")[: values.size // BESIDE]]
    known_already = background(np.column_stack([places, beside]))
    alone = weigh(values, clock, known_already).p
    paired = weigh(values, together, known_already.beside(clock)).p if together.size else np.ones(0)
    smallest = min((float(p.min()) * p.size for p in (alone, paired) if p.size), default=1.0)
    return 2.0 * smallest < LEVEL


def _scores(costs: Floats, known: np.ndarray) -> Floats:
    found = np.zeros(costs.size)
    found[known] = normal_scores(costs[known])
    return found
